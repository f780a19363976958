"""The database as it is in the end, read by plain SQL, by none of the system's code, and held against the witness."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tools.drill.presses import Key, parcels_by_button
from tools.drill.witness import Notes

MOST_OF_ORDER = 99  # parcels, however often a button is pressed
SHOWN = 5  # of what is wrong, for the eye


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the tables hold."""

    accepted: dict[Key, tuple[int, int | None]]  # press log: parcels, order
    orders: list[tuple[int, int, str, int]]  # id, button, state, parcels
    stamped: list[tuple[int, bytes, str]]  # order, sealed code, state
    events: list[tuple[int, str]]  # order, event
    accepted_frames: Counter[Key]  # how often the log says that a press was new
    results: dict[str, int]  # the log's messages by their named result
    waiting: int  # orders that wait for a stamp


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong, each as readable lines; and the counts. Nothing at all is how it must be."""

    lost: list[Key] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    accepted: int = 0
    orders: int = 0
    stamps: int = 0
    results: dict[str, int] = field(default_factory=dict)


class Database:
    """The same few questions to SQLite, given its file, or PostgreSQL, given a libpq connection string."""

    def __init__(self, where: Path | str) -> None:
        self._where = where

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        if isinstance(self._where, Path):
            with closing(sqlite3.connect(f"file:{self._where}?mode=ro", uri=True, timeout=1)) as connection:
                yield connection
        else:
            with psycopg.connect(self._where, connect_timeout=2, autocommit=True) as connection:
                connection.execute("SET statement_timeout = '20s'")
                yield connection

    def count_accepted(self) -> int | None:
        """Rows of the press log; None where the database does not answer."""
        return self._number("SELECT count(*) FROM uplinks")

    def last_frame(self) -> int | None:
        return self._number("SELECT max(id) FROM frames")

    def last_time_s(self) -> float | None:
        """When the log's last message was received, as the worker's clock said: Unix seconds."""
        at = self._number("SELECT (SELECT received_at FROM frames ORDER BY id DESC LIMIT 1)")
        return None if at is None else at / 1000

    def count_waiting(self) -> int | None:
        """Orders without their stamp."""
        return self._number("SELECT count(*) FROM stamp_waits")

    def _number(self, query: str) -> int | None:
        try:
            with self._connected() as connection:
                return connection.execute(query).fetchone()[0] or 0
        except (sqlite3.Error, psycopg.Error):
            return None

    def read(self) -> Ledger:
        with self._connected() as connection:

            def rows(query: str) -> list[tuple[Any, ...]]:
                return connection.execute(query).fetchall()

            log = rows("SELECT button_id, key_generation, counter, parcels, pickup_id, kind FROM uplinks")
            frames = rows("SELECT device, key_generation, counter FROM frames WHERE result = 'accepted'")
            return Ledger(
                {row[:3]: (row[3], row[4]) for row in log},
                rows("SELECT id, button_id, state, parcels FROM pickups"),
                rows("SELECT pickup_id, sealed, state FROM stamps WHERE pickup_id IS NOT NULL"),
                rows("SELECT pickup_id, event FROM pickup_events"),
                Counter(frames),
                dict(rows("SELECT result, count(*) FROM frames GROUP BY result")),
                rows("SELECT count(*) FROM stamp_waits")[0][0],
            )


def judge(notes: Notes, ledger: Ledger) -> Findings:
    """Holds the ledger against the notes, for buttons that only press, so that each has one open request.

    Lost: acknowledged, and not in the press log. Doubled: counted more than once anywhere. Wrong: all else that does
    not follow from the presses, such as an order without one, another sum of parcels, or a missing stamp.
    """
    lost = sorted(notes.acknowledged.keys() - ledger.accepted.keys())
    doubled = [
        f"press {_name(key)} was new {times} times" for key, times in ledger.accepted_frames.items() if times > 1
    ]
    wrong = [f"press {_name(key)} was never pressed" for key in ledger.accepted.keys() - notes.pressed.keys()]
    taken: dict[Key, int] = {}
    joined: dict[int | None, int] = {}
    for key, (parcels, order) in ledger.accepted.items():
        taken[key] = parcels
        joined[order] = joined.get(order, 0) + 1
        if parcels != notes.pressed.get(key, parcels):
            wrong.append(f"press {_name(key)} has {parcels} parcels, not {notes.pressed[key]}")
        if ledger.accepted_frames[key] < 1:
            wrong.append(f"press {_name(key)} is not in the log")

    expected = {device: min(parcels, MOST_OF_ORDER) for device, parcels in parcels_by_button(taken).items()}
    ordered: dict[int, list[tuple[int, str, int]]] = {}
    for id, button, state, parcels in ledger.orders:
        ordered.setdefault(button, []).append((id, state, parcels))
    for button in expected.keys() | ordered.keys():
        has = ordered.get(button, [])
        if len(has) > 1:
            doubled.append(f"button {button:08X} has {len(has)} orders")
        elif not has or button not in expected:
            wrong.append(f"button {button:08X} has {'an order and no press' if has else 'presses and no order'}")
        elif has[0][1] != "requested" or has[0][2] != expected[button]:
            wrong.append(f"button {button:08X} has {has[0][2]} parcels {has[0][1]}, not {expected[button]} requested")

    orders = {id: button for id, button, _, _ in ledger.orders}
    wrong += [
        f"press {_name(k)} is in no order of its button"
        for k, (_, o) in ledger.accepted.items()
        if orders.get(o or 0) != k[0]
    ]
    doubled += [f"order {id} has {n} stamps" for id, n in Counter(s[0] for s in ledger.stamped).items() if n > 1]
    doubled += [f"one stamp is on {n} orders" for n in Counter(s[1] for s in ledger.stamped).values() if n > 1]
    wrong += [f"order {id} has no stamp" for id in orders.keys() - {stamp[0] for stamp in ledger.stamped}]
    wrong += [f"order {id} has a stamp that is {state}" for id, _, state in ledger.stamped if state != "reserved"]
    events = Counter(ledger.events)
    for id in orders:
        if events[id, "pressed"] != 1 or events[id, "joined"] != joined.get(id, 0) - 1:
            said = f"{events[id, 'pressed']} times pressed, {events[id, 'joined']} joined"
            wrong.append(f"order {id} has a history of {said}, and {joined.get(id, 0)} presses")
    stamps = len(ledger.stamped)
    return Findings(lost, doubled, wrong, len(ledger.accepted), len(orders), stamps, ledger.results)


def _name(key: Key) -> str:
    return f"{key[0]:08X}/{key[1]}/{key[2]}"
