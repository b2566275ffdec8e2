"""Fields of the papers, and of gradients: what `receptive_field` says is what a network with positive weights does."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from labels2masks import Grid, networks
from labels2masks.encoders import build_encoder
from labels2masks.encoders.dilation import dilate_all_units, stride_in_reduction
from labels2masks.errors import UsageError
from labels2masks.evaluation.receptive_field import Layer, _seen_by, receptive_field
from labels2masks.evaluation.trace import traced
from labels2masks.networks import unet


def on_meta(name: str, encoder: str | None = None, **settings: object) -> nn.Module:
    with torch.device("meta"):
        return networks.build(name, 21, encoder, settings=settings)


def layers(network: nn.Module, stages: bool = False) -> list[Layer]:
    return receptive_field(network, (512, 512), stages)


def field_of(found: list[Layer], name: str, which: int = -1) -> tuple[int, int]:
    """(field, stride) of a map that the module made; both are square."""
    layer = [item for item in found if item.name == name][which]
    assert layer.field is not None and layer.grid is not None
    assert layer.field[0] == layer.field[1] and layer.grid.stride_y == layer.grid.stride_x
    return layer.field[0], int(layer.grid.stride_y)


# The numbers of the papers and of the fact sheet, section 12


def test_fcn() -> None:
    network = on_meta("fcn8s")
    found = layers(network)
    assert [field_of(found, f"encoder.features.{k}") for k in (16, 23, 30)] == [(44, 8), (100, 16), (212, 32)]
    assert field_of(found, "encoder.fc6") == field_of(found, "encoder.fc7") == (404, 32)
    by_name = {item.name: item for item in found}
    centres = [by_name[n].grid.centre_y for n in ("encoder.features.16", "encoder.features.23", "encoder.fc6")]
    assert centres == [-95, -91, 13]
    crops = [Grid().offset_to(layers(on_meta(f"fcn{s}s"))[-2].grid) for s in (32, 16, 8)]
    assert crops == [(19, 19), (27, 27), (31, 31)]
    thirtytwo = layers(on_meta("fcn32s"))
    assert field_of(thirtytwo, "last_up") == (404 + 32, 1) and thirtytwo[-1].grid == Grid()
    assert thirtytwo[-1].size == (512, 512) and thirtytwo[-1].coverage == 1


def test_alexnet() -> None:
    """11x11 /4, three 3x3 pools /2, 5x5 and three 3x3 convolutions, fc6 6x6; crop 18 behind a 63x63 deconvolution."""
    with torch.device("meta"):
        network = nn.Sequential(
            nn.Conv2d(3, 2, 11, 4, padding=100),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(2, 2, 5, padding=2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            *(nn.Conv2d(2, 2, 3, padding=1) for _ in range(3)),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.Conv2d(2, 2, 6),
            nn.ConvTranspose2d(2, 2, 63, 32, bias=False),
        )
    found = layers(network)
    assert field_of(found, "8") == (355, 32)
    assert Grid().offset_to(found[-1].grid) == (18, 18)


def test_deeplab_on_vgg() -> None:
    assert field_of(layers(on_meta("deeplab_v1_largefov")), "encoder.fc7.0") == (435, 8)
    found = layers(on_meta("deeplab_v2_vgg16"))
    assert [field_of(found, f"encoder.fc7.{k}") for k in range(4)] == [(339, 8), (435, 8), (531, 8), (627, 8)]


@pytest.mark.parametrize(("kernel", "rate", "field"), [(7, 4, 404), (4, 8, 404), (3, 12, 404), (4, 4, 308)])
def test_fc6_of_deeplab_v1(kernel: int, rate: int, field: int) -> None:
    """VGG16 with 2x2 pools, the last two of stride 1, and what follows them dilated."""
    parts: list[nn.Module] = []
    for block, convolutions in enumerate((2, 2, 3, 3, 3)):
        dilation = 2 if block == 4 else 1
        parts += [nn.Conv2d(3, 3, 3, padding=dilation, dilation=dilation) for _ in range(convolutions)]
        pool = {3: nn.MaxPool2d(2, 1), 4: nn.MaxPool2d(2, 1, dilation=2)}
        parts.append(pool.get(block, nn.MaxPool2d(2, 2)))
    found = layers(nn.Sequential(*parts, nn.Conv2d(3, 3, kernel, dilation=rate)))
    assert field_of(found, str(len(parts))) == (field, 8)


def test_dilation() -> None:
    found = layers(on_meta("dilated_context_basic"))
    assert field_of(found, "scores") == (380, 8) and field_of(layers(on_meta("dilated_frontend")), "scores") == (380, 8)
    context = [item for item in found if item.name.startswith("context")]
    steps = [(item.field[0] - 380) // 8 + 1 for item in context]
    assert steps == [3, 5, 9, 17, 33, 65, 67, 67]
    assert context[-1].field == (908, 908) and context[-1].coverage == 1 and found[-1].grid == Grid.square(8, 4)


@pytest.mark.parametrize(("dilations", "field"), [((1, 1, 2, 4, 8, 1), 652), ((1, 1, 2, 4, 8, 16, 32, 64, 1), 2444)])
def test_dilation7_and_10(dilations: tuple[int, ...], field: int) -> None:
    """KITTI's context without dilation 16, Cityscapes's with 32 and 64, on the front-end's 380 at stride 8."""
    context = nn.Sequential(*(nn.Conv2d(3, 3, 3, dilation=d, padding=d) for d in dilations))
    assert 380 + 8 * (layers(context)[-1].field[0] - 1) == field


