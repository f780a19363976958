"""History once more: the raw log through the very same `receive`, batch by batch, each at its own time.

Into a copy of the database from any moment, or into an empty one. What the log proves is taken from it where the copy
is too old to know: that a button was in the fleet and which key it had, an order's number, the stamp that was given to
it, and the answer that was sent. An answer is never sealed anew: under one nonce there is one message.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

import cloud.fleet.store as fleet
import cloud.frames.store as frames
import cloud.pickups.store as pickups
import cloud.stamps.store as stamps
from cloud.fleet.model import State
from cloud.frames.model import Result
from cloud.ingest.keys import Keys
from cloud.ingest.receive import Decoder, Limits, Message, Outcome, receive
from cloud.ingest.uplink import Kind, open_uplink
from cloud.pickups.model import Detail, Event, Faulty, NotFound, WrongState
from cloud.places.model import Address
from cloud.rawlog.model import Entry, Move, RawFrame, StampMove, in_batches
from cloud.rawlog.store import numbers
from cloud.stamps.lease import Lease
from cloud.stamps.vault import Vault, WrongKey

AT_ONCE = 1000  # entries a transaction
MOST_TOLD = 1000  # differences kept for the report; all are counted
BEFORE_ALL = datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)  # so that `frames.keeping` lets it go

# Told of each frame and what became of it now; None: it was there already.
Look = Callable[[RawFrame, Outcome | None], object]
# The button as it was known when the log begins; for those that the database does not have.
Known = Callable[[int], fleet.Standing | None]


class Gap(ValueError):
    """A part of the log is missing before what is to be replayed."""


@dataclass
class Replayed:
    """What was done; an order counts as `renumbered` where its number was another's already."""

    frames: int = 0
    skipped: int = 0  # were there
    batches: int = 0
    moves: int = 0
    stamps: int = 0
    cut: int = 0  # refused then, and too little is kept of them to be read again
    followed: int = 0  # buttons that the database did not know, or not with this key
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)  # how many frames ended so, and end so now
    differing: list[int] = field(default_factory=list)  # ids of such frames, at most MOST_TOLD
    not_done: list[str] = field(default_factory=list)  # moves and stamps that found no place, at most MOST_TOLD
    missed: int = 0  # all of those
    renumbered: dict[int, int] = field(default_factory=dict)

    @property
    def is_the_same(self) -> bool:
        return not self.changes and not self.missed


def replay(
    engine: sa.Engine,
    entries: Iterable[Entry],
    *,
    keys: Keys,
    limits: Limits,
    decode: Decoder = open_uplink,
    known: Known = lambda device: None,
    look: Look = lambda frame, outcome: None,
    may_miss: bool = False,
) -> Replayed:
    """Take `entries` into the database at `engine`; those that are there are passed over, so it may be done again.

    `limits` are for a log that does not tell its own. Raises `Gap`, unless it `may_miss` something, and `Diverged`.
    """
    done = Replayed()
    player = _Player(keys, limits, decode, known, look, may_miss, done)
    for some in _in_transactions(in_batches(entries)):
        with engine.begin() as conn:
            for one in some:
                match one:
                    case list():
                        player.take_in(conn, one)
                    case Move():
                        player.move(conn, one)
                    case StampMove():
                        player.stamp(conn, one)
    return done


def _in_transactions(
    items: Iterator[list[RawFrame] | Move | StampMove],
) -> Iterator[list[list[RawFrame] | Move | StampMove]]:
    some, size = [], 0
    for one in items:
        some.append(one)
        size += len(one) if isinstance(one, list) else 1
        if size >= AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


