"""The card that goes with a parcel: the code in large pairs, a DataMatrix, the parcel number, and boxes to write into.

A card is A7. It is drawn once, as a list of marks in millimetres, and put on a page by two writers, SVG and PDF.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from html import escape

from cloud.stamps.item import payload
from cloud.stamps.model import pairs
from cloud.stamps.s10 import Number

WIDTH, HEIGHT = 105.0, 74.0  # mm, A7
MARGIN = 8.0  # mm; printers leave 5 mm white, and a DataMatrix wants one module around it
MODULE = 0.9  # mm a square of the DataMatrix: a handset reads it from 30 cm
BOX, BOX_GAP, PAIR_GAP = 9.0, 1.0, 4.0  # mm, to write into with a pen
INK, SOFT, EDGE = "#12171e", "#55606d", "#7c8794"
MM_A_POINT = 25.4 / 72


class Sheet(StrEnum):
    """What it is printed on."""

    A4 = "a4"  # eight cards
    A6 = "a6"  # two, the usual parcel label
    A7 = "a7"  # one


# Page width and height in mm, cards across and down.
PAGES = {
    Sheet.A4: (210.0, 297.0, 2, 4),
    Sheet.A6: (105.0, 148.0, 1, 2),
    Sheet.A7: (105.0, 74.0, 1, 1),
}


@dataclass(frozen=True, slots=True)
class Card:
    code: str = field(repr=False)
    number: Number


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle: filled with ink, or outlined with a thin grey line."""

    x: float
    y: float
    width: float
    height: float
    is_filled: bool


@dataclass(frozen=True, slots=True)
class Words:
    """`x` is the left end, or the middle, of the base line."""

    x: float
    y: float
    size: float  # mm
    text: str = field(repr=False)
    colour: str = INK
    is_bold: bool = False
    is_mono: bool = False
    is_centred: bool = False


Mark = Bar | Words


def draw(card: Card | None) -> Iterator[Mark]:
    """The marks of one card from its upper left corner; None is a card with boxes alone."""
    yield Words(MARGIN, 11.5, 3.8, "Timbre numérique", is_bold=True)
    yield Words(MARGIN + 44, 11.5, 3.2, "Digital stamp", SOFT)
    if card is None:
        yield from _to_be_written(26)
    else:
        yield from _printed(card)
        yield from _to_be_written(43.5)


def _printed(card: Card) -> Iterator[Mark]:
    for at, symbol in enumerate("".join(pairs(card.code))):
        pair, place = divmod(at, 2)
        yield Words(12 + 16.8 * pair + 7 * place, 24, 11.5, symbol, is_bold=True, is_mono=True, is_centred=True)
    yield Words(MARGIN, 31, 2.4, "N° du colis · Parcel number", SOFT)
    yield Words(MARGIN, 36, 4.4, card.number.grouped, is_bold=True, is_mono=True)
    squares = data_matrix(payload(card.code, card.number))
    left, top = WIDTH - MARGIN - MODULE * len(squares[0]), 15.0
    for y, row in enumerate(squares):
        for x, length in _runs(row):
            yield Bar(left + MODULE * x, top + MODULE * y, MODULE * length, MODULE, is_filled=True)


def _to_be_written(top: float) -> Iterator[Mark]:
    yield Words(MARGIN, top, 2.9, "Écrivez le code, une capitale ou un chiffre par case.")
    yield Words(MARGIN, top + 3.5, 2.4, "Write the code, one capital or digit in each box.", SOFT)
    width = 8 * BOX + 4 * BOX_GAP + 3 * PAIR_GAP
    for at in range(8):
        pair, place = divmod(at, 2)
        x = (WIDTH - width) / 2 + pair * (2 * BOX + BOX_GAP + PAIR_GAP) + place * (BOX + BOX_GAP)
        yield Bar(x, top + 6.5, BOX, BOX, is_filled=False)
    yield Words(MARGIN, top + 20.5, 2.9, "Jamais O, I, S ni Z : ce sont 0, 1, 5 et 2. Stylo noir ou bleu.")
    yield Words(MARGIN, top + 24, 2.4, "Never O, I, S or Z: they are 0, 1, 5 and 2. Black or blue pen.", SOFT)


