"""Alerts on their way: signed webhooks and mail to real servers that fail, hang, redirect and drip; nothing lost."""

import json
import runpy
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud import database
from cloud.alerts import checks, mail, routes, safe, signing, store
from cloud.alerts.mail import Server
from cloud.alerts.model import BY_NAME, Faulty, Found, NotFound, terms
from cloud.alerts.routes import Progress, check_recipients, check_url
from cloud.alerts.safe import Safe, WrongKey
from cloud.ingest.keys import Keys
from tests.cloud.alerts.house import SAFE, House
from tests.cloud.alerts.receiver import PASSWORD, USER, Receiver, certificate, mailbox, receiving

EXAMPLE = Path(__file__).parents[3] / "docs/examples/verify_webhook.py"
OF = {name: terms(BY_NAME[name], {"lasts_s": 0}) for name in ("disk", "replays")}


@pytest.fixture
def receiver():
    with receiving() as receiver:
        yield receiver


def happen(home: House, count: int = 1) -> None:
    """So many alerts open."""
    values = {"percent": "3 %", "free": 120, "host": "trial"}
    found = [Found("disk", f"machine trial{number}", values) for number in range(count)]
    with home.engine.begin() as conn:
        store.apply(conn, found, OF, home.now)


def webhook(home: House, receiver: Receiver, name: str = "shop-rennes", **how: Any) -> str:
    """Its secret."""
    secret = home.route_and_secret(name, receiver.url, **how)[1]
    assert secret is not None
    return signing.show(secret)


def health(home: House) -> routes.Route:
    with database.reading(home.engine) as conn:
        return routes.all_routes(conn)[0]


@pytest.fixture
def example() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLE))


def test_the_example_of_the_documents_believes_what_is_sent_and_nothing_else(
    home: House, receiver: Receiver, example: dict[str, Any]
):
    secret = webhook(home, receiver)
    happen(home)
    assert home.post(url="https://domino.example/").tend() == 1
    ((headers, body),) = receiver.came
    is_signed, now_s = example["is_signed"], home.now.timestamp()
    assert is_signed(secret, headers, body, now_s)
    assert not is_signed(secret, headers, body + b" ", now_s)
    assert not is_signed(secret, headers, body, now_s + 301)
    assert not is_signed(secret, headers | {"webhook-id": "other"}, body, now_s)
    assert not is_signed(signing.show(bytes(32)), headers, body, now_s)
    assert not is_signed(secret, {}, body, now_s)
    assert not is_signed("whsec_%", headers, body, now_s)
    event = json.loads(body)
    assert event["type"] == "alert.opened"
    assert event["data"]["sentence"]["en"] == "3 % of the disk free: 120 MB"
    assert event["data"]["sentence"]["fr"].endswith("du disque libres\u00a0: 120 Mo")
    assert event["data"]["url"] == "https://domino.example/alerts/1"
    assert headers["webhook-id"] == "alert-1-1-opened"


def test_a_failing_receiver_gets_it_after_1_2_4_minutes_with_the_same_id_and_bytes(home: House, receiver: Receiver):
    webhook(home, receiver)
    happen(home)
    receiver.how = [503, 500, 404]
    post, waits = home.post(), []
    for _ in range(3):
        assert post.tend() == 0
        assert post.tend() == 0, "at once again"
        waits.append(((health(home).next_at or home.now) - home.now).total_seconds() / 60)
        home.now += timedelta(minutes=waits[-1])
    assert waits == [1, 2, 4]
    assert (health(home).fails, health(home).answer) == (3, "answered 404")
    assert post.tend() == 1
    assert receiver.ids == ["alert-1-1-opened"] * 4
    assert len({body for _, body in receiver.came}) == 1
    assert (health(home).fails, health(home).answer, health(home).sent_at) == (0, "answered 204", home.now)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (302, "answered 302: redirects are not followed"),
        (307, "answered 307: redirects are not followed"),
        ("hang", "no answer within 3 s"),
        ("drip", "no answer within 3 s"),
        ("cut", "broke off"),
    ],
)
def test_a_receiver_that_does_ill_is_told_by_name_and_holds_nobody_up(
    home: House, receiver: Receiver, how: Any, says: str
):
    with receiving() as other:
        webhook(home, receiver, "ill")
        webhook(home, other, "well")
        happen(home, 3)
        receiver.how = [how]
        assert home.post(timeout_s=3 if how in ("hang", "drip") else 30).tend() == 3
        assert len(receiver.came) == 1, "nothing more is sent there, nor to where it redirects"
        assert len(other.came) == 3
    with database.reading(home.engine) as conn:
        ill = routes.all_routes(conn)[0]
        assert (ill.answer or "").startswith(says)
        assert routes.waiting(conn) == {ill.id: 3}


