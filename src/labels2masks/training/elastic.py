"""Elastic deformation: the one augmentation that U-Net's authors call the key to few photos of tissue.

A random displacement for each point of a coarse 3 x 3 grid, normal with 10 px, in between bicubic (Ronneberger,
Fischer, Brox, arXiv 1505.04597, section 3.1). The picture and masks are sampled where their pixels come from; what is
drawn (clicks, strokes, boxes) is moved to where it goes, and stays drawn.

With a matrix, picture and labels are first moved by x' = M x into the raster of the field, and sampled once for both.

Legend: H, W = pixels of the field; fields of shape HW2 hold (x, y) in pixels; P = points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from ..labels import Label, Mask
from ..labels.geometry import moved, pixel_matrix, with_outlines
from ..labels.kinds import Box, Boxes, Point, Points, Regions, Scribbles, Stroke


def displacement(
    height: int, width: int, draw: np.random.Generator, sigma: float = 10.0, points: int = 3
) -> np.ndarray:
    """field_HW2 float32: pixel (x, y) of the deformed picture shows what was at (x, y) + field[y, x].

    sigma: standard deviation of the points' displacements, in pixels. points: of the coarse grid, along each axis; its
    outer ones lie on the picture's corners.
    """
    coarse = draw.normal(0, sigma, (points, points, 2))
    rows_Hp, columns_Wp = _cubic(height, points), _cubic(width, points)
    return np.einsum("hp,pqc,wq->hwc", rows_Hp, coarse, columns_Wp, optimize=True).astype(np.float32)


def deformed(
    image_HW: np.ndarray, field_HW2: np.ndarray, fill: int | None = None, matrix_23: np.ndarray | None = None
) -> np.ndarray:
    """The picture or map, moved by the matrix if there is one, seen through the field: of its shape, of one type.

    fill: None = a picture, HW3 uint8: sampled bilinearly and mirrored beyond its edges, as U-Net continues it. Else a
    map of numbers: its nearest pixel, and `fill` beyond its edges.
    """
    x_HW, y_HW = _sources(field_HW2, matrix_23)
    if fill is None:
        return cv2.remap(image_HW, x_HW, y_HW, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return cv2.remap(image_HW, x_HW, y_HW, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=fill)


def moved_points(xy_P2: np.ndarray, field_HW2: np.ndarray) -> np.ndarray:
    """Where points of the picture lie after the deformation; (x, y) continuous, pixel x covers [x, x + 1).

    The field says where pixels come from, so a point goes to the q with q + field(q) = p, found by fixed-point
    iteration: it converges where neighbours move less apart than they lie (10 px over half a photo does).
    """
    height, width = field_HW2.shape[:2]
    target_P2 = np.asarray(xy_P2, np.float32).reshape(-1, 2)
    found_P2 = target_P2.copy()
    for _ in range(20):
        at_P2 = np.clip(found_P2 - 0.5, 0, (width - 1, height - 1)).astype(np.float32)
        moves = cv2.remap(field_HW2, at_P2[:, None, 0], at_P2[:, None, 1], cv2.INTER_LINEAR)
        found_P2 = target_P2 - moves.reshape(-1, 2)
    return found_P2.astype(np.float64)


def moved_labels(
    labels: Sequence[Label], field_HW2: np.ndarray, matrix_23: np.ndarray | None = None
) -> tuple[Label, ...]:
    """Labels in the raster of the field, after the matrix if there is one and the deformation.

    Clicks outside the raster are dropped. A box becomes the four-cornered figure of its moved corners. A mask, which
    must be loaded, is void (-1) where there is no picture. Tags and shares stay.
    """
    return tuple(_moved(label, field_HW2, matrix_23) for label in labels)


def _moved(label: Label, field_HW2: np.ndarray, matrix_23: np.ndarray | None) -> Label:
    height, width = field_HW2.shape[:2]
    if matrix_23 is not None and not isinstance(label, Mask):
        (label,) = moved((label,), matrix_23, height, width)

    def there(xy: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
        return tuple((float(x), float(y)) for x, y in moved_points(np.array(xy), field_HW2)) if xy else ()

    if isinstance(label, Points):
        marks = [Point(m.name, *there([(m.x, m.y)])[0], m.negative) for m in label.marks]
        return replace(label, marks=tuple(m for m in marks if 0 <= m.x < width and 0 <= m.y < height))
    if isinstance(label, Scribbles):
        return replace(label, marks=tuple(Stroke(m.name, there(m.xy), m.width, m.negative) for m in label.marks))
    if isinstance(label, Boxes):
        return replace(
            label,
            marks=tuple(Box(m.name, there(m.corners), there(m.extremes)) for m in label.marks),  # type: ignore[arg-type]
        )
    if isinstance(label, Regions):
        return replace(
            label, marks=tuple(with_outlines(m, lambda xy: moved_points(xy, field_HW2)) for m in label.marks)
        )
    if isinstance(label, Mask):
        if label.ids_HW is None:
            raise ValueError("the mask must be loaded (ids_HW) before it is deformed")
        # float32 holds every id of a file (up to 65535) and is what OpenCV samples.
        ids_HW = deformed(label.ids_HW.astype(np.float32), field_HW2, -1, matrix_23)
        return replace(label, ids_HW=ids_HW.astype(np.int32))
    return label


def _sources(field_HW2: np.ndarray, matrix_23: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(x_HW, y_HW) float32, in OpenCV's numbers: what of the picture each pixel of the field shows."""
    height, width = field_HW2.shape[:2]
    x_HW = field_HW2[..., 0] + np.arange(width, dtype=np.float32)
    y_HW = field_HW2[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    if matrix_23 is None:
        return x_HW, y_HW
    back_23 = cv2.invertAffineTransform(pixel_matrix(matrix_23)).astype(np.float32)
    return tuple(a * x_HW + b * y_HW + c for a, b, c in back_23)  # type: ignore[return-value]


def _cubic(pixels: int, points: int) -> np.ndarray:
    """weights_Pp: cubic convolution (Keys 1981, a = -1/2) from `points` to `pixels`; rows sum to 1.

    Beyond the outer points the outer point is repeated.
    """
    position_P = np.linspace(0, points - 1, pixels) if pixels > 1 else np.full(1, (points - 1) / 2)
    weights_Pp = np.zeros((pixels, points))
    base_P = np.floor(position_P).astype(int)
    for step in (-1, 0, 1, 2):
        t_P = np.abs(position_P - (base_P + step))
        inner = 1.5 * t_P**3 - 2.5 * t_P**2 + 1
        outer = -0.5 * t_P**3 + 2.5 * t_P**2 - 4 * t_P + 2
        weight_P = np.where(t_P <= 1, inner, np.where(t_P < 2, outer, 0))
        np.add.at(weights_Pp, (np.arange(pixels), np.clip(base_P + step, 0, points - 1)), weight_P)
    return weights_Pp
