"""Every page of staff under a replay: it shows the past with the right time, or says that it has none, and leads on."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from cloud import database
from cloud.accounts.model import Role
from cloud.fleet.store import buttons
from cloud.replay import Replay
from tests.browser.test_every_page import PAGES
from tests.cloud.alerts.house import open_alert
from tests.cloud.console.service import BUTTON, Service

HOUR = timedelta(hours=1)
NO_PAST = "This page has no past: it shows now."

# What shows a moment of the past; all others are beside the replay, and say so.
WITH_PAST = {
    *("/", "/live", "/traffic", "/departments"),
    *("/pickups", "/pickups/{id}", "/frames/{id}", "/buttons/{id}"),
    *("/alerts", "/alerts/{id}"),
}
# What a link of a replay may lead to without it.
OUT = ("/static/", "/replay?")


@dataclass
class Link:
    where: str
    is_out: bool


@dataclass
class Page(HTMLParser):
    """The links and forms of a page."""

    text: str
    links: list[Link] = field(default_factory=list)
    forms: list[tuple[str, str, list[tuple[str, str]]]] = field(default_factory=list)  # method, action, hidden fields

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        for name in ("href", "hx-get"):
            where = said.get(name)
            if tag != "form" and where is not None and where.startswith("/"):
                self.links.append(Link(where, "data-out" in said))
        if tag == "form":
            self.forms.append((said.get("method") or "get", said.get("action") or "", []))
        if tag == "input" and said.get("type") == "hidden" and self.forms:
            self.forms[-1][2].append((said.get("name") or "", said.get("value") or ""))


def stand(at: datetime) -> str:
    """A replay that stands there."""
    return urlencode({"replay": str(Replay(at, database.now(), 0))}, safe="~:")


@pytest.fixture
def filled(service: Service) -> Service:
    """An order, a frame, a button and an alert that were there an hour ago."""
    before = database.now() - 2 * HOUR
    service.press(2, now=before)
    service.press(kind="alive", now=before)
    service.add_button(BUTTON + 1, "69 Lyon")
    with service.engine.begin() as conn:
        open_alert(conn, "35", before)
        conn.execute(buttons.update().values(created_at=before))
    return service


@pytest.mark.parametrize("lang", ["en", "fr"])
@pytest.mark.parametrize(("route", "address"), PAGES.items())
def test_a_page_of_a_replay_says_what_it_shows_and_leads_on_in_it(filled: Service, route: str, address: str, lang: str):
    at = (database.now() - HOUR).replace(microsecond=0)
    query = stand(at)
    asked = f"{address}{'&' if '?' in address else '?'}{query}"

    answer = filled.browser(Role.ADMIN).get(asked, headers={"accept-language": lang})

    assert answer.status_code in ((404,) if route == "/find" else (200,))
    page = Page(answer.text)
    [band] = re.findall(r'<div class="past.*?</div>', answer.text, re.S)
    assert f'data-now="{int(at.timestamp() * 1000)}"' in band
    if route in WITH_PAST:
        assert "beside" not in band
        assert ("Replay:" if lang == "en" else "Rejeu\N{NO-BREAK SPACE}:") in band
    else:
        assert (NO_PAST if lang == "en" else "Cette page n’a pas de passé") in band

    replayed = parse_qs(query)["replay"]
    for link in page.links:
        if link.is_out:
            assert "replay=" not in link.where
        elif not link.where.startswith(OUT):
            assert parse_qs(urlsplit(link.where).query).get("replay") == replayed, link.where
    for method, action, hidden in page.forms:
        if action in ("/sign-out", "/replay") or method == "dialog":
            continue
        assert method == "get", f"{action} is a deed"
        assert ("replay", replayed[0]) in hidden
    assert sum(link.is_out for link in page.links) >= 1


@pytest.mark.parametrize("address", PAGES.values())
def test_a_page_of_the_present_knows_nothing_of_replays(filled: Service, address: str):
    page = filled.browser(Role.ADMIN).get(address).text

    assert 'class="past' not in page
    assert "replay=" not in page
    assert "as it is now" not in page
