"""An operator's browser: Chromium, signed in, which notes whatever it complains of; and how a page is looked over."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from cloud.accounts import guard
from cloud.accounts.model import Role
from tests.cloud.console.service import Service
from tools.setup.front_end import CHECKS

PICTURES = Path(__file__).parents[2] / "build" / "pictures"
SERIOUS = ("serious", "critical")  # of axe-core's four impacts


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


def faults(page: Page) -> list[str]:
    """What axe-core finds of serious faults against WCAG 2.2 AA: rule, and the elements concerned."""
    page.evaluate((CHECKS / "axe.min.js").read_text())  # by the browser's own door: no policy of the page lets it in
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate("tags => axe.run(document, {runOnly: tags})", tags)
    return [
        f"{one['id']}: {node['target']} {node['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]
