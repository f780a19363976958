"""The claim code for the customer: on the terminal, and on the card that goes into the button's box."""

import html
import io
from collections.abc import Sequence
from pathlib import Path

import segno
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console

from tools.flash.certificate import write_private

CARD_MM = 85.6, 54.0  # ISO/IEC 7810 ID-1, a bank card
DOTS_A_MM = 12  # 300 dpi
QR_MM, QR_AT_MM = 32, (5, 12)  # with the four light modules around it that readers want
FRENCH = ("Votre bouton Domino", "Scannez ce code, ou tapez :")
ENGLISH = ("Your Domino button", "Scan this code, or type:")


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
    page = f"{base_url.rstrip('/')}/claim".partition("://")[2] if base_url else ""
    texts = [(FRENCH[0], 4, (5, 7)), (ENGLISH[0], 3, (5, 50)), (FRENCH[1], 3, (42, 18)), (ENGLISH[1], 3, (42, 23))]
    texts += [(code, 5, (42, 33)), (page, min(3, 75 / max(len(page), 1)), (42, 39)), (button, 3, (42, 44))]
    qr = segno.make(claim_text(code, base_url), error="m", micro=False)
    write_private(path, _png(qr, texts) if path.suffix.lower() == ".png" else _svg(qr, texts))


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
