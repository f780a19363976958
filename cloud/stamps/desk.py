"""The desk where codes are shown and answered: reads them by the register, asks the database, writes everything down.

One transaction a request, batches included: is anything to be heard from this party, what does each reading come to,
what was tried in vain. So a limit holds however many ask at once, and nothing is answered that is not written down.
The register proposes and the database decides: a code that the register thinks live is accepted only if it is so now.
numpy and the register's kernels are imported here when something is read, not before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from cloud.audit.store import record
from cloud.stamps import ledger, store
from cloud.stamps.allowance import Allowance
from cloud.stamps.ledger import Entry, Form
from cloud.stamps.model import (
    ALPHABET,
    CODE_BITS,
    SPENT,
    TRANSITIONS,
    Kind,
    NotFound,
    NotReady,
    Redeemed,
    Redemption,
    Stamp,
    State,
    Unknown,
    WrongState,
    parse,
)
from cloud.stamps.vault import Vault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cloud.stamps.reading import Verdict
    from cloud.stamps.register import Register


CODES = 2**CODE_BITS

# Told in the redemption's transaction of the stamp that has paid, the piece's weight in grams if known, and the time.
Paid = Callable[[sa.Connection, Stamp, int | None, datetime], object]


@dataclass(frozen=True, slots=True)
class Item:
    """Something to be read: one of text, lattice and strings; none of them where a picture shows no code: see `why`."""

    form: Form
    text: str | None = field(default=None, repr=False)
    lattice: "NDArray[np.float32] | None" = field(default=None, repr=False)  # (8, 32), see stamps.reading
    strings: Sequence[tuple[str, float]] | None = field(default=None, repr=False)  # with their probabilities
    why: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What an item came to, with the evidence. For staff alone."""

    kind: Kind
    listed: int  # strings tried
    budget: int
    posterior: float | None = None  # of the accepted string
    stamp: Stamp | None = None  # accepted or already used; of an unknown one the spent stamp that it is near
    candidates: tuple[str, ...] = field(default=(), repr=False)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """By what is read now, for the staff's page."""

    is_loaded: bool
    alpha: float
    budget: int
    at_once: int
    per_hour: int
    found_a_day: float  # live stamps that one party finds on average, guessing all day as much as it is let


