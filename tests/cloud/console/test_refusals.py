"""Who is refused reads why in their language: every refusal that a page can meet, in English and in French."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser

import pytest
from babel.messages.pofile import read_po
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

import cloud.accounts.store
import cloud.appeals.store
import cloud.downlinks.store
import cloud.fleet.store
import cloud.pickups.model
import cloud.pickups.store
from cloud import database, pages, refusals, web
from cloud.accounts import guard
from cloud.accounts.model import Role
from cloud.alerts.model import Severity
from cloud.alerts.pages import WITHOUT_SAFE, Means
from cloud.alerts.routes import Kind, add_route
from cloud.alerts.store import acknowledge, close, watch
from cloud.appeals.model import State as AppealState
from cloud.appeals.model import claim
from cloud.fleet import notes
from tests.cloud.alerts.house import SAFE, open_alert
from tests.cloud.console.service import BUTTON, NO_PASSWORD, Service, running_service
from tests.cloud.web.site import csrf_of
from tests.cloud.web.test_catalogues import CLOUD
from tests.stock import VAULT

FREE = 0x0000F00D
ADMIN, OPERATOR, SUPPORT, VIEWER, CUSTOMER = Role.ADMIN, Role.OPERATOR, Role.SUPPORT, Role.VIEWER, Role.CUSTOMER
LONG = "x" * 3000


@dataclass(frozen=True)
class Text:
    """One text of the catalogue, as what a page may show of it."""

    english: re.Pattern[str]
    french: re.Pattern[str]
    words: int  # of its own, without what it names


def _pattern(text: str) -> re.Pattern[str]:
    parts = re.split(r"%\(\w+\)s", text)
    return re.compile("(.*)".join(map(re.escape, parts)), re.DOTALL)


@cache
def catalogue(name: str = "*") -> dict[str, Text]:
    found = {}
    for path in sorted((CLOUD / "locale/fr/LC_MESSAGES/desk").glob(f"{name}.po")):
        with path.open("rb") as source:
            for message in read_po(source, locale="fr"):
                if isinstance(message.id, str) and message.id and isinstance(message.string, str):
                    own = re.findall(r"[^\W\d_]{2,}", re.sub(r"%\(\w+\)s", " ", message.id))
                    found[message.id] = Text(_pattern(message.id), _pattern(message.string), len(own))
    return found


class Shown(HTMLParser):
    """The texts of a page, each by itself, less those that are said to be in English."""

    VOID = frozenset({"meta", "link", "input", "br", "img", "path", "use", "line", "rect", "circle"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.lang: str | None = None
        self.texts: list[str] = []
        self._langs: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.lang = said.get("lang") if tag == "html" else self.lang
        if tag not in self.VOID:
            inherited = self._langs[-1] if self._langs else None
            self._langs.append("code" if tag in ("script", "style") else said.get("lang") or inherited)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID and self._langs:
            self._langs.pop()

    def handle_data(self, data: str) -> None:
        if data.strip() and self._langs and self._langs[-1] == self.lang:
            self.texts.append(" ".join(data.split(" ")).strip())


@dataclass
class Reader:
    """Somebody of one role, in one language."""

    service: Service
    role: Role
    lang: str
    client: TestClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.service.browser(self.role)
        self.client.cookies.set(pages.LANGUAGE_COOKIE, self.lang)

    @property
    def id(self) -> int:
        with database.reading(self.service.engine) as conn:
            session = cloud.accounts.store.find_session(conn, self.client.cookies[guard.COOKIE], database.now())
        assert session is not None
        return session.account.id

    def ask(self, verb: str, path: str, form: dict[str, str]) -> tuple[int, Shown]:
        if verb == "GET":
            answer = self.client.get(path)
        else:
            token = csrf_of(self.client.get("/my" if self.role is CUSTOMER else "/me").text)
            answer = self.client.post(path, data={"csrf": token, **form})
        return answer.status_code, Shown(answer.text)


@dataclass
class Readers:
    service: Service
    known: dict[tuple[Role, str], Reader] = field(default_factory=dict)

    def of(self, role: Role, lang: str) -> Reader:
        if (role, lang) not in self.known:
            self.known[role, lang] = Reader(self.service, role, lang)
        return self.known[role, lang]


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Readers"]:
    """One service for all, as what is refused changes nothing; in it is what can be refused for its state."""
    with running_service(tmp_path_factory.mktemp("refusals")) as service:
        _set(service)
        yield Readers(service)


def _set(service: Service) -> None:
    """An order that was taken back, a downlink too, alerts and an appeal that are dealt with."""
    now = database.now()
    service.press()
    service.add_button(FREE, "2A Ajaccio")
    with service.engine.begin() as conn:
        open_alert(conn, "35", now)
        open_alert(conn, "2A", now)
        acknowledge(conn, 1, by="staff x", word="", now=now)
        close(conn, 2, by="staff x", word="seen", now=now)
        taken = {"name": "taken", "display_name": "T", "role": VIEWER, "password": NO_PASSWORD, "now": now}
        cloud.accounts.store.add(conn, **taken)
        cloud.accounts.store.create_token(conn, name="script", role=VIEWER, now=now)
        author = cloud.accounts.store.find(conn, "taken")
        assert author is not None
        notes.write(conn, BUTTON, "a note", author=author, now=now)
        cloud.downlinks.store.configure(conn, BUTTON, 48, reason="x", by="staff x", now=now)
        cloud.downlinks.store.cancel(conn, BUTTON, 1, now)
        cloud.pickups.store.cancel(conn, 1, actor="staff x", now=now)
        said = claim(name="H", contact="h@example.org", piece="CD604127950FR", code="", text="It was refused.")
        cloud.appeals.store.file(conn, VAULT, said, now)
        cloud.appeals.store.file(conn, VAULT, said, now)
        about = {"by": "staff x", "reason": "It was read wrongly.", "at": now}
        cloud.appeals.store.decide(conn, VAULT, 1, AppealState.UPHELD, **about)
        mail = {"kind": Kind.MAIL, "to": "a@example.org", "least": Severity.WARNING, "rules": None, "lang": "fr"}
        add_route(conn, name="mail", by="staff x", now=now, safe=SAFE, **mail)
        watch(conn, FREE, why="new", by="staff x", now=now)


def _post(role: Role, path: str, status: int, /, **form: str) -> tuple[Role, str, str, int, dict[str, str]]:
    return role, "POST", path, status, form


def _get(path: str, status: int, role: Role = OPERATOR) -> tuple[Role, str, str, int, dict[str, str]]:
    return role, "GET", path, status, {}


# By the text that is to be read: who asks for what.
REFUSALS: dict[str, tuple[Role, str, str, int, dict[str, str]]] = {
    # Not found, not taken, whatever it is
    "The log has no frame %(id)s.": _get("/frames/999", 404),
    "There is no order %(id)s.": _get("/pickups/999", 404),
    "The fleet has no button %(button)s.": _get("/buttons/0000ABCD", 404),
    "There is no document %(name)s here.": _get("/docs/nothing", 404),
    "What was sent cannot be taken: %(faults)s": _get("/silent?verdict=sad", 422),
    "is no number": _get("/live?before=x", 422),
    "is to be %(n)s or more": _get("/live?before=0", 422),
    "is to be %(n)s or less": _get("/replay?leap=99999999999", 422),
    "has more than %(n)s characters": _get(f"/find?q={LONG}", 422),
    "has more than %(n)s values": _get("/stream?" + "view=&" * 40, 422),
    "is no date": _get("/traffic/days?day=x", 422),
    "is none of: %(known)s": _get("/appeals?state=sad", 422),
    "is neither yes nor no": _get("/me?changed=x", 422),
    "is missing": _post(OPERATOR, "/buttons/00D1F3A7/downlinks", 422),
    "is not as it should be": _post(ADMIN, "/alerts/routes", 422, lang="de"),
    "the form is not of this session; open the page anew": _post(OPERATOR, "/me/sessions/end", 403, csrf="x"),
    "a %(role)s may not do this; it takes the right to %(right)s": _get("/access", 403),
    # The replay and the stream
    "The address names no time that can be replayed: %(why)s": _get("/live?replay=x", 422),
    "it is not written as one": _get("/live?replay=x~y", 422),
    "a replay runs at %(speeds)s times, or stands": _get("/live?replay=2026-11-25T08:12:30Z~1795600800000~7", 422),
    "no time in milliseconds since 1970": _get("/live?replay=2026-11-25T08:12:30Z~-1~10", 422),
    "a time without a zone, or before 1970": _get("/live?replay=2026-11-25T08:12:30~1795600800000~10", 422),
    "A replay runs at %(speeds)s times, or stands.": _get("/replay?speed=7", 422),
    "%(text)s is no date with a time.": _get("/replay?at=yesterday", 422),
    "Nothing was heard in %(year)s.": _get("/replay?at=1871-01-01T10:00", 422),
    "there is no result “%(said)s”; there are: %(known)s": _get("/live?result=sad", 422),
    "there is no kind “%(said)s”; there are: %(known)s": _get("/live?kind=sad", 422),
    "“%(said)s” is no department: 01 to 95, 2A, 2B, 971 to 976": _get("/live?department=XX", 422),
    "a button id is up to %(most)s hex digits such as %(example)s, not %(text)s": _get("/live?button=xyz", 422),
    # Buttons, and their downlinks
    "a list has buttons that are one of: %(known)s, not %(verdict)s": _get("/silent?verdict=alive", 422),
    "a list goes on after a place such as %(example)s": _get("/silent?after=x", 422),
    "a reason has 1 to %(most)s characters, all of them printable": _post(OPERATOR, "/buttons/00D1F3A7/revoke", 422),
    "This button’s state does not allow it.": _post(ADMIN, "/buttons/00D1F3A7/found", 409),
    "a note has 1 to %(most)s characters": _post(OPERATOR, "/buttons/00D1F3A7/notes", 422, text=" "),
    "a note has printable characters and line breaks only": _post(
        OPERATOR, "/buttons/00D1F3A7/notes", 422, text="\x1b[2J"
    ),
    "Button %(button)s has no note %(id)s.": _post(OPERATOR, "/buttons/00D1F3A7/notes/9/remove", 404),
    "a heartbeat comes every %(least)s to %(most)s hours, not every %(hours)s": _post(
        OPERATOR, "/buttons/00D1F3A7/downlinks", 422, hours="9999", reason="x"
    ),
    "a reason has 1 to %(most)s characters": _post(OPERATOR, "/buttons/00D1F3A7/downlinks", 422, hours="48"),
    "no button %(button)s in the fleet": _post(OPERATOR, "/buttons/0000ABCD/downlinks", 404, hours="48", reason="x"),
    "no downlink %(id)s": _post(OPERATOR, "/buttons/00D1F3A7/downlinks/9/cancel", 404),
    "The address cannot be read: %(faults)s": _get("/buttons.csv?state=sad", 422),
    "a view’s name has 1 to %(most)s characters, all of them printable": _post(OPERATOR, "/buttons/views", 422),
    "Sharing a view takes the right to operate.": _post(VIEWER, "/buttons/views", 403, name="mine", shared="true"),
    "You have no such view.": _post(OPERATOR, "/buttons/views/9/remove", 404),
    "there is no import %(id)s, or its file was looked at more than an hour ago: send it again": _get(
        "/buttons/imports/9", 404, ADMIN
    ),
    "these claim codes were handed out already, and are kept nowhere": _post(ADMIN, "/buttons/imports/9/codes", 409),
    "A note is removed by who wrote it, or by an administrator.": _post(
        OPERATOR, "/buttons/00D1F3A7/notes/1/remove", 403
    ),
    "the downlink is %(state)s and cannot become %(to)s": _post(OPERATOR, "/buttons/00D1F3A7/downlinks/1/cancel", 409),
    "button %(button)s has no downlink %(id)s": _post(OPERATOR, "/buttons/0000F00D/downlinks/1/cancel", 404),
    # Orders
    "the pickup is %(state)s: it cannot be %(event)s": _post(OPERATOR, "/pickups/1/cancel", 409),
    "there is no pickup %(id)s": _post(OPERATOR, "/pickups/9/cancel", 404),
    # Access
    "there is an account %(name)s already": _post(ADMIN, "/access/accounts", 422, name="taken", role="viewer"),
    "choose a role of staff": _post(ADMIN, "/access/accounts", 422, name="new", role="customer"),
    "a name to sign in with has 1 to 80 letters, digits and . _ - @ +": _post(
        ADMIN, "/access/accounts", 422, name="a b", role="viewer"
    ),
    "%(what)s has 1 to %(most)s characters on one line": _post(ADMIN, "/access/tokens", 422, scopes="see"),
    "a token is for one right at least, and for what some role of staff may": _post(
        ADMIN, "/access/tokens", 422, name="new"
    ),
    "addresses are such as %(examples)s": _post(ADMIN, "/access/tokens", 422, name="new", scopes="see", networks="x"),
    "a token has at most %(n)s addresses": _post(
        ADMIN, "/access/tokens", 422, name="new", scopes="see", networks="127.0.0.1 " * 21
    ),
    "there is, or was, a token %(name)s: give it another name": _post(
        ADMIN, "/access/tokens", 422, name="script", scopes="see"
    ),
    "there is no token %(id)s": _post(ADMIN, "/access/tokens/99/revoke", 404),
    "staff has no account %(name)s": _get("/access/accounts/999", 404, ADMIN),
    "nobody takes their own account away: ask another admin; your password is changed at /me": _post(
        ADMIN, "/access/accounts/OWN/disable", 403
    ),
    "you have no such session; perhaps it has ended by now": _post(OPERATOR, "/me/sessions/x/end", 404),
    # Appeals
    "there is no appeal %(id)s": _get("/appeals/9", 404),
    "appeal %(id)s is %(state)s and cannot become %(to)s": _post(
        SUPPORT, "/appeals/1/decide", 409, outcome="rejected", reason="It was read rightly."
    ),
    "a reason is %(least)s to %(most)s characters long: who appealed will read it": _post(
        SUPPORT, "/appeals/2/decide", 422, outcome="rejected"
    ),
    # Alerts
    "alert %(id)s is open, and was acknowledged by %(who)s": _post(OPERATOR, "/alerts/1/acknowledge", 409),
    "alert %(id)s is %(state)s, by %(who)s": _post(OPERATOR, "/alerts/2/acknowledge", 409),
    "route %(name)s has no secret": _post(ADMIN, "/alerts/routes/1/secret", 404),
    "there is a route %(name)s already": _post(
        ADMIN, "/alerts/routes", 422, kind="mail", name="mail", to="a@example.org"
    ),
    "There is no such list.": _get("/alerts/history?state=sad", 404),
    "there is no such rule": _get("/alerts/rules/sad", 404),
    "there is no alert %(id)s": _get("/alerts/99", 404),
    "%(rule)s: %(name)s is a number from %(least)s to %(most)s": _post(
        ADMIN, "/alerts/rules/replays", 422, severity="warning", count="x"
    ),
    "%(rule)s: severity is one of %(severities)s": _post(ADMIN, "/alerts/rules/replays", 422, severity="sad"),
    "a silence names a rule, a subject or a department: never everything": _post(OPERATOR, "/alerts/silences", 422),
    "there is no rule %(name)s": _post(OPERATOR, "/alerts/silences", 422, rule="sad"),
    "a subject has at most %(most)s characters": _post(OPERATOR, "/alerts/silences", 422, subject="x" * 200),
    "there is no department %(number)s": _post(OPERATOR, "/alerts/silences", 422, department="XX"),
    "a silence lasts up to %(days)s days": _post(OPERATOR, "/alerts/silences", 422, department="35", hours="9999"),
    "say why in %(least)s to %(most)s characters": _post(OPERATOR, "/alerts/silences", 422, department="35"),
    "there is no silence %(id)s in force": _post(OPERATOR, "/alerts/silences/9/end", 404),
    "the fleet has no button %(button)s": _post(OPERATOR, "/alerts/watched", 404, button="ABCD", why="x"),
    "button %(button)s is not on the watch list": _post(OPERATOR, "/alerts/watched/ABCD/remove", 404),
    "there is no route %(id)s": _post(ADMIN, "/alerts/routes/9/remove", 404),
    "a mail route has 1 to %(most)s recipients": _post(ADMIN, "/alerts/routes", 422, kind="mail", name="x"),
    "%(text)s is no e-mail address": _post(ADMIN, "/alerts/routes", 422, kind="mail", name="x", to="nobody"),
    "a route’s name has at most %(most)s characters": _post(
        ADMIN, "/alerts/routes", 422, kind="mail", to="a@example.org", name="x" * 90
    ),
    "a webhook’s address is such as %(example)s": _post(ADMIN, "/alerts/routes", 422, name="x", to="nowhere"),
    "a webhook’s address begins with %(https)s, or leads to 127.0.0.1": _post(
        ADMIN, "/alerts/routes", 422, name="x", to="http://example.org/"
    ),
    "a webhook’s address holds no password and no #: what comes is signed": _post(
        ADMIN, "/alerts/routes", 422, name="x", to="https://a:b@example.org/"
    ),
    "Webhooks need the master key, which this process has not.": _post(
        ADMIN, "/alerts/routes", 503, name="x", to="https://example.org/"
    ),
    # The frame bench
    "%(n)s bytes; a Sigfox frame has %(lengths)s": _get("/decode?data=00ff", 200),
    "it begins with %(head)s; a Sigfox frame begins with %(preamble)s": _get(f"/decode?data={'00' * 14}", 200),
    "type %(type)s; of this length there are %(types)s": _get(f"/decode?data=aaaaa000{'00' * 10}", 200),
    "CRC %(crc)s, and the bytes before it give %(right)s: some bit is wrong": _get(
        f"/decode?data=aaaaa06b{'00' * 10}", 200
    ),
}


# Texts of the same catalogue that no page of ours can be made to show in a test, or that stand within others above.
ELSEWHERE = {
    "of a form whose fields are fewer, or of the settings file": (
        "%(rule)s: on is true or false",
        "%(rule)s: there is no %(name)s",
        "a token is for one right at least",
        "a token is for staff and machines, not for customers",
        "a token of role %(role)s has no right to %(rights)s",
        "has fewer than %(n)s characters",
        "nobody hands on a right that they have not: %(rights)s",
    ),
    "a race, or what only a fault can bring about": (
        "Something failed here. It is in the log.",
        "The database is away, full, or others keep it busy: try again.",
        "The request was refused.",
        "alert %(id)s is resolved",
        "somebody changed these very buttons at this moment",
        "somebody else configured button %(button)s just now",
        "the last admin can be neither disabled nor given another role: make another admin first",
        "the stamps are being loaded; nothing can be read yet, ask again in %(n)s seconds",
        "too many sign in at this moment",
    ),
    "to customers and visitors, whose pages say less": (
        "A request has at most %(n)s bytes.",
        "The form came from another site.",
        "You have no such button.",
        "a button belongs to a customer",
        "the password has %(n)s characters, it needs %(least)s",
        "the password has more than %(n)s characters",
        "the password is the name one signs in with",
        "there is no appeal of this number",
        "this is for staff",
    ),
    "hundreds of something": (
        "This button has had all of its keys.",
        "This button is in the fleet already.",
        "an account has at most %(most)s views: remove one first",
        "an import writes at most %(n)s lines: cut the file in several",
        "the watch list has room for %(most)s buttons",
        "there is room for %(most)s routes",
        "too many attempts; the next one is heard at %(time)s UTC",
        "too many readings found no stamp of late, by this token or at this place; "
        "the next one is heard at %(time)s UTC",
    ),
    "forms of an import that its own page does not show any more": (
        "%(n)s lines have faults",
        "import %(id)s is %(state)s already",
        "the file of import %(id)s is not kept any more",
        "the fleet has changed since this was shown",
        "this is not what import %(id)s was answered with",
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_read_in_the_readers_language(readers: Readers, text: str):
    role, verb, path, status, form = REFUSALS[text]
    said = catalogue()[text]
    readers.service.app.state.alerts = WITHOUT_SAFE if status == 503 else Means(SAFE)
    shown = {}
    for lang in ("en", "fr"):
        reader = readers.of(role, lang)
        code, shown[lang] = reader.ask(verb, path.replace("OWN", str(reader.id)), form)
        assert (code, shown[lang].lang) == (status, lang)
    if text not in map(str, refusals.BY_KIND.values()):  # in English these say more
        assert any(said.english.search(one) for one in shown["en"].texts), shown["en"].texts
    assert any(said.french.search(one) for one in shown["fr"].texts), shown["fr"].texts
    assert english_in(shown["fr"]) == []
    assert not any(said.english.search(one) for one in shown["fr"].texts)


def english_in(page: Shown) -> list[tuple[str, str]]:
    """Each English text of the catalogues that the page shows, with where; those of a word or two could be names."""
    told = [(text, said) for text, said in catalogue().items() if said.words >= 3 and said.english != said.french]
    return [(text, one) for text, said in told for one in page.texts if said.english.search(one)]


def test_the_search_for_english_finds_it():
    """Else the test above could not fail."""
    page = Shown('<html lang="fr"><p>Alerte</p><p>there is no alert 12</p><p lang="en">there is no alert 13</p></html>')
    assert english_in(page) == [("there is no alert %(id)s", "there is no alert 12")]


def test_every_text_of_a_refusal_is_driven_or_said_why_not():
    named = {"a token’s name", "put on round"}  # within another
    sentences = {text for text, said in catalogue("refusals").items() if said.words >= 3} - named
    others = [text for some in ELSEWHERE.values() for text in some]
    assert sentences - set(REFUSALS) == set(others)


# Where something is raised in plain English, and why no page says it.
PLAIN = {
    "accounts/guard.py": "tokens, of the API alone",
    "accounts/store.py": "a token by its name, on the command line alone",
    "alerts/model.py": "the settings file",
    "console/api.py": "the API",
    "downlinks/api.py": "the API",
    "fleet/store.py": "by kind: cloud.refusals.BY_KIND",
    "frames/stations.py": "a file that the command line reads",
    "pickups/model.py": "what a handset tells of a round, over the API",
    "pickups/store.py": "as above",
    "stamps/api.py": "the API",
    "stamps/desk.py": "the API",
    "stamps/store.py": "the API; a customer's late confirmation has a page of its own",
}


def _raised() -> Iterator[tuple[str, str]]:
    """Every error of the domain or of HTTP that is raised with a text of its own that is not marked."""
    kinds = {kind.__name__ for kind in web.STATUS} | {"HTTPException"}
    for file in sorted(CLOUD.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
                continue
            name = node.exc.func.attr if isinstance(node.exc.func, ast.Attribute) else ast.unparse(node.exc.func)
            is_plain = any(isinstance(one, ast.JoinedStr | ast.BinOp) for one in node.exc.args) or any(
                isinstance(one, ast.Constant) and isinstance(one.value, str) and " " in one.value
                for one in node.exc.args
            )
            if name in kinds and (is_plain or "str(error)" in ast.unparse(node.exc)):
                yield file.relative_to(CLOUD).as_posix(), ast.unparse(node.exc)


def test_no_refusal_of_a_page_is_raised_in_plain_english():
    found = {file for file, _ in _raised()}
    assert found == set(PLAIN), [one for one in _raised() if one[0] not in PLAIN]


def test_an_error_in_plain_english_is_told_by_its_kind_to_who_reads_french(service: Service):
    error = cloud.fleet.store.Exists("button 0012AB34 is in the fleet already")
    assert pages.say(refusals.of(error, 409, "fr"), "fr") == "Ce bouton est déjà dans le parc."
    assert refusals.of(error, 409, "en") == "button 0012AB34 is in the fleet already"
    unknown = cloud.pickups.model.Faulty("photo is a SHA-256 in 64 hex digits, lower case")
    assert pages.say(refusals.of(unknown, 422, "fr"), "fr") == "La requête a été refusée."


def test_what_the_database_says_of_itself_is_told_to_nobody(service: Service):
    error = OperationalError("SELECT secret", {}, Exception("database is locked"))
    assert "SELECT" not in str(refusals.of(error, 503)) + refusals.in_english(error, 503)


def test_the_api_speaks_english_whatever_its_caller_reads(service: Service):
    script = service.script(ADMIN)
    answer = script.get("/api/buttons/ABCD/downlinks", headers={"accept-language": "fr"})
    assert answer.json()["error"]["message"] == "no button ABCD in the fleet"
    answer = script.post(
        "/api/buttons/00D1F3A7/revoke", json={"why": ""}, headers={"accept-language": "fr", "cookie": "domino_lang=fr"}
    )
    assert answer.status_code == 422
    assert "character" in answer.json()["error"]["message"]


def test_a_customer_reads_no_english_either(service: Service):
    for path in ("/my/pickups/999", "/my/buttons/ABCD/lost", "/my/buttons/xyz/lost"):
        reader = Reader(service, CUSTOMER, "fr")
        status, shown = reader.ask("GET", path, {})
        assert (status, shown.lang) == (404, "fr")
        assert english_in(shown) == []