def test_an_endless_answer_is_not_read(lone: House, receiver: Receiver):
    webhook(lone, receiver)
    happen(lone)
    receiver.how = ["flood"]
    assert lone.post().tend() == 1


def test_nobody_there_is_told(lone: House, receiver: Receiver):
    lone.route(to="http://127.0.0.1:9/in")
    happen(lone)
    assert lone.post().tend() == 0
    assert (health(lone).answer or "").startswith("no connection")


def test_one_event_that_a_receiver_does_not_like_holds_up_no_other(home: House, receiver: Receiver):
    webhook(home, receiver)
    happen(home, 3)
    receiver.how = [400]
    post = home.post()
    assert post.tend() == 0
    home.pass_(minutes=1)
    assert post.tend() == 3
    assert receiver.ids[0] == "alert-1-1-opened"
    assert receiver.ids[1:] == ["alert-2-1-opened", "alert-3-1-opened", "alert-1-1-opened"]


def test_a_full_outbox_survives_a_restart_and_what_a_dead_process_had_taken_is_taken_again(
    home: House, receiver: Receiver
):
    webhook(home, receiver)
    happen(home, 60)
    with database.reading(home.engine) as conn:
        first = routes.due(conn, routes.all_routes(conn)[0], home.now, 1)[0]
    with home.engine.begin() as conn:
        assert routes.take(conn, first, "a process that then died", home.now)
    home.engine.dispose()
    post = home.post(name="another")
    assert post.tend() + post.tend() == 59
    home.pass_(minutes=2)
    assert post.tend() == 1
    assert sorted(receiver.ids) == sorted(f"alert-{n}-1-opened" for n in range(1, 61))


