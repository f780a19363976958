"""The API of stamps over HTTP: who may ask, what is said of every wrong, and that a stamp pays once."""

import base64
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

import cloud.accounts.store
from cloud import database
from cloud.accounts.model import RIGHTS, Right, Role
from cloud.stamps.model import ALPHABET, Kind, State
from cloud.stamps.register import Keeping, Register, pack
from cloud.stamps.store import stamps
from tests.cloud.console.service import Service, running_service, serving
from tests.cloud.stamps.shelf import LIVE, NOBODYS, PIECE, PLACE, USED, desk_with
from tests.stock import VAULT, desk

Json = dict[str, Any]
PICTURES = Path(__file__).parent / "reader" / "pictures"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """For tests that change nothing, or a stamp of their own."""
    with running_service(tmp_path_factory.mktemp("shelf")) as service:
        service.app.state.desk = desk_with(service.engine)
        yield service


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path) as service:
        service.app.state.desk = desk_with(service.engine)
        yield service


def reading(client: TestClient, **asked: object) -> Json:
    answer = client.post("/api/stamps/read", json={"place": PLACE, **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()


def lattice(code: str, sure: float = 0.93) -> list[list[float]]:
    rest = (1 - sure) / (len(ALPHABET) - 1)
    return [[sure if symbol == seen else rest for symbol in ALPHABET] for seen in code]


def test_a_code_is_read_as_text_probabilities_or_strings(shelf: Service) -> None:
    script = shelf.script(Role.SORTER)
    best_few = [{symbol: 0.9, "O": 0.02} for symbol in LIVE]
    strings = [["7K4F2M9W", 0.5], [LIVE, 0.4]]
    for asked in (
        {"text": "7k 4f-2m 9x"},
        {"probabilities": lattice(LIVE)},
        {"probabilities": best_few},
        {"strings": strings},
    ):
        read = reading(script, **asked)
        assert (read["kind"], read["stamp"]["code"]) == ("accepted", LIVE), asked
        assert 1 <= read["listed"] <= read["budget"]


def test_staff_learn_for_what_and_where_a_stamp_was_used(shelf: Service) -> None:
    read = reading(shelf.script(Role.SORTER), text=USED)
    assert read["kind"] == "already used"
    assert (read["stamp"]["piece"], read["stamp"]["place"], read["stamp"]["state"]) == (PIECE, PLACE, "redeemed")


def test_a_batch_is_read_in_order_and_what_is_wrong_in_it_holds_up_nothing(shelf: Service) -> None:
    items = [{"text": USED}, {"text": "7K4F2M9?"}, {"text": LIVE}, {}]
    answer = shelf.script(Role.SORTER).post("/api/stamps/read/batch", json={"place": PLACE, "items": items})
    used, wrong, live, empty = answer.json()["readings"]
    assert (used["reading"]["kind"], live["reading"]["kind"]) == ("already used", "accepted")
    assert "'?' as in place 8" in wrong["error"]["message"]
    assert "not 0 of them" in empty["error"]["message"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"text": "7K4F2M9?"}, "not '?' as in place 8"),
        ({"text": "7K4F2M9"}, "has 8 characters, not 7"),
        ({"text": ""}, "has 8 characters, not 0"),
        ({"probabilities": lattice(LIVE)[:7]}, "has 8 places, not 7"),
        ({"probabilities": [*lattice(LIVE)[:7], [0.5] * 31]}, "place 8: 32 probabilities are needed, not 31"),
        ({"probabilities": [*lattice(LIVE)[:7], {"7": 1.7}]}, "place 8: a probability is 0 to 1, not 1.7"),
        ({"probabilities": [*lattice(LIVE)[:7], {"7": -0.1}]}, "place 8: a probability is 0 to 1, not -0.1"),
        ({"probabilities": [*lattice(LIVE)[:7], {"7": 0.9, "K": 0.9}]}, "place 8: the probabilities sum to 1.8"),
        ({"probabilities": [{"!": 1.0}, *lattice(LIVE)[1:]]}, "place 1: '!' is no character"),
        ({"strings": [[LIVE, 0.5], ["7K4F2M9!", 0.1]]}, "string 2: a stamp code is made of"),
        ({"strings": [[LIVE, 1.5]]}, "string 1: a probability is 0 to 1, not 1.5"),
        ({"strings": [[LIVE, 0.9], [USED, 0.9]]}, "sum to 1.8, more than 1"),
        ({"strings": []}, "the list is empty"),
        ({"picture": "no base64!"}, "this is no base64"),
        ({"picture": "é"}, "this is no base64"),
        ({"picture": base64.b64encode(b"no picture").decode()}, "picture: this is no PNG"),
        ({"text": LIVE, "strings": [[LIVE, 0.9]]}, "not 2 of them"),
        ({}, "not 0 of them"),
        ({"text": LIVE, "place": " "}, "body.place"),
        ({"text": LIVE, "place": "a\0b"}, "cannot be printed"),
        ({"text": LIVE, "colour": "blue"}, "body.colour"),
    ],
)
def test_every_wrong_request_is_told_what_is_wrong_and_where(shelf: Service, asked: Json, said: str) -> None:
    answer = shelf.script(Role.SORTER).post("/api/stamps/read", json={"place": PLACE, **asked})
    assert answer.status_code == 422
    assert said in answer.json()["error"]["message"]


