"""The HTTP inlet as a Sigfox backend meets it: a real server, a real database, and an answer only after the commit."""

import json
import threading
from collections.abc import Iterator
from ipaddress import ip_network

import httpx2
import prometheus_client
import pytest
import sqlalchemy as sa
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

import cloud.frames.store as frames
from cloud import database
from cloud.frames.model import Frame, Result
from cloud.ingest.callbacks import BODY_LIMIT, MOST_AT_ONCE, PATH, Callbacks, Refused, split
from cloud.ingest.receive import Limits
from cloud.ingest.writer import Writer
from cloud.stamps.lease import Lease
from tests.cloud.ingest.test_mqtt import wait_frames
from tests.cloud.ingest.test_receive import DEVICE, KEYS, make_engine
from tests.sealing import callback, seal

SECRET = "a-secret-of-tests"
KEY = KEYS.device_key(DEVICE, 0)


@pytest.fixture
def engine(tmp_path) -> Iterator[sa.Engine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'domino.db'}")
    yield engine
    engine.dispose()


class Served:
    """The inlet on a server of its own, as `uvicorn` runs it."""

    def __init__(self, engine: sa.Engine, **options) -> None:
        registry = prometheus_client.CollectorRegistry()
        self.writer = Writer(engine, KEYS, limits=Limits(), lease=Lease(), registry=registry, committed=lambda: None)
        self._writing = threading.Thread(target=self.writer.run)
        callbacks = Callbacks(self.writer, secret=SECRET, **options)
        self._server = uvicorn.Server(uvicorn.Config(callbacks, port=0, log_config=None, lifespan="off"))
        self._serving = threading.Thread(target=self._server.run)

    def __enter__(self) -> httpx2.Client:
        self._writing.start()
        self._serving.start()
        while not self._server.started:
            self._serving.join(0.01)
            assert self._serving.is_alive()
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self._client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {SECRET}"})
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._server.should_exit = True
        self._serving.join()
        self.writer.stop()
        self._writing.join()


@pytest.fixture
def network(engine) -> Iterator[httpx2.Client]:
    with Served(engine) as client:
        yield client


def said(counter: int, *, ack: bool | str = True, **more) -> dict:
    return (
        json.loads(callback(DEVICE, seal(device=DEVICE, key=KEY, counter=counter), seq=counter)) | {"ack": ack} | more
    )


def log(engine: sa.Engine) -> list[Frame]:
    with database.reading(engine) as conn:
        return frames.after(conn, 0)


def test_a_press_that_listens_is_kept_and_its_answer_is_in_the_answer(engine, network):
    answer = network.post(PATH, json=said(1, device="12ab34"))
    (frame,) = log(engine)
    assert (frame.result, frame.carrier, frame.counter) == (Result.ACCEPTED, "http", 1)
    assert frame.downlink is not None
    assert (answer.status_code, answer.json()) == (200, {"12ab34": {"downlinkData": frame.downlink.hex()}})


def test_a_press_that_does_not_listen_is_kept_and_answered_with_nothing(engine, network):
    answer = network.post(PATH, json=said(1, ack="false"))
    assert (answer.status_code, answer.content) == (204, b"")
    assert [frame.result for frame in log(engine)] == [Result.ACCEPTED]


def test_the_network_asks_again_and_gets_the_same_bytes(engine, network):
    first, again = (network.post(PATH, json=said(1)) for _ in range(2))
    assert first.json() == again.json()
    assert [frame.result for frame in log(engine)] == [Result.ACCEPTED, Result.DUPLICATE]


def test_advanced_data_come_later_with_what_the_first_had_not_and_order_nothing(engine, network):
    first = said(1)
    del first["lqi"], first["duplicates"]
    network.post(PATH, json=first)
    network.post(PATH, json=said(1, ack=False, computedLocation={"status": 0}))
    taken, enriched = log(engine)
    assert (taken.result, enriched.result) == (Result.ACCEPTED, Result.DUPLICATE)
    assert enriched.pickup_id == taken.pickup_id
    assert (enriched.lqi, len(enriched.copies)) == ("excellent", 2)


