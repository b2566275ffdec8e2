"""FCN: crops that follow from coordinates, and what a centre crop does instead; every form passes the contract."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from contracts import network_contract, network_exports

from labels2masks import networks
from labels2masks.errors import UsageError
from labels2masks.grid import Grid
from labels2masks.networks.fcn import bilinear_deconvolution

SIZES = [(33, 47), (64, 96)]


def cells_of_fc6(pixels: int) -> int:
    """Padding 100, five 2x2 pools that round up, a valid 7x7."""
    cells = pixels + 198
    for _ in range(5):
        cells = math.ceil(cells / 2)
    return cells - 6


def test_a_ramp_comes_back_by_coordinates_and_not_by_the_centre() -> None:
    """Each cell of fc6 says its own row; after the three ups, cut at 31, each pixel says its row."""
    with torch.device("meta"):
        network = networks.build("fcn8s", 2)
    for pixels in (300, 500, 501):
        meta = network.encoder(torch.empty(1, 3, pixels, 32, device="meta"))[5]
        assert meta.shape[2] == cells_of_fc6(pixels)
        rows = (13 + 32 * torch.arange(meta.shape[2], dtype=torch.float64)).view(1, 1, -1, 1)
        ramp = rows.expand(1, 1, -1, 3)
        for stride in (2, 2, 8):
            ramp = bilinear_deconvolution(1, stride).double()(ramp)
        column = ramp[0, 0, :, ramp.shape[3] // 2]
        inner = slice(32, pixels - 32)
        truth = torch.arange(pixels, dtype=torch.float64)[inner] + 0.5
        assert (column[31 : 31 + pixels][inner] - truth).abs().max() < 1e-9
        centre = (len(column) - pixels) // 2
        shift = column[centre : centre + pixels][inner] - truth
        assert torch.allclose(shift, torch.full_like(shift, centre - 31.0))


def test_how_wrong_the_centre_crop_is() -> None:
    shifts = [abs((32 * cells_of_fc6(n) + 56 - n) / 2 - 31) for n in range(32, 1025)]
    assert max(shifts) == 15.5
    assert round(100 * sum(s < 1 for s in shifts) / len(shifts)) == 6


@pytest.mark.parametrize("encoder", ["test_resnet", "tf_efficientnet_lite0", "test_convnext"])
@pytest.mark.parametrize("ups", ["fixed", "learned"])
def test_deconvolutions_meet_the_cells_of_encoders(encoder: str, ups: str) -> None:
    """Centres at 0.5, 1.5 ... and at half the stride: constant scores stay constant, a ramp stays a ramp."""
    network = networks.build("fcn8s", 1, encoder, settings={"ups": ups}).eval()
    grids, (deep, *_) = network.encoder.grids, network.levels
    height, grid = 256, grids[deep]
    cells = torch.arange(math.ceil(height / grid.stride_y), dtype=torch.float32)
    rows = (grid.centre_y + grid.stride_y * cells).view(1, 1, -1, 1).expand(1, 1, -1, len(cells))
    network.scores[0] = torch.nn.Conv2d(1, 1, 1)  # stands for the deepest scores: each cell says its row
    torch.nn.init.ones_(network.scores[0].weight)
    torch.nn.init.zeros_(network.scores[0].bias)
    network.head = torch.nn.Identity()
    shapes = network.encoder(torch.zeros(1, 3, height, height))
    network.encoder.forward = lambda images: [rows if i == deep else m for i, m in enumerate(shapes)]
    with torch.no_grad():
        scores = network(torch.zeros(1, 3, height, height))
    inner = slice(64, -64)
    truth = torch.arange(height)[inner] + 0.5
    assert network.grid == Grid() and scores.shape == (1, 1, height, height)
    assert (scores[0, 0, inner, height // 2] - truth).abs().max() < 1e-3


def test_learned_ones_learn_and_fixed_ones_do_not() -> None:
    with torch.device("meta"):
        for ups, expected in (("fixed", 0), ("learned", 3)):
            network = networks.build("fcn8s", 2, settings={"ups": ups})
            learning = [n for n, p in network.named_parameters() if "up" in n and p.requires_grad]
            assert len(learning) == expected


def test_same_padded_vgg_needs_no_crop() -> None:
    with torch.device("meta"):
        network = networks.build("fcn8s", 2, settings={"same": True})
    assert network.grid == Grid.square(8, 4) and network.encoder.grids[5] == Grid.square(32, 16)
    assert network(torch.empty(1, 3, 33, 500, device="meta")).shape == (1, 2, 5, 63)
    with pytest.raises(UsageError, match="takes ups=fixed or learned"), torch.device("meta"):
        networks.build("fcn8s", 2, settings={"ups": "interpolated"})


def test_at_once_scales_what_is_scored() -> None:
    torch.manual_seed(0)
    staged = networks.build("fcn8s", 2, "test_resnet").eval()
    at_once = networks.build("fcn8s", 2, "test_resnet", settings={"at_once": True}).eval()
    for network in (staged, at_once):
        for score in network.scores:
            torch.nn.init.ones_(score.weight)
    at_once.load_state_dict(staged.state_dict())
    with torch.no_grad():
        staged.scores[1].weight.mul_(0.01)
        staged.scores[2].weight.mul_(0.0001)
        images = torch.rand(1, 3, 40, 40) * 255
        assert torch.allclose(staged(images), at_once(images), atol=1e-5, rtol=1e-4)


def test_contract_with_deconvolutions(tmp_path: Path) -> None:
    def make(classes: int) -> torch.nn.Module:
        return networks.build("fcn8s", classes, "test_resnet", settings={"ups": "learned", "at_once": True})

    network_contract(make, tmp_path, SIZES)
    network_exports(make(3))
