"""ParseNet, PSPNet and RefineNet: what their papers promise of context and fusion (fact sheet, sections 10a to 10c)."""

from __future__ import annotations

import pytest
import torch
from contracts import photos
from networks.counted import chain_of, field_after, on_meta
from torch import nn
from torch.nn import functional as F

from labels2masks import networks
from labels2masks.errors import UsageError
from labels2masks.networks.parsenet import Normalised
from labels2masks.networks.pspnet import PARTS, PyramidConv, means_of_parts
from labels2masks.networks.refinenet import ChainedPooling, ResidualUnit


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parsenet_fuses_early_and_late_to_the_same_function() -> None:
    torch.manual_seed(0)
    late = networks.build("parsenet", 4, "test_resnet").eval()
    early = networks.build("parsenet", 4, "test_resnet", settings={"fusion": "early"}).eval()
    values = {k: v for k, v in late.state_dict().items() if not k.startswith("scores")}
    values["scores.0.weight"] = torch.cat([score.weight for score in late.scores], dim=1)
    values["scores.0.bias"] = late.scores[0].bias + late.scores[1].bias
    early.load_state_dict(values)
    with torch.inference_mode():
        assert torch.allclose(late(photos(64, 96)), early(photos(64, 96)), atol=1e-5)
    assert count(on_meta("parsenet")) == 20_529_002 and count(on_meta("parsenet", fusion="early")) == 20_528_981
    with pytest.raises(UsageError, match="got 'middle'"):
        on_meta("parsenet", fusion="middle")


def test_parsenet_norms_every_cell_to_its_scale() -> None:
    maps_NDhw = torch.rand(2, 5, 3, 4) * 100
    assert torch.allclose(Normalised(5)(maps_NDhw).norm(dim=1), torch.tensor(10.0))
    assert Normalised(5)(torch.zeros(1, 5, 2, 2)).eq(0).all()


def test_parsenet_stands_on_vgg16_with_pools_of_two() -> None:
    encoder = on_meta("parsenet").encoder
    field, stride = field_after([*chain_of(encoder.features), encoder.fc6[0], encoder.fc7[0]])
    # VGG16's own fc7 sees 404; the two pools of 3x3 at stride 1 add 8 pixels here.
    assert (field, stride) == (412, 8)


def test_pspnet_in_numbers() -> None:
    for name, deployed, trained, field in (
        ("pspnet50", 46_716_373, 49_081_578, 479),
        ("pspnet101", 65_708_501, 68_073_706, 1023),
    ):
        network = on_meta(name)
        assert (count(network), count(network) - count(network.second)) == (trained, deployed)
        assert field_after(chain_of(network.encoder.features)) == (field, 8)
        assert count(network.parts) == 4_198_400
        for pixels, cells in ((473, 60), (713, 90)):
            assert network(torch.empty(1, 3, pixels, 9, device="meta")).shape == (1, 21, cells, 2)


@pytest.mark.parametrize("size", [(60, 90), (7, 13), (1, 5), (4, 3), (31, 47)])
def test_means_of_parts_are_adaptive_average_pooling(size: tuple[int, int]) -> None:
    maps_NDhw = torch.rand(2, 3, *size, dtype=torch.float64)
    for parts, means_NDbb in zip(PARTS, means_of_parts(maps_NDhw), strict=True):
        expected = F.adaptive_avg_pool2d(maps_NDhw, parts)
        assert torch.allclose(means_NDbb, expected, atol=1e-6)


@pytest.mark.parametrize("size", [(60, 90), (7, 13), (1, 5), (4, 3), (1, 1)])
def test_convolution_over_the_pyramid_is_that_of_maps_beside_enlarged_means(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    maps_NDhw = torch.randn(2, 5, *size, dtype=torch.float64, requires_grad=True)
    means = [torch.randn(2, 2 + b, b, b, dtype=torch.float64, requires_grad=True) for b in PARTS]
    conv = PyramidConv(5 + sum(2 + b for b in PARTS), 3, 3, padding=1).double()
    enlarged = [F.interpolate(m, size=size, mode="bilinear", align_corners=True) for m in means]
    expected = F.conv2d(torch.cat([maps_NDhw, *enlarged], dim=1), conv.weight, conv.bias, padding=1)
    given = (maps_NDhw, *means, conv.weight, conv.bias)
    weights = torch.randn_like(expected)
    found = conv(maps_NDhw, means)
    assert torch.allclose(found, expected, atol=1e-5)  # interpolation matrices are made in float32
    for ours, plain in zip(*(torch.autograd.grad((y * weights).sum(), given) for y in (found, expected)), strict=True):
        assert torch.allclose(ours, plain, rtol=1e-4, atol=1e-3)


def test_parts_tile_for_sizes_of_48_k_minus_7() -> None:
    for pixels in (41, 89, 473, 713):
        cells = (pixels - 1) // 8 + 1
        rows = torch.arange(float(cells)).view(1, 1, cells, 1)
        for means in means_of_parts(rows.expand(1, 1, cells, cells)):
            # Parts of equal size that do not overlap: their mean is the mean of all.
            assert torch.allclose(means.mean(), rows.mean())


def test_pspnet_trains_a_second_head_that_prediction_does_not_ask() -> None:
    network = networks.build("pspnet", 3, "test_resnet").eval()
    with torch.inference_mode():
        (first, scores, grid), (second, aux, aux_grid) = network.training_scores(photos(64, 96))
        assert torch.equal(scores, network(photos(64, 96)))
    assert (first, second) == (1.0, 0.4) and grid == network.grid and aux_grid.stride_y == 8
    assert aux.shape == (1, 3, 8, 12)


def test_refinenet_in_numbers() -> None:
    network = on_meta("refinenet101")
    assert count(network) == 118_052_437 and count(network) - count(network.encoder) == 75_552_277
    assert count(on_meta("refinenet50")) == 99_060_309
    assert [adapt.out_channels for adapt in network.adapt] == [512, 256, 256, 256]


def test_refinenet_parts_with_zero_weights_pass_on_what_they_get() -> None:
    maps_NDhw = torch.randn(1, 6, 7, 5)
    unit = ResidualUnit(6)
    nn.init.zeros_(unit.second.weight)
    assert torch.equal(unit(maps_NDhw), maps_NDhw)
    pooling = ChainedPooling(6)
    for conv in pooling.links:
        nn.init.zeros_(conv.weight)
    assert torch.equal(pooling(maps_NDhw), maps_NDhw.relu())


def test_chained_pooling_sees_two_cells_further_with_every_link() -> None:
    """One bright cell, convolutions that pass on what they get: each pool of 5x5 adds a wider square."""
    pooling = ChainedPooling(1)
    for conv in pooling.links:
        nn.init.dirac_(conv.weight)
    bright = torch.zeros(1, 1, 21, 21)
    bright[0, 0, 10, 10] = 1
    row = pooling(bright)[0, 0, 10]
    assert row.tolist() == [0.0] * 2 + [1, 1, 2, 2, 3, 3, 4, 4, 5, 4, 4, 3, 3, 2, 2, 1, 1] + [0.0] * 2
