"""The support bundle: enough to understand a button or an order, and nobody's address and no secret in it."""

import doctest
import io
import json
import zipfile

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

import cloud.accounts.store
import cloud.audit.store
import cloud.pickups.store
import cloud.stamps.store
from cloud import database
from cloud.accounts.model import Role
from cloud.console import bundle
from cloud.console.bundle import SHORTEST, STRUCK, strike_out
from cloud.places.model import Address
from tests.cloud.console.service import NO_PASSWORD, Service
from tests.stock import VAULT

LINES = ["Mme Hélène Vasseur", "Apt 4", "", "12 rue de la République", "", "69001 Lyon"]


def csrf(browser: TestClient) -> str:
    return browser.get("/").text.partition('name="csrf" value="')[2].partition('"')[0]


def fetched(browser: TestClient, path: str) -> dict[str, str]:
    answer = browser.post(path, data={"csrf": csrf(browser)})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].startswith('attachment; filename="domino-')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        return {name: packed.read(name).decode() for name in packed.namelist()}


@pytest.fixture
def life(service: Service) -> Service:
    """An owner, two presses, a confirmed order, and a note in the audit trail that repeats what it should not."""
    now = database.now()
    with service.engine.begin() as conn:
        owner = cloud.accounts.store.add(
            conn,
            name="c.morvan@example.org",
            display_name="Claire Morvan",
            role=Role.CUSTOMER,
            password=NO_PASSWORD,
            now=now,
        )
    service.add_button(0x0012AB34, "35 Rennes, 3 rue du Four", owner.id)
    service.press(2, device=0x0012AB34)
    service.press(device=0x0012AB34)
    service.hear(b'{"device": "12AB34", "data": "00"}', device=0x0012AB34)
    with service.engine.begin() as conn:
        cloud.pickups.store.confirm(conn, 1, Address.of(LINES), "customer c.morvan@example.org", now)
        said = {"why": "Claire MORVAN of 12 Rue de la Republique says h.vasseur@example.org has it"}
        cloud.audit.store.record(conn, actor="staff a", action="button.x", subject="button 0012AB34", now=now, **said)
    return service


@pytest.mark.parametrize("path", ["/buttons/0012AB34/bundle", "/pickups/1/bundle"])
def test_it_holds_what_happened_and_neither_a_secret_nor_an_address(life: Service, path: str):
    files = fetched(life.browser(Role.SUPPORT), path)
    assert set(files) == {
        *("README.txt", "button.json", "frames.json", "downlinks.json", "orders.json", "audit.json", "service.json")
    }
    whole = "\n".join(files.values())
    with database.reading(life.engine) as conn:
        stamp = cloud.stamps.store.of_pickup(conn, VAULT, 1)
    assert stamp is not None
    secrets = [*LINES, "MME HELENE VASSEUR", "12 RUE DE LA REPUBLIQUE", "69001", "Claire", "morvan", "example.org"]
    secrets += ["rue du Four", stamp.code, life.keys.device_key(0x0012AB34, 0).hex(), life.keys.master.hex()]
    assert [one for one in secrets if one and one.lower() in whole.lower()] == []
    (order,) = json.loads(files["orders.json"])
    assert [event["event"] for event in order["events"]] == ["pressed", "joined", "confirmed"]
    assert order["events"][-1]["actor"] == f"customer {STRUCK}"
    assert (order["state"], order["department"], order["stamp"]["state"]) == ("confirmed", "69", "live")
    assert {frame["result"] for frame in json.loads(files["frames.json"])} >= {"accepted"}
    assert json.loads(files["button.json"])["last_counter"] == 2
    assert STRUCK in files["audit.json"]


def test_who_made_one_is_in_the_audit_trail(life: Service):
    fetched(life.browser(Role.SUPPORT), "/pickups/1/bundle")
    with database.reading(life.engine) as conn:
        entry = cloud.audit.store.newest(conn)[0]
    assert (entry.action, entry.subject) == ("bundle.make", "order 1")


@pytest.mark.parametrize("path", ["/buttons/0BADC0DE/bundle", "/buttons/x/bundle", "/pickups/99/bundle"])
def test_of_what_is_not_there_there_is_none(life: Service, path: str):
    browser = life.browser()
    assert browser.post(path, data={"csrf": csrf(browser)}).status_code == 404


def test_it_is_for_staff_and_no_other_site_can_ask_for_it(life: Service):
    assert life.browser(Role.CUSTOMER).post("/pickups/1/bundle", data={"csrf": "x"}).status_code == 403
    assert life.browser(Role.SUPPORT).post("/pickups/1/bundle", data={"csrf": "x"}).status_code == 403
    assert life.browser(Role.POSTMAN).post("/pickups/1/bundle").status_code == 403


SECRET = st.text("abcé 1-", min_size=SHORTEST, max_size=12)


@given(st.lists(SECRET, max_size=4), st.text('abcé 1-"', max_size=40))
def test_no_secret_is_left_in_a_text(secrets: list[str], around: str):
    text = around + "".join(f" {one.upper()} {one}" for one in secrets)
    left = strike_out(text, secrets).replace(STRUCK, "|").lower()
    assert [one for one in secrets if one in left] == []


def test_the_examples_are_true():
    assert doctest.testmod(bundle).failed == 0
