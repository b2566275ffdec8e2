"""What only the papers say: parameter counts, crops, channels, sizes (supervised fact sheet, sections 13 and 14)."""

from __future__ import annotations

import math

import pytest
import torch

from labels2masks import networks
from labels2masks.grid import Grid
from labels2masks.networks.fcn import bilinear_deconvolution
from labels2masks.networks.saved import _class_axes


def on_meta(name: str, classes: int) -> torch.nn.Module:
    with torch.device("meta"):
        return networks.build(name, classes)


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [
        ("fcn32s", 21, 136_152_917),
        ("fcn16s", 21, 134_815_994),
        ("fcn8s", 21, 134_489_759),
        ("fcn8s", 60, 135_589_364),
        ("fcn8s", 11, 134_348_929),
        ("deeplab_v3plus_resnet101", 21, 59_344_309),
    ],
)
def test_parameter_counts(name: str, classes: int, parameters: int) -> None:
    assert sum(p.numel() for p in on_meta(name, classes).parameters()) == parameters


@pytest.mark.parametrize(("name", "crop"), [("fcn32s", 19), ("fcn16s", 27), ("fcn8s", 31)])
def test_the_crops_of_fcn_are_differences_of_grids(name: str, crop: int) -> None:
    network = on_meta(name, 2)
    grids = network.encoder.grids
    assert (grids[2], grids[3], grids[5]) == (Grid.square(8, -95), Grid.square(16, -91), Grid.square(32, 13))
    up2 = grids[5].after_transposed(4, 2)
    up4 = up2.after_transposed(4, 2)
    assert up2.offset_to(grids[3]) == (5, 5) and up4.offset_to(grids[2]) == (9, 9)
    last = {"fcn32s": grids[5], "fcn16s": up2, "fcn8s": up4}[name]
    stride = int(name[3:-1])
    assert Grid().offset_to(last.after_transposed(2 * stride, stride)) == (crop, crop)


def test_fcn_takes_every_size_and_begins_uniform() -> None:
    network = on_meta("fcn8s", 2)
    for size in ((1, 1), (33, 500), (321, 1299)):
        assert network(torch.empty(1, 3, *size, device="meta")).shape == (1, 2, *size)
    family = networks.build("fcn8s", 21, "test_resnet").eval()
    loss = torch.nn.functional.cross_entropy(family(torch.rand(1, 3, 32, 32) * 255), torch.zeros(1, 4, 4).long())
    assert math.isclose(loss.item(), math.log(21), rel_tol=1e-5)


def test_bilinear_deconvolution_interpolates_inside() -> None:
    cells = torch.rand(1, 2, 6, 7)
    by_deconvolution = bilinear_deconvolution(2, 4)(cells)[:, :, 2:-2, 2:-2]
    expected = torch.nn.functional.interpolate(cells, scale_factor=4, mode="bilinear", align_corners=False)
    assert torch.allclose(by_deconvolution[:, :, 4:-4, 4:-4], expected[:, :, 4:-4, 4:-4], atol=1e-6)


def test_class_axes_are_found_in_both_directions() -> None:
    axes = _class_axes(on_meta("fcn16s", 4))
    assert axes["last_up.weight"] == [0, 1] and axes["scores.0.weight"] == [0] and axes["encoder.fc6.weight"] == []


def test_deeplab_v3plus_is_the_papers() -> None:
    network = on_meta("deeplab_v3plus_resnet101", 21)
    assert network.pooling.project[0][0].in_channels == 1280 and network.decoder[0][0].in_channels == 304
    assert [unit.conv2.dilation[0] for unit in network.encoder.features.layer4] == [2, 4, 8]
    assert [conv[0].dilation[0] for conv in network.pooling.dilated] == [6, 12, 18]
    assert network.grid == Grid.square(4, 0.5)


def test_one_value_per_channel_uses_running_statistics() -> None:
    from labels2masks.networks.blocks import BatchNorm

    norm = BatchNorm(3).train()
    value = torch.tensor([1.0, -2.0, 3.0]).view(1, 3, 1, 1)
    assert torch.allclose(norm(value), value, atol=1e-4) and norm.num_batches_tracked == 0
