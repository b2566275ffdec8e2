"""The effective field of networks whose gradients a person can work out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from labels2masks import Grid, networks
from labels2masks.errors import UsageError
from labels2masks.evaluation.effective_field import effective_field, side_of


class Hat(nn.Module):
    """Two classes; every score is a 5x5 window of the image with weights 1 2 3 2 1 along both axes."""

    grid, classes, smallest, working_size = Grid(), 2, 1, None

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 5, padding=2)
        hat = torch.tensor([1.0, 2, 3, 2, 1])
        with torch.no_grad():
            self.conv.weight[:] = hat[:, None] * hat[None, :]
            self.conv.weight[1] *= -4  # the second class counts as much as the first, whatever its size and sign

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def test_influence_is_the_weights() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    network = Hat().train()
    influence_HW = effective_field(network, image, (7, 11))
    hat = np.array([1, 2, 3, 2, 1]) / 9
    expected = np.zeros((20, 30))
    expected[5:10, 9:14] = hat[:, None] * hat[None, :]
    assert influence_HW.shape == (20, 30) and np.allclose(influence_HW, expected, atol=1e-6)
    assert network.training and all(p.grad is None for p in network.parameters())
    assert [side_of(influence_HW, (7, 11), share) for share in (0.1, 0.5, 0.61, 1.0)] == [1, 3, 5, 5]


def test_at_the_border_and_outside() -> None:
    image = np.zeros((12, 9, 3), np.uint8)
    influence_HW = effective_field(Hat(), image, (0, 8))
    assert np.isclose(influence_HW.sum(), 1) and influence_HW[:3, 6:].sum() == pytest.approx(1)
    for outside in ((12, 0), (0, 9), (-0.1, 0)):
        with pytest.raises(UsageError, match="outside the photo of 12x9"):
            effective_field(Hat(), image, outside)


def test_it_lies_inside_the_theoretical_field() -> None:
    torch.manual_seed(0)
    network = networks.build("linear", 3, "test_resnet")
    from labels2masks.evaluation.receptive_field import receptive_field

    nn.init.normal_(network.scores[0].weight)
    image = np.random.default_rng(1).integers(0, 256, (192, 192, 3), dtype=np.uint8)
    influence_HW = effective_field(network, image, (96, 96))
    assert side_of(influence_HW, (96, 96), 0.5) < receptive_field(network, stages=True)[-1].field[0]
    assert influence_HW.min() >= 0 and influence_HW.argmax() != 0