class _Player:
    def __init__(
        self, keys: Keys, limits: Limits, decode: Decoder, known: Known, look: Look, may_miss: bool, done: Replayed
    ) -> None:
        self._keys, self._limits, self._decode, self._known, self._look = keys, limits, decode, known, look
        self._vault = Vault(keys.stamp_key())
        self._may_miss = may_miss
        self._done = done
        self._last_id: int | None = None

    def take_in(self, conn: sa.Connection, batch: list[RawFrame]) -> None:
        done = self._done
        if self._last_id is None:
            self._last_id = frames.last_id(conn)
        if batch[-1].id <= self._last_id:
            # Also from a run that was broken off.
            done.renumbered |= {told: now for told, now in numbers(conn, batch).items() if told != now}
            done.skipped += len(batch)
            for frame in batch:
                self._look(frame, None)
            return
        if batch[0].after > self._last_id and not self._may_miss:
            said = f"the log goes on after frame {batch[0].after}, the database ends with {self._last_id}"
            raise Gap(f"{said}: what lies between is missing")
        now = batch[0].received_at
        if batch[0].limits is not None:
            self._limits = Limits(*batch[0].limits)
        self._follow(conn, batch, now)
        entered = pickups.enter(conn, self._numbers(conn, batch), now)
        placeholder = _number_next(conn, batch[0].id, self._last_id)
        messages = [Message(one.carrier, one.topic, one.raw, one.renamed or {}) for one in batch]
        outcomes = receive(
            conn,
            messages,
            keys=self._keys,
            limits=self._limits,
            lease=Lease(),  # empty: an order waits for the stamp that the log says it had
            now=now,
            decode=self._decode,
            answered=_answers(batch),
        )
        if placeholder is not None:
            conn.execute(sa.delete(frames.frames).where(frames.frames.c.id == placeholder))
        pickups.leave(conn, entered)
        self._last_id = max(self._last_id, batch[-1].id)
        done.batches += 1
        for frame, outcome in zip(batch, outcomes, strict=True):
            self._compare(frame, outcome)

    def _follow(self, conn: sa.Connection, batch: Sequence[RawFrame], now: datetime) -> None:
        """Bring the fleet to what the log proves: an accepted message was sealed by a button with this very key."""
        named = {one.device for one in batch if one.device is not None}
        buttons = fleet.standings(conn, named, now.date())
        first: dict[tuple[int | None, int | None], int] = {}
        for frame in batch:
            if frame.result == Result.ACCEPTED and frame.counter is not None:
                by = frame.device, frame.key_generation
                first[by] = min(frame.counter, first.get(by, frame.counter))
        for frame in batch:
            device, button = frame.device, buttons.get(frame.device or 0)
            if device is None or frame.result == Result.UNKNOWN_BUTTON:
                continue
            then = None
            if frame.result == Result.ACCEPTED and frame.key_generation is not None:
                generation = frame.key_generation
                if button is None or button.key_generation < generation:
                    then = generation, first[device, generation] - 1  # before all of this batch, whatever their order
            elif button is None and (it := self._known(device)) is not None:
                then = it.key_generation, it.last_counter
            if then is not None:
                fleet.follow(conn, device, generation=then[0], last_counter=then[1], now=now)
                self._done.followed += 1
            if frame.result == Result.REVOKED and (button is None or button.state != State.REVOKED):
                fleet.revoke(conn, device, why="revoked when the log was written", by="replay of the log", now=now)
            if then is not None or frame.result == Result.REVOKED:
                buttons |= fleet.standings(conn, [device], now.date())

    def _numbers(self, conn: sa.Connection, batch: Sequence[RawFrame]) -> dict[int, int]:
        """The numbers that orders of this batch would not get by themselves, by their buttons: of each the first.

        Not of a button that did something else in it too: its cancel or question would find the order too early. Such
        an order may get another number, which `renumbered` tells.
        """
        ordered = [one for one in batch if _ordered(one)]
        made = {one.pickup_id for one in ordered if one.pickup_id is not None} - self._done.renumbered.keys()
        made -= _existing(conn, made)
        next_ = pickups.next_number(conn)
        # PostgreSQL uses a number up for a press that joins, too.
        joins = conn.dialect.name == "postgresql" and len(ordered) > len(made)
        if not joins and made == set(range(next_, next_ + len(made))):
            return {}
        others = {one.device for one in batch if one.result == Result.ACCEPTED and not _ordered(one)}
        wanted: dict[int, int] = {}
        for frame in ordered:
            if frame.device not in (None, *others) and frame.pickup_id in made:
                wanted.setdefault(frame.device, frame.pickup_id)
        return wanted

    def _compare(self, frame: RawFrame, outcome: Outcome) -> None:
        done = self._done
        done.frames += 1
        self._look(frame, outcome)
        if frame.is_cut:
            done.cut += 1
        elif outcome.result != frame.result:
            done.changes[frame.result, outcome.result] += 1
            if len(done.differing) < MOST_TOLD:
                done.differing.append(frame.id)
        elif _ordered(frame) and frame.pickup_id != outcome.pickup_id and frame.pickup_id and outcome.pickup_id:
            done.renumbered.setdefault(frame.pickup_id, outcome.pickup_id)

    def move(self, conn: sa.Connection, move: Move) -> None:
        address = None if move.addressee is None else Address(move.addressee)
        number = self._number(move.pickup_id)
        try:
            event, detail = Event(move.event), Detail.of(move.detail or {})
            told = (detail, move.happened_at, move.key)
            self._done.moves += pickups.repeat(conn, number, event, address, move.actor, move.at, *told)
        except (Faulty, NotFound, WrongState) as error:
            self._miss(f"order {move.pickup_id}, {move.event} at {move.at.isoformat()}: {error}")

    def stamp(self, conn: sa.Connection, stamp: StampMove) -> None:
        number = self._number(stamp.pickup_id)
        try:
            self._vault.open(stamp.sealed)
        except WrongKey:
            self._miss(f"the stamp of order {stamp.pickup_id}: it was sealed under another master key")
            return
        if not _existing(conn, [number]):
            self._miss(f"the stamp of order {stamp.pickup_id}: there is no such order")
            return
        was = {name: getattr(stamp, name) for name in StampMove.__slots__ if name not in ("sealed", "pickup_id")}
        if stamps.restore(conn, stamp.sealed, number, **was):
            self._done.stamps += 1
        else:
            self._miss(f"the stamp of order {stamp.pickup_id}: it has another one now")

    def _number(self, pickup_id: int) -> int:
        return self._done.renumbered.get(pickup_id, pickup_id)

    def _miss(self, what: str) -> None:
        self._done.missed += 1
        if len(self._done.not_done) < MOST_TOLD:
            self._done.not_done.append(what)


