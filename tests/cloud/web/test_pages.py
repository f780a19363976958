import doctest
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloud.accounts.model
from cloud import pages
from tests.cloud.web.site import Site

NOW = datetime(2026, 11, 18, 18, 52, 30, tzinfo=UTC)


def _say(expression: str, lang: str, **context: object) -> str:
    template = pages._environments[lang].from_string("{{ " + expression + " }}")
    return template.render(now=NOW, **context)


def _words(html: str) -> str:
    return html.partition(">")[2].partition("<")[0].replace(pages.NBSP, "_")


@pytest.mark.parametrize("module", [pages, cloud.accounts.model])
def test_the_examples_are_true(module: object) -> None:
    assert doctest.testmod(module) == (0, doctest.testmod(module).attempted)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("seconds", "english", "french"),
    [
        (0, "now", "à l’instant"),
        (-3, "now", "à l’instant"),
        (17, "17_s ago", "il y a 17_s"),
        (600, "10_min ago", "il y a 10_min"),
        (9 * 3600 + 720, "9_h 12_min ago", "il y a 9_h 12_min"),
        (7200, "2_h ago", "il y a 2_h"),
        (47 * 3600, "47_h ago", "il y a 47_h"),
        (20 * 86400, "20 days ago", "il y a 20 jours"),
    ],
)
def test_the_past_is_told_by_its_distance(seconds: int, english: str, french: str) -> None:
    then = NOW - timedelta(seconds=seconds)
    assert _words(_say("then | ago", "en", then=then)) == english
    assert _words(_say("then | ago", "fr", then=then)) == french


def test_a_time_stands_behind_its_distance_with_its_zone() -> None:
    then = NOW - timedelta(minutes=10)
    assert _say("then | age", "en", then=then) == (
        '<time datetime="2026-11-18T19:42:30+01:00" title="Wed 18 Nov 2026, 19:42:30, Paris time">10\u00a0min</time>'
    )
    assert "mercredi 18 novembre 2026, 19" in _say("then | age", "fr", then=then)


def test_instants_are_written_as_each_language_does() -> None:
    assert _words(_say("then | instant", "en", then=NOW)) == "Wed 18 Nov, 19:52"
    assert _words(_say("then | instant", "fr", then=NOW)) == "mer. 18 nov., 19_h_52"


def test_numbers_keep_together() -> None:
    assert _say("n | number", "en", n=18402117) == "18\u00a0402\u00a0117"
    assert _say("n | number(1)", "en", n=97.94) == "97.9"
    assert _say("n | number(1)", "fr", n=1097.94) == "1\u00a0097,9"


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        ("", "fr"),
        ("de", "fr"),
        ("en-GB,en;q=0.9", "en"),
        ("fr-CA", "fr"),
        ("de, en;q=0.5, fr;q=0.4", "en"),
        ("en;q=0.2, fr", "fr"),
        ("en;q=x, *", "fr"),
    ],
)
def test_the_browser_says_the_language(site: Site, header: str, lang: str) -> None:
    page = site.visitor().get("/sign-in", headers={"accept-language": header}).text
    assert f'<html lang="{lang}">' in page


@given(st.text())
def test_no_header_breaks_the_choice(header: str) -> None:
    assert isinstance(pages._by_preference(header), list)


def test_a_chosen_language_stays_chosen(site: Site) -> None:
    visitor = site.visitor()
    page = visitor.get("/sign-in?next=/my&lang=fr")
    assert "Se connecter" in page.text
    assert 'href="/sign-in?next=%2Fmy&amp;lang=en" lang="en" hreflang="en">English<' in page.text
    assert "Se connecter" in visitor.get("/sign-in").text
    assert "Sign in" in visitor.get("/sign-in?lang=en").text
    assert "Sign in" in visitor.get("/sign-in?lang=xx").text


@given(st.text(max_size=40).map(lambda text: "/" + text) | st.text())
def test_a_local_path_stays_here(target: str) -> None:
    path = pages.local_path(target)
    assert path is None or (path == target and path[0] == "/" and path[1:2] not in ("/", "\\"))