def test_two_processes_send_each_event_once(home: House, receiver: Receiver):
    webhook(home, receiver)
    happen(home, 30)
    posts = [home.post(name=f"process {number}") for number in range(2)]
    begin = threading.Barrier(2)

    def send(post: Any) -> None:
        begin.wait(10)
        post.tend()

    threads = [threading.Thread(target=send, args=[post]) for post in posts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(receiver.ids) == sorted(f"alert-{n}-1-opened" for n in range(1, 31))
    with database.reading(home.engine) as conn:
        assert routes.waiting(conn) == {}


def test_after_three_days_an_event_is_given_up_and_said_to_be_and_can_be_tried_anew(home: House, receiver: Receiver):
    webhook(home, receiver)
    happen(home)
    receiver.how = [503] * 200
    post = home.post()
    tries = 0
    while home.outbox()[0]["progress"] == Progress.WAITING:
        home.pass_(hours=1)
        tries += 1
        post.tend()
    assert 70 <= tries <= 75
    with home.engine.begin() as conn:
        assert routes.given_up_lately(conn, home.now) == {1: 1}
        routes.try_now(conn, 1, by="staff admin", now=home.now)
    receiver.how = []
    assert post.tend() == 1
    with home.engine.begin() as conn:
        assert routes.forget(conn, home.now + timedelta(days=89)) == 0
        assert routes.forget(conn, home.now + timedelta(days=91)) == 1


def test_a_failing_route_is_an_alert_that_goes_to_the_others_alone(home: House, receiver: Receiver):
    webhook(home, receiver, "ill", rules=["disk"])
    happen(home)
    receiver.how = [503, 503, 503]
    post = home.post()
    for minutes in (1, 2, 4):
        post.tend()
        home.pass_(minutes=minutes)
    home.route("ill too", "https://other.example/in")
    (alert,) = [one for one in home.look() if one.rule == "delivery"]
    assert alert.values == {"route": "ill", "times": 3, "answer": "answered 503", "waiting": 1}
    names = [(row["route_id"], row["message"]) for row in home.outbox() if row["alert_id"] == alert.id]
    assert names == [(2, f"alert-{alert.id}-1-opened")]
    home.now += timedelta(minutes=10)
    assert post.tend() == 1
    assert [one for one in home.look() if one.rule == "delivery"] == []


def test_a_test_is_sent_though_the_route_pauses(home: House, receiver: Receiver):
    webhook(home, receiver)
    happen(home)
    receiver.how = [503]
    post = home.post()
    post.tend()
    with home.engine.begin() as conn:
        message = routes.enqueue_test(conn, 1, by="staff admin", now=home.now)
    assert post.tend() == 1
    assert receiver.ids == ["alert-1-1-opened", message]
    assert json.loads(receiver.came[1][1])["type"] == "test"
    with database.reading(home.engine) as conn:
        test = routes.last_of_route(conn, 1)
        assert test is not None
        assert (test.progress, test.answer) == (Progress.SENT, "answered 204")


def test_a_new_secret_signs_beside_the_old_one_for_a_day(home: House, receiver: Receiver, example: dict[str, Any]):
    old = webhook(home, receiver)
    with home.engine.begin() as conn:
        new = signing.show(routes.renew_secret(conn, 1, by="staff admin", now=home.now, safe=SAFE))
    post = home.post()
    for minutes, believed in ((0, {old, new}), (25 * 60, {new})):
        home.pass_(minutes=minutes)
        with home.engine.begin() as conn:
            routes.enqueue_test(conn, 1, by="staff admin", now=home.now)
        post.tend()
        headers, body = receiver.came[-1]
        now_s = home.now.timestamp()
        assert {one for one in (old, new) if example["is_signed"](one, headers, body, now_s)} == believed


def test_https_is_believed_by_its_certificate_alone(lone: House, tmp_path: Path):
    server, client = certificate(tmp_path)
    with receiving(server) as receiver:
        webhook(lone, receiver)
        happen(lone)
        assert lone.post().tend() == 0
        assert "certificate" in (health(lone).answer or "").lower()
        lone.pass_(minutes=1)
        assert lone.post(trust=client).tend() == 1


def test_a_removed_route_is_sent_nothing_and_its_secret_is_gone(home: House, receiver: Receiver):
    webhook(home, receiver)
    happen(home)
    with home.engine.begin() as conn:
        routes.remove(conn, 1, by="staff admin", now=home.now)
        assert routes.sealed_blocks(conn) == []
        with pytest.raises(NotFound):
            routes.find_route(conn, 1)
    assert home.post().tend() == 0
    happen(home, 2)
    assert [row["progress"] for row in home.outbox()] == [Progress.GIVEN_UP]
    webhook(home, receiver)  # the name is free again


# Secrets


def test_a_secret_lies_sealed_and_opens_for_its_own_route_and_key_alone(home: House, receiver: Receiver):
    webhook(home, receiver)
    route = health(home)
    assert route.sealed is not None
    secret = SAFE.open(route.sealed, route.id)
    assert secret not in route.sealed
    assert secret.hex() not in repr(route)
    assert repr(SAFE.key) not in repr(SAFE)
    for other, id in ((SAFE, 2), (Safe(bytes(32)), 1), (Safe(bytes(32), 2), 1)):
        with pytest.raises(WrongKey):
            other.open(route.sealed, id)
    with pytest.raises(WrongKey):
        SAFE.open(route.sealed[:-1] + bytes([route.sealed[-1] ^ 1]), 1)
    with pytest.raises(WrongKey):
        SAFE.open(b"", 1)


def test_secrets_move_to_a_new_master_key_while_both_are_here(home: House, receiver: Receiver):
    old = Keys(bytes(range(32)))
    new = Keys(bytes(range(1, 33)), 2, {1: old.master})
    with home.engine.begin() as conn:
        said = {"least": routes.Severity.WARNING, "rules": None, "lang": "en", "by": "a", "now": home.now}
        route, secret = routes.add_route(
            conn, name="one", kind=routes.Kind.WEBHOOK, to=receiver.url, safe=old.safe(), **said
        )
        assert routes.secrets_of(route, new.safe(), home.now) == [secret]
        assert routes.reseal(conn, new.safe()) == 1
        assert routes.reseal(conn, new.safe()) == 0
        ((_, _, block),) = routes.sealed_blocks(conn)
        assert safe.number_of(block) == 2
        alone = new.without(1).safe()
        assert alone.open(block, route.id) == secret


def test_a_process_without_the_master_key_sends_nothing_and_says_why(lone: House, receiver: Receiver):
    webhook(lone, receiver)
    happen(lone)
    with lone.engine.begin() as conn:
        conn.execute(routes.alert_routes.update().values(sealed=Safe(bytes(32)).seal(bytes(32), 1)))
    assert lone.post().tend() == 0
    assert "master key" in (health(lone).answer or "")
    assert receiver.came == []


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/in", "ftp://shop.example", "https://", "https://user:pw@shop.example/", "https://a b/",
        "https://shop.example/#x", "http://10.0.0.1/", "javascript:alert(1)", "https://h:0/", "https://[::1", "//x",
        "http://127.0.0.1.example/", "https://" + "a" * 500,
    ],
)  # fmt: skip
def test_a_webhooks_address_is_https_or_loopback(url: str):
    with pytest.raises(Faulty):
        check_url(url)