def _ordered(frame: RawFrame) -> bool:
    return frame.result == Result.ACCEPTED and frame.kind == Kind.PICKUP.word


def _answers(batch: Sequence[RawFrame]) -> dict[frames.Key, bytes]:
    """The answers that were given to the batch's fresh uplinks."""
    return {
        (one.device, one.key_generation, one.counter): one.downlink
        for one in batch
        if one.result == Result.ACCEPTED
        and one.downlink is not None
        and one.device is not None
        and one.key_generation is not None
        and one.counter is not None
    }


def _existing(conn: sa.Connection, numbers: Collection[int]) -> set[int]:
    return set(conn.scalars(sa.select(pickups.pickups.c.id).where(pickups.pickups.c.id.in_(numbers))))


def _number_next(conn: sa.Connection, id: int, last_id: int) -> int | None:
    """Have the next line of the log get this id, as it had; gives the id of a line to be deleted once there are more.

    Where ids went by, PostgreSQL's sequence is moved on; SQLite numbers on from the highest id that is there.
    """
    if id <= last_id + (conn.dialect.name != "postgresql"):
        return None
    if conn.dialect.name == "postgresql":
        sequence = sa.func.pg_get_serial_sequence("frames", "id")
        conn.execute(sa.select(sa.func.setval(sequence, id, sa.false())))
        return None
    line = {"id": id - 1, "received_at": BEFORE_ALL, "carrier": "", "raw": b"", "raw_size": 0, "result": ""}
    conn.execute(sa.insert(frames.frames), [line])
    return id - 1


def span(entries: Iterable[Entry], since: datetime | None, until: datetime | None) -> Iterator[Entry]:
    """The entries of [since, until), by the times of receipt, of moves, and of what stamps came to."""
    for entry in entries:
        at = {RawFrame: "received_at", Move: "at", StampMove: "changed_at"}[type(entry)]
        if (since is None or getattr(entry, at) >= since) and (until is None or getattr(entry, at) < until):
            yield entry
