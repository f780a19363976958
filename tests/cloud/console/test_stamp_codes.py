"""A live code is worth money: pages show it to those who may read stamps, and to nobody else."""

import pytest

import cloud.console.store
import cloud.pickups.store
import cloud.stamps.store
from cloud import database
from cloud.accounts.model import Role
from cloud.console import stream
from cloud.places.model import Address
from tests.cloud.console.service import Service
from tests.stock import VAULT

ADDRESS = Address.of(["Mme Hélène Vasseur", "", "", "12 rue de la République", "", "69001 Lyon"])
PAGES = ("/", "/pickups", "/pickups/1", "/buttons/00D1F3A7")


@pytest.fixture
def code(service: Service) -> str:
    service.press()
    with service.engine.begin() as conn:
        cloud.pickups.store.confirm(conn, 1, ADDRESS, "customer 1", database.now())
        stamp = cloud.stamps.store.of_pickup(conn, VAULT, 1)
    assert stamp is not None
    return stamp.code


def said(page: str) -> str:
    """Without the tags between its pairs."""
    return page.replace("</span> <span>", "").replace("</span><span>", "")


@pytest.mark.parametrize(("role", "is_shown"), [(Role.VIEWER, False), (Role.OPERATOR, True), (Role.SUPPORT, True)])
def test_only_who_may_read_stamps_sees_a_code(service: Service, code: str, role: Role, is_shown: bool):
    browser = service.browser(role)
    assert {path: code in said(browser.get(path).text) for path in PAGES} == dict.fromkeys(PAGES, is_shown)


def test_the_stream_renders_an_order_for_each_of_the_two(service: Service, code: str):
    with database.reading(service.engine) as conn:
        (order,) = cloud.console.store.orders(conn, VAULT)
    kept = stream.KeptOrder(0, order)
    assert [code in said(kept.row("en", may)) for may in (False, True, False)] == [False, True, False]
