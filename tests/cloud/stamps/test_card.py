"""Cards, rasterised and read back as a handset would."""

import io
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pypdfium2
import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import sync_playwright

from cloud.stamps.card import HEIGHT, MARGIN, WIDTH, Bar, Card, Sheet, Words, data_matrix, draw, to_pdf, to_svg
from cloud.stamps.item import parcel_number, payload, read_marks

COARSE = 2  # 144 dots an inch: what a cheap printer and a handset leave of it
DOCS = Path(__file__).parents[3] / "docs"
CARD = Card("7K4F2M9X", parcel_number(604127))


def cards(count: int) -> list[Card | None]:
    return [Card(f"7K4F2M{at:02}", parcel_number(604127 + at)) for at in range(count)]


def matrices(page: Image.Image) -> list[str]:
    return sorted(found.text for found in zxingcpp.read_barcodes(page) if found.format == zxingcpp.DataMatrix)


def pdf_pages(pdf: bytes) -> list[Image.Image]:
    return [page.render(scale=COARSE).to_pil() for page in pypdfium2.PdfDocument(pdf)]


@pytest.fixture(scope="module")
def svg_page() -> Callable[[str], Image.Image]:
    def rasterise(svg: str) -> Image.Image:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 800, "height": 1130}, device_scale_factor=2)
            page.set_content(svg)
            return Image.open(io.BytesIO(page.screenshot()))

    return rasterise


@pytest.mark.parametrize("sheet", Sheet)
def test_every_datamatrix_of_a_pdf_is_read_back_as_the_item_it_lies_on(sheet):
    made = cards(9)
    read = [text for page in pdf_pages(to_pdf(made, sheet)) for text in matrices(page)]
    assert sorted(read) == [payload(card.code, card.number) for card in made if card]
    assert read_marks(read[0]).pickup_id in range(604127, 604136)


def test_every_datamatrix_of_an_svg_is_read_back(svg_page):
    made = cards(8)
    assert matrices(svg_page(to_svg(made, Sheet.A4))) == [payload(card.code, card.number) for card in made if card]


def test_a_pdf_says_code_and_number_in_letters_too():
    (page,) = pypdfium2.PdfDocument(to_pdf([CARD], Sheet.A7))
    text = "".join(page.get_textpage().get_text_bounded().split())
    assert "7K4F2M9X" in text
    assert "CD006041272FR" in text
    assert "Timbrenumérique" in text


@pytest.mark.parametrize("card", [CARD, None], ids=["a card", "a blank one"])
def test_a_card_has_eight_boxes_in_four_pairs_and_nothing_in_its_margin(card):
    marks = list(draw(card))
    boxes = [mark for mark in marks if isinstance(mark, Bar) and not mark.is_filled]
    gaps = [round(right.x - left.x - left.width, 3) for left, right in pairwise(boxes)]
    assert gaps == [1, 4, 1, 4, 1, 4, 1]
    for mark in marks:
        assert mark.x >= MARGIN - 2
        assert mark.y <= HEIGHT - 5
        if isinstance(mark, Bar):
            assert mark.x + mark.width <= WIDTH - MARGIN + 0.001


def test_nothing_is_drawn_over_the_datamatrix_or_closer_than_its_quiet_zone():
    squares = [mark for mark in draw(CARD) if isinstance(mark, Bar) and mark.is_filled]
    left, top = min(bar.x for bar in squares) - 0.9, min(bar.y for bar in squares) - 0.9
    bottom = max(bar.y + bar.height for bar in squares) + 0.9
    beside = [mark for mark in draw(CARD) if isinstance(mark, Words) and top < mark.y - mark.size < bottom]
    assert beside
    wide = 0.62  # of its height: the widest letter of the fonts that are used, on average over a line
    assert all(mark.x + len(mark.text) * mark.size * wide < left for mark in beside)


def test_a_blank_card_has_no_matrix_and_no_number():
    (page,) = pdf_pages(to_pdf([None], Sheet.A7))
    assert matrices(page) == []
    assert not [mark for mark in draw(None) if isinstance(mark, Bar) and mark.is_filled]
    assert not [mark for mark in draw(None) if isinstance(mark, Words) and mark.is_mono]


def test_the_matrix_is_square_and_of_one_size_for_every_item():
    sizes = {
        (len(squares), len(squares[0]))
        for card in cards(20)
        if card
        for squares in [data_matrix(payload(card.code, card.number))]
    }
    assert sizes == {(18, 18)}


@pytest.mark.parametrize("count", [0, 9])
def test_an_svg_holds_one_page_and_says_so(count):
    with pytest.raises(ValueError, match="holds 1 to 8 cards"):
        to_svg(cards(count), Sheet.A4)


def test_a_code_is_in_no_repr():
    assert "7K4F2M9X" not in repr(CARD)


def test_the_picture_in_the_documents_is_what_is_printed():
    """Draw it anew with `to_svg([CARD], Sheet.A7)`."""
    assert (DOCS / "images/stamp-card.svg").read_text() == to_svg([CARD], Sheet.A7)
