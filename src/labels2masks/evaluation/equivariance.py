"""Does the label follow the picture? Move, turn or scale a photo, predict again, and compare with the moved prediction.

Pooling and strides make a network blind to shifts below its stride, or, worse, sensitive to them: Zhang, "Making
Convolutional Networks Shift-Invariant Again", ICML 2019, arXiv 1904.11486. Only pixels that both pictures hold are
counted, and none near the border that a moved picture had to be filled up at.

Legend: H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from torch import nn

from ..errors import UsageError
from ..prediction.network import predict_mask

BORDER = 16
_ROUNDED = 1e-6


@dataclass(frozen=True)
class Followed:
    """kind: shift (pixels, right and down), rotation (degrees) or scale. share: of the pixels, 0..1, None for none."""

    kind: str
    amount: float
    share: float | None
    pixels: int


def equivariance(
    network: nn.Module,
    images: Iterable[np.ndarray],
    shifts: Sequence[float] = (1, 2, 4, 8),
    rotations: Sequence[float] = (5, 15, 45, 90),
    scales: Sequence[float] = (0.75, 1.5),
    border: int = BORDER,
) -> list[Followed]:
    """The share of pixels whose label follows the picture, for every shift, rotation and scale, over all images.

    images: uint8 HW3 RGB. The moved photo has the same size; what comes in from outside is mirrored, and pixels within
    `border` of it, or of the photo's own border, are not counted. A whole shift, and a rotation by 90 degrees of a
    square photo, move pixels onto pixels; all others interpolate, which costs a little of its own.
    Raises UsageError for scales that are not above 0.
    """
    if any(s <= 0 for s in scales):
        raise UsageError(f"scales are above 0, got {list(scales)}")
    moves = [("shift", a) for a in shifts] + [("rotation", a) for a in rotations] + [("scale", a) for a in scales]
    same, total = np.zeros(len(moves), np.int64), np.zeros(len(moves), np.int64)
    for image_HW3 in images:
        mask_HW = predict_mask(network, image_HW3)
        for k, (kind, amount) in enumerate(moves):
            to_23 = _motion(kind, amount, *image_HW3.shape[:2])
            again_HW = predict_mask(network, moved_picture(image_HW3, to_23))
            expected_HW, inside_HW = moved_labels(mask_HW, to_23, border)
            same[k] += np.count_nonzero((again_HW == expected_HW) & inside_HW)
            total[k] += np.count_nonzero(inside_HW)
    return [
        Followed(kind, amount, float(s / n) if n else None, int(n))
        for (kind, amount), s, n in zip(moves, same, total, strict=True)
    ]


def moved_picture(image_HW3: np.ndarray, to_23: np.ndarray) -> np.ndarray:
    """The photo moved by an affine map of pixel indices (x, y), bilinear, mirrored beyond its border."""
    size = image_HW3.shape[1::-1]
    return cv2.warpAffine(image_HW3, to_23, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def moved_labels(mask_HW: np.ndarray, to_23: np.ndarray, border: int) -> tuple[np.ndarray, np.ndarray]:
    """(the labels moved in the same way, by the nearest pixel; bool HW: at least `border` inside both pictures)."""
    height, width = mask_HW.shape
    back_23 = cv2.invertAffineTransform(to_23)
    y_HW, x_HW = np.mgrid[:height, :width].astype(np.float64)
    from_x_HW = back_23[0, 0] * x_HW + back_23[0, 1] * y_HW + back_23[0, 2]
    from_y_HW = back_23[1, 0] * x_HW + back_23[1, 1] * y_HW + back_23[1, 2]
    inside_HW = np.ones((height, width), bool)
    for x, y in ((x_HW, y_HW), (from_x_HW, from_y_HW)):
        for at, last in ((x, width - 1), (y, height - 1)):
            inside_HW &= (at >= border - _ROUNDED) & (at <= last - border + _ROUNDED)
    column_HW = np.clip(np.rint(from_x_HW), 0, width - 1).astype(np.int64)
    row_HW = np.clip(np.rint(from_y_HW), 0, height - 1).astype(np.int64)
    return mask_HW[row_HW, column_HW], inside_HW


def _motion(kind: str, amount: float, height: int, width: int) -> np.ndarray:
    if kind == "shift":
        return np.array([[1, 0, amount], [0, 1, amount]], np.float64)
    middle = ((width - 1) / 2, (height - 1) / 2)
    angle, scale = (amount, 1.0) if kind == "rotation" else (0.0, amount)
    return cv2.getRotationMatrix2D(middle, angle, scale)
