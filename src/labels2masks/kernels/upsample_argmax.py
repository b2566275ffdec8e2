"""Class scores on a grid -> the winning class of every pixel, without the scores of every pixel.

A score map of 150 classes on 128x128 cells is 10 MB; upsampled to 512x512 it is 157 MB, which
is written and read again only to keep one number in 150. Here upsampling and arg-max are
one step (C++, threads over rows, GIL released; the method is told in csrc/upsample_argmax.cpp).
`upsample_argmax_reference` defines the result in plain numpy, in bands of rows; it serves
where the extension was not built and is what the tests compare with.

Both compute, for pixel (y, x) between cells a b / c d with weights v (down) and u (right) from
`grid.interpolation`, in float32 and in this order:
    (1 - u) * ((1 - v) * a + v * c) + u * ((1 - v) * b + v * d)
The lowest class index wins a tie. Where scores differ by less than float32 resolves, either
class may be named. -inf is allowed and means "impossible" (it counts as -1e30); NaN and
scores of 1e30 or more raise ValueError.

Numpy only. Legend: C = classes; h, w = cells; H, W = pixels.
"""

from __future__ import annotations

import os
from typing import Literal, overload

import numpy as np

from ..grid import Grid, interpolated, interpolation
from . import extension

LOWEST, HIGHEST = np.float32(-1e30), np.float32(1e30)
_BAND_SCORES = 1 << 21
"""Upsampled scores that the reference holds at a time: 8 MB."""


@overload
def upsample_argmax(
    scores_Chw: np.ndarray,
    grid: Grid,
    height: int,
    width: int,
    confidence: Literal[False] = False,
    threads: int | None = None,
) -> np.ndarray: ...


@overload
def upsample_argmax(
    scores_Chw: np.ndarray,
    grid: Grid,
    height: int,
    width: int,
    confidence: Literal[True],
    threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]: ...


def upsample_argmax(
    scores_Chw: np.ndarray,
    grid: Grid,
    height: int,
    width: int,
    confidence: bool = False,
    threads: int | None = None,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """The winner of every pixel: mask_HW int32, class indices 0..C-1.

    scores_Chw: float32, any of the two memory layouts (classes first or last) without a copy.
    confidence: also return confidence_HW float32, the softmax probability of the winner
        among the interpolated scores, to 1e-5.
    threads: default `default_threads()`.
    Raises ValueError for NaN or scores of 1e30 or more, and for empty shapes.
    """
    compiled = extension()
    if compiled is None:
        return upsample_argmax_reference(scores_Chw, grid, height, width, confidence)  # type: ignore[call-overload, no-any-return]
    scores_Chw = _side_by_side(scores_Chw, height, width)
    mask_HW = np.empty((height, width), np.int32)
    confidence_HW = np.empty((height, width), np.float32) if confidence else None
    axes = _axes(scores_Chw, grid, height, width)
    try:
        compiled.upsample_argmax(scores_Chw, *axes, mask_HW, confidence_HW, None, None, threads or default_threads())
    except ValueError as error:
        _explain(error)
    return mask_HW if confidence_HW is None else (mask_HW, confidence_HW)


def upsample_confusion(
    scores_Chw: np.ndarray, grid: Grid, truth_HW: np.ndarray, threads: int | None = None
) -> np.ndarray:
    """Confusion matrix of the winners against a truth, without even the mask: confusion_CC int64.

    truth_HW: int32 class indices at full size, negative = void (not counted).
    Row = true class, column = winner. Raises ValueError as `upsample_argmax`, and for a
    true class of C or more.
    """
    classes = len(scores_Chw)
    height, width = truth_HW.shape
    truth_HW = np.ascontiguousarray(truth_HW, np.int32)
    confusion_CC = np.zeros((classes, classes), np.int64)
    compiled = extension()
    if compiled is None:
        mask_HW = upsample_argmax_reference(scores_Chw, grid, height, width)
        stated_HW = truth_HW >= 0
        if truth_HW.max() >= classes:
            raise ValueError(_TRUTH)
        np.add.at(confusion_CC, (truth_HW[stated_HW], mask_HW[stated_HW]), 1)
        return confusion_CC
    scores_Chw = _side_by_side(scores_Chw, height, width)
    axes = _axes(scores_Chw, grid, height, width)
    try:
        compiled.upsample_argmax(scores_Chw, *axes, None, None, truth_HW, confusion_CC, threads or default_threads())
    except ValueError as error:
        _explain(error)
    return confusion_CC


def upsample_argmax_reference(
    scores_Chw: np.ndarray, grid: Grid, height: int, width: int, confidence: bool = False
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """The same in plain numpy, a band of rows at a time."""
    scores_Chw = _side_by_side(scores_Chw, height, width)
    if not (scores_Chw < HIGHEST).all():
        raise ValueError(_SCORE)
    scores_Chw = np.maximum(scores_Chw, LOWEST)
    mask_HW = np.empty((height, width), np.int32)
    confidence_HW = np.empty((height, width), np.float32)
    band = max(_BAND_SCORES // (len(scores_Chw) * width), 1)
    for y in range(0, height, band):
        rows = slice(y, y + band)
        scores_CRW = interpolated(scores_Chw, grid, height, width, rows)
        mask_HW[rows] = scores_CRW.argmax(axis=0)
        if confidence:
            scores_CRW -= scores_CRW.max(axis=0)
            confidence_HW[rows] = 1 / np.exp(scores_CRW, out=scores_CRW).sum(axis=0)
    return (mask_HW, confidence_HW) if confidence else mask_HW


def default_threads() -> int:
    """OMP_NUM_THREADS where it is set, as for torch, else the processors this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_SCORE = (
    "scores hold NaN or values of 1e30 and more: the network that gave them has diverged, use an earlier checkpoint"
)
_TRUTH = "truth_HW holds class indices beyond the classes of the scores: read the truth with the same class list"


def _explain(error: ValueError) -> None:
    raise ValueError({"score": _SCORE, "truth": _TRUTH}.get(str(error), str(error))) from None


def _side_by_side(scores_Chw: np.ndarray, height: int, width: int) -> np.ndarray:
    """float32 with classes or columns adjacent in memory; a copy only where neither holds."""
    if scores_Chw.ndim != 3 or not scores_Chw.size or height < 1 or width < 1:
        raise ValueError(
            f"expected scores of three axes C, h, w and a size of 1x1 or more, "
            f"got scores {scores_Chw.shape} and {height}x{width}"
        )
    scores_Chw = np.asarray(scores_Chw, np.float32)
    adjacent = scores_Chw.itemsize in (scores_Chw.strides[0], scores_Chw.strides[2])
    return scores_Chw if adjacent else np.ascontiguousarray(scores_Chw)


def _axes(scores_Chw: np.ndarray, grid: Grid, height: int, width: int) -> tuple[np.ndarray, ...]:
    low_H, _, weight_H = interpolation(grid.stride_y, grid.centre_y, scores_Chw.shape[1], height)
    low_W, _, weight_W = interpolation(grid.stride_x, grid.centre_x, scores_Chw.shape[2], width)
    return low_H, weight_H, low_W, weight_W
