"""The stream as a browser has it: connections to it, and what their events say."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import httpx2

from cloud.accounts import guard


class Event(NamedTuple):
    kind: str
    id: int | None
    data: str


class Client:
    """One browser's view of the stream."""

    def __init__(self, url: str, cookie: str) -> None:
        self.url, self.cookie = url, cookie

    @contextmanager
    def open(
        self, after: int | None = None, last_event_id: int | None = None, **query: Any
    ) -> Iterator[Iterator[Event]]:
        """The events of a new connection, once the server has begun to answer."""
        headers = {} if last_event_id is None else {"Last-Event-ID": str(last_event_id)}
        query |= {} if after is None else {"after": after}
        with (
            httpx2.Client(cookies={guard.COOKIE: self.cookie}, timeout=20) as client,
            client.stream("GET", f"{self.url}/stream", params=query, headers=headers) as response,
        ):
            assert response.headers["content-type"].startswith("text/event-stream")
            yield _events(response)


def _events(response: httpx2.Response) -> Iterator[Event]:
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value if name != "data" else fields.get("data", "") + value
        elif "event" in fields:
            yield Event(fields["event"], int(fields["id"]) if "id" in fields else None, fields.get("data", ""))
            fields = {}


@dataclass(frozen=True)
class News:
    """One event `frames`."""

    id: int | None
    to: int
    rows: list[tuple[int, bool, list[int], str]]
    views: list[list[int]]  # heard, refused, N of "1 of N shown"


def news(events: Iterator[Event]) -> Iterator[News]:
    return (News(event.id, **json.loads(event.data)) for event in events if event.kind == "frames")


def rows(events: Iterator[Event]) -> Iterator[tuple[int, list[int]]]:
    """The id of each row, and the views that are shown it."""
    return ((id, views) for one in news(events) for id, _, views, _ in one.rows)


def ids(events: Iterator[Event], count: int) -> list[int]:
    return [id for id, _ in islice(rows(events), count)]


def until(events: Iterator[Event], to: int) -> list[News]:
    """All that is told up to where the log has been read to `to`."""
    told = []
    for one in news(events):
        told.append(one)
        if one.to >= to:
            return told
    raise AssertionError(f"the stream ended before {to}")
