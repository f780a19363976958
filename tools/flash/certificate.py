"""What there is to show for a flashed board: the certificate, which is kept, and the card, which goes into the box.

The certificate has the key's fingerprint and never the key; nor the claim code, for it makes an owner of whoever
reads it.
"""

import html
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import segno
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.markup import escape

from cloud import database
from cloud.fleet.model import format_id
from tools.flash.checks import Check
from tools.flash.firmware import Changes, Firmware
from tools.terminal import Failure

CARD_MM = 85.6, 54.0  # ISO/IEC 7810 ID-1, a bank card
DOTS_A_MM = 12  # 300 dpi
QR_MM, QR_AT_MM = 32, (5, 12)  # with the four light modules around it that readers want
FRENCH = ("Votre bouton Domino", "Scannez ce code, ou tapez :")
ENGLISH = ("Your Domino button", "Scan this code, or type:")


def certify(
    report: Mapping[str, Any], firmware: Firmware, changes: Changes, checks: Sequence[Check], *, written: str
) -> dict[str, Any]:
    """`report` is what the board said last, `written` what became of its identity."""
    settings = report["settings"]
    return {
        "button": None if report["fingerprint"] is None else format_id(report["id"]),
        "key_generation": report["generation"],
        "key_fingerprint": report["fingerprint"],
        "counter": report["counter"],
        "identity": written,
        "board": report["board"],
        "machine": report["machine"],
        "micropython": report["version"],
        "firmware": firmware.hash,
        "files": firmware.hashes,
        "copied": list(changes.copy),
        "removed": list(changes.remove),
        "link": settings["link"] or "mqtt",
        "wifi": settings["ssid"],
        "broker": None if settings["host"] is None else f"{settings['host']}:{settings['port']}",
        "ca_sha256": report["ca"] if settings["ca_size"] else None,
        "heartbeat_hours": settings["hours"] or 24,
        "tests": [asdict(check) for check in checks],
        "passed": all(check.passed is not False for check in checks),
        "at": database.now().isoformat(timespec="seconds"),
    }


def show(told: Mapping[str, Any], console: Console) -> None:
    def line(name: str, value: object) -> None:
        console.print(f"[dim]{name:12}[/] {escape(str(value))}", soft_wrap=True)

    line("button", f"{told['button']}, key generation {told['key_generation']}" if told["button"] else "none")
    line("identity", told["identity"])
    line("key", f"fingerprint {told['key_fingerprint']}" if told["key_fingerprint"] else "none")
    line("board", f"{told['board']}, {told['machine']}")
    line("MicroPython", told["micropython"])
    copied = f"{len(told['copied'])} of {len(told['files'])} files copied" if told["copied"] else "unchanged"
    line("firmware", f"{told['firmware'][:16]}  {copied}, all read back")
    radio = f"Wi-Fi {told['wifi']}, broker {told['broker']}, {'TLS' if told['ca_sha256'] else 'no TLS'}"
    line("link", "Sigfox modem" if told["link"] == "wisol" else radio)
    for test in told["tests"]:
        mark = {True: "[green]passed[/]", False: "[red]FAILED[/]", None: "[dim]left out[/]"}[test["passed"]]
        said = "" if test["passed"] is None else escape(test["said"])
        console.print(f"[dim]{'test ' + test['name']:12}[/] {mark}  {said}", soft_wrap=True)


def claim_text(code: str, base_url: str | None) -> str:
    """What the QR says: the page that takes the code, or the code itself where no address is known."""
    return f"{base_url.rstrip('/')}/claim?code={code}" if base_url else code


def show_claim(code: str, base_url: str | None, console: Console) -> None:
    drawn = io.StringIO()
    segno.make(claim_text(code, base_url), error="m", micro=False).terminal(drawn, compact=True)
    console.print(f"\n[dim]{'claim code':12}[/] [bold]{code}[/]  [dim]for the card in the box; shown this once[/]")
    console.print(drawn.getvalue(), markup=False, highlight=False, no_wrap=True)


def write_card(path: Path, button: str, code: str, base_url: str | None) -> None:
    """The card to print, SVG or PNG by the file's name."""
    kind = path.suffix.lower()
    if kind not in (".svg", ".png"):
        raise Failure(f"{path}: a card is .svg or .png", 2)
    page = f"{base_url.rstrip('/')}/claim".partition("://")[2] if base_url else ""
    texts = [(FRENCH[0], 4, (5, 7)), (ENGLISH[0], 3, (5, 50)), (FRENCH[1], 3, (42, 18)), (ENGLISH[1], 3, (42, 23))]
    texts += [(code, 5, (42, 33)), (page, min(3, 75 / max(len(page), 1)), (42, 39)), (button, 3, (42, 44))]
    qr = segno.make(claim_text(code, base_url), error="m", micro=False)
    write_private(path, _svg(qr, texts) if kind == ".svg" else _png(qr, texts))


Texts = Sequence[tuple[str, float, tuple[float, float]]]  # what, its size and where its baseline begins, in mm


def _svg(qr: segno.QRCode, texts: Texts) -> bytes:
    width, height = CARD_MM
    side = qr.symbol_size(border=0)[0]
    drawing = qr.svg_inline(border=0, omitsize=True, scale=1, svgclass=None, lineclass=None)
    inner = drawing.replace("<svg ", f'<svg x="{QR_AT_MM[0]}" y="{QR_AT_MM[1]}" width="{QR_MM}" height="{QR_MM}" ', 1)
    assert f"0 0 {side} {side}" in inner
    words = "".join(
        f'<text x="{x}" y="{y}" font-size="{size}" font-family="sans-serif">{html.escape(text)}</text>'
        for text, size, (x, y) in texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}">'
        f'<rect width="100%" height="100%" fill="white"/>{inner}{words}</svg>\n'
    ).encode()


def _png(qr: segno.QRCode, texts: Texts) -> bytes:
    card = Image.new("L", (round(CARD_MM[0] * DOTS_A_MM), round(CARD_MM[1] * DOTS_A_MM)), 255)
    drawn, out = io.BytesIO(), io.BytesIO()
    qr.save(drawn, kind="png", border=0, scale=8)
    side, at = QR_MM * DOTS_A_MM, (QR_AT_MM[0] * DOTS_A_MM, QR_AT_MM[1] * DOTS_A_MM)
    card.paste(Image.open(drawn).convert("L").resize((side, side), Image.Resampling.NEAREST), at)
    pen = ImageDraw.Draw(card)
    for text, size, (x, y) in texts:
        font = ImageFont.load_default(size * DOTS_A_MM)
        pen.text((x * DOTS_A_MM, y * DOTS_A_MM), text, fill=0, font=font, anchor="ls")
    card.save(out, "PNG", dpi=(DOTS_A_MM * 25.4,) * 2)
    return out.getvalue()


def write_private(path: Path, data: bytes) -> None:
    """For its owner alone, from its first byte on; over an older one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        os.fchmod(out.fileno(), 0o600)
        out.write(data)
