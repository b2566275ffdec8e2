"""Dilation: sizes and fields of the paper, a context that begins as the identity, and what makes strides dense."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from contracts import network_exports
from torch import nn

from labels2masks import networks
from labels2masks.classes import Classes
from labels2masks.grid import Grid
from labels2masks.networks.dilation import MARGIN, context_module
from labels2masks.networks.saved import save_network, start_from
from labels2masks.networks.shift_and_stitch import densified, shift_and_stitch

LARGE = (2, 2, 4, 8, 16, 32, 32)


def on_meta(name: str, classes: int = 21) -> nn.Module:
    with torch.device("meta"):
        return networks.build(name, classes)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts() -> None:
    front = count(on_meta("dilated_frontend"))
    assert front == 134_346_581
    assert count(on_meta("dilated_context_basic")) == front + 28_392
    assert count(on_meta("dilated_context_large")) == front + 6_803_139
    assert [count(context_module(c, (1,) * 7)) for c in (19, 11)] == [23_256, 7_832]
    assert count(context_module(19, (1,) * 9, (1, 1, 2, 4, 8, 16, 32, 64, 1))) == 29_792  # Dilation10


def test_sizes_of_the_front_end() -> None:
    network = on_meta("dilated_frontend", 2)
    for pixels, cells in ((380, 1), (500, 16), (628, 32), (900, 66)):
        maps = network.encoder(torch.empty(1, 3, pixels, 380, device="meta"))
        assert maps[-1].shape == (1, 4096, cells, 1)
    assert network.grid == Grid.square(8, 4)
    for name in ("dilated_frontend", "dilated_context_large"):
        for size in ((1, 1), (33, 500)):
            cells = (1, 2, -(-size[0] // 8), -(-size[1] // 8))
            assert on_meta(name, 2)(torch.empty(1, 3, *size, device="meta")).shape == cells


def test_the_front_end_sees_what_its_margin_promises() -> None:
    """One cell, with the strides of its grid, of exactly 380 pixels: 186 on each side of its own 8."""
    grid, field, stride = Grid().cropped(-MARGIN, -MARGIN), 1, 1
    network = on_meta("dilated_frontend", 2)
    for layer in [*network.encoder.features, network.encoder.fc6]:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            kernel = layer.kernel_size if isinstance(layer.kernel_size, int) else layer.kernel_size[0]
            dilation = layer.dilation if isinstance(layer.dilation, int) else layer.dilation[0]
            step = layer.stride if isinstance(layer.stride, int) else layer.stride[0]
            field += (kernel - 1) * dilation * stride
            grid, stride = grid.after(kernel, step, dilation=dilation), stride * step
    assert (field, stride) == (380, 8) and grid == network.grid == network.encoder.grids[-1]


@pytest.mark.parametrize("factors", [(1,) * 7, LARGE])
def test_the_context_begins_as_the_identity(factors: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    scores = torch.randn(1, 3, 70, 71)
    with torch.no_grad():
        exact = context_module(3, factors, noise=0.0)(scores)
        near = context_module(3, factors)(scores)
    inner = scores[:, :, 33:-33, 33:-33].relu()
    assert exact.shape == inner.shape and torch.allclose(exact, inner, atol=1e-6)
    assert 0 < (near - inner).abs().max() < 0.5


def test_the_context_starts_from_a_front_end(tmp_path: Path) -> None:
    classes = Classes(("a", "b"))
    torch.manual_seed(0)
    front = networks.build("dilated_frontend", 2, "test_resnet").eval()
    save_network(tmp_path / "front.safetensors", front, {"classes": classes})
    both = networks.build("dilated_context_basic", 2, "test_resnet").eval()
    report = start_from(both, classes, tmp_path / "front.safetensors")
    assert report["left"] and all(name.startswith("context.") for name in report["left"])
    images = torch.rand(1, 3, 40, 56) * 255
    with torch.no_grad():
        assert torch.allclose(both(images), front(images).relu(), atol=0.3 * front(images).abs().max())


def test_shift_and_stitch_is_the_dense_network() -> None:
    """Valid layers, double precision: the strided network's scores at every cell between, and not one other number."""
    torch.manual_seed(0)
    strided = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2, 2)),
        nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU(), nn.MaxPool2d(2, 2)),
        nn.Sequential(nn.Conv2d(5, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 2, 2)),
    ).double()
    field = 1 + 2 + 1 + 2 * 2 + 2 + 4 * 2 + 8
    image = torch.rand(2, 3, field - 1 + 16, field - 1 + 24).double()
    with torch.no_grad():
        dense = densified(strided, 1)(image)
        assert dense.shape == (2, 2, 16, 24)
        assert (shift_and_stitch(strided, image, 8) - dense).abs().max() <= 1e-12
        assert torch.allclose(strided(image), dense[:, :, ::8, ::8], atol=1e-12)
        half = densified(strided, 4)(image)
        assert torch.allclose(half, dense[:, :, ::4, ::4], atol=1e-12)


def test_exports() -> None:
    torch.manual_seed(0)
    network_exports(networks.build("dilated_context_large", 2, "test_resnet"))
