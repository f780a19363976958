"""One symbol's ink, cut out of a picture, brought into the frame that the network knows."""

import cv2
import numpy as np

from cloud.stamps.reader.network import SIDE, Floats

EXTENT = 22  # pixels of the longer side at half ink: measured on EMNIST ByClass, which frames 24 and blurs
BLUR = 0.55  # pixels (σ), as soft as EMNIST's edges


def normalise(ink: Floats) -> Floats:
    """(h, w) ink from 0 to 1 → (28, 28), its extent 22 pixels and centred. No ink at all stays an empty frame."""
    rows, columns = np.nonzero(ink > 0.5)
    if not len(rows):
        return np.zeros((SIDE, SIDE), np.float32)
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    scale = EXTENT / float(max(bottom - top, right - left) + 1)
    if scale < 1:  # warpAffine samples points: what lies between them must be in them first
        ink = cv2.GaussianBlur(ink, (0, 0), 0.4 / scale)
    middle = (SIDE - 1) / 2
    move = np.array(
        [[scale, 0, middle - scale * (left + right) / 2], [0, scale, middle - scale * (top + bottom) / 2]], np.float64
    )
    frame = cv2.warpAffine(ink, move, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    return np.clip(cv2.GaussianBlur(frame, (0, 0), BLUR), 0, 1).astype(np.float32)
