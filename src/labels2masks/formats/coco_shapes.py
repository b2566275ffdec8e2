"""Shapes of a COCO annotation: JSON of any quality -> numbers that can be used.

Where a value is damaged a function says so by `note(sentence)`. What leads out of the photo is cut later, by `Marks`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..labels.kinds import XY, Polygon
from ..labels.outlines import regions
from .rle import pixels_of_rle
from .shapes import FAR

Note = Callable[[str], None]
Bounds = tuple[float, float, float, float]


def outlines(value: Any, size: tuple[int, int], note: Note) -> tuple[Polygon, ...]:
    """The polygons of a `segmentation`: a list of [x, y, x, y ...], one such list, or an RLE. None left: ().

    size: (height, width) that an RLE must have.
    """
    if not value:
        return ()
    if isinstance(value, dict):
        return _of_rle(value, size, note)
    if not isinstance(value, list):
        note("outlines that are neither polygons nor run lengths are left out")
        return ()
    rings = [value] if isinstance(value[0], int | float) else value
    return tuple((ring_N2,) for r in rings if (ring_N2 := _ring(r, note)) is not None)


def bounds(value: Any, note: Note) -> Bounds | None:
    """(x0, y0, x1, y1) of a `bbox` [x, y, width, height]; None where there is none, or no good one."""
    if not value:
        return None
    numbers = _numbers(value)
    if numbers is None or numbers.shape != (4,) or (numbers[2:] <= 0).any():
        note("boxes that are not x, y and a width and height above 0 are left out")
        return None
    x, y, width, height = numbers.tolist()
    return x, y, x + width, y + height


def rectangle(x0: float, y0: float, x1: float, y1: float) -> tuple[Polygon, ...]:
    return ((np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32),),)


def visible(value: Any, note: Note) -> tuple[XY, ...]:
    """The pixel centres of `keypoints` [x, y, visibility ...] of visibility 2."""
    if not value:
        return ()
    numbers = _numbers(value)
    if numbers is None or numbers.ndim != 1 or numbers.size % 3:
        note("keypoints that are not x, y and visibility are left out")
        return ()
    return tuple((x + 0.5, y + 0.5) for x, y, seen in numbers.reshape(-1, 3).tolist() if seen == 2)


def _ring(value: Any, note: Note) -> np.ndarray | None:
    numbers = _numbers(value[0] if isinstance(value, list) and len(value) == 1 else value)
    if numbers is None or numbers.size < 6 or numbers.size % 2 or (numbers.ndim > 1 and numbers.shape[1:] != (2,)):
        note("polygons that are not three or more x, y are left out")
        return None
    if np.abs(numbers).max() > FAR:
        numbers = np.clip(numbers, -FAR, FAR)
    return numbers.reshape(-1, 2).astype(np.float32)


def _numbers(value: Any) -> np.ndarray | None:
    """float64, all finite; None for anything else."""
    try:
        numbers = np.asarray(value, np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    return numbers if np.isfinite(numbers).all() else None


def _of_rle(value: Any, size: tuple[int, int], note: Note) -> tuple[Polygon, ...]:
    try:
        of_object_HW = pixels_of_rle(value, *size)
    except ValueError:
        note("run lengths (RLE) that do not fit the photo's size are left out")
        return ()
    rows, columns = np.flatnonzero(of_object_HW.any(axis=1)), np.flatnonzero(of_object_HW.any(axis=0))
    if not len(rows):
        note("run lengths (RLE) of no pixel are left out")
        return ()
    top, left = rows[0], columns[0]
    part_HW = of_object_HW[top : rows[-1] + 1, left : columns[-1] + 1]
    return tuple(
        tuple(np.array(ring[:-1], np.float32) + np.array([left, top], np.float32) for ring in rings)
        for rings, _ in regions(part_HW)
    )
