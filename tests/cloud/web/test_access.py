"""Sessions, one's own password, and tokens from where they may: as browsers and scripts meet them."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

import cloud.audit.store
from cloud import database
from cloud.accounts import guard, store
from cloud.accounts.attempts import PER_NAME
from cloud.accounts.model import ONCE_LASTS, Role, parse_networks
from cloud.audit.model import Entry
from tests.cloud.web.site import PASSWORD, Site, csrf_of

NEW = "trois barques vertes"


def trail(site: Site) -> list[Entry]:
    with database.reading(site.engine) as conn:
        return cloud.audit.store.newest(conn)


def test_over_tls_the_cookie_is_of_this_host_alone(site: Site):
    site.account("boss", Role.ADMIN)
    visitor = site.visitor("https://domino.example")
    answer = visitor.post("/sign-in", data={"name": "boss", "password": PASSWORD})
    name, *flags = answer.headers["set-cookie"].split("; ")
    assert name.startswith("__Host-domino_session=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(flags)
    assert not any(flag.startswith("Domain") for flag in flags)
    page = visitor.get("/me")
    assert page.status_code == 200
    out = visitor.post("/sign-out", data={"csrf": csrf_of(page.text)})
    assert out.headers["set-cookie"].startswith('__Host-domino_session="";')
    assert visitor.get("/me").status_code == 303


def test_over_tls_a_cookie_that_a_neighbour_may_have_set_opens_nothing(site: Site):
    site.account("boss", Role.ADMIN)
    plain = site.signed_in("boss").cookies[guard.COOKIE]
    visitor = site.visitor("https://domino.example")
    visitor.cookies.set(guard.COOKIE, plain)
    assert visitor.get("/me").status_code == 303


def test_a_cookie_that_was_there_before_the_sign_in_is_not_taken_over(site: Site):
    site.account("boss", Role.ADMIN)
    visitor = site.visitor()
    visitor.cookies.set(guard.COOKIE, "planted")
    visitor.post("/sign-in", data={"name": "boss", "password": PASSWORD})
    assert visitor.cookies.get(guard.COOKIE, domain="testserver.local") != "planted"


def test_what_an_open_page_asks_by_itself_keeps_no_session_awake(site: Site):
    account = site.account("boss", Role.ADMIN)
    visitor = site.signed_in("boss")
    long_ago = database.now() - timedelta(minutes=110)
    with site.engine.begin() as conn:
        conn.execute(sa.update(store.sessions).values(created_at=long_ago))

    def seen_after(**headers: str) -> bool:
        assert visitor.get("/badges", headers={name.replace("_", "-"): text for name, text in headers.items()})
        site.app.state.notes.write(database.now())
        with database.reading(site.engine) as conn:
            [own] = store.sessions_of(conn, account, database.now(), visitor.cookies[guard.COOKIE])
        return own.seen_at > long_ago

    assert not seen_after(sec_fetch_mode="cors")
    assert not seen_after(accept="text/event-stream")
    assert seen_after(sec_fetch_mode="navigate")


def test_a_refused_sign_in_is_told_of_whom_and_whence_and_never_what_was_typed(site: Site):
    site.account("boss", Role.ADMIN)
    visitor = site.visitor()
    for name in ("Boss", "boss", "tres secret 123"):
        assert visitor.post("/sign-in", data={"name": name, "password": "tres secret 456"}).status_code == 403
    site.app.state.notes.write(database.now(), is_last=True)
    entries = trail(site)
    assert {(one.action, one.subject, one.actor) for one in entries} == {
        ("session.refused", "account boss", "visitor"),
        ("session.refused", "unknown name", "visitor"),
    }
    assert sum(int(str(one.detail["count"])) for one in entries) == 3
    assert "secret" not in str(entries)


def test_who_is_made_to_wait_is_counted_too(site: Site):
    site.account("boss", Role.ADMIN)
    visitor = site.visitor()
    statuses = [
        visitor.post("/sign-in", data={"name": "boss", "password": "wrong"}).status_code for _ in range(PER_NAME + 2)
    ]
    assert statuses[-2:] == [429, 429]
    site.app.state.notes.write(database.now(), is_last=True)
    assert sum(int(str(one.detail["count"])) for one in trail(site)) == PER_NAME + 2


def test_a_password_for_once_opens_the_choice_of_another_and_nothing_else(site: Site):
    site.account("boss", Role.ADMIN)
    with site.engine.begin() as conn:
        conn.execute(sa.update(store.accounts).values(password_until=database.now() + ONCE_LASTS))
    visitor = site.signed_in("boss")
    for path in ("/", "/access", "/audit", "/pickups"):
        assert visitor.get(path).headers["location"] == "/me"
    page = visitor.get("/me").text
    assert visitor.post("/access/tokens", data={"csrf": csrf_of(page)}).headers["location"] == "/me"
    new = {"csrf": csrf_of(page), "old": PASSWORD, "new": NEW, "again": NEW}
    assert visitor.post("/me/password", data=new).headers["location"] == "/me?changed=true"
    assert visitor.get("/access").status_code == 200


def test_a_password_for_once_is_over_when_its_days_are(site: Site):
    site.account("boss", Role.ADMIN)
    with site.engine.begin() as conn:
        conn.execute(sa.update(store.accounts).values(password_until=database.now()))
    assert site.visitor().post("/sign-in", data={"name": "boss", "password": PASSWORD}).status_code == 403


# Staff's and customers' page, where each is asked, and what each says.
HOMES = {
    Role.ADMIN: ("/me", "/me/password"),
    Role.CUSTOMER: ("/my/password", "/my/password"),
}
every_home = pytest.mark.parametrize("role", HOMES)


@every_home
def test_a_new_password_ends_every_other_session_and_renews_this_one(site: Site, role: Role):
    home, target = HOMES[role]
    site.account("boss", role)
    here, elsewhere = site.signed_in("boss"), site.signed_in("boss")
    before = here.cookies[guard.COOKIE]
    new = {"csrf": csrf_of(here.get(home).text), "old": PASSWORD, "new": NEW, "again": NEW}
    answer = here.post(target, data=new)
    assert answer.headers["location"] == f"{home}?changed=true"
    assert here.cookies[guard.COOKIE] != before
    assert "Your password is changed" in here.get(answer.headers["location"]).text
    assert elsewhere.get(home).status_code == 303
    assert site.visitor().post("/sign-in", data={"name": "boss", "password": PASSWORD}).status_code == 403
    assert site.visitor().post("/sign-in", data={"name": "boss", "password": NEW}).status_code == 303


@every_home
@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"old": "wrong", "new": NEW, "again": NEW}, "That is not your "),
        ({"old": PASSWORD, "new": NEW, "again": NEW + "x"}, "The two new passwords differ."),
        ({"old": PASSWORD, "new": PASSWORD, "again": PASSWORD}, " the one you have|the password you have"),
        ({"old": PASSWORD, "new": "short", "again": "short"}, "it needs (at least )?10 characters"),
        ({"old": PASSWORD, "new": "x" * 1025, "again": "x" * 1025}, "too long"),
        ({}, "too short"),
    ],
)
def test_a_password_that_cannot_be_says_why(site: Site, role: Role, form: dict[str, str], said: str):
    home, target = HOMES[role]
    site.account("boss", role)
    visitor = site.signed_in("boss")
    answer = visitor.post(target, data={"csrf": csrf_of(visitor.get(home).text), **form})
    assert answer.status_code == 422
    assert re.search(said, answer.text)
    assert PASSWORD not in answer.text
    assert site.signed_in("boss").get(home).status_code == 200


@every_home
def test_who_finds_an_open_browser_does_not_get_to_guess_its_password(site: Site, role: Role):
    home, target = HOMES[role]
    site.account("boss", role)
    visitor = site.signed_in("boss")
    form = {"csrf": csrf_of(visitor.get(home).text), "old": "wrong", "new": NEW, "again": NEW}
    statuses = [visitor.post(target, data=form).status_code for _ in range(PER_NAME + 1)]
    assert statuses == [422] * PER_NAME + [429]
    assert site.visitor().post("/sign-in", data={"name": "boss", "password": PASSWORD}).status_code == 429


def test_a_customers_password_is_changed_by_a_form_of_their_own_session_alone(site: Site):
    site.account("claire@example.org")
    site.account("boss", Role.ADMIN)
    visitor, form = site.signed_in("claire@example.org"), {"old": PASSWORD, "new": NEW, "again": NEW}
    assert visitor.post("/my/password", data=form).status_code == 403
    assert site.signed_in("boss").get("/my/password").status_code == 403
    assert site.visitor().get("/my/password").headers["location"] == "/sign-in?next=/my/password"
    assert site.signed_in("claire@example.org").get("/my").status_code == 200


def test_nobody_takes_their_own_account_away(site: Site):
    boss = site.account("boss", Role.ADMIN)
    site.account("other", Role.ADMIN)
    visitor = site.signed_in("boss")
    csrf = csrf_of(visitor.get("/me").text)
    for verb in ("disable", "role", "password"):
        answer = visitor.post(f"/access/accounts/{boss.id}/{verb}", data={"csrf": csrf, "role": "viewer"})
        assert answer.status_code == 403


def test_a_token_is_refused_from_elsewhere_and_that_is_told(site: Site):
    now = database.now()
    with site.engine.begin() as conn:
        about = {"name": "line 3", "role": Role.VIEWER, "networks": parse_networks("192.0.2.0/24"), "now": now}
        token = store.create_token(conn, **about)
    answer = site.visitor().get("/api/buttons", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    assert answer.json()["error"]["message"] == "this token may not be used from here"
    [entry] = trail(site)
    assert (entry.action, entry.subject, entry.detail["network"]) == ("token.refused", "token line 3", "testclient")


def test_a_disabled_account_takes_the_tokens_that_it_made_with_it_where_that_is_wished(site: Site):
    site.account("boss", Role.ADMIN)
    other = site.account("other", Role.ADMIN)
    maker, boss = site.signed_in("other"), site.signed_in("boss")
    form = {"csrf": csrf_of(maker.get("/me").text), "name": "night", "scopes": "see"}
    assert maker.post("/access/tokens", data=form).status_code == 200
    page = boss.get(f"/access/accounts/{other.id}").text
    assert "Also revoke the 1 token that they made" in page
    path, csrf = f"/access/accounts/{other.id}/disable", csrf_of(page)
    assert boss.post(path, data={"csrf": csrf, "tokens": "true"}).status_code == 303
    with database.reading(site.engine) as conn:
        [token] = store.tokens(conn, database.now())
    assert token.revoked_at is not None
    assert maker.get("/me").status_code == 303
    assert [one.action for one in trail(site)[:2]] == ["token.revoke", "account.disable"]


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_what_is_shown_once_is_in_no_other_page_and_in_no_entry(site: Site, lang: str):
    site.account("boss", Role.ADMIN)
    boss = site.signed_in("boss")
    csrf = csrf_of(boss.get("/me").text)
    made = boss.post(f"/access/tokens?lang={lang}", data={"csrf": csrf, "name": "night", "scopes": ["see", "judge"]})
    secret = made.text.partition('id="once" tabindex="0">')[2].partition("<")[0]
    assert secret.startswith("domino_")
    assert made.headers["cache-control"] == "no-store"
    assert ("Shown this once" in made.text) is (lang == "en")
    again = boss.post("/access/tokens", data={"csrf": csrf, "name": "night", "scopes": "see"})
    assert again.status_code == 422  # a page that is sent again makes no second one
    for path in ("/access", "/audit"):
        assert secret not in boss.get(path).text
    assert secret not in str(trail(site))