def test_addresses_that_may_be():
    for url in ("https://shop.example/in?x=1", "http://127.0.0.1:8900/", "http://[::1]:1/", "http://localhost/x"):
        assert check_url(f" {url}\n") == url


@pytest.mark.parametrize(
    "text", ["", "nobody", "a@b", "a@b.example\nBcc: x", "é@b.example", ",".join(f"a{n}@b.example" for n in range(21))]
)
def test_recipients_are_addresses(text: str):
    with pytest.raises(Faulty):
        check_recipients(text)


# Mail


@pytest.fixture
def tls(tmp_path: Path):
    return certificate(tmp_path)


def server_of(box: Any, how: str, client: Any) -> Server:
    if how == "plain":
        return Server(f"smtp://127.0.0.1:{box.port}", "domino@post.example", timeout_s=30)
    scheme = "smtps" if how == "tls" else "smtp"
    login = f"{USER.decode()}:{PASSWORD.decode().replace('/', '%2F')}"
    return Server(f"{scheme}://{login}@127.0.0.1:{box.port}", "domino@post.example", client, timeout_s=30)


@pytest.mark.parametrize("how", ["plain", "starttls", "tls"])
def test_an_alert_goes_by_mail_to_every_recipient(lone: House, tls: Any, how: str):
    lone.route("night", "night@post.example, chief@post.example", lang="fr")
    happen(lone)
    with mailbox(how, tls[0]) as box:
        post = lone.post(server=server_of(box, how, tls[1]), url="https://domino.example")
        assert post.tend() == 0, "it waits for what happens at the same time"
        lone.pass_(seconds=20)
        assert post.tend() == 1
        ((to, message),) = box.came
        assert box.was_tls == [how != "plain"]
    assert to == ["night@post.example", "chief@post.example"]
    assert message["Message-ID"] == "<domino-alerts-1-1@post.example>"
    text = message.get_payload(decode=True).decode()  # pyright: ignore[reportAttributeAccessIssue]
    assert "du disque libres" in text
    assert "https://domino.example/alerts/1" in text


