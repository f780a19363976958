"""Pictures of codes: made ones that are kept here, and drawn ones that no code can be read from."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cloud.stamps.reader import picture
from cloud.stamps.reader.picture import Unreadable, open_picture
from cloud.stamps.reader.read import annotate, likeliest, read_picture

PICTURES = sorted((Path(__file__).parent / "pictures").glob("*.jpg"))


def encoded(colours: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(colours).save(out, form, **options)
    return out.getvalue()


def sheet(symbols: str, apart: int = 70, between: int = 60) -> np.ndarray:
    """Drawn with OpenCV's stroke font: as plain as writing gets."""
    page = np.full((200, 120 + len(symbols) * apart + len(symbols) // 2 * between, 3), 235, np.uint8)
    x = 60
    for at, symbol in enumerate(symbols):
        cv2.putText(page, symbol, (x, 130), cv2.FONT_HERSHEY_SIMPLEX, 2.4, (60, 40, 30), 5, cv2.LINE_AA)
        x += apart + (between if at % 2 else 0)
    return page


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_kept_picture_is_read_within_the_budget(path: Path):
    seen = read_picture(path.read_bytes())
    assert seen.lattice is not None, seen.why
    assert seen.lattice.shape == (8, 32)
    assert len(seen.boxes) == len(seen.guesses) == 8
    assert path.stem.split("-")[1] in [code for code, _ in likeliest(seen.lattice, 22)]


def test_there_are_kept_pictures_of_every_kind():
    assert {path.stem.split("-")[0] for path in PICTURES} == {
        "scan", "boxed", "skewed", "shaded", "blurred", "everything",
    }  # fmt: skip


def test_symbols_are_boxed_where_they_are():
    seen = read_picture(encoded(sheet("3AE7HK4X")))
    assert seen.lattice is not None, seen.why
    scale = seen.colours.shape[1] / sheet("3AE7HK4X").shape[1]
    lefts = [min(x for x, _ in corners) / scale for corners in seen.boxes]
    expected = [60 + 70 * at + 60 * (at // 2) for at in range(8)]
    assert lefts == pytest.approx(expected, abs=20)


@pytest.mark.parametrize("symbols", ["", "3", "3AE7H", "3AE7HK4", "3AE7HK4X2", "3AE7HK4X2P7R"])
def test_another_number_of_symbols_is_illegible(symbols: str):
    seen = read_picture(encoded(sheet(symbols)))
    assert seen.lattice is None
    assert seen.why
    assert seen.guesses == ()


def test_an_empty_box_is_no_symbol():
    page = np.full((220, 1100, 3), 240, np.uint8)
    for at in range(8):
        x = 60 + 110 * at + 40 * (at // 2)
        cv2.rectangle(page, (x, 60), (x + 100, 170), (150, 150, 150), 2)
        if at != 5:
            cv2.putText(page, "3AE7HK4X"[at], (x + 25, 145), cv2.FONT_HERSHEY_SIMPLEX, 2.4, (60, 40, 30), 5)
    seen = read_picture(encoded(page))
    assert seen.lattice is None
    assert len(seen.boxes) == 7


def test_the_annotated_picture_is_a_png_of_the_same_size():
    seen = read_picture(encoded(sheet("3AE7HK4X")))
    drawn = Image.open(io.BytesIO(annotate(seen)))
    assert drawn.format == "PNG"
    assert drawn.size == seen.colours.shape[1::-1]
    assert not np.array_equal(np.asarray(drawn), seen.colours)


def test_a_blank_picture_can_be_annotated_as_well():
    seen = read_picture(encoded(np.full((100, 300, 3), 240, np.uint8)))
    assert seen.lattice is None
    assert Image.open(io.BytesIO(annotate(seen))).format == "PNG"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_camera_turned_the_picture_and_says_so(form: str):
    page = sheet("3AE7HK4X")
    note = Image.Exif()
    note[0x0112] = 6  # EXIF orientation: turn by 90° clockwise to look at it
    turned = encoded(np.rot90(page).copy(), form, exif=note)
    assert open_picture(turned).shape == open_picture(encoded(page)).shape
    assert read_picture(turned).lattice is not None


def test_transparent_paper_is_white():
    page = sheet("3AE7HK4X")
    see_through = np.dstack([page, np.where(page.min(axis=2) > 200, 0, 255).astype(np.uint8)])
    see_through[see_through[..., 3] == 0] = 0
    assert read_picture(encoded(see_through)).lattice is not None


@pytest.mark.parametrize("side", [7_200, 60_000])
def test_a_bomb_is_refused_before_it_is_unpacked(side: int):
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    with pytest.raises(Unreadable, match="too many pixels"):
        open_picture(bomb)


def test_too_large_a_file_is_refused():
    with pytest.raises(Unreadable, match="MB"):
        open_picture(bytes(picture.MOST_BYTES + 1))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no PNG, JPEG or WebP"),
        (b"\xff\xd8\xff\xe0 and no more", "no PNG, JPEG or WebP|broken"),
        (encoded(np.zeros((40, 40, 3), np.uint8), "GIF"), "no PNG, JPEG or WebP"),
        (encoded(sheet("3AE7"), "PNG")[:600], "broken"),
        (encoded(np.zeros((5, 400, 3), np.uint8)), "from nearer"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_to_do(data: bytes, why: str):
    with pytest.raises(Unreadable, match=why):
        open_picture(data)


@given(st.binary(max_size=200), st.integers(0, 3000))
def test_a_damaged_picture_is_refused_or_looked_at_and_never_crashes(noise: bytes, at: int):
    whole = encoded(sheet("3A"), "JPEG")
    at %= len(whole)
    with suppress(Unreadable):  # any other error fails
        read_picture(whole[:at] + noise + whole[at + len(noise) :])