def test_segnet() -> None:
    found = layers(on_meta("segnet_basic"))
    pools = [item for item in found if "max pool" in item.kind]
    assert [(p.field[0], p.grid.stride_y) for p in pools] == [(8, 2), (22, 4), (50, 8), (106, 16)]
    assert found[-1].grid == Grid() and sum("unpool" in item.kind for item in found) == 4
    deep = [item for item in layers(on_meta("segnet")) if "2x2 max pool" in item.kind]
    assert deep[-1].field == (212, 212) and deep[-1].grid == Grid.square(32, 16)


def test_unet() -> None:
    found = layers(on_meta("unet"))
    assert field_of(found, "net.down.4.2") == (140, 16)
    last = found[-2]
    assert last.name == "net.classifier" and last.least == (188, 188) and last.field == (204, 204)
    assert found[-1].grid == Grid() and found[-1].size == (512, 512)


@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_resnet_keeps_its_field_when_its_strides_become_dilation(output_stride: int) -> None:
    with torch.device("meta"):
        encoder = build_encoder("resnet50", output_stride=output_stride)
    assert field_of(layers(_Last(encoder), stages=True), "features.layer4.2") == (427, output_stride)


def test_resnet_with_strides_in_the_reduction() -> None:
    with torch.device("meta"):
        encoder = build_encoder("resnet50", output_stride=8)
    stride_in_reduction(encoder.features)
    dilate_all_units(encoder.features)
    assert field_of(layers(_Last(encoder), stages=True), "features.layer4.2") == (483, 8)


def test_resnet101_and_what_stands_on_it() -> None:
    found = layers(on_meta("deeplab_v2_resnet101"), stages=True)
    first = [item for item in found if item.name == "encoder.features.layer4.2"][0]
    assert first.field == (1027, 1027) and first.grid == Grid.square(8, 0.5)
    assert [field_of(found, f"scores.{k}", 0)[0] for k in range(4)] == [1123, 1219, 1315, 1411]
    found = layers(on_meta("deeplab_v3_resnet101"), stages=True)
    assert field_of(found, "encoder.features.layer4.2") == (1259, 16)
    rates = [field_of(found, f"pooling.dilated.{k}.0")[0] for k in range(3)]
    assert rates == [1451, 1643, 1835] and found[-1].whole_image and found[-1].field == (1835, 1835)


def test_pspnet() -> None:
    found = layers(on_meta("pspnet50"), stages=True)
    assert field_of(found, "encoder.features.layer4.2") == (479, 8)
    assert found[-1].whole_image and any(item.kind == "means of parts" for item in found)


# Coverage


@pytest.mark.parametrize(
    ("dilations", "field", "rows"),
    [((2, 2, 2), 13, 7), ((1, 2, 4), 15, 15), ((1, 1, 1), 7, 7), ((2, 4, 8), 29, 15), ((1, 2, 9), 25, 21)],
)
def test_gridding(dilations: tuple[int, ...], field: int, rows: int) -> None:
    """Dilations with a common divisor leave holes; so do ones that grow too fast. rows: that count, of `field`."""
    seen = {0}
    for d in dilations:
        seen = {p + t for p in seen for t in (-d, 0, d)}
    assert (max(seen) - min(seen) + 1, len(seen)) == (field, rows)
    found = layers(nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=d, dilation=d) for d in dilations)))[-1]
    assert found.field == (field, field) and math.isclose(found.coverage, (rows / field) ** 2)


