"""The HTTP inlet: callbacks of a Sigfox contract, answered once they are committed.

A bare ASGI application, because a framework's routing and validation cost more than all the rest of it. Callbacks that
arrive while the writer is at work become its next group. A callback that cannot be kept in time is told 503, and
Sigfox sends it again after 1, 2 and 4 minutes.
"""

import asyncio
import hmac
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from math import ceil
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter

from cloud.frames.model import Result
from cloud.ingest.pace import Pace
from cloud.ingest.receive import Message
from cloud.ingest.sigfox import USUAL
from cloud.ingest.writer import MOST_IN_A_BATCH, Outcomes, Writer

PATH = "/sigfox/callback"  # the secret may follow as one more segment
BODY_LIMIT = 1_000_000  # bytes
MOST_AT_ONCE = 200  # messages in one callback
MOST_WAITING = 20_000  # messages; beyond it the sender is told to come again
ANSWER_S = 8.0  # Sigfox waits for 10
COME_AGAIN_S = 60
GUESSES_PER_SECOND = 5  # wrong secrets of one address; the secret's 16 characters hold, this keeps the noise down

Scope = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Refused(Exception):
    """The callback is not taken; `status` and `why` are told."""

    status: int
    why: str
    again_s: float | None = None  # after which it may come again


class Waiting(NamedTuple):
    """One callback's messages, and what becomes of them."""

    messages: Sequence[Message]
    written: asyncio.Future[Outcomes]


class Callbacks:
    """Takes callbacks at PATH from whoever knows the secret and comes from one of `networks`, if any are given."""

    def __init__(
        self,
        writer: Writer,
        *,
        secret: str,
        networks: Sequence[IPv4Network | IPv6Network] = (),
        renamed: Mapping[str, str] = USUAL,
        answer_s: float = ANSWER_S,
        per_second: int = 0,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._answer_s = answer_s
        self._pace, self._guesses = Pace(per_second), Pace(GUESSES_PER_SECOND)
        self._answers = Counter(
            "domino_callbacks", "Callbacks by the status of their answer", ["status"], registry=registry
        )
        self._writer, self._secret, self._networks, self._renamed = writer, secret.encode(), networks, renamed
        self._arrived: deque[Waiting] = deque()
        self._waiting = 0  # messages, those that the writer has among them
        self._in_hand = False  # whether it has any

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        again_s: float | None = None
        try:
            self._admit(scope)
            messages = split(await _body(scope, receive))
            outcomes = await self._write([Message("http", None, one, self._renamed) for one in messages])
            status, body = _answer(outcomes)
        except Refused as refused:
            status, body = refused.status, json.dumps({"error": refused.why}).encode()
            again_s = refused.again_s
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if status == 503 or again_s is not None:
            headers.append((b"retry-after", str(ceil(again_s or COME_AGAIN_S)).encode()))
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        self._answers.labels(str(status)).inc()
        await send({"type": "http.response.start", "status": status, "headers": [] if status == 204 else headers})
        await send({"type": "http.response.body", "body": body})

    def _admit(self, scope: Scope) -> None:
        """Raises `Refused` for whoever may not come in, before anything is read."""
        client = _client(scope)
        if self._networks and not any(client in network for network in self._networks):
            raise Refused(403, "callbacks are not taken from this address")
        if again_s := self._pace.wait_s(client):
            raise Refused(429, "too many callbacks from this address; send it again", again_s)
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        shown = sent[0].removeprefix(b"Bearer ") if sent else scope["path"][len(PATH) + 1 :].encode()
        if not hmac.compare_digest(shown, self._secret):
            if again_s := self._guesses.wait_s(client):
                raise Refused(429, "too many wrong secrets from this address", again_s)
            raise Refused(401, "the secret is missing or wrong: as Authorization: Bearer …, or at the end of the path")
        if scope["method"] not in ("POST", "PUT", "GET"):
            raise Refused(405, "a callback comes by POST, PUT or GET")

    async def _write(self, messages: Sequence[Message]) -> Outcomes:
        if self._waiting + len(messages) > MOST_WAITING:
            raise Refused(503, "too many callbacks wait; send it again")
        loop = asyncio.get_running_loop()
        written: asyncio.Future[Outcomes] = loop.create_future()
        self._arrived.append(Waiting(messages, written))
        self._waiting += len(messages)
        self._hand_over(loop)
        # It stays with the writer even then: what comes again is known by its counter.
        too_late = loop.call_later(self._answer_s, _give_up, written)
        try:
            return await written
        finally:
            too_late.cancel()

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._in_hand or not self._arrived:
            return
        group, messages = [], []
        while self._arrived and len(messages) + len(self._arrived[0].messages) <= MOST_IN_A_BATCH:
            group.append(self._arrived.popleft())
            messages += group[-1].messages
        self._in_hand = True

        def conclude(outcomes: Outcomes) -> None:
            self._in_hand = False
            self._waiting -= len(outcomes)
            at = 0
            for one in group:
                if not one.written.done():  # else it was given up
                    one.written.set_result(outcomes[at : at + len(one.messages)])
                at += len(one.messages)
            self._hand_over(loop)

        def written(outcomes: Outcomes) -> None:
            loop.call_soon_threadsafe(conclude, outcomes)

        self._writer.put(messages, written)


def _give_up(written: "asyncio.Future[Outcomes]") -> None:
    if not written.done():
        written.set_exception(Refused(503, "the database takes too long; send it again"))


def _client(scope: Scope) -> IPv4Address | IPv6Address | None:
    try:
        return _address(scope["client"][0])
    except (TypeError, ValueError):  # a socket without addresses
        return None


@lru_cache(1000)
def _address(text: str) -> IPv4Address | IPv6Address:
    return ip_address(text)


async def _body(scope: Scope, receive: Any) -> bytes:
    """The body, or without one the query string."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the callback ended before its end")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_LIMIT:
            raise Refused(413, f"a callback has at most {BODY_LIMIT} bytes")
    return bytes(body) or bytes(scope["query_string"])


def split(body: bytes) -> list[bytes]:
    """The messages of a callback: one, or those of a batch, which is a JSON list or one to a line.

    Raises `Refused` for more than MOST_AT_ONCE. What is no batch is one message, whatever it holds.

    >>> split(b'[{"id": "1"}, {"id": "2"}]')
    [b'{"id": "1"}', b'{"id": "2"}']
    """
    text = body.strip()
    messages = [body]
    if text[:1] == b"[":
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list) and listed:
            messages = [json.dumps(one).encode() for one in listed]
    elif b"\n" in text:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if all(line[:1] == b"{" and line[-1:] == b"}" for line in lines) or b"{" not in text:
            messages = lines
    if len(messages) > MOST_AT_ONCE:
        raise Refused(413, f"a callback has at most {MOST_AT_ONCE} messages")
    return messages


def _answer(outcomes: Outcomes) -> tuple[int, bytes]:
    """200 with the answers to those that listen, 204 for nothing to say, 400 with what is wrong."""
    if None in outcomes:
        return 500, b'{"error": "a message was not kept; send it again"}'
    kept = [outcome for outcome in outcomes if outcome is not None]
    answers = {
        outcome.reception.named: {"downlinkData": outcome.downlink.hex()}
        for outcome in kept
        if outcome.reception and outcome.downlink
    }
    if answers:
        return 200, json.dumps(answers).encode()
    if all(outcome.result is Result.MALFORMED for outcome in kept):
        return 400, json.dumps({"error": "; ".join(outcome.reason for outcome in kept)}).encode()
    return 204, b""
