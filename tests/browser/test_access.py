"""Accounts, tokens, one's own account and the audit trail, in a real browser."""

from datetime import datetime, timedelta

import prometheus_client
from playwright.sync_api import Browser, expect
from starlette.testclient import TestClient

import cloud.accounts.store
import cloud.appeals.store
from cloud import database
from cloud.accounts.model import Right, Role, parse_networks
from cloud.appeals.model import claim
from cloud.audit.store import record
from cloud.audit.watch import Watch
from tests.browser.desk import Desk, look_over
from tests.cloud.console.service import NO_PASSWORD, Service, serving
from tests.stock import VAULT

PAGES = (
    "/audit",
    "/audit?actor=nobody",
    "/access",
    "/access/accounts/2",
    "/access/tokens/new?role=sorter",
    "/me",
    "/stamps",
    "/appeals",
    "/appeals/1",
)


def fill(service: Service) -> None:
    """Staff, tokens of every state, a day of deeds, an appeal, and a watch that has looked."""
    now = database.now()
    with service.engine.begin() as conn:
        for name, called, role in (
            ("m.keller", "M. Keller", Role.ADMIN),
            ("n.arnaud", "N. Arnaud", Role.OPERATOR),
            ("l.petit", "L. Petit", Role.VIEWER),
        ):
            added = cloud.accounts.store.add(
                conn, name=name, display_name=called, role=role, password=NO_PASSWORD, now=now
            )
            about = {"subject": added.subject, "now": now, "role": role}
            record(conn, actor="command line root", action="account.add", **about)
        cloud.accounts.store.disable(conn, 3, now)
        for name, role, scopes, days, networks in (
            ("line 3, Rennes", Role.SORTER, None, 40, "192.0.2.0/24 2001:db8::/32"),
            ("grafana", Role.VIEWER, None, 3, ""),
            ("night report", Role.SUPPORT, [Right.SEE, Right.JUDGE], None, ""),
            ("the old line", Role.SORTER, None, -2, ""),
        ):
            until = None if days is None else now + timedelta(days=days)
            about = {"scopes": scopes, "networks": parse_networks(networks), "made_by": "staff n.arnaud"}
            cloud.accounts.store.create_token(conn, name=name, role=role, now=now, expires_at=until, **about)
        cloud.accounts.store.note_used(conn, {1: now - timedelta(seconds=40)})
        said = claim(name="Hélène Vasseur", contact="h.vasseur@example.org", piece="", code="7K4F2M9X", text="Renvoyé.")
        cloud.appeals.store.file(conn, VAULT, said, now)
        for actor, action, subject, about in (
            ("staff n.arnaud", "session.open", "account n.arnaud", {"network": "192.0.2.7"}),
            ("visitor", "session.refused", "unknown name", {"count": 9, "network": "198.51.100.4"}),
            ("staff n.arnaud", "button.revoke", "button 00D1F3A7", {"why": "stolen"}),
            ("staff m.keller", "account.role", "account n.arnaud", {"was": "operator", "role": "support"}),
            ("token line 3, Rennes", "pickup.cancel", "order 604127", {}),
            ("customer 17", "pickup.confirm", "order 604127", {}),
            (
                "token night report",
                "stamp.redeem",
                "stamp of order 604127",
                {"outcome": "already used", "piece": "CD604127950FR", "place": "35 Rennes PIC"},
            ),
            ("staff n.arnaud", "button.configure", "button 00D1F3A7", {"hours": 48, "reason": "battery is low"}),
            ("service", "log.prune", "the log", {"count": 1200, "months": []}),
            ("staff n.arnaud", "somebody.elses", "thing 7", {"about": "not in the table of sentences"}),
        ):
            record(conn, actor=actor, action=action, subject=subject, now=now, **about)
    watch = Watch(service.engine, registry=prometheus_client.CollectorRegistry())
    watch.look(now)
    service.app.state.trail = lambda: watch.seen


def admin(browser: Browser, service: Service, url: str, **options: object) -> Desk:
    return Desk(browser, service, url, Role.ADMIN, **options)


def asks_for_buttons(service: Service, token: str) -> int:
    script = TestClient(service.app, headers={"Authorization": f"Bearer {token}"})
    return script.get("/api/buttons").status_code


