"""An appeal from the form to its outcome, and what it must not tell on the way."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from cloud import database
from cloud.accounts.model import RIGHTS, Right, Role
from cloud.appeals import store
from cloud.appeals.model import Claim, Fault, Faulty, State, WrongState, claim
from tests.cloud.console.service import Service, running_service
from tests.cloud.stamps.shelf import LIVE, NOBODYS, PIECE, USED, desk_with
from tests.stock import VAULT

TYPED = {
    "name": "Hélène Vasseur",
    "contact": "h.vasseur@example.org",
    "piece": PIECE,
    "code": USED,
    "text": "Renvoyé à Rennes le 2 mars,\r\nalors que le timbre était bon.",
}


@pytest.fixture
def service(tmp_path: Path):
    with running_service(tmp_path) as service:
        service.app.state.desk = desk_with(service.engine)
        yield service


def visitor(service: Service, lang: str = "en") -> TestClient:
    return TestClient(service.app, headers={"accept-language": lang}, follow_redirects=False)


def sent(service: Service, **typed: str) -> str:
    """The address of the appeal's outcome."""
    answer = visitor(service).post("/appeal", data=TYPED | typed)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def csrf_of(page: str) -> str:
    return page.rpartition('name="csrf" value="')[2].partition('"')[0]


def test_who_appeals_is_given_a_number_and_later_reads_the_decision_under_it(service: Service) -> None:
    outcome = sent(service)
    reference = outcome.rpartition("/")[2]
    first = visitor(service).get(outcome).text
    assert reference in first
    assert "A person will decide it" in first

    staff = service.browser(Role.SUPPORT)
    assert "Renvoyé à Rennes" in staff.get("/appeals").text
    page = staff.get("/appeals/1").text
    assert "the same parcel" in page
    decision = {"csrf": csrf_of(page), "outcome": "upheld", "reason": "Le 7 a été lu comme un 1."}
    assert staff.post("/appeals/1/decide", data=decision).status_code == 303

    found = visitor(service, "fr").get(f"/appeal/outcome?reference={reference.lower()}")
    assert found.headers["location"] == outcome
    told = visitor(service, "fr").get(outcome).text
    assert "Vous aviez raison" in told
    assert "Le 7 a été lu comme un 1." in told
    assert "support" not in told.lower()


def test_staff_see_what_the_named_stamp_is_and_the_customer_does_not(service: Service) -> None:
    sent(service, piece="another parcel")
    sent(service, code=NOBODYS)
    staff = service.browser(Role.OPERATOR)
    assert "another parcel" in staff.get("/appeals/1").text
    assert "redeemed" in staff.get("/appeals/1").text
    assert "no stamp of ours" in staff.get("/appeals/2").text


def test_the_answer_is_the_same_whatever_the_code_is(service: Service) -> None:
    pages = set()
    for code in (LIVE, USED, NOBODYS, ""):
        outcome = sent(service, code=code)
        text = visitor(service).get(outcome).text.replace(outcome.rpartition("/")[2], "…")
        pages.add(re.sub("<time.*?</time>", "", text))
    assert len(pages) == 1


def test_no_code_of_an_appeal_lies_in_plain_in_the_database(service: Service) -> None:
    sent(service, code=LIVE)
    with service.engine.begin() as conn:
        row = conn.execute(sa.select(store.appeals)).one()
    assert VAULT.open(row.sealed) == LIVE
    assert LIVE not in str(row)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"name": " "}, "This is missing."),
        ({"text": "x" * 2001}, "This is too long."),
        ({"contact": "a\x00b"}, "cannot be printed"),
        ({"code": "7K4F2M9"}, "A code has eight characters"),
        ({"code": "", "piece": ""}, "Say the number on the parcel"),
    ],
)
def test_a_faulty_appeal_is_shown_again_with_its_faults(service: Service, typed: dict[str, str], said: str) -> None:
    answer = visitor(service).post("/appeal", data=TYPED | typed)
    assert answer.status_code == 422
    assert said in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_an_unknown_number_is_said_to_be_one_in_both_languages(service: Service) -> None:
    for lang, said in (("en", "No appeal has this number"), ("fr", "Aucune réclamation ne porte ce numéro")):
        answer = visitor(service, lang).get("/appeal/outcome?reference=0000-0000-0000")
        assert answer.status_code == 404
        assert said in answer.text
    assert visitor(service).get("/appeal/0000-0000-0000").status_code == 404
    assert visitor(service).get("/appeal/%00").status_code == 404


def test_one_address_appeals_a_few_times_and_is_then_told_to_wait(service: Service) -> None:
    for _ in range(5):
        sent(service)
    answer = visitor(service).post("/appeal", data=TYPED)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_an_appeal_is_decided_once_by_those_with_the_right_and_with_a_reason(service: Service) -> None:
    sent(service)
    script = service.script(Role.SUPPORT)
    short = script.post("/api/appeals/1/decide", json={"outcome": "rejected", "reason": "no"})
    assert short.status_code == 422
    assert "10 to 1000 characters" in short.json()["error"]["message"]
    decision = {"outcome": "rejected", "reason": "It paid for another parcel."}
    assert script.post("/api/appeals/1/decide", json=decision).json()["state"] == "rejected"
    assert script.post("/api/appeals/1/decide", json=decision).status_code == 409
    assert script.post("/api/appeals/2/decide", json=decision).status_code == 404
    page = service.browser(Role.SUPPORT).get("/appeals/1").text
    assert "It paid for another parcel." in page
    assert "/decide" not in page


@pytest.mark.parametrize("role", Role)
def test_the_staffs_pages_open_to_those_who_judge(service: Service, role: Role) -> None:
    browser = service.browser(role)
    for path in ("/appeals", "/stamps"):
        right = Right.JUDGE if path == "/appeals" else Right.READ_STAMPS
        assert browser.get(path).status_code == (200 if right in RIGHTS[role] else 403), path


def test_who_judges_may_know_what_a_code_is_worth() -> None:
    assert all(Right.READ_STAMPS in rights for rights in RIGHTS.values() if Right.JUDGE in rights)


def test_of_two_who_decide_at_once_one_is_told_so(service: Service) -> None:
    sent(service)

    def decide(to: State) -> State | None:
        try:
            with service.engine.begin() as conn:
                by = {"by": "staff", "reason": "ten letters", "at": database.now()}
                return store.decide(conn, VAULT, 1, to, **by).state
        except WrongState:
            return None

    with ThreadPoolExecutor(4) as pool:
        decided = list(pool.map(decide, [State.UPHELD, State.REJECTED] * 4))
    assert sum(state is not None for state in decided) == 1


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=12), st.text(max_size=30))
def test_any_text_is_a_claim_or_has_its_faults_named(name: str, piece: str, code: str, text: str) -> None:
    assert _named_or_made(name=name, contact="a@b.example", piece=piece, code=code, text=text)


def _named_or_made(**typed: str) -> bool:
    try:
        made = claim(**typed)
    except Faulty as faulty:
        return bool(faulty.faults) and set(faulty.faults.values()) <= set(Fault)
    return isinstance(made, Claim) and bool(made.piece or made.code)
