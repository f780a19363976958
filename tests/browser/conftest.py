"""A browser and a service for every test of the pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.desk import CHROMIUM, Desk
from tests.cloud.console.service import Service, running_service, serving

SOON_MS = 15_000  # a bound, on a busy machine too; what is waited for comes within a second or so

expect.set_options(timeout=SOON_MS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_service(tmp_path) as service:
        yield service


@pytest.fixture
def desk(chromium: Browser, service: Service) -> Iterator[Desk]:
    with serving(service.app) as url:
        desk = Desk(chromium, service, url, viewport={"width": 1440, "height": 900})
        yield desk
        desk.context.close()
        assert desk.complaints == []
