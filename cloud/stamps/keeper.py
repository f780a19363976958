"""The thread that keeps the stamps: the register in memory, the pool and this process's lease of it, what time does.

The database is the truth and the register follows it: what is minted is put into both here, and what others mint or
move is read from the table, by id and by time of change. No order waits for any of this; one that came when the pool
was empty is stamped as soon as there are codes. The register's kernels are imported by this thread, and only where
codes are to be minted or read.

Of several processes on a database those with pages mint, and keep some codes free for the others, which only lease:
they load no register, and what time does is left to those that mint.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog
from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy.exc import DBAPIError

from cloud import database, live
from cloud.stamps import ledger, store
from cloud.stamps.lease import Lease
from cloud.stamps.vault import Vault

if TYPE_CHECKING:
    from cloud.stamps.register import Register

AT_ONCE = 1000  # rows a transaction, so that no press waits long for the one writer
HOUSE_S = 15.0  # between looks at what others did and at what time does; the count of live stamps is as old
LOOK_S = 0.5  # between looks at what other processes want, and between theirs when the pool is dry
COUNT_S = 60.0  # between counts in the database, which cost a third of a second at 10 million
LEASE = timedelta(minutes=2)  # renewed at each look; a process that died gives its codes back after this time
WAITED_S = 60.0  # for a stamp: longer, and something is wrong; messages are kept and answered all the same
TOLD = 20  # orders that are named in the log, of many that get their stamps late at once
LATE = timedelta(minutes=1)  # between the time that a change bears and its commit; other machines' clocks included

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things last, and how many codes are kept ahead."""

    pool: int = 2000
    lifetime: timedelta = timedelta(days=1096)
    quarantine: timedelta = timedelta(days=365)