def test_a_token_is_made_seen_once_used_and_revoked(chromium: Browser, service: Service):
    with serving(service.app) as url:
        desk = admin(chromium, service, url, viewport={"width": 1440, "height": 900})
        page = desk.open("/access")
        expect(page.get_by_text("No tokens yet.")).to_be_visible()
        page.get_by_role("link", name="New token").click()
        expect(page.get_by_label("see buttons, frames, orders")).to_be_checked()
        page.get_by_label("What it is for").fill("grafana, Rennes")
        page.get_by_label("For how long").select_option("30")
        page.get_by_role("button", name="Make token").click()

        token = page.locator("#once").inner_text()
        assert token.startswith("domino_")
        assert asks_for_buttons(service, token) == 200
        page.get_by_role("link", name="Accounts and tokens").last.click()
        row = page.get_by_role("row").filter(has_text="grafana, Rennes")
        expect(row).to_contain_text("see buttons, frames, orders")
        assert token not in page.content()

        row.get_by_text("Revoke").first.click()
        row.get_by_role("button", name="Revoke grafana, Rennes").click()
        expect(row).to_contain_text("revoked")
        assert asks_for_buttons(service, token) == 401
        desk.context.close()
        assert desk.complaints == []


def test_a_token_that_cannot_be_says_why_and_keeps_what_was_typed(chromium: Browser, service: Service):
    with serving(service.app) as url:
        desk = admin(chromium, service, url)
        page = desk.open("/access/tokens/new")
        page.get_by_label("What it is for").fill("line 3")
        page.get_by_label("Only from these addresses").fill("192.0.2.300")
        with page.expect_response("**/access/tokens") as answered:
            page.get_by_role("button", name="Make token").click()
        assert answered.value.status == 422
        expect(page.get_by_role("alert")).to_contain_text("addresses are such as")
        expect(page.get_by_label("What it is for")).to_have_value("line 3")
        desk.context.close()


def test_a_new_member_of_staff_signs_in_once_and_chooses_a_password(chromium: Browser, service: Service):
    with serving(service.app) as url:
        desk = admin(chromium, service, url)
        page = desk.open("/access/accounts/new")
        page.get_by_label("Name to sign in with").fill("J.Roux")
        page.get_by_label("How pages call them").fill("J. Roux")
        page.get_by_label("operator").check()
        page.get_by_role("button", name="Make account").click()
        once = page.locator("#once").inner_text()
        desk.context.close()

        own = chromium.new_context(locale="en-GB").new_page()
        own.goto(f"{url}/sign-in")
        own.locator("#name").fill("j.roux")
        own.locator("#password").fill(once)
        own.locator("form button.go").click()
        own.wait_for_url("**/me")
        expect(own.get_by_text("You signed in with a password for once.")).to_be_visible()
        own.get_by_label("Password now").fill(once)
        own.get_by_label("New password", exact=True).fill("trois barques vertes")
        own.get_by_label("New password, once more").fill("trois barques vertes")
        own.get_by_role("button", name="Change password").click()
        expect(own.get_by_role("status")).to_contain_text("Your password is changed")
        own.goto(url)
        expect(own.locator("#live")).to_have_text("live, no gap")
        own.context.close()


def test_the_trail_is_filtered_by_what_stands_in_its_address(chromium: Browser, service: Service):
    fill(service)
    with serving(service.app) as url:
        desk = admin(chromium, service, url, viewport={"width": 1440, "height": 900})
        page = desk.open("/audit")
        expect(page.get_by_text("chain holds up to entry 13")).to_be_visible()
        rows = page.locator(".trail tbody tr")
        expect(rows).to_have_count(13)
        page.get_by_label("Who", exact=True).fill("n.arnaud")
        page.get_by_label("Did what").select_option("button.revoke")
        page.get_by_role("button", name="Filter").click()
        expect(rows).to_have_count(1)
        expect(rows.first).to_contain_text("Button revoked: stolen")
        assert "actor=n.arnaud" in page.url
        assert "action=button.revoke" in page.url
        page.get_by_role("link", name="All, newest first").click()
        page.get_by_label("Day, in Paris").fill((datetime.now() - timedelta(days=9)).date().isoformat())  # noqa: DTZ005
        page.get_by_role("button", name="Filter").click()
        expect(page.get_by_text("No entries here.")).to_be_visible()
        desk.context.close()
        assert desk.complaints == []


def test_the_pages_can_be_used_by_everybody_when_much_was_done(chromium: Browser, service: Service):
    fill(service)
    with serving(service.app) as url:
        desk = admin(chromium, service, url)
        for path in PAGES:
            for lang in ("en", "fr"):
                page = desk.open(f"{path}{'&' if '?' in path else '?'}lang={lang}")
                look_over(page)
                page.close()
        desk.context.close()
        assert desk.complaints == []
