"""The dilation rules of ResNets are what they are called, and the dilated VGG16 is cut out of VGG16."""

from __future__ import annotations

import pytest
import timm
import torch
from contracts import encoder_takes_size
from timm.models.resnet import Bottleneck, ResNet

from labels2masks.encoders import AtrousVGG16, vgg_atrous
from labels2masks.encoders.dilation import dilate_all_units, multi_grid, stride_in_reduction
from labels2masks.grid import Grid


def small_resnet(output_stride: int, like: ResNet | None = None) -> ResNet:
    torch.manual_seed(0)
    network = ResNet(
        Bottleneck,
        (1, 2, 2, 2),
        channels=(4, 8, 16, 32),
        stem_width=8,
        output_stride=output_stride,
        zero_init_last=False,
    )
    if like is not None:
        network.load_state_dict(like.state_dict())
    return network.double().eval()


def features(network: ResNet, pixels: int) -> torch.Tensor:
    images = torch.rand(1, 3, pixels, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.inference_mode():
        return network.forward_features(images)


@pytest.mark.parametrize("pixels", [225, 256, 257])
def test_keep_first_gives_the_cells_of_the_undilated_network(pixels: int) -> None:
    coarse = small_resnet(32)
    expected, dense = features(coarse, pixels), features(small_resnet(8, coarse), pixels)
    difference = (dense[:, :, ::4, ::4] - expected).abs().max() / expected.abs().max()
    assert difference <= 1e-12


def test_all_units_is_exact_with_the_stride_in_the_reduction_only() -> None:
    coarse = small_resnet(32)
    dense = small_resnet(8, coarse)
    dilate_all_units(dense)
    expected = features(coarse, 225)
    assert (features(dense, 225)[:, :, ::4, ::4] - expected).abs().max() > 0.01 * expected.abs().max()
    stride_in_reduction(coarse)
    stride_in_reduction(dense)
    expected = features(coarse, 225)
    assert (features(dense, 225)[:, :, ::4, ::4] - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_multi_grid_multiplies_the_last_dilation() -> None:
    with torch.device("meta"):
        network = timm.create_model("resnet50", output_stride=16)
    multi_grid(network.layer4, (1, 2, 4))
    assert [unit.conv2.dilation for unit in network.layer4] == [(2, 2), (4, 4), (8, 8)]
    assert [unit.conv2.padding for unit in network.layer4] == [(2, 2), (4, 4), (8, 8)]


@pytest.mark.parametrize("pool", [2, 3])
def test_the_dilated_vgg16_keeps_its_promises(pool: int) -> None:
    with torch.device("meta"):
        encoder = AtrousVGG16(rates=(6, 12), pool=pool)
    for size in ((321, 513), (1, 30)):
        encoder_takes_size(encoder, *size)
    assert encoder.grids[-1] == Grid.square(8, 0.5 if pool == 3 else 4)


def test_fc6_is_every_third_tap_and_fc7_every_fourth_filter_of_vgg16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that say where they were: fc6 its input channel and tap, fc7 its output filter."""
    with torch.device("meta"):
        found = {k: torch.zeros(v.shape, device="cpu") for k, v in AtrousVGG16().state_dict().items() if "fc" not in k}
    found["fc6.weight"] = torch.arange(512.0 * 49).expand(4096, -1)
    found["fc7.weight"] = torch.arange(4096.0)[:, None].expand(4096, 4096)
    found["fc6.bias"] = found["fc7.bias"] = torch.arange(4096.0)
    monkeypatch.setattr(vgg_atrous, "read_vgg16", lambda weights: found)
    encoder = AtrousVGG16("vgg16.safetensors", rates=(6, 12))
    taps = torch.tensor([[0, 3, 6], [21, 24, 27], [42, 45, 48]])
    for fc6, fc7 in zip(encoder.fc6, encoder.fc7, strict=True):
        assert torch.equal(fc6.weight[7, 500], (500 * 49 + taps).float())
        assert torch.equal(fc7.weight[:, 3, 0, 0], torch.arange(0, 4096.0, 4)) and fc6.bias[5] == fc7.bias[5] == 20
