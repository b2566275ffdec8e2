"""Upsampling at the grid's coordinates: against numpy's interpolation, for every kind of grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from labels2masks.grid import Grid, interpolation
from labels2masks.kernels.upsample import upsample, upsample_by_matrices

GRIDS = [
    Grid(),
    Grid.square(8, 4),
    Grid.square(8, 0.5),
    Grid.square(16, 15.5),
    Grid.square(4, 3.5),
    Grid.square(8, -95),
    Grid.square(32, 13),
    Grid.square(1, 92.5),
    Grid.square(2.5, 1.25),
    Grid(4, 8, 2, 0.5),
]


def by_numpy(scores_NChw: np.ndarray, grid: Grid, height: int, width: int) -> np.ndarray:
    low, high, t = interpolation(grid.stride_y, grid.centre_y, scores_NChw.shape[2], height)
    rows = scores_NChw[:, :, low] * (1 - t)[:, None] + scores_NChw[:, :, high] * t[:, None]
    low, high, t = interpolation(grid.stride_x, grid.centre_x, scores_NChw.shape[3], width)
    return rows[..., low] * (1 - t) + rows[..., high] * t


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("size", [(1, 1), (37, 50), (64, 32)], ids=str)
def test_equals_interpolation_at_the_coordinates(grid: Grid, size: tuple[int, int]) -> None:
    cells = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = by_numpy(cells.numpy(), grid, *size)
    assert np.allclose(upsample(cells, grid, *size).numpy(), expected, atol=1e-5)
    assert np.allclose(upsample_by_matrices(cells, grid, *size).numpy(), expected, atol=1e-5)


def test_a_linear_ramp_stays_linear() -> None:
    grid = Grid.square(8, 3.5)
    ramp = (torch.arange(6.0) * 8 + 3.5).expand(1, 1, 4, 6)
    inside = upsample(ramp, grid, 32, 48)[0, 0, 0, 3:44]
    assert torch.allclose(inside, torch.arange(3, 44) + 0.5)


def test_gradients_of_both_forms_agree() -> None:
    cells = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: upsample(x, Grid.square(4, 3.5), 11, 15), cells)
    assert torch.autograd.gradcheck(lambda x: upsample_by_matrices(x, Grid.square(2.5, 1), 8, 9), cells)
