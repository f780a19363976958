"""A picture as it comes from outside: opened within limits, turned upright, and its ink told from its paper."""

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from cloud.stamps.reader.network import Floats

MOST_BYTES = 20_000_000
MOST_PIXELS = 50_000_000  # a handset's best camera; 150 MB once opened
TOO_LARGE = f"the picture has too many pixels: send one of at most {MOST_PIXELS // 10**6} million"
LEAST_SIDE = 24  # pixels: under it nobody reads eight symbols
LONGEST = 1_600  # pixels that a picture is made smaller to
SHORTEST = 700  # and larger to: thin strokes want room
FORMATS = ("PNG", "JPEG", "WEBP")

Colours = NDArray[Any]  # uint8


class Unreadable(ValueError):
    """No picture that could be looked at; the text says what to do."""


def open_picture(data: bytes) -> Colours:
    """(h, w, 3) red, green, blue, upright, its longer side `SHORTEST` to `LONGEST`. Raises `Unreadable`."""
    if len(data) > MOST_BYTES:
        raise Unreadable(f"the picture has {len(data) / 1e6:.0f} MB: send one of at most {MOST_BYTES // 10**6} MB")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size  # from the header: nothing is unpacked yet
            if width * height > MOST_PIXELS:
                raise Unreadable(TOO_LARGE)
            if min(width, height) < LEAST_SIDE:
                raise Unreadable(f"the picture has only {width} × {height} pixels: take it from nearer")
            image.draft("RGB", (2 * LONGEST, 2 * LONGEST))  # a large JPEG is unpacked at a half or a quarter
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("RGBA", "LA", "PA", "P"):
                upright = upright.convert("RGBA")
                paper = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(paper, upright)
            colours = np.asarray(upright.convert("RGB"))
    except Unreadable:
        raise
    except Image.DecompressionBombError:
        raise Unreadable(TOO_LARGE) from None
    except UnidentifiedImageError:
        raise Unreadable("this is no PNG, JPEG or WebP picture, or a broken one: send the photo itself") from None
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise Unreadable(f"the picture is broken ({type(error).__name__}): take or send it again") from None
    longest = max(colours.shape[:2])
    scale = min(LONGEST / longest, 1) if longest > SHORTEST else SHORTEST / longest
    if scale == 1:
        return colours
    size = max(1, round(colours.shape[1] * scale)), max(1, round(colours.shape[0] * scale))
    return cv2.resize(colours, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def find_ink(colours: Colours) -> Floats:
    """(h, w) from 0, paper, to 1, as dark as the pen gets: whatever the pen's colour, in uneven light."""
    blurred = cv2.GaussianBlur(colours, (0, 0), 1.0).astype(np.float32)
    height, width = blurred.shape[:2]
    small = 400 / max(height, width)
    coarse = cv2.resize(blurred, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
    # Wider than any stroke: what is dark and thinner than this is closed, and paper and its shadow remain.
    coarse = cv2.morphologyEx(coarse, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (25, 25)))
    paper = cv2.resize(cv2.GaussianBlur(coarse, (0, 0), 4), (width, height), interpolation=cv2.INTER_LINEAR)
    dark = ((paper - blurred) / np.maximum(paper, 30)).max(axis=2)
    noise = 1.5 * float(np.median(np.abs(dark - np.median(dark))))
    dark = dark - float(np.median(dark))
    inked = dark[dark > max(6 * noise, 0.08)]
    if len(inked) < 30:
        return np.zeros((height, width), np.float32)
    pen = float(np.percentile(inked, 75))
    return np.clip(dark / pen, 0, 1.2).astype(np.float32)