def test_parallel_branches_are_a_union_and_not_a_product() -> None:
    """A pixel left and one above count, the one above and left does not."""

    class Cross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rows, self.columns = nn.Conv2d(3, 3, (5, 1), padding=(2, 0)), nn.Conv2d(3, 3, (1, 5), padding=(0, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.rows(x) + self.columns(x)

    found = layers(Cross())[-1]
    assert found.kind == "sum" and found.field == (5, 5) and found.inside_hw.sum() == 9


# Gradients


def test_small_networks_agree_with_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unet, "_WIDTHS", (1, 2, 4, 8, 16))
    torch.manual_seed(0)
    agrees_with_gradients(_Branches(), 256, repeats=4)
    agrees_with_gradients(networks.build("unet", 2), 320, repeats=16)
    for name in ("linear", "fcn8s"):
        agrees_with_gradients(networks.build(name, 2, "test_resnet"), 352, repeats=32)


def agrees_with_gradients(network: nn.Module, size: int, repeats: int) -> None:
    """Cell by cell the same pixels: positive weights, no biases, mean pools, everything linear.

    repeats: pixels after which the cells see the same again.
    """
    nodes, node = traced(network, size, size)
    linear = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        for module in linear.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.weight.fill_(1 / module.weight[0].shape[0])
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(1)  # timm begins residual branches with 0
    image = torch.full((1, 3, size, size), 255.0, dtype=torch.double, requires_grad=True)
    with _MeanPools():
        scores = linear(image)
    stride = int(node.stride[0])
    middle = int((size / 2 - node.centre[0]) / stride)
    sides = set()
    for cell in range(middle, middle + repeats // stride):
        (gradient,) = torch.autograd.grad(scores[0, 0, cell, cell], image, retain_graph=True)
        seen_HW = gradient[0, 0].abs().numpy() > 0
        mask = _seen_by(node, cell, nodes)
        h, w = mask.inside_hw.shape
        assert min(mask.top, mask.left) > 0 and max(mask.top + h, mask.left + w) < size, "for this test it lies inside"
        expected_HW = np.zeros((size, size), bool)
        expected_HW[mask.top : mask.top + h, mask.left : mask.left + w] = mask.inside_hw
        assert np.array_equal(seen_HW, expected_HW)
        sides.add((h, w))
    layer = receptive_field(network, (size, size), stages=True)[-1]
    assert (layer.field, layer.least) == (max(sides), min(sides))


class _MeanPools(TorchFunctionMode):
    """Max pools become mean pools, through which all that they look at has a gradient."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") == "max_pool2d":
            names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
            given = dict(zip(names, args[1:], strict=False)) | kwargs
            kept = {k: v for k, v in given.items() if k in ("kernel_size", "stride", "padding", "ceil_mode")}
            return F.avg_pool2d(args[0], **kept)
        return func(*args, **kwargs)


class _Branches(nn.Module):
    """What a network may do between its layers: dilated branches, a skip, a stride, ups of three kinds, crops."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 2, 3, stride=2, padding=1)
        self.near, self.far = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 3, padding=6, dilation=6)
        self.down = nn.Conv2d(4, 4, 2, stride=2)
        self.up = nn.ConvTranspose2d(4, 4, 4, 2, padding=1)
        self.out = nn.Conv2d(8, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        wide = torch.cat([self.near(x), self.far(x)], dim=1)
        deep = self.down(wide)
        ups = self.up(deep) + F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        x = torch.cat([wide, ups], dim=1).permute(0, 2, 3, 1).flip(3).permute(0, 3, 1, 2)
        return F.interpolate(self.out(F.pad(x, (1, 1, 1, 1)))[:, :, 1:, 1:], scale_factor=2, mode="nearest")


# What looks at everything


def test_global_paths_are_told_and_do_not_hide_the_others() -> None:
    class Excite(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.squeeze = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return x * self.squeeze(x.mean(dim=(2, 3), keepdim=True)).sigmoid()

    conv, mean, squeeze, product = layers(Excite())
    assert not conv.whole_image and (mean.field, mean.grid, mean.whole_image) == (None, None, True)
    assert squeeze.size == (1, 1) and product.whole_image and product.field == (3, 3) and product.grid == Grid()


@pytest.mark.parametrize("encoder", ["test_vit", "test_convnext", "mobilenetv3_small_050"])
def test_other_kinds_of_encoder_are_followed(encoder: str) -> None:
    network = on_meta("linear", encoder)
    last = layers(network, stages=True)[-1]
    assert last.whole_image == (not network.finite_field)
    if encoder == "test_vit":
        assert last.field is None
    else:
        assert last.grid == network.grid and last.size == (128, 128)


@pytest.mark.parametrize("name", [name for name, entry in networks.NETWORKS.items() if entry.family])
def test_every_family_is_followed_to_its_own_grid(name: str) -> None:
    network = on_meta(name, "test_resnet")
    last = layers(network, stages=True)[-1]
    assert last.grid == network.grid and last.channels == 21
    assert last.whole_image == (not network.finite_field)


def test_a_network_stays_as_it_was() -> None:
    network = networks.build("deeplab_v3plus", 2, "test_resnet").train()
    network.encoder.eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [m.training for m in network.modules()]
    receptive_field(network)
    assert modes == [m.training for m in network.modules()]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_small_photos_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 256"):
        receptive_field(nn.Conv2d(3, 1, 3), (255, 512))


class _Last(nn.Module):
    """The coarsest map of an encoder, without its padding of photos."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.features = encoder.features

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[-1]