def test_not_a_number_is_no_probability(shelf: Service) -> None:
    body = json.dumps({"place": PLACE, "probabilities": [[float("nan")] * 32] * 8})
    answer = shelf.script(Role.SORTER).post(
        "/api/stamps/read", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422


def test_too_much_at_once_is_refused(shelf: Service) -> None:
    script = shelf.script(Role.SORTER)
    many = script.post("/api/stamps/read/batch", json={"place": PLACE, "items": [{"text": LIVE}] * 201})
    assert many.status_code == 422
    assert "at most 200 items" in many.json()["error"]["message"]
    large = script.post("/api/stamps/read", json={"place": PLACE, "picture": "A" * 1_000_001})
    assert large.status_code == 413
    photo = {"picture": ("photo.jpg", b"0" * 8_000_001)}
    assert script.post("/api/stamps/read/picture", files=photo, data={"place": PLACE}).status_code == 413
    photo = {"picture": ("photo.jpg", b"0" * 2_000_000)}
    fitting = script.post("/api/stamps/read/picture", files=photo, data={"place": PLACE})
    assert "picture: this is no PNG" in fitting.json()["error"]["message"]


@pytest.mark.parametrize("how", ["as a form", "in base64"])
def test_a_photograph_is_read_to_the_stamp_that_is_written_on_it(service: Service, how: str) -> None:
    [photo] = PICTURES.glob("scan-*")
    code = photo.stem.partition("-")[2]
    register = Register()
    register.add(pack([code]), Keeping.LIVE)
    service.app.state.desk = desk(service.engine, lambda: register, 5_000_000)
    with service.engine.begin() as conn:
        now = database.now()
        new = {"sealed": VAULT.seal(code), "state": State.LIVE, "minted_at": now, "changed_at": now}
        conn.execute(stamps.insert().values(**new))
    script = service.script(Role.SORTER)
    if how == "as a form":
        sent = {"picture": (photo.name, photo.read_bytes())}
        read = script.post("/api/stamps/read/picture", files=sent, data={"place": PLACE}).json()
    else:
        read = reading(script, picture=base64.b64encode(photo.read_bytes()).decode())
    assert (read["kind"], read["stamp"]["code"]) == ("accepted", code)


def test_a_picture_without_a_code_is_illegible_and_says_why(shelf: Service) -> None:
    blank = io.BytesIO()
    Image.new("L", (400, 120), 255).save(blank, "PNG")
    read = reading(shelf.script(Role.SORTER), picture=base64.b64encode(blank.getvalue()).decode())
    assert read["kind"] == "illegible"
    assert "no eight symbols" in read["why"]


WORDS = st.text(max_size=12) | st.text(alphabet=ALPHABET, min_size=7, max_size=9)
NUMBERS = st.floats(0, 1) | st.floats() | st.integers()
LATTICES = st.lists(st.lists(NUMBERS, max_size=33) | st.dictionaries(WORDS, NUMBERS, max_size=4), max_size=9)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "place": st.just(PLACE) | st.text(max_size=90),
        "text": WORDS,
        "probabilities": LATTICES,
        "strings": st.lists(st.tuples(WORDS, NUMBERS), max_size=5),
        "picture": st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode()) | WORDS,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=ASKED | st.recursive(st.none() | NUMBERS | WORDS, lambda inner: st.lists(inner, max_size=3)))
