from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import argon2
import pytest

from cloud.accounts import passwords, store
from cloud.accounts.attempts import PER_ADDRESS, PER_NAME
from cloud.accounts.model import Role
from tests.cloud.web.site import PASSWORD, Site, csrf_of

CLAIRE = {"name": "claire@example.org", "password": PASSWORD}


def test_signing_in_leads_a_customer_to_their_requests_and_staff_to_the_overview(site: Site) -> None:
    site.account("claire@example.org")
    site.account("boss", Role.ADMIN)
    assert site.visitor().post("/sign-in", data=CLAIRE).headers["location"] == "/my"
    assert site.visitor().post("/sign-in", data={**CLAIRE, "name": "Boss"}).headers["location"] == "/"


def test_the_cookie_is_for_this_site_alone_and_out_of_the_reach_of_scripts(site: Site) -> None:
    site.account("claire@example.org")
    flags = site.visitor().post("/sign-in", data=CLAIRE).headers["set-cookie"].split("; ")[1:]
    assert set(flags) == {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=2592000"}
    flags = site.visitor("https://domino.example").post("/sign-in", data=CLAIRE).headers["set-cookie"].split("; ")
    assert "Secure" in flags


def test_a_wrong_name_and_a_wrong_password_are_told_alike(site: Site) -> None:
    site.account("claire@example.org")
    wrong = [
        site.visitor().post("/sign-in", data={"name": name, "password": "not the password"})
        for name in ("claire@example.org", "nobody@example.org")
    ]
    assert [answer.status_code for answer in wrong] == [403, 403]
    assert wrong[0].text.replace("claire@", "nobody@") == wrong[1].text
    assert "do not match" in wrong[0].text
    assert "set-cookie" not in wrong[0].headers


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/my/pickups/7?lang=fr", "/my/pickups/7?lang=fr"),
        ("", "/my"),
        ("https://evil.example/", "/my"),
        ("//evil.example", "/my"),
        ("/\\evil.example", "/my"),
        ("\\\\evil.example", "/my"),
        ("/\t/evil.example", "/my"),
        ("javascript:alert(1)", "/my"),
        ("my", "/my"),
    ],
)
def test_signing_in_leads_on_within_this_site_only(site: Site, target: str, leads_to: str) -> None:
    site.account("claire@example.org")
    assert site.visitor().post("/sign-in", data={**CLAIRE, "next": target}).headers["location"] == leads_to


def test_a_page_asked_for_by_a_stranger_is_reached_after_signing_in(site: Site) -> None:
    site.account("claire@example.org")
    visitor = site.visitor()
    asked = visitor.get("/my/pickups/7?lang=fr")
    assert asked.headers["location"] == f"/sign-in?next={quote('/my/pickups/7?lang=fr', safe='/')}"
    page = visitor.get(asked.headers["location"]).text
    assert 'name="next" value="/my/pickups/7?lang=fr"' in page


def test_what_is_typed_comes_back_escaped(site: Site) -> None:
    page = site.visitor().post("/sign-in", data={"name": '"><script>alert(1)</script>', "password": "x"}).text
    assert "<script>alert" not in page


def test_a_guesser_waits_and_is_told_until_when_though_the_password_be_right(site: Site) -> None:
    site.account("claire@example.org")
    visitor = site.visitor()
    for _ in range(PER_NAME):
        assert visitor.post("/sign-in", data={**CLAIRE, "password": "wrong"}).status_code == 403
    answer = visitor.post("/sign-in", data=CLAIRE)
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 900
    assert "The next attempt is heard at" in answer.text


def test_a_crowd_at_the_sign_in_is_sent_away_and_leaves_the_other_doors_open(site: Site) -> None:
    site.account("claire@example.org")
    visitor = site.visitor()

    def sign_in(n: int) -> int:
        return visitor.post("/sign-in", data={"name": f"guess{n}", "password": "wrong"}).status_code

    with ThreadPoolExecutor(PER_ADDRESS) as crowd:
        answers = list(crowd.map(sign_in, range(PER_ADDRESS)))
    assert set(answers) == {403, 503}
    assert visitor.post("/sign-in", data=CLAIRE).status_code == 303  # who was sent away did not fail


def test_signing_in_renews_a_hash_of_old_parameters(site: Site) -> None:
    account = site.account("claire@example.org")
    weak = passwords.Hash(argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD))
    with site.engine.begin() as conn:
        store.set_password(conn, account, weak)
    site.signed_in("claire@example.org")
    with site.engine.begin() as conn:
        renewed = store.find(conn, "claire@example.org")
    assert renewed is not None
    assert not passwords.is_outdated(renewed.password_hash)
    site.signed_in("claire@example.org")


def test_signing_in_again_ends_the_session_before(site: Site) -> None:
    site.account("claire@example.org")
    visitor = site.signed_in("claire@example.org")
    before = visitor.cookies["domino_session"]
    visitor.post("/sign-in", data=CLAIRE)
    assert visitor.cookies["domino_session"] != before
    old = site.visitor()
    old.cookies.set("domino_session", before)
    assert old.get("/my").status_code == 303


def test_signing_out_ends_the_session_on_the_server_too(site: Site) -> None:
    site.account("claire@example.org")
    visitor = site.signed_in("claire@example.org")
    cookie, csrf = visitor.cookies["domino_session"], csrf_of(visitor.get("/my").text)
    assert visitor.post("/sign-out", data={"csrf": csrf}).headers["location"] == "/sign-in"
    assert "domino_session" not in visitor.cookies
    visitor.cookies.set("domino_session", cookie)
    assert visitor.get("/my").status_code == 303


@pytest.mark.parametrize("path", ["/sign-out", "/my/pickups/1", "/my/pickups/1/cancel", "/claim"])
@pytest.mark.parametrize("csrf", [None, "", "wrong", "é"])
def test_a_form_without_its_sessions_token_changes_nothing(site: Site, path: str, csrf: str | None) -> None:
    claire = site.account("claire@example.org")
    site.button(7, claire)
    site.press(7)
    visitor = site.signed_in("claire@example.org")
    answer = visitor.post(path, data={"step": "confirm"} | ({} if csrf is None else {"csrf": csrf}))
    assert answer.status_code == 403
    assert "to confirm" in visitor.get("/my").text


def test_the_token_of_one_session_is_worth_nothing_in_another(site: Site) -> None:
    site.account("claire@example.org")
    one, other = site.signed_in("claire@example.org"), site.signed_in("claire@example.org")
    assert one.post("/sign-out", data={"csrf": csrf_of(other.get("/my").text)}).status_code == 403


def test_pages_are_closed_to_who_lacks_the_right(site: Site) -> None:
    site.account("boss", Role.ADMIN)
    assert site.signed_in("boss").get("/my").status_code == 403