class Desk:
    def __init__(
        self,
        engine: sa.Engine,
        vault: Vault,
        register: "Callable[[], Register | None]",
        live: Callable[[], int],
        *,
        alpha: float,
        allowance: Allowance,
        paid: Paid,
    ) -> None:
        """`register` gives None until it is loaded, `live` the number of live stamps now; `paid` is told of each
        redemption, also of one that is asked for again.
        """
        self._engine, self._vault = engine, vault
        self._register, self._live = register, live
        self._alpha, self._allowance, self._paid = alpha, allowance, paid

    @property
    def terms(self) -> Terms:
        allowed, budget = self._allowance, self._budget()
        found_a_day = 24 * allowed.per_hour * budget * self._live() / CODES
        return Terms(self._register() is not None, self._alpha, budget, allowed.burst, allowed.per_hour, found_a_day)

    def _budget(self) -> int:
        return self.budget(self._live())

    def budget(self, live: int) -> int:
        """How many strings may be tried of one picture while so many stamps are live."""
        from cloud.stamps import reading

        return reading.budget(self._alpha, live)

    def read(self, items: Sequence[Item], *, by: str, place: str, now: datetime) -> list[Reading]:
        """Raises `NotReady` and `TooManyGuesses`."""
        register = self._register()
        if register is None:
            raise NotReady
        budget = self._budget()
        with self._engine.begin() as conn:
            ledger.check_allowance(conn, self._allowance, by, place, now)
            read = [self._read_one(conn, register, budget, item) for item in items]
            entries = [
                Entry(item.form, one.kind, one.listed, budget, one.stamp and self._vault.seal(one.stamp.code))
                for item, one in zip(items, read, strict=True)
            ]
            ledger.enter(conn, self._allowance, entries, by=by, place=place, now=now)
        return read

    def redeem(
        self,
        code: str,
        *,
        piece: str,
        place: str,
        by: str,
        now: datetime,
        weight_g: int | None = None,
        is_machine: bool = False,
    ) -> Redemption:
        """Raises `TooManyGuesses`: here too a code can be tried. `is_machine`: the ledger is all its record."""
        with self._engine.begin() as conn:
            ledger.check_allowance(conn, self._allowance, by, place, now)
            done = store.redeem(conn, self._vault, code, piece=piece, place=place, by=by, at=now)
            stamp = None if isinstance(done, Unknown) else done.stamp
            kind = Kind.ACCEPTED if isinstance(done, Redeemed) else _kind_of(stamp)
            self._enter_exact(conn, kind, stamp, by=by, place=place, now=now)
            if isinstance(done, Redeemed):
                self._paid(conn, done.stamp, weight_g, now)
            if not is_machine:
                outcome = type(done).__name__
                about = {"outcome": OUTCOMES[outcome], "piece": piece, "place": place}
                record(conn, actor=by, action="stamp.redeem", subject=subject_of(stamp), now=now, **about)
        return done

    def look_up(self, code: str, *, by: str, place: str, now: datetime, is_machine: bool = False) -> Stamp | None:
        """The stamp of this code, counted like a reading of it. Raises `TooManyGuesses`."""
        with self._engine.begin() as conn:
            ledger.check_allowance(conn, self._allowance, by, place, now)
            stamp = store.find(conn, self._vault, code)
            self._enter_exact(conn, _kind_of(stamp), stamp, by=by, place=place, now=now)
            if not is_machine:
                found = "no stamp" if stamp is None else stamp.state.value
                record(conn, actor=by, action="stamp.look-up", subject=subject_of(stamp), now=now, found=found)
        return stamp

    def void(self, code: str, *, by: str, place: str, now: datetime) -> Stamp:
        """Raises `NotFound`, `WrongState` and `TooManyGuesses`; a miss is written down all the same."""
        with self._engine.begin() as conn:
            ledger.check_allowance(conn, self._allowance, by, place, now)
            there = store.find(conn, self._vault, code)
            self._enter_exact(conn, _kind_of(there), there, by=by, place=place, now=now)
            if there is not None and State.VOID in TRANSITIONS[there.state]:
                voided = store.void_code(conn, self._vault, code, by=by, at=now)
                record(conn, actor=by, action="stamp.void", subject=subject_of(voided), now=now, place=place)
                return voided
        if there is None:
            raise NotFound("no stamp has this code")
        raise WrongState(f"the stamp is {there.state} and cannot become {State.VOID}")

    def _enter_exact(
        self, conn: sa.Connection, kind: Kind, stamp: Stamp | None, *, by: str, place: str, now: datetime
    ) -> None:
        # A code that nobody may know yet is no stamp to whoever asks.
        sealed = None if stamp is None or kind is Kind.UNKNOWN_CLEAR else self._vault.seal(stamp.code)
        ledger.enter(
            conn, self._allowance, [Entry(Form.EXACT, kind, 1, self._budget(), sealed)], by=by, place=place, now=now
        )

    def _read_one(self, conn: sa.Connection, register: "Register", budget: int, item: Item) -> Reading:
        from cloud.stamps import reading

        if item.text is not None:
            verdict = reading.read_text(item.text, register, budget)
        elif item.lattice is not None:
            verdict = reading.read_one(item.lattice, register, budget)
        elif item.strings is not None:
            verdict = reading.read_strings(item.strings, register, budget)
        else:
            return Reading(Kind.ILLEGIBLE, 0, budget, why=item.why)
        return self._settled(conn, register, item, verdict)

    def _settled(self, conn: sa.Connection, register: "Register", item: Item, verdict: "Verdict") -> Reading:
        """What the register proposes, as the database has it."""
        kind, listed, budget = Kind[verdict.kind.name], verdict.listed, verdict.budget
        if kind is Kind.AMBIGUOUS:
            return Reading(kind, listed, budget, candidates=verdict.candidates)
        code = verdict.code
        if code is None and (kind is Kind.UNKNOWN_CLEAR or item.text is not None):
            # The register lags some seconds: a stamp that went live just now is asked for by what was most likely read.
            code = _best(item)
        stamp = None if code is None else store.find(conn, self._vault, code)
        if stamp is not None and stamp.state is State.LIVE:
            return Reading(Kind.ACCEPTED, listed, budget, verdict.posterior, stamp)
        if stamp is not None and stamp.state in SPENT:
            return Reading(Kind.ALREADY_USED, listed, budget, verdict.posterior, stamp)
        if code is None:
            return Reading(kind, listed, budget)
        # Eight characters that a person typed are legible, however often the reader confuses them.
        return Reading(Kind.UNKNOWN_CLEAR, listed, budget, stamp=self._near_spent(conn, register, code))

    def _near_spent(self, conn: sa.Connection, register: "Register", code: str) -> Stamp | None:
        """The spent stamp that differs from `code` in one symbol."""
        from cloud.stamps.register import Keeping, pack, unpack

        found, states = register.near(pack([code]))
        if states[0] != Keeping.SPENT:
            return None
        stamp = store.find(conn, self._vault, unpack(found)[0])
        return stamp if stamp is not None and stamp.state in SPENT else None


OUTCOMES = {"Redeemed": "redeemed", "AlreadyUsed": "already used", "NotLive": "not live", "Unknown": "unknown"}


def subject_of(stamp: Stamp | None) -> str:
    """How the audit trail names a stamp: by its order, for its code is as good as money."""
    return "a code" if stamp is None or stamp.pickup_id is None else f"stamp of order {stamp.pickup_id}"


def _kind_of(stamp: Stamp | None) -> Kind:
    """Of a code that was given as it is."""
    if stamp is None or stamp.state in (State.MINTED, State.RESERVED):
        return Kind.UNKNOWN_CLEAR
    return Kind.ACCEPTED if stamp.state is State.LIVE else Kind.ALREADY_USED


def _best(item: Item) -> str | None:
    """The most probable string; None where it has not eight characters."""
    if item.lattice is not None:
        return "".join(ALPHABET[symbol] for symbol in item.lattice.argmax(axis=1))
    texts = [item.text] if item.text is not None else [text for text, _ in sorted(item.strings or (), key=_weight)]
    try:
        return parse(texts[0])
    except ValueError:
        return None


def _weight(string: tuple[str, float]) -> float:
    return -string[1]