def test_a_query_string_and_a_form_are_callbacks_too(engine, network):
    one, two = ({"id": "12AB34", "data": said(n)["data"], "seqNumber": str(n), "time": "1700000000"} for n in (1, 2))
    assert network.get(PATH, params=one).status_code == 204
    assert network.post(PATH, data=two).status_code == 204
    assert [frame.result for frame in log(engine)] == [Result.ACCEPTED] * 2


@pytest.mark.parametrize("joined", [json.dumps, lambda batch: "\n".join(map(json.dumps, batch))], ids=["list", "lines"])
def test_a_batch_is_taken_message_by_message(engine, network, joined):
    answer = network.post(PATH, content=joined([said(1), {"device": "12AB34", "data": "00"}, said(2, ack=False)]))
    assert answer.status_code == 200
    assert [frame.result for frame in log(engine)] == [Result.ACCEPTED, Result.MALFORMED, Result.ACCEPTED]


@pytest.mark.parametrize(
    ("body", "why"),
    [(b"", "not JSON"), (b"{", "not JSON"), (b'{"data": "00"}', "no device"), (b'{"device": "1"}', "no data")],
)
def test_what_is_wrong_is_told_to_whoever_wrote_the_template_and_stored(engine, network, body, why):
    answer = network.post(PATH, content=body)
    assert (answer.status_code, why in answer.json()["error"]) == (400, True)
    assert [frame.result for frame in log(engine)] == [Result.MALFORMED]


def test_without_the_secret_nothing_is_taken(engine, network):
    for headers, path in (({}, PATH), ({"authorization": "Bearer wrong"}, PATH), ({}, f"{PATH}/wrong")):
        network.headers = headers
        assert network.post(path, json=said(1)).status_code == 401
    assert log(engine) == []
    assert network.post(f"{PATH}/{SECRET}", json=said(1)).status_code == 200


def test_an_address_that_sends_too_much_is_told_to_wait_and_is_heard_again(engine):
    with Served(engine, per_second=1) as network:
        statuses = [network.post(PATH, json=said(counter)).status_code for counter in range(1, 6)]
        refused = network.post(PATH, json=said(6))
    assert statuses[:2] == [200, 200]
    assert (statuses[-1], refused.status_code) == (429, 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 2


def test_who_guesses_the_secret_is_told_to_wait_while_the_network_is_heard(network):
    guesses = [network.post(PATH, headers={"authorization": f"Bearer {n}"}).status_code for n in range(30)]
    assert (guesses[0], guesses[-1]) == (401, 429)
    assert network.post(PATH, json=said(1)).status_code == 200


@pytest.mark.parametrize(("allowed", "status"), [("127.0.0.0/8", 200), ("185.110.96.0/22", 403)])
def test_callbacks_come_from_the_addresses_that_are_allowed(engine, allowed, status):
    with Served(engine, networks=[ip_network(allowed)]) as network:
        assert network.post(PATH, json=said(1)).status_code == status


def test_a_field_map_reaches_the_reader(engine):
    with Served(engine, renamed={"device": "qui"}) as network:
        press = said(1)
        press["qui"] = press.pop("device")
        assert network.post(PATH, json=press).status_code == 200


def test_too_much_is_refused_before_it_is_read_in(network):
    assert network.post(PATH, content=b"x" * (BODY_LIMIT + 1)).status_code == 413
    assert network.post(PATH, json=[{}] * (MOST_AT_ONCE + 1)).status_code == 413
    assert network.delete(PATH).status_code == 405


def test_while_the_database_takes_nothing_the_network_is_told_to_come_again(engine):
    with Served(engine, answer_s=0.1) as network:
        with engine.begin():  # keeps the one writer's lock
            answer = network.post(PATH, json=said(1))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        network.post(PATH, json=said(2))  # its turn comes after that of the first, which the writer kept
        wait_frames(engine, 2)
    assert [(frame.counter, frame.result) for frame in log(engine)] == [(1, Result.ACCEPTED), (2, Result.ACCEPTED)]


@given(
    st.binary(max_size=300)
    | st.lists(st.dictionaries(st.text(), st.integers() | st.text()), max_size=5).map(
        lambda batch: json.dumps(batch).encode()
    )
)
def test_splitting_never_fails_and_loses_nothing(body):
    try:
        messages = split(body)
    except Refused:
        return
    assert messages
    if len(messages) == 1 and not body.strip().startswith(b"["):
        assert messages[0] in (body, body.strip())