def test_a_storm_is_few_mails(lone: House, tls: Any):
    lone.route("night", "night@post.example")
    with mailbox("plain", tls[0]) as box:
        post = lone.post(server=server_of(box, "plain", None))
        for minute in range(10):  # ten minutes, in which 20 alerts open a minute
            happen(lone, 20 * (minute + 1))
            for _ in range(3):
                lone.pass_(seconds=20)
                post.tend()
        lone.pass_(minutes=5)
        post.tend()
        told = sum(message.get_payload(decode=True).decode().count("opened ·") for _, message in box.came)  # pyright: ignore[reportAttributeAccessIssue]
        assert len(box.came) <= 6
        assert "alerts opened: 20, over: 0" in str(box.came[0][1]["Subject"])
        assert told <= mail.MOST_LINES * len(box.came)
        with database.reading(lone.engine) as conn:
            left = sum(routes.waiting(conn).values())
        assert left + sum(row["progress"] == Progress.SENT for row in lone.outbox()) == 200


def test_a_mail_that_was_not_taken_goes_again_under_its_name(lone: House, tls: Any):
    lone.route("night", "night@post.example")
    happen(lone, 2)
    lone.pass_(seconds=20)
    with mailbox("plain", tls[0]) as box:
        box.refuses = ["451 later"]
        post = lone.post(server=server_of(box, "plain", None))
        assert post.tend() == 0
        assert health(lone).answer == "the mail server answered 451"
        happen(lone, 3)
        lone.pass_(minutes=1)
        assert post.tend() == 2, "as it was, without what came later"
        lone.pass_(minutes=5)
        assert post.tend() == 1
        assert [message["Message-ID"].split("@")[0] for _, message in box.came] == [
            "<domino-alerts-1-1", "<domino-alerts-1-3",
        ]  # fmt: skip


def test_a_wrong_password_or_certificate_is_told_without_either(lone: House, tls: Any):
    lone.route("night", "night@post.example")
    happen(lone)
    lone.pass_(seconds=20)
    with mailbox("starttls", tls[0]) as box:
        wrong = Server(f"smtp://domino:wrong@127.0.0.1:{box.port}", "domino@post.example", tls[1], timeout_s=30)
        assert lone.post(server=wrong).tend() == 0
        assert health(lone).answer == "the mail server refused the sign-in (535)"
        lone.pass_(minutes=1)
        assert lone.post(server=server_of(box, "starttls", None)).tend() == 0
        assert "certificate" in (health(lone).answer or "").lower()
        assert box.came == []
    assert "wrong" not in repr(wrong)


def test_without_a_mail_server_it_says_so_and_waits(lone: House):
    lone.route("night", "night@post.example")
    happen(lone)
    lone.pass_(seconds=20)
    assert lone.post().tend() == 0
    assert (health(lone).answer or "").startswith("no mail server is set")


def test_every_rule_has_its_words_in_a_mail(lone: House):
    for rule in BY_NAME.values():
        data = {"rule": rule.name, "subject": "service", "severity": "urgent", "values": {}, "path": "/alerts/1"}
        for lang in ("en", "fr"):
            message = mail.compose(
                [{"type": "alert.opened", "data": data}],
                route="r", recipients=["a@b.example"], sender="d@b.example", lang=lang, batch="b", url="",
            )  # fmt: skip
            assert mail.WORDS[lang].say(rule.title) in str(message["Subject"])


def test_the_rules_and_their_checks_are_the_same():
    assert list(checks.CHECKS) == list(BY_NAME)
