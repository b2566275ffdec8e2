"""U-Net's border weights, on cells that a person can count the pixels between."""

from __future__ import annotations

import numpy as np
import pytest

from labels2masks.classes import Classes
from labels2masks.errors import UsageError
from labels2masks.losses.border_weights import border_weights, borders_of, cell_classes, separate_cells


def test_one_pixel_between_two_cells() -> None:
    """d1 = d2 = 1 adds 10 exp(-4 / 50) = 9.231 (paper: weight 10, sigma 5)."""
    cells_HW = np.array([[1, 1, 0, 2, 2]] * 3)
    weights_HW = border_weights(cells_HW)
    assert weights_HW.dtype == np.float32 and weights_HW.shape == (3, 5)
    assert np.allclose(weights_HW[:, 2], 9.231, atol=5e-4)
    assert np.allclose(weights_HW[:, 1], 10 * np.exp(-(2**2) / 50))  # inside a cell: d1 = 0, d2 = 2
    assert np.allclose(weights_HW[:, 0], 10 * np.exp(-(3**2) / 50))


def test_one_cell_or_none_has_no_border() -> None:
    assert not border_weights(np.zeros((4, 5), int)).any()
    assert not border_weights(np.pad(np.ones((3, 3), int), 4)).any()


def test_equals_the_definition() -> None:
    draw = np.random.default_rng(0)
    cells_HW = np.zeros((70, 90), np.int32)
    for number in range(1, 9):
        y, x = draw.integers(0, 60), draw.integers(0, 80)
        cells_HW[y : y + 6, x : x + 7] = number * 3
    pixels_P2 = np.argwhere(np.ones_like(cells_HW))
    distances = []
    for number in np.unique(cells_HW)[1:]:
        own_Q2 = np.argwhere(cells_HW == number)
        distances.append(np.sqrt(((pixels_P2[:, None] - own_Q2[None]) ** 2).sum(axis=2)).min(axis=1))
    nearest_2P = np.sort(distances, axis=0)[:2]
    expected_HW = (10 * np.exp(-(nearest_2P.sum(axis=0) ** 2) / 50)).reshape(cells_HW.shape)
    assert np.allclose(border_weights(cells_HW), expected_HW, atol=1e-5)


def test_cells_that_touch_at_a_corner_are_two() -> None:
    inside_HW = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]], bool)
    cells_HW = separate_cells(inside_HW)
    assert len(np.unique(cells_HW)) == 3 and ((cells_HW > 0) == inside_HW).all()


def test_cells_are_the_regions_of_their_classes() -> None:
    labels_HW = np.array([[1, 1, 0, 1, 1, 0, 2], [1, 1, -1, 1, 1, 0, 2]])
    ones_HW = np.array([[1, 1, 0, 2, 2, 0, 0]] * 2)
    assert np.array_equal(borders_of(labels_HW, [1]), border_weights(ones_HW))
    assert np.array_equal(borders_of(labels_HW, [1, 2]), border_weights(np.array([[1, 1, 0, 2, 2, 0, 3]] * 2)))


def test_which_classes_are_cells() -> None:
    tissue = Classes(("ground", "cell", "nerve"), background="ground")
    assert cell_classes(tissue, None) == [1, 2]
    assert cell_classes(tissue, "nerve") == [2]
    with pytest.raises(UsageError, match="did you mean 'cell'"):
        cell_classes(tissue, "cells")
    with pytest.raises(UsageError, match="membrane, cell .*--set loss.cells=NAME"):
        cell_classes(Classes(("membrane", "cell")), None)