def test_whatever_is_sent_is_read_or_refused_and_nothing_breaks(shelf: Service, asked: object) -> None:
    with shelf.engine.begin() as conn:
        conn.execute(sa.text("DELETE FROM stamp_guesses"))
    client = _sorter(shelf)
    body = json.dumps(asked)
    for path in ("read", "read/batch", "redeem", "void"):
        answer = client.post(f"/api/stamps/{path}", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in ((403,) if path == "void" else (200, 404, 409, 422))
        if answer.status_code >= 400:
            assert answer.json()["error"]["message"]


def _sorter(service: Service) -> TestClient:
    """One client for all examples: each would cost a token and a start."""
    if not hasattr(service, "sorter"):
        service.sorter = service.script(Role.SORTER)  # pyright: ignore[reportAttributeAccessIssue]  kept for this module
    return service.sorter  # pyright: ignore[reportAttributeAccessIssue]  as above


CLOCK = re.compile("<time.*?</time>")

ROUTES: list[tuple[str, str, Json | None, Right]] = [
    ("POST", "/api/stamps/read", {"text": NOBODYS, "place": PLACE}, Right.READ_STAMPS),
    ("POST", "/api/stamps/read/batch", {"items": [{"text": NOBODYS}], "place": PLACE}, Right.READ_STAMPS),
    ("POST", "/api/stamps/read/picture", None, Right.READ_STAMPS),
    ("GET", f"/api/stamps/{USED}", None, Right.READ_STAMPS),
    ("POST", "/api/stamps/redeem", {"code": USED, "piece": PIECE, "place": PLACE}, Right.REDEEM),
    ("POST", "/api/stamps/void", {"code": USED, "place": PLACE}, Right.OPERATE),
    ("GET", "/api/appeals", None, Right.JUDGE),
    ("GET", "/api/appeals/1", None, Right.JUDGE),
    ("POST", "/api/appeals", {"name": "A", "contact": "a@b.example", "piece": "C", "text": "D"}, Right.JUDGE),
    ("POST", "/api/appeals/1/decide", {"outcome": "upheld", "reason": "It was good."}, Right.JUDGE),
]


@pytest.mark.parametrize("role", Role)
def test_each_role_is_let_through_to_what_its_rights_say_and_no_further(shelf: Service, role: Role) -> None:
    script = shelf.script(role)
    for method, path, body, right in ROUTES:
        answer = script.request(method, path, json=body) if body else script.request(method, path)
        if right in RIGHTS[role]:
            assert answer.status_code not in (401, 403), path
        else:
            assert answer.status_code == 403, path
            assert answer.json()["error"]["message"].endswith(f"it takes the right to {right}")


def test_without_a_token_nothing_is_told(shelf: Service) -> None:
    client = TestClient(shelf.app)
    for method, path, body, _ in ROUTES:
        assert client.request(method, path, json=body).status_code == 401


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.VIEWER, Role.POSTMAN])
def test_nobody_outside_learns_whether_a_code_is_live(shelf: Service, role: Role) -> None:
    """The same answers, byte by byte, for a live code and for none."""
    script, browser = shelf.script(role), shelf.browser(role)

    def answers(code: str) -> list[tuple[int, str]]:
        asked = [
            script.get(f"/api/stamps/{code}"),
            script.post("/api/stamps/read", json={"text": code, "place": PLACE}),
            script.post("/api/stamps/redeem", json={"code": code, "piece": "X", "place": PLACE}),
            script.post("/api/stamps/void", json={"code": code, "place": PLACE}),
            browser.get(f"/find?q={code}"),
            browser.get("/stamps"),
        ]
        told = [answer.text.replace(code, "…") for answer in asked]
        return [(answer.status_code, CLOCK.sub("", text)) for answer, text in zip(asked, told, strict=True)]

    assert answers(LIVE) == answers(NOBODYS)


