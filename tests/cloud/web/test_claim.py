import pytest

from cloud import database
from cloud.accounts import store as accounts
from cloud.accounts.attempts import PER_ADDRESS
from cloud.accounts.model import Role
from cloud.fleet import store as fleet
from tests.cloud.web.site import CLAIM_CODE, PASSWORD, Site, csrf_of

FORM = {"code": CLAIM_CODE, "display_name": "Claire Morvan", "name": "Claire@example.org", "password": PASSWORD}


def _owner(site: Site, device: int = 7) -> str | None:
    with database.reading(site.engine) as conn:
        button = fleet.find(conn, device)
        assert button is not None
        account = accounts.find(conn, "claire@example.org")
        return account.name if account and account.id == button.owner_id else None


def test_the_code_makes_an_account_takes_the_button_and_signs_in(site: Site) -> None:
    site.button(7)
    visitor = site.visitor()
    answer = visitor.post("/claim", data=FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, "/my")
    assert _owner(site) == "claire@example.org"
    page = visitor.get("/my").text
    assert "Claire Morvan" in page
    assert "35 Rennes" in page
    site.signed_in("claire@example.org")


@pytest.mark.parametrize("code", ["7k4f 2m9x 11ab", "7K4F2M9XIIAB", " 7K4F–".replace("–", "-") + "ZM9X-11AB"])
def test_the_code_may_be_typed_as_people_type(site: Site, code: str) -> None:
    site.button(7)
    assert site.visitor().post("/claim", data={**FORM, "code": code}).status_code == 303


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"code": ""}, "Enter the code"),
        ({"code": "0000-0000-0000"}, "No free button has this code"),
        ({"display_name": " "}, "Enter your name"),
        ({"display_name": "x" * 81}, "Enter your name"),
        ({"display_name": "Claire\0Morvan"}, "Enter your name"),
        ({"display_name": "Claire\u202eMorvan"}, "Enter your name"),
        ({"name": "claire"}, "Enter an e-mail address"),
        ({"password": "short"}, "too short"),
        ({"password": "x" * 1025}, "too long"),
        ({"password": "claire@example.org"}, "is your e-mail"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_kept(site: Site, change: dict[str, str], said: str) -> None:
    site.button(7)
    answer = site.visitor().post("/claim", data=FORM | change)
    assert answer.status_code == 422
    assert said in answer.text
    (field,) = change
    assert f'id="{field}-fault"' in answer.text
    assert answer.text.count('aria-invalid="true"') == 1
    assert 'value="Claire Morvan"' in answer.text or field == "display_name"
    assert PASSWORD not in answer.text
    with database.reading(site.engine) as conn:
        assert accounts.find(conn, "claire@example.org") is None
    assert _owner(site) is None


def test_all_faults_are_said_at_once(site: Site) -> None:
    assert site.visitor().post("/claim", data={}).text.count('aria-invalid="true"') == 4


def test_a_button_is_claimed_once(site: Site) -> None:
    site.button(7)
    assert site.visitor().post("/claim", data=FORM).status_code == 303
    answer = site.visitor().post("/claim", data={**FORM, "name": "paul@example.org"})
    assert "No free button" in answer.text
    assert _owner(site) == "claire@example.org"


def test_who_has_no_code_learns_nothing_of_who_is_a_customer(site: Site) -> None:
    site.account("claire@example.org")
    site.button(7)
    wrong = {**FORM, "code": "0000-0000-0000"}
    known = site.visitor().post("/claim", data=wrong).text
    unknown = site.visitor().post("/claim", data={**wrong, "name": "nobody@example.org"}).text
    assert known.replace("Claire@", "nobody@") == unknown


def test_a_known_address_with_the_right_code_is_sent_to_sign_in_and_the_button_stays_free(site: Site) -> None:
    site.account("claire@example.org")
    site.button(7)
    answer = site.visitor().post("/claim", data=FORM)
    assert "There is an account with this e-mail already" in answer.text
    assert _owner(site) is None


def test_a_customer_claims_a_further_button_with_the_code_alone(site: Site) -> None:
    site.account("claire@example.org")
    site.button(7)
    visitor = site.signed_in("claire@example.org")
    page = visitor.get("/claim").text
    assert 'name="password"' not in page
    answer = visitor.post("/claim", data={"code": CLAIM_CODE, "csrf": csrf_of(page)})
    assert answer.headers["location"] == "/my"
    assert _owner(site) == "claire@example.org"


def test_staff_claims_no_button(site: Site) -> None:
    site.account("boss", Role.ADMIN)
    site.button(7)
    visitor = site.signed_in("boss")
    form = {"code": CLAIM_CODE, "csrf": csrf_of(visitor.get("/claim").text)}
    assert visitor.post("/claim", data=form).status_code == 403


def test_guessing_codes_is_slowed_down(site: Site) -> None:
    site.account("claire@example.org")
    visitor = site.signed_in("claire@example.org")
    form = {"code": "0000", "csrf": csrf_of(visitor.get("/my").text)}
    answers = [visitor.post("/claim", data=form).status_code for _ in range(PER_ADDRESS + 1)]
    assert answers == [422] * PER_ADDRESS + [429]