def data_matrix(text: str) -> list[list[bool]]:
    """The squares of a DataMatrix (ISO/IEC 16022, ECC 200), row by row, True for ink."""
    import zxingcpp  # here, so that only printing loads it

    # `force_square` is for any length of text one shape; without it a short text makes a long strip.
    made = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.DataMatrix, force_square=True)
    grey = made.to_image(scale=1, add_quiet_zones=False)  # 0 is ink
    image = memoryview(grey)  # type: ignore[arg-type]  # it is a buffer, which its types do not say
    rows, columns = image.shape or (0, 0)
    return [[image[y, x] == 0 for x in range(columns)] for y in range(rows)]


def _runs(row: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Start and length of each run of ink: one bar instead of many, with no hairline between them."""
    start = None
    for at, is_ink in enumerate([*row, False]):
        if is_ink and start is None:
            start = at
        elif not is_ink and start is not None:
            yield start, at - start
            start = None


def _pages(cards: Sequence[Card | None], sheet: Sheet) -> Iterator[list[tuple[float, float, Card | None]]]:
    """The cards of each page, with the left and top of their place in mm."""
    width, height, across, down = PAGES[sheet]
    for first in range(0, len(cards), across * down):
        yield [
            (at % across * width / across, at // across * height / down, card)
            for at, card in enumerate(cards[first : first + across * down])
        ]


def to_svg(cards: Sequence[Card | None], sheet: Sheet) -> str:
    """One page. Raises `ValueError` where the cards need more."""
    width, height, across, down = PAGES[sheet]
    if not 0 < len(cards) <= across * down:
        raise ValueError(f"an SVG is one page, and {sheet} holds 1 to {across * down} cards, not {len(cards)}")
    (page,) = _pages(cards, sheet)
    marks = [_svg(x, y, mark) for x, y, card in page for mark in (*draw(card), *_cut(sheet))]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}mm" height="{height:g}mm" '
        f'viewBox="0 0 {width:g} {height:g}" lang="fr">\n'
        "<style>text{font-family:Helvetica,Arial,'Liberation Sans','DejaVu Sans',sans-serif}"
        ".mono{font-family:'DejaVu Sans Mono','Liberation Mono',Menlo,Consolas,monospace}</style>\n"
        f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>\n' + "\n".join(marks) + "\n</svg>\n"
    )


def _svg(x: float, y: float, mark: Mark) -> str:
    at = f'x="{x + mark.x:.2f}" y="{y + mark.y:.2f}"'
    if isinstance(mark, Bar):
        paint = f'fill="{INK}"' if mark.is_filled else f'fill="none" stroke="{EDGE}" stroke-width=".25"'
        return f'<rect {at} width="{mark.width:.2f}" height="{mark.height:.2f}" {paint}/>'
    look = f'font-size="{mark.size}" fill="{mark.colour}"'
    look += ' font-weight="bold"' if mark.is_bold else ""
    look += ' class="mono"' if mark.is_mono else ""
    look += ' text-anchor="middle"' if mark.is_centred else ""
    return f"<text {at} {look}>{escape(mark.text)}</text>"


def _cut(sheet: Sheet) -> Iterator[Mark]:
    if sheet is not Sheet.A7:
        yield Bar(0, 0, WIDTH, PAGES[sheet][1] / PAGES[sheet][3], is_filled=False)


def to_pdf(cards: Sequence[Card | None], sheet: Sheet) -> bytes:
    """As many pages as the cards need, in fonts that every reader of PDF has by itself."""
    from fpdf import FPDF  # here, so that only printing loads it

    width, height, _across, _down = PAGES[sheet]
    pdf = FPDF(unit="mm", format=(width, height))
    pdf.set_auto_page_break(False)
    pdf.set_margin(0)
    pdf.set_lang("fr")
    pdf.set_title("Domino : timbres numériques")
    for page in _pages(cards, sheet):
        pdf.add_page()
        for x, y, card in page:
            for mark in (*draw(card), *_cut(sheet)):
                if isinstance(mark, Bar):
                    pdf.set_fill_color(INK)
                    pdf.set_draw_color(EDGE)
                    pdf.set_line_width(0.25)
                    style = "F" if mark.is_filled else "D"
                    pdf.rect(x + mark.x, y + mark.y, mark.width, mark.height, style=style)
                    continue
                pdf.set_font("Courier" if mark.is_mono else "Helvetica", "B" if mark.is_bold else "")
                pdf.set_font_size(mark.size / MM_A_POINT)
                pdf.set_text_color(mark.colour)
                left = x + mark.x - (pdf.get_string_width(mark.text) / 2 if mark.is_centred else 0)
                pdf.text(left, y + mark.y, mark.text)
    return bytes(pdf.output())
