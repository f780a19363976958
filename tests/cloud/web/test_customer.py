import re

import pytest
from starlette.testclient import TestClient

from cloud import database
from cloud.fleet import store as fleet
from cloud.pickups import store as pickups
from cloud.pickups.model import State
from cloud.stamps import store as stamps
from tests.cloud.web.site import ADDRESS, Site, csrf_of
from tests.stock import VAULT

LINES = (
    "Mme Hélène Vasseur",
    "Appartement 12 Escalier B",
    "Résidence des Soyeux",
    "18 rue des Quatre Navettes",
    "",
    "69001 LYON",
)


@pytest.fixture
def claire(site: Site) -> TestClient:
    site.button(0x00D1F3A7, site.account("claire@example.org"), "1111-1111-1111")
    return site.signed_in("claire@example.org")


@pytest.fixture
def pickup(site: Site, claire: TestClient) -> int:
    return site.press(0x00D1F3A7)


def _post(visitor: TestClient, path: str, **form: str) -> tuple[int, str]:
    answer = visitor.post(path, data={"csrf": csrf_of(visitor.get("/my").text), **form})
    return answer.status_code, answer.text


def _state(site: Site, pickup_id: int) -> State:
    with database.reading(site.engine) as conn:
        pickup = pickups.find(conn, pickup_id)
    assert pickup is not None
    return pickup.state


def _shown(page: str) -> list[str]:
    """The six lines of the page's envelope."""
    envelope = page.partition('<ol class="envelope"')[2].partition("</ol>")[0]
    return [re.sub(r"<i.*?</i>", "", line) for line in re.findall(r"<li>(.*?)<span", envelope)]


def test_a_press_waits_for_its_address_and_is_confirmed_in_two_steps(
    site: Site, claire: TestClient, pickup: int
) -> None:
    path = f"/my/pickups/{pickup}"
    assert "to confirm" in claire.get("/my").text
    page = claire.get(path).text
    assert "Step 1 of 2" in page
    assert "1 item" in page

    status, page = _post(claire, path, step="check", **ADDRESS)
    assert status == 200
    assert tuple(_shown(page)) == LINES
    assert "Nothing is charged at this step." in page
    assert _state(site, pickup) is State.REQUESTED

    written = dict(re.findall(r'type="hidden" name="(line\d)" value="(.*?)"', page))
    assert _post(claire, path, step="confirm", **written)[0] == 303
    assert _state(site, pickup) is State.CONFIRMED
    page = claire.get(path).text
    assert "The address is confirmed" in page
    assert tuple(_shown(page)) == LINES
    with database.reading(site.engine) as conn:
        assert pickups.events(conn, pickup)[-1].actor == "customer claire@example.org"


def test_the_address_can_be_changed_after_the_look_at_it(claire: TestClient, pickup: int) -> None:
    status, page = _post(claire, f"/my/pickups/{pickup}", step="change", **ADDRESS)
    assert status == 200
    assert 'value="18, rue des Quatre Navettes"' in page


@pytest.mark.parametrize("step", ["check", "confirm"])
def test_every_wrong_line_is_said_at_the_line(site: Site, claire: TestClient, pickup: int, step: str) -> None:
    wrong = {**ADDRESS, "line1": "", "line2": "é" * 39, "line3": "邮局", "line6": "Lyon"}
    status, page = _post(claire, f"/my/pickups/{pickup}", step=step, **wrong)
    assert status == 422
    assert "4 lines to correct." in page
    faults = dict(re.findall(r'id="fault(\d)">(.*?)</div>', page, re.DOTALL))
    assert set(faults) == {"1", "2", "3", "6"}
    assert "Line 1 is empty" in faults["1"]
    assert "Line 2 has more than 38 signs" in faults["2"]
    assert "Line 3 has a sign that cannot be written" in faults["3"]
    assert "Line 6 is not a postcode and a town" in faults["6"]
    for line in faults:
        field = re.search(rf'<input[^>]*id="line{line}"[^>]*>', page)
        assert field
        assert 'aria-invalid="true"' in field[0]
        assert f"fault{line}" in field[0]
    assert page.count("autofocus") == 1
    assert 'value="18, rue des Quatre Navettes"' in page
    assert _state(site, pickup) is State.REQUESTED


def test_what_is_written_on_the_envelope_comes_back_escaped(claire: TestClient, pickup: int) -> None:
    evil = {**ADDRESS, "line1": '"><script>alert(1)</script>'}
    for step in ("check", "change"):
        assert "<script>alert" not in _post(claire, f"/my/pickups/{pickup}", step=step, **evil)[1]


def test_cancelling_asks_once(site: Site, claire: TestClient, pickup: int) -> None:
    page = claire.get(f"/my/pickups/{pickup}/cancel").text
    assert "Cancel this request?" in page
    assert _state(site, pickup) is State.REQUESTED
    assert _post(claire, f"/my/pickups/{pickup}/cancel")[0] == 303
    assert _state(site, pickup) is State.CANCELLED
    assert "Request cancelled" in claire.get(f"/my/pickups/{pickup}").text


