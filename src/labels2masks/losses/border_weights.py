"""U-Net's weight map: the thin gaps between touching cells count up to ten times as much.

    w(x) = w_class(x) + 10 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))

d1 and d2 are the distances in pixels to the nearest and the second nearest cell, sigma = 5 (Ronneberger, Fischer, Brox,
arXiv 1505.04597, equation 2). This is the second term; the first are class weights. A pixel inside a cell has
d1 = 0. Where there is only one cell there is no border to learn.

Legend: H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..classes import Classes
from ..errors import UsageError, did_you_mean

_REACH = 6
"""In sigmas: beyond, the weight is below 2e-7 and taken to be 0."""


def border_weights(cells_HW: np.ndarray, weight: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    """weights_HW float32, 0 .. `weight`: what the borders between cells add to the class weights.

    cells_HW: int, the number of the cell that a pixel belongs to, 0 = none. `separate_cells` makes it from a mask.
    """
    height, width = cells_HW.shape
    reach = int(np.ceil(_REACH * sigma))
    first_HW = np.full((height, width), np.inf, np.float32)
    second_HW = first_HW.copy()
    for number in np.unique(cells_HW[cells_HW != 0]):
        rows, columns = (np.flatnonzero((cells_HW == number).any(axis=axis)) for axis in (1, 0))
        near = (
            slice(max(0, rows[0] - reach), rows[-1] + reach + 1),
            slice(max(0, columns[0] - reach), columns[-1] + reach + 1),
        )
        outside = (cells_HW[near] != number).astype(np.uint8)
        distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        first, second = first_HW[near], second_HW[near]
        second[:] = np.minimum(second, np.maximum(first, distance))
        first[:] = np.minimum(first, distance)
    return (weight * np.exp(-((first_HW + second_HW) ** 2) / (2 * sigma**2))).astype(np.float32)


def cell_classes(classes: Classes, cells: str | None) -> list[int]:
    """The indices of the classes that are made of cells: the one named, else all but background.

    Raises UsageError for a name that is no class, and where nothing is named and there is no background.
    """
    if cells is not None:
        if cells not in classes.names:
            raise UsageError(f"loss.cells={cells!r} is no class{did_you_mean(cells, classes.names)}")
        return [classes.index(cells)]
    if classes.background is None:
        raise UsageError(
            f"loss.border weighs what lies between cells, and which of {', '.join(classes.names)} are cells is not "
            "known: --set loss.cells=NAME, or --set loss.border=0 to go without"
        )
    return [index for index, name in enumerate(classes.names) if name != classes.background]


def borders_of(labels_HW: np.ndarray, cells: Sequence[int], weight: float = 10.0, sigma: float = 5.0) -> np.ndarray:
    """weights_HW float32 of a map of classes (-1 = void), whose cells are the connected regions of the classes `cells`.

    A crop shows only itself: a cell beyond its edge casts no border, and one that the edge cuts in two is two.
    """
    cells_HW = np.zeros(labels_HW.shape, np.int32)
    for index in cells:
        found_HW = separate_cells(labels_HW == index)
        cells_HW = np.where(found_HW > 0, found_HW + cells_HW.max(initial=0), cells_HW)
    return border_weights(cells_HW, weight, sigma)


def separate_cells(inside_HW: np.ndarray) -> np.ndarray:
    """cells_HW int32: the connected regions of a bool mask, numbered from 1; corners do not connect."""
    return cv2.connectedComponents(inside_HW.astype(np.uint8), connectivity=4)[1]
