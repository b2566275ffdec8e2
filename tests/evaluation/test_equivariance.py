"""Labels that follow the picture, and labels that stay where they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from prediction.colour_net import ColourNet
from torch import nn

from labels2masks import Grid
from labels2masks.errors import UsageError
from labels2masks.evaluation.equivariance import equivariance


def blocks(size: int = 96, seed: int = 0) -> np.ndarray:
    """Red, green and blue squares of 12 pixels."""
    colours = np.random.default_rng(seed).integers(0, 3, (size // 12, size // 12))
    return np.repeat(np.repeat(255 * np.eye(3, dtype=np.uint8)[colours], 12, axis=0), 12, axis=1)


class Place(nn.Module):
    """Looks at nothing: the left half of every image is class 0, the right half class 1."""

    classes, grid, smallest, working_size, finite_field = 2, Grid(), 1, None, True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        right = (torch.arange(x.shape[3]) >= x.shape[3] // 2).float().expand(x.shape[0], 1, x.shape[2], -1)
        return torch.cat([1 - right, right], dim=1)


def test_a_network_of_single_pixels_follows_whole_moves_exactly() -> None:
    found = equivariance(ColourNet(), [blocks()], shifts=(1, 7), rotations=(90, 180), scales=(1.0,), border=4)
    assert [(f.kind, f.amount, f.share) for f in found] == [
        ("shift", 1, 1.0),
        ("shift", 7, 1.0),
        ("rotation", 90, 1.0),
        ("rotation", 180, 1.0),
        ("scale", 1.0, 1.0),
    ]
    assert [f.pixels for f in found] == [87**2, 81**2, 88**2, 88**2, 88**2]


def test_stride_costs_what_is_not_a_multiple_of_it() -> None:
    shares = {f.amount: f.share for f in equivariance(ColourNet(8), [blocks()], (8, 4), (), ())}
    assert shares[8] == 1 and shares[4] < 0.99


def test_labels_that_stay_are_found_out() -> None:
    """Of 96 columns 8 beside the middle change class; 16 at each border and the 8 new ones are not counted."""
    (shifted,) = equivariance(Place(), [np.zeros((96, 96, 3), np.uint8)], (8,), (), ())
    assert shifted.share == pytest.approx(1 - 8 / (96 - 32 - 8))
    (turned,) = equivariance(Place(), [np.zeros((96, 96, 3), np.uint8)], (), (180,), ())
    assert turned.share == 0


def test_nothing_to_count_and_wrong_scales() -> None:
    (none,) = equivariance(Place(), [np.zeros((20, 20, 3), np.uint8)], (1,), (), ())
    assert none.share is None and none.pixels == 0
    with pytest.raises(UsageError, match="above 0"):
        equivariance(Place(), [], scales=(0.0,))
