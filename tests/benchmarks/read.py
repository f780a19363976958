"""A stamp read over HTTP, one request after another on one connection, with the register that a country's post has."""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

import cloud.accounts.store
from cloud import database
from cloud.accounts.model import Role as AccountRole
from cloud.stamps.desk import Item
from cloud.stamps.ledger import Form
from cloud.stamps.register import CODES, Keeping
from tests.benchmarks import asker
from tests.benchmarks.measure import Role, Way
from tests.cloud.console.service import running_service, serving
from tests.cloud.stamps.shelf import LIVE, PLACE, put_out
from tests.stock import desk

CODES_LIVE = 5_000_000
FEW = 1000  # in the short form
TOKENS = AccountRole.SORTER


@contextmanager
def prepare(folder: Path, count: int) -> Iterator[Sequence[Way]]:
    """ms a request, from its first byte to the answer's last; the asker is a process of its own."""
    live = CODES_LIVE if count >= 100 else FEW
    with running_service(folder) as service:
        register = put_out(service.engine)
        # Not three apart, which no reading minds.
        register.add(np.frombuffer(secrets.token_bytes(8 * live), np.uint64) % np.uint64(CODES), Keeping.LIVE)
        service.app.state.desk = reader = desk(service.engine, lambda: register, live)
        service.app.add_api_route("/empty", lambda: None)
        with service.engine.begin() as conn:
            token = cloud.accounts.store.create_token(conn, name="line", role=TOKENS, now=database.now())
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        body = json.dumps({"text": LIVE, "place": PLACE})
        with serving(service.app) as url:
            asking = partial(asker.ask, address=urlsplit(url).netloc, headers=headers, times=count)

            def read() -> list[float]:
                return asking(method="POST", path="/api/stamps/read", body=body, expects='"accepted"')

            def read_here() -> None:
                item = Item(Form.TEXT, LIVE)
                [one] = reader.read([item], by="token line", place=PLACE, now=database.now())
                assert one.stamp is not None

            yield (
                Way(Role.OURS, f"one reading, {live:,} live", read),
                Way(Role.LIMIT, "an empty route", lambda: asking(method="GET", path="/empty", body=None, expects="")),
                Way(Role.PART, "the desk alone, written down", lambda: timed(count, read_here)),
            )


def timed(count: int, work: Callable[[], object]) -> list[float]:
    """ms of each."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return taken