class Metrics:
    """What Prometheus is told of the stamps."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.codes = Gauge("domino_stamp_codes", "Codes in the register in memory", registry=registry)
        self.load = Gauge("domino_stamp_load_seconds", "What loading the register took", registry=registry)
        self.live = Gauge("domino_stamps_live", "Live stamps", registry=registry)
        self.pool = Gauge("domino_stamp_pool", "Codes ready for this process's next orders", registry=registry)
        self.waiting = Gauge("domino_stamp_waiting", "Orders that wait for a stamp", registry=registry)


class Keeper:
    """Keeps register, pool and lease until it is stopped. Run `run` in a thread; others may read what it offers."""

    def __init__(
        self,
        engine: sa.Engine,
        vault: Vault,
        lease: Lease,
        terms: Terms,
        *,
        registry: CollectorRegistry,
        stamped: Callable[[], None] = lambda: None,
        traces: Callable[[sa.Connection, Sequence[int]], Mapping[int, str]] = lambda _conn, _ids: {},
        mints: bool = True,
    ) -> None:
        self._engine, self._vault, self._lease, self._terms = engine, vault, lease, terms
        self._metrics = Metrics(registry)
        self._stamped = stamped  # called when an order that waited has its stamp
        self._traces = traces  # the trace ids of presses, by their orders
        self._mints = mints
        self._wake = threading.Event()
        self._stopping = False
        self._look_at = 0.0  # by the monotonic clock: not before then another look at others' wants, or at a dry pool
        self._looks_again = False  # then, though nobody wakes it
        self._house_at = self._count_at = 0.0  # by the monotonic clock: when it is time again
        self._read_at = database.now()  # the register knows every change before this
        self._last_id = 0  # and every row up to this
        self._register: Register | None = None
        self.live = 0  # stamps, some seconds ago; never fewer than this process knows of
        self._counted = 0
        self.load_s: float | None = None
        self.is_well = True  # False while the database refuses or a bug was met
        self._waiting = 0  # orders without a stamp, as of the last round
        self._waiting_since: float | None = None  # by the monotonic clock: in each round since there were some

    @property
    def register(self) -> "Register | None":
        """Every code that is kept, in memory; None until it is loaded. It proposes, the database decides."""
        return self._register

    def why(self) -> str | None:
        """For `cloud.health`: why orders do not get their stamps; None: they do."""
        if not self.is_well:
            return "the last round failed; the log says why"
        if self._waiting_since is not None and time.monotonic() - self._waiting_since > WAITED_S:
            return f"{self._waiting} orders wait for a stamp, some for more than {WAITED_S:g} s: nothing is minted"
        return None

    def facts(self) -> dict[str, object]:
        """For /health."""
        register = self._register
        return {
            "loaded": register is not None,
            "codes": 0 if register is None else len(register),
            "load_s": self.load_s,
        }

    def wake(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                self.tend(everything=time.monotonic() >= self._house_at)
                self.is_well = True
            except Exception as error:
                self.is_well = False
                if isinstance(error, DBAPIError) and database.refuses(error):
                    log.warning("the stamps are not kept: the database refuses", error=database.why(error))
                else:
                    self._register = None  # whatever it had wrong: it is loaded anew
                    log.exception("the keeper of the stamps met a bug; it begins anew")
            self._wake.wait(LOOK_S if self._looks_again else HOUSE_S)
        self._close()

    def tend(self, everything: bool = True) -> None:
        """One round: fill the lease where it is low. If `everything`, fill it anyway; see what others and time did."""
        self._looks_again = False
        if everything:
            self._keep_lease()
        is_low = self._lease.short or len(self._lease) <= self._terms.pool // 2
        if everything or (is_low and (self._mints or self._may_look())) or (self._mints and self._is_wanted()):
            self._fill()
        if everything and self._mints:
            self._follow()
            self._end_lives()
        if everything:
            self._count()
            self._house_at = time.monotonic() + HOUSE_S

    def _keep_lease(self) -> None:
        now = database.now()
        with self._engine.begin() as conn:
            if not (self._lease.id and store.renew_lease(conn, self._lease.id, now + LEASE)):
                holder = f"{socket.gethostname()}:{os.getpid()}"
                self._lease.id = store.open_lease(conn, holder, now + LEASE, self._vault.number)
                self._lease.short = True
                live.announce(conn)  # who mints makes ready for one more
            store.close_leases_before(conn, now)

    def _may_look(self) -> bool:
        """Whether it is time to ask the database what others did, which is not done at every press; else it will be."""
        self._looks_again = time.monotonic() < self._look_at
        if not self._looks_again:
            self._look_at = time.monotonic() + LOOK_S
        return not self._looks_again

    def _is_wanted(self) -> bool:
        """Whether other processes lack codes, or have left orders without."""
        if not self._may_look():
            return False
        with database.reading(self._engine) as conn:
            demand = store.demand(conn, self._terms.pool)
        return demand.waits or (demand.leases > 1 and demand.free <= self._terms.pool // 2)

    def _fill(self) -> None:
        """Fill the lease: from what lies in the pool, then from the mint, and stamp the orders that waited."""
        lease, pool = self._lease, self._terms.pool
        lease.short = False  # first: whoever finds it empty from now on says so again
        with database.reading(self._engine) as conn:
            lease.fill(store.leased(conn, lease.id))
        while (missing := pool - len(lease)) > 0:
            with self._engine.begin() as conn:
                ids = store.lease_free(conn, lease.id, min(missing, AT_ONCE))
                if not ids and not self._mints:
                    live.announce(conn)  # to who mints
            if not ids:
                break
            lease.add(ids)
        waiting = self._serve_waiting()
        if not self._mints:
            lease.short = lease.short or waiting > 0
            self._looks_again = lease.short or len(lease) <= pool // 2
            self._metrics.pool.set(len(lease))
            return
        while not self._stopping and (wanted := pool + waiting - len(lease)) > 0:
            self._mint(min(wanted, AT_ONCE))
            waiting = self._serve_waiting() if waiting else 0
        self._stock_others()
        self._metrics.pool.set(len(lease))

    def _stock_others(self) -> None:
        """Mint what other processes may lease next: as much as the lease of one."""
        with database.reading(self._engine) as conn:
            missing = self._others_lack(conn)
        while not self._stopping and missing > 0:
            missing = self._mint(AT_ONCE, free=True)

    def _others_lack(self, conn: sa.Connection) -> int:
        demand = store.demand(conn, self._terms.pool)
        return self._terms.pool - demand.free if demand.leases > 1 else 0

    def _serve_waiting(self) -> int:
        with self._engine.begin() as conn:
            before, first = len(self._lease), store.waiting(conn, TOLD)
            waiting = store.serve_waiting(conn, self._lease, database.now())
            served = store.stamped(conn, first) if first else []
            traces = self._traces(conn, served) if served else {}
            if len(self._lease) < before:
                live.announce(conn)
        for pickup in served:
            log.info("stamped late", pickup=pickup, trace=traces.get(pickup), still_waiting=waiting)
        if len(self._lease) < before:
            self._stamped()
        self._metrics.waiting.set(waiting)
        self._waiting = waiting
        self._waiting_since = None if not waiting else self._waiting_since or time.monotonic()
        return waiting

    def _mint(self, count: int, free: bool = False) -> int:
        """So many codes for this process; or `free`, for others, as far as they lack some: how many they still do."""
        register, codes, lacking = self._load(), None, 0
        try:
            with self._engine.begin() as conn:
                store.lock_minting(conn)
                self._read_new(conn, register)
                if self._stopping:
                    return 0  # perhaps in the middle of reading
                if free:
                    lacking = self._others_lack(conn)  # under the lock: another that mints may have been quicker
                    count = min(count, lacking)
                if not count:
                    return 0
                codes = register.mint(count)
                ids = store.put(conn, self._vault.seal_many(codes), None if free else self._lease.id, database.now())
        except BaseException:
            if codes is not None:
                register.remove(codes)
            raise
        if not free:
            self._lease.add(ids)
        return lacking - count if free else 0

    def _load(self) -> "Register":
        """The register, once every code that is kept has been read into it."""
        if self._register is not None:
            return self._register
        from cloud.stamps.register import Keeping, Register

        started = time.perf_counter()
        self._last_id, self._read_at = 0, database.now()
        register = Register()
        with database.reading(self._engine) as conn:
            self._read_new(conn, register)
        self.load_s = round(time.perf_counter() - started, 3)
        log.info("stamps loaded", codes=len(register), seconds=self.load_s)
        self._metrics.load.set(self.load_s)
        self._metrics.codes.set(len(register))
        self.live = register.count(Keeping.LIVE)
        self._register = register
        return register

    def _read_new(self, conn: sa.Connection, register: "Register") -> None:
        """What was put in since the last look."""
        for last_id, blocks in store.kept(conn, self._last_id):
            note(register, self._vault, blocks)
            self._last_id = last_id
            if self._stopping:
                return

    def _follow(self) -> None:
        """What others put in or moved since the last look, this process's own pages and ingest included."""
        register = self._load()
        now = database.now()
        with database.reading(self._engine) as conn:
            self._read_new(conn, register)
            note(register, self._vault, store.changed_since(conn, self._read_at - LATE))
        self._read_at = now

    def _end_lives(self) -> None:
        """Expire what was not used in time, and let go of what has been kept long enough: spent codes, readings."""
        terms, now = self._terms, database.now()
        while not self._stopping:
            with self._engine.begin() as conn:
                expired = store.expire(conn, now - terms.lifetime, now, AT_ONCE)
            if expired < AT_ONCE:
                break
        while not self._stopping:
            with self._engine.begin() as conn:
                freed = store.release(conn, now - terms.quarantine, now, AT_ONCE)
            if not freed:
                break
            if self._register is not None:
                self._register.remove(self._vault.open_many(b"".join(freed)))
        while not self._stopping:
            with self._engine.begin() as conn:
                forgotten = ledger.forget(conn, now, AT_ONCE)
            if forgotten < AT_ONCE:
                break

    def _count(self) -> None:
        if not self._mints:
            self._metrics.pool.set(len(self._lease))
            return
        from cloud.stamps.register import Keeping

        if time.monotonic() >= self._count_at:
            with database.reading(self._engine) as conn:
                self._counted = store.count_live(conn)
            self._count_at = time.monotonic() + COUNT_S
        known = self._register.count(Keeping.LIVE) if self._register is not None else 0
        self.live = max(self._counted, known)
        self._metrics.codes.set(len(self._register or ()))
        self._metrics.live.set(self.live)
        self._metrics.pool.set(len(self._lease))

    def _close(self) -> None:
        """Give back what is left, so that the next start has it at once."""
        if not self._lease.id:
            return
        try:
            with self._engine.begin() as conn:
                store.close_lease(conn, self._lease.id)
        except DBAPIError as error:
            log.warning("the lease is not given back; it runs out", error=database.why(error))


def note(register: "Register", vault: Vault, blocks: store.Blocks) -> None:
    """Enter codes with their states, whether the register has them or not."""
    from cloud.stamps.register import Keeping

    for name, sealed in blocks.items():
        register.add(vault.open_many(sealed), Keeping[name])
