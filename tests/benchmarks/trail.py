"""Redemptions by eight at once on PostgreSQL: with the ledger of readings as record, and each in the trail too."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import sqlalchemy as sa

from cloud import database
from cloud.pickups.store import redeemed
from cloud.stamps import store
from cloud.stamps.allowance import Allowance
from cloud.stamps.desk import Desk
from cloud.stamps.model import CODE_BITS, State, code_of
from tests import postgres
from tests.benchmarks.measure import Role, Way
from tests.stock import VAULT

AT_ONCE = 8  # machines


@contextmanager
def prepare(_folder: Path, count: int) -> Iterator[Sequence[Way]]:
    """Redemptions a second, of `count`."""
    with postgres.cluster() as cluster, cluster.database() as url:
        engine = database.connect(url)
        desk = Desk(
            engine, VAULT, lambda: None, lambda: 5_000_000, alpha=1e-4, allowance=Allowance(500, 20), paid=redeemed
        )

        def redeem(*, is_machine: bool) -> Callable[[], list[float]]:
            def run() -> list[float]:
                codes, now = _live(engine, count), database.now()

                def work(machine: int) -> None:
                    said = {"by": f"token {machine}", "place": f"place {machine}", "is_machine": is_machine}
                    for code in codes[machine::AT_ONCE]:
                        desk.redeem(code, piece=f"P{code}", now=now, **said)

                began = perf_counter()
                with ThreadPoolExecutor(AT_ONCE) as machines:
                    list(machines.map(work, range(AT_ONCE)))
                return [count / (perf_counter() - began)]

            return run

        yield (
            Way(Role.OURS, "in the ledger", redeem(is_machine=True)),
            Way(Role.PEER, "in the audit trail too", redeem(is_machine=False)),
        )
        engine.dispose()


def _live(engine: sa.Engine, count: int) -> list[str]:
    codes = [code_of(secrets.randbits(CODE_BITS)) for _ in range(count)]
    now = database.now()
    rows = [{"sealed": VAULT.seal(code), "state": State.LIVE, "minted_at": now, "changed_at": now} for code in codes]
    with engine.begin() as conn:
        conn.execute(sa.insert(store.stamps), rows)
    return codes