def test_a_confirmed_request_can_be_cancelled_too(site: Site, claire: TestClient, pickup: int) -> None:
    _post(claire, f"/my/pickups/{pickup}", step="confirm", **ADDRESS)
    assert "/cancel" in claire.get(f"/my/pickups/{pickup}").text
    assert _post(claire, f"/my/pickups/{pickup}/cancel")[0] == 303
    assert _state(site, pickup) is State.CANCELLED


def test_who_comes_too_late_is_told_and_shown_how_it_stands(site: Site, claire: TestClient, pickup: int) -> None:
    _post(claire, f"/my/pickups/{pickup}/cancel")
    for path, form in ((f"/my/pickups/{pickup}", {"step": "confirm", **ADDRESS}), (f"/my/pickups/{pickup}/cancel", {})):
        status, page = _post(claire, path, **form)
        assert status == 409
        assert "That came too late" in page
        assert "Request cancelled" in page
    assert "Cancel this request?" not in claire.get(f"/my/pickups/{pickup}/cancel").text


def test_the_stamp_is_not_shown_to_the_customer(site: Site, claire: TestClient, pickup: int) -> None:
    _post(claire, f"/my/pickups/{pickup}", step="confirm", **ADDRESS)
    with database.reading(site.engine) as conn:
        code = stamps.of_pickup(conn, VAULT, pickup)
    assert code is not None
    for path in ("/my", f"/my/pickups/{pickup}"):
        page = claire.get(path).text
        assert code.code not in page
        assert code.code[:2] + " " + code.code[2:4] not in page


def test_anothers_pickup_is_not_there(site: Site, claire: TestClient, pickup: int) -> None:
    site.account("paul@example.org")
    paul = site.signed_in("paul@example.org")
    path = f"/my/pickups/{pickup}"
    unknown = paul.get("/my/pickups/999999")
    assert unknown.status_code == 404
    assert paul.get(path).text == unknown.text.replace("999999", str(pickup))
    assert paul.get(f"{path}/cancel").status_code == 404
    for step in ("check", "change", "confirm"):
        assert _post(paul, path, step=step, **ADDRESS)[0] == 404
    assert _post(paul, f"{path}/cancel")[0] == 404
    assert _state(site, pickup) is State.REQUESTED
    assert "No request yet" in paul.get("/my").text


@pytest.mark.parametrize("pickup_id", ["0", "-1", "abc", "9" * 30, "1.5"])
def test_an_id_that_cannot_be_is_not_there(claire: TestClient, pickup_id: str) -> None:
    assert claire.get(f"/my/pickups/{pickup_id}").status_code == 404


def test_an_unknown_step_is_refused(claire: TestClient, pickup: int) -> None:
    status, page = _post(claire, f"/my/pickups/{pickup}", step="pay")
    assert status == 422
    assert "cannot be read" in page


def test_every_state_has_its_page_in_both_languages(site: Site, claire: TestClient, pickup: int) -> None:
    for state in State:
        with site.engine.begin() as conn:
            conn.execute(pickups.pickups.update().values(state=state))
        for lang in ("fr", "en"):
            for path in ("/my", f"/my/pickups/{pickup}"):
                page = claire.get(path, params={"lang": lang})
                assert page.status_code == 200
                assert f'<html lang="{lang}">' in page.text
                assert not re.search(r">\s*[a-z_]+\.[a-z]", page.text), (state, path)


def test_a_customer_reports_their_own_button_lost_and_nobody_elses(site: Site, claire: TestClient, pickup: int):
    site.button(0x0012AB34, site.account("paul@example.org"), "2222-2222-2222")
    page = claire.get("/my").text
    assert "/my/buttons/00D1F3A7/lost" in page
    assert "Report the button lost?" in claire.get("/my/buttons/00D1F3A7/lost").text

    for other in ("0012AB34", "00000099", "zz"):
        assert claire.get(f"/my/buttons/{other}/lost").status_code == 404
        assert _post(claire, f"/my/buttons/{other}/lost")[0] == 404
    assert claire.post("/my/buttons/00D1F3A7/lost", data={"csrf": "x"}).status_code == 403
    assert _post(claire, "/my/buttons/00D1F3A7/lost")[0] == 303

    page = claire.get("/my").text
    assert "out of service" in page
    assert "/my/buttons/00D1F3A7/lost" not in page
    with database.reading(site.engine) as conn:
        mine, pauls = fleet.find(conn, 0x00D1F3A7), fleet.find(conn, 0x0012AB34)
    assert mine is not None
    assert pauls is not None
    assert (mine.state, mine.revoked_by, mine.revoked_why) == ("revoked", "customer claire@example.org", "lost")
    assert pauls.state == "active"
    assert _state(site, pickup) is State.REQUESTED
