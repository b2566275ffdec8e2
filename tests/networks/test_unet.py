"""U-Net: valid sizes, mirrored borders, tiles that give the scores of the whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from contracts import network_comes_back, network_exports, network_takes_sizes, network_trains

from labels2masks import networks
from labels2masks.errors import UsageError
from labels2masks.networks import unet
from labels2masks.networks.unet import MARGIN, mirrored


def on_meta(classes: int = 2, same: bool = False) -> torch.nn.Module:
    with torch.device("meta"):
        return networks.build("unet", classes, settings={"same": same})


@pytest.mark.parametrize(("classes", "parameters"), [(2, 31_031_810), (21, 31_033_045)])
def test_parameter_counts(classes: int, parameters: int) -> None:
    """The paper's 31,030,658 are for grey images: 2 x 64 filters of 3x3 fewer than with three colours."""
    assert sum(p.numel() for p in on_meta(classes).parameters()) == parameters
    assert 31_031_810 - 2 * 64 * 9 == 31_030_658
    assert sum(p.numel() for p in on_meta(classes, same=True).parameters()) == parameters


def test_it_has_23_convolutions() -> None:
    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    assert sum(isinstance(m, kinds) for m in on_meta().modules()) == 23


def test_valid_sizes() -> None:
    network = on_meta()
    for pixels in (188, 204, 572, 1020):
        tile = torch.empty(1, 3, pixels, 188, device="meta")
        assert network.scores_of_tile(tile).shape == (1, 2, pixels - 184, 4)
    for pixels, near in ((200, "188 or 204"), (573, "572 or 588"), (100, "take 188")):
        with pytest.raises(UsageError, match=f"got {pixels}: .*{near}"):
            network.scores_of_tile(torch.empty(1, 3, 188, pixels, device="meta"))
    with pytest.raises(UsageError, match="without same"):
        on_meta(same=True).scores_of_tile(torch.empty(1, 3, 188, 188, device="meta"))


def test_every_size_has_its_scores() -> None:
    for same in (False, True):
        for size in ((1, 1), (2, 3), (188, 75)):
            assert on_meta(same=same)(torch.empty(1, 3, *size, device="meta")).shape == (1, 2, *size)


def test_borders_are_mirrored() -> None:
    row = torch.arange(5.0).view(1, 1, 1, 5)
    out = mirrored(row, 3, MARGIN, 16, 4).flatten()
    assert (len(out) - 60) % 16 == 0 and len(out) >= 5 + 2 * MARGIN
    assert out[MARGIN - 3 : MARGIN + 9].tolist() == [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0]
    assert mirrored(torch.full((1, 1, 1, 1), 7.0), 3, MARGIN, 16, 4).unique().tolist() == [7]
    assert mirrored(row, 3, 1, 8).shape[3] == 10 and mirrored(row, 3, 0, 5).shape[3] == 5


def test_overlapping_tiles_give_the_scores_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unet, "_WIDTHS", (2, 4, 8, 16, 32))
    torch.manual_seed(0)
    network = networks.build("unet", 2).eval().double()
    image = torch.rand(1, 3, 36, 20).double() * 255
    whole = network(image)
    around = mirrored(mirrored(image, 2, MARGIN, 16, 4), 3, MARGIN, 16, 4)
    for top in (0, 16):
        tile = network.scores_of_tile(around[:, :, top : top + 204])
        assert torch.allclose(tile[:, :, :20], whole[:, :, top : top + 20])


def test_starts_as_the_paper_says() -> None:
    torch.manual_seed(0)
    layer = networks.build("unet", 2).net.down[1][2]
    assert abs(layer.weight.std().item() / (2 / (9 * 128)) ** 0.5 - 1) < 0.02 and not layer.bias.any()


@pytest.mark.parametrize("same", [False, True])
def test_contract(same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unet, "_WIDTHS", (2, 4, 8, 16, 32))
    torch.manual_seed(0)
    network = networks.build("unet", 5, settings={"same": same})
    network_takes_sizes(network, [(1, 1), (33, 47)])
    network_trains(network, (24, 40))
    network_comes_back(network, tmp_path)
    network_exports(network)
