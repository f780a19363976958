"""The whole API under Schemathesis: requests made of its own description, right and wrong ones, by every role.

A service that runs is asked over HTTP; whatever it is asked, it answers with no server error. Its orders, buttons and
appeals are there, so that what is made up finds something to move.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

import cloud.accounts.store as accounts
import cloud.fleet.store as fleet
import cloud.pickups.store as pickups
from cloud import database
from cloud.accounts.model import Role
from cloud.ingest.keys import make_keys
from cloud.pickups.model import Press
from cloud.places.model import Address
from cloud.stamps.lease import Lease
from tests.end_to_end.service import domino, engine_of, serving

BUTTONS = 60
ADDRESS = Address.of(["Mme Claire Morvan", "", "", "12 rue de l'Eglise", "", "35400 Saint-Malo"])
SERVER_ERROR = 500
NEITHER = "nobody"


@dataclass(frozen=True, slots=True)
class Asked:
    """The answers' statuses, and every server error with what brought it about."""

    statuses: Counter[int]
    errors: list[str]


@contextmanager
def service(data_dir: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a running `domino serve` with some orders, and a token of each role."""
    data_dir.mkdir(mode=0o700)
    make_keys(data_dir / "master.key")
    domino("migrate", "--data-dir", str(data_dir))
    engine = engine_of(data_dir)
    now = database.now()
    with engine.begin() as conn:
        tokens = {role.value: accounts.create_token(conn, name=role, role=role, now=now) for role in Role}
        for device in range(BUTTONS):
            fleet.add(conn, id=device, place="35 Rennes", claim_code=f"{device}", now=now)
        made = pickups.request(conn, [Press(device, 1) for device in range(BUTTONS)], Lease(), now)
        for one in made[::3]:
            pickups.confirm(conn, one.pickup_id, ADDRESS, "staff admin", now)
    engine.dispose()
    with serving(data_dir, "--no-radio") as running:
        quiet = threading.Event()
        while not json.loads(urlopen(f"{running.http_url}/health").read())["stamps"]["loaded"]:  # noqa: S310
            quiet.wait(0.1)
        yield running.http_url, tokens


def ask(url: str, tokens: dict[str, str], requests: int) -> Asked:
    """So many requests to each operation, half of them as the description says, by roles in turn."""
    schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")
    statuses: Counter[int] = Counter()
    errors: list[str] = []
    who = st.sampled_from([*tokens, NEITHER])
    known = st.integers(1, BUTTONS + 1)

    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @seed(1)
            @settings(
                max_examples=max(1, requests // 2),
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
            )
            @given(operation.as_strategy(generation_mode=mode), who, known, st.booleans())
            def one(case: schemathesis.Case, role: str, id: int, is_known: bool) -> None:
                if is_known and "id" in case.path_parameters:
                    case.path_parameters["id"] = id
                headers = {} if role == NEITHER else {"Authorization": f"Bearer {tokens[role]}"}
                answer = case.call(headers=headers, timeout=60)
                statuses[answer.status_code] += 1
                if answer.status_code >= SERVER_ERROR:
                    errors.append(f"{answer.status_code} for {role}: {case.as_curl_command()[:2000]}")

            one()
    return Asked(statuses, errors)
