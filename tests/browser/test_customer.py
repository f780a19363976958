"""The customer's pages in Chromium on a phone's screen: with scripts and without, in light and dark."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.desk import CHROMIUM
from tests.cloud.web import site as sites
from tests.cloud.web.site import ADDRESS, PASSWORD, Site

PHONE = {"width": 390, "height": 844}

# What of a page can be measured: each returns the places where it fails.
OVERFLOWS = """() => [...document.querySelectorAll("body *")]
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5
    && !e.closest(".hide, symbol") && getComputedStyle(e).visibility !== "hidden")
  .map(e => e.outerHTML.slice(0, 120))"""
UNNAMED = """() => [...document.querySelectorAll("input:not([type=hidden]), button, a")]
  .filter(e => !(e.getAttribute("aria-label") || [...(e.labels ?? [])].map(l => l.textContent).join("")
    || e.textContent).trim())
  .map(e => e.outerHTML.slice(0, 120))"""
TOO_SMALL_FOR_A_THUMB = """() => [...document.querySelectorAll("input:not([type=hidden]), button, a:not(.skip)")]
  .filter(e => !e.closest("p") && e.getBoundingClientRect().height < 43.5)
  .map(e => e.outerHTML.slice(0, 120))"""
DOUBLE_IDS = """() => [...document.querySelectorAll("[id]")].map(e => e.id)
  .filter((id, i, all) => all.indexOf(id) !== i)"""
POINTS_NOWHERE = """() => [...document.querySelectorAll("[aria-describedby], label[for]")]
  .flatMap(e => (e.getAttribute("aria-describedby") ?? e.htmlFor).split(" "))
  .filter(id => !document.getElementById(id))"""
# WCAG 2.2, 1.4.3: 4.5, and 3 for large text.
TOO_FAINT = """() => {
  const channels = color => color.match(/[\\d.]+/g).map(Number);
  const linear = v => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = channels(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !e.checkVisibility() || e.closest(".hide")) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const [a, b] = [light(channels(style.color)), light(ground(e))].sort((x, y) => y - x);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 650) ? 3 : 4.5;
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < needed) faint.push(`${contrast.toFixed(2)} ${texts.currentNode.data.trim().slice(0, 60)}`);
  }
  return faint;
}"""
MEASURES = {
    "overflows": OVERFLOWS,
    "has no name": UNNAMED,
    "is too small for a thumb": TOO_SMALL_FOR_A_THUMB,
    "has its id twice": DOUBLE_IDS,
    "points nowhere": POINTS_NOWHERE,
    "is too faint": TOO_FAINT,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    built = sites.build(tmp_path)
    built.button(0x00D1F3A7, built.account("claire@example.org"), "1111-1111-1111")
    yield built
    built.engine.dispose()


@contextmanager
def _served(site: Site) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(site.app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    with _served(site) as address:
        yield address


@pytest.fixture
def phone(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    contexts = []

    def open_page(**options: Any) -> Page:
        context = browser.new_context(viewport=PHONE, locale="fr-FR", base_url=address, **options)  # pyright: ignore[reportArgumentType]
        contexts.append(context)
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()


def _sign_in(page: Page, then: str) -> None:
    page.goto(then)
    page.get_by_label("E-mail ou identifiant").fill("claire@example.org")
    page.get_by_label("Mot de passe").fill(PASSWORD)
    with page.expect_navigation():
        page.get_by_role("button", name="Se connecter").click()


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_customer_confirms_an_address(site: Site, phone: Callable[..., Page], scripts: bool) -> None:
    pickup = site.press(0x00D1F3A7)
    page = phone(java_script_enabled=scripts)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    _sign_in(page, "/my")
    page.get_by_role("link", name="à confirmer").click()
    page.wait_for_url(f"**/my/pickups/{pickup}")
    for line, text in ADDRESS.items():
        page.locator(f"#{line}").fill(text)
    if scripts:
        expect(page.locator("#count1")).to_have_text("18/38")
    else:
        expect(page.locator("#count1")).to_be_hidden()
    page.get_by_role("button", name="Vérifier l’adresse").click()
    expect(page.get_by_role("heading", name="Vérifiez et confirmez")).to_be_visible()
    page.get_by_role("button", name="Modifier").click()
    expect(page.locator("#line4")).to_have_value("18 rue des Quatre Navettes")
    page.get_by_role("button", name="Vérifier l’adresse").click()
    expect(page.get_by_role("listitem").nth(5)).to_contain_text("69001 LYON")
    page.get_by_role("button", name="Confirmer l’adresse").click()
    expect(page.get_by_role("heading", name="Adresse confirmée")).to_be_visible()
    page.get_by_role("link", name="Annuler la demande").click()
    page.get_by_role("button", name="Annuler la demande").click()
    expect(page.get_by_role("heading", name="Demande annulée")).to_be_visible()
    assert complaints == []


def test_the_count_turns_when_a_line_is_too_long(site: Site, phone: Callable[..., Page]) -> None:
    pickup = site.press(0x00D1F3A7)
    page = phone()
    _sign_in(page, f"/my/pickups/{pickup}")
    line, count = page.locator("#line2"), page.locator("#count2")
    line.fill("É" * 38)
    expect(count).to_have_text("38/38")
    expect(count).not_to_have_class(re.compile("over"))
    line.press_sequentially("  x")
    expect(count).to_have_text("40/38")
    expect(count).to_have_class(re.compile("over"))


def test_the_first_wrong_line_has_the_focus_and_tells_its_reason(site: Site, phone: Callable[..., Page]) -> None:
    pickup = site.press(0x00D1F3A7)
    page = phone()
    _sign_in(page, f"/my/pickups/{pickup}")
    for line, text in {**ADDRESS, "line4": "", "line6": "Lyon"}.items():
        page.locator(f"#{line}").fill(text)
    page.get_by_role("button", name="Vérifier l’adresse").click()
    line4 = page.get_by_label("Numéro et rue")
    expect(line4).to_be_focused()
    expect(line4).to_have_accessible_description(re.compile("La ligne 4 est vide"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 320])
def test_every_page_fits_the_phone_and_can_be_read(
    site: Site, phone: Callable[..., Page], scheme: str, width: int
) -> None:
    site.press(0x00D1F3A7)
    page = phone(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})

    def measure(where: str) -> None:
        for fault, script in MEASURES.items():
            assert page.evaluate(script) == [], f"{where} {scheme} {width}: {fault}"
        assert page.locator("html").get_attribute("lang") == "fr"
        assert page.locator("h1").count() == page.locator("main").count() == 1

    def go(role: Literal["button", "link"], name: str, where: str) -> None:
        with page.expect_navigation():
            page.get_by_role(role, name=name).click()
        measure(where)

    page.goto("/nowhere")
    measure("nothing here")
    page.goto("/claim")
    measure("claim")
    go("button", "Associer", "claim, refused")
    page.goto("/appeal")
    measure("appeal")
    go("button", "Envoyer", "appeal, refused")
    for label, text in {"nom": "Hélène Vasseur", "E-mail": "h@example.org", "Numéro sur": "CD604127935FR"}.items():
        page.get_by_label(label).fill(text)
    page.get_by_label("passé").fill("Renvoyé à Rennes.")
    go("button", "Envoyer", "appeal, sent")
    page.goto("/sign-in")
    measure("sign in")
    page.get_by_label("E-mail").fill("x")
    page.get_by_label("Mot de passe").fill("x")
    go("button", "Se connecter", "sign in, refused")
    _sign_in(page, "/my")
    measure("requests")
    go("link", "Changer de mot de passe", "password")
    page.get_by_label("Mot de passe actuel").fill("quatre navettes rouges")
    for label in ("Nouveau mot de passe", "Nouveau mot de passe, encore une fois"):
        page.get_by_label(label, exact=True).fill("trois barques vertes")
    go("button", "Changer le mot de passe", "password, refused")
    expect(page.get_by_label("Mot de passe actuel")).to_have_accessible_description(re.compile("Ce n’est pas votre"))
    page.get_by_label("Mot de passe actuel").fill(PASSWORD)
    for label in ("Nouveau mot de passe", "Nouveau mot de passe, encore une fois"):
        page.get_by_label(label, exact=True).fill("trois barques vertes")
    go("button", "Changer le mot de passe", "password, changed")
    expect(page.get_by_role("status")).to_contain_text("est changé")
    page.goto("/my")
    go("link", "à confirmer", "six lines")
    page.locator("#line2").fill("x" * 50)
    go("button", "Vérifier", "six lines, refused")
    for line, text in {**ADDRESS, "line2": "W" * 38}.items():
        page.locator(f"#{line}").fill(text)
    go("button", "Vérifier", "review")
    go("button", "Confirmer", "confirmed")
    go("link", "Annuler", "cancel")
    go("button", "Annuler", "cancelled")


def test_the_keyboard_meets_the_skip_link_first(phone: Callable[..., Page]) -> None:
    page = phone()
    page.goto("/sign-in")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Aller au contenu")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