def test_while_the_register_loads_reading_says_when_to_ask_again(service: Service) -> None:
    service.app.state.desk._register = lambda: None
    answer = service.script(Role.SORTER).post("/api/stamps/read", json={"text": LIVE, "place": PLACE})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "being loaded" in answer.json()["error"]["message"]


def test_who_guesses_is_told_when_the_next_reading_is_heard(service: Service) -> None:
    script = service.script(Role.SORTER)
    batch = {"items": [{"text": NOBODYS}] * 60, "place": PLACE}
    assert script.post("/api/stamps/read/batch", json=batch).status_code == 200
    answer = script.post("/api/stamps/read", json={"text": LIVE, "place": PLACE})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) < 86_400
    assert "found no stamp" in answer.json()["error"]["message"]


def test_a_stamp_pays_once_however_many_ask_at_once_over_http(service: Service) -> None:
    with service.engine.begin() as conn:
        token = cloud.accounts.store.create_token(conn, name="line", role=Role.SORTER, now=database.now())
    import httpx2

    with serving(service.app) as url, ThreadPoolExecutor(8) as pool:

        def redeem(piece: str) -> tuple[int, Json]:
            with httpx2.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60) as client:
                body = {"code": LIVE, "piece": piece, "place": PLACE}
                answer = client.post("/api/stamps/redeem", json=body)
                return answer.status_code, answer.json()

        pieces = [f"piece {number % 8}" for number in range(16)]
        answers = list(pool.map(redeem, pieces))
    paid = {piece for piece, (status, _) in zip(pieces, answers, strict=True) if status == 200}
    assert len(paid) == 1
    assert {status for piece, (status, _) in zip(pieces, answers, strict=True) if piece in paid} == {200}
    others = [body for piece, (_, body) in zip(pieces, answers, strict=True) if piece not in paid]
    assert {body["outcome"] for body in others} == {"already used"}
    assert {body["stamp"]["piece"] for body in others} == paid


def test_void_ends_a_stamp_and_says_so_of_one_that_is_spent(service: Service) -> None:
    script = service.script(Role.OPERATOR)
    assert script.post("/api/stamps/void", json={"code": LIVE, "place": "Support"}).json()["state"] == "void"
    again = script.post("/api/stamps/void", json={"code": LIVE, "place": "Support"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert script.post("/api/stamps/void", json={"code": NOBODYS, "place": "Support"}).status_code == 404


def test_the_description_has_an_example_of_every_request(shelf: Service) -> None:
    described = TestClient(shelf.app).get("/api/openapi.json").json()
    for name in ("ReadRequest", "BatchRequest", "RedeemRequest", "VoidRequest", "NewAppeal", "Decision"):
        assert described["components"]["schemas"][name]["examples"], name


def test_an_example_of_the_description_is_understood(shelf: Service) -> None:
    described = TestClient(shelf.app).get("/api/openapi.json").json()["components"]["schemas"]
    script = shelf.script(Role.SORTER)
    for path, name in (("read", "ReadRequest"), ("read/batch", "BatchRequest"), ("redeem", "RedeemRequest")):
        for example in described[name]["examples"]:
            assert script.post(f"/api/stamps/{path}", json=example).status_code != 422
    assert Kind.ACCEPTED in described["Kind"]["enum"]
