"""An operator's browser: Chromium, signed in, which notes whatever it complains of; and how a page is looked over."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from cloud.accounts import guard
from cloud.accounts.model import Role
from tests.cloud.console.service import Service
from tools.setup.front_end import CHECKS

# Chromium without windows: the whole one has a process for the toolbar of each, and costs three times as much.
CHROMIUM = "/usr/bin/chromium-headless-shell"
PICTURES = Path(__file__).parents[2] / "build" / "pictures"
SERIOUS = ("serious", "critical")  # of axe-core's four impacts
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
THEMES = ("light", "dark")
COLOURS = ("color-contrast", "link-in-text-block")  # axe-core's rules that a theme may break


class Desk:
    """An operator's browser, and what it complained about."""

    def __init__(
        self, browser: Browser, service: Service, url: str, role: Role = Role.OPERATOR, **options: Any
    ) -> None:
        self.url = url
        self.complaints: list[str] = []
        self.context = browser.new_context(**options)
        self.context.add_cookies([{"name": guard.COOKIE, "value": service.cookie(role), "url": url}])
        # A violation of the Content-Security-Policy is also an error on the console.
        self.context.on("console", self._note)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.context.on("request", self._watch)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _watch(self, request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.complaints.append(f"asked elsewhere: {request.url}")

    def open(self, path: str = "/") -> Page:
        page = self.context.new_page()
        page.goto(self.url + path)
        return page

    def overview(self) -> Page:
        page = self.open()
        expect(page.locator("#live")).to_have_text("live, no gap")
        return page


def look_over(page: Page) -> None:
    """Everybody can use the page as it stands: it fits on a desk and a phone, and axe-core finds no fault in a theme.

    In English all its rules on a desk by day, in French all on a phone by night; in the other theme those of colours
    alone, as a theme changes nothing else. So each theme is seen on each screen, and each language in each theme.
    """
    french = page.locator("html").get_attribute("lang") == "fr"
    for screen in (DESK, PHONE) if french else (PHONE, DESK):
        page.set_viewport_size(screen)  # pyright: ignore[reportArgumentType]
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= screen["width"], f"{page.url} is {width} wide on a screen of {screen['width']}"
    for theme, rules in zip(reversed(THEMES) if french else THEMES, ((), COLOURS), strict=True):
        page.emulate_media(color_scheme=theme)  # pyright: ignore[reportArgumentType]
        assert faults(page, rules) == [], (page.url, theme)


def faults(page: Page, rules: Sequence[str] = ()) -> list[str]:
    """What axe-core finds of serious faults against WCAG 2.2 AA, or these rules: rule, and the elements concerned."""
    if not page.evaluate("'axe' in globalThis"):
        page.evaluate((CHECKS / "axe.min.js").read_text())  # by the browser's own door: no policy lets it in
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    # To name each element that passed would take as long as to look at it; styles are read where they are computed.
    found = page.evaluate(
        "runOnly => axe.run(document, {runOnly, resultTypes: ['violations'], preload: false})", list(rules) or tags
    )
    return [
        f"{one['id']}: {node['target']} {node['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]
