"""What every network, encoder, reader and narrowing step must pass. Import the function, call it in a test.

A new network is tested by a line in tests/networks/test_contract.py, a new encoder by a line in
`encoders.CHECKED`, a new step or reader by one call in its own test file.

Legend: N = images, C = classes, D = channels, H, W = pixels, h, w = cells.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from labels2masks.classes import Classes
from labels2masks.deployment.onnx import check, to_onnx
from labels2masks.formats.dataset import Dataset
from labels2masks.kernels.upsample import upsample
from labels2masks.labels import VOID_ROW, Candidates
from labels2masks.narrowing import ArgMax, Evidence, Portion, Rule, Threshold, decide
from labels2masks.networks.saved import load_network, save_network
from labels2masks.prediction.prepare import prepare


def classes_of(network: nn.Module) -> Classes:
    return Classes(tuple(f"class {i}" for i in range(network.classes)))


def photos(height: int, width: int, count: int = 1) -> torch.Tensor:
    """Random photos as networks take them: float32, 0..255, the same each time."""
    generator = torch.Generator().manual_seed(height * 10_000 + width)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator).float()


# Networks


def network_takes_sizes(network: nn.Module, sizes: list[tuple[int, int]]) -> None:
    """Finite scores of `classes` channels on cells that follow from the size, with one constant grid."""
    grid = network.grid
    network.eval()
    for height, width in sizes:
        assert min(height, width) >= network.smallest
        with torch.inference_mode():
            scores_NChw = network(photos(height, width))
        expected = (1, network.classes, math.ceil(height / grid.stride_y), math.ceil(width / grid.stride_x))
        assert scores_NChw.shape == expected, f"{network.name} at {height}x{width}"
        assert torch.isfinite(scores_NChw).all()
        assert upsample(scores_NChw, grid, height, width).shape == (1, network.classes, height, width)
    assert network.grid == grid


def network_trains(network: nn.Module, size: tuple[int, int] = (64, 96)) -> None:
    """A batch of one gives a finite loss and a gradient to every parameter that can learn."""
    network.train()
    images = photos(*size)
    target_NHW = torch.randint(0, network.classes, (1, *size), generator=torch.Generator().manual_seed(1))
    for part in [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.out_channels == network.classes]:
        nn.init.normal_(part.weight)  # zero scores, as FCN begins with, pass no gradient on
    total = torch.zeros(())
    for weight, scores_NChw, grid in network.training_scores(images):
        full_NCHW = upsample(scores_NChw, grid, *size)
        total = total + weight * nn.functional.cross_entropy(full_NCHW, target_NHW)
    total.backward()
    assert torch.isfinite(total)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), f"no gradient for {name}"
    network.zero_grad()


def network_comes_back(network: nn.Module, folder: Path, size: tuple[int, int] = (40, 56)) -> None:
    """Saved and loaded it gives the same scores, bit for bit."""
    path = save_network(folder / "model.safetensors", network, {"classes": classes_of(network)})
    again, _ = load_network(path)
    network.eval()
    with torch.inference_mode():
        assert torch.equal(network(photos(*size)), again(photos(*size)))
    assert (again.name, again.grid, again.smallest) == (network.name, network.grid, network.smallest)


def network_exports(network: nn.Module, size: tuple[int, int] = (70, 90), other: tuple[int, int] = (64, 37)) -> None:
    """`torch.export` with free height and width gives the same scores at a size that it was not traced with.

    Without torch's guards: they note whether a cut map happened to be contiguous at the traced size.
    """
    dynamic = torch.export.Dim.DYNAMIC
    network.eval()
    with torch.no_grad():
        program = torch.export.export(network, (photos(*size),), dynamic_shapes=({2: dynamic, 3: dynamic},))
        assert torch.allclose(
            program.module(check_guards=False)(photos(*other)), network(photos(*other)), atol=1e-4, rtol=1e-4
        )


def network_becomes_onnx(network: nn.Module) -> bytes:
    """onnxruntime gives the classes and scores of torch at three sizes; the file names nothing of this machine."""
    model = to_onnx(network, {"classes": classes_of(network)})
    agreement = check(model, network)
    jumps = getattr(network, "jumps", False)
    assert agreement["largest_difference"] < (1e-2 if jumps else 1e-4)
    assert agreement["equal_pixels"] >= (0.95 if jumps else 0.9999)
    assert str(Path(__file__).resolve().parents[1]).encode() not in model
    return model


def network_prepares(network: nn.Module, size: tuple[int, int] = (70, 90)) -> None:
    """Made ready for prediction it gives the same scores."""
    network.eval()
    with torch.inference_mode():
        before = network(photos(*size))
        prepare(network)
        difference = (network(photos(*size)) - before).abs() / before.abs().max()
    if getattr(network, "jumps", False):
        assert difference.median() < 1e-4
    else:
        assert difference.max() < 1e-4


def network_contract(make: Callable[[int], nn.Module], folder: Path, sizes: list[tuple[int, int]]) -> None:
    """All but the two exports, which take seconds. make: number of classes -> network."""
    for classes in (2, 5):
        torch.manual_seed(0)
        network = make(classes)
        assert network.classes == classes
        smallest = (network.smallest, network.smallest)
        network_takes_sizes(network, [smallest, *sizes] if classes == 5 else sizes[:1])
    network_trains(network)
    network_comes_back(network, folder)


# Encoders


def encoder_takes_size(encoder: nn.Module, height: int, width: int) -> None:
    """Maps of the promised channels and cells; on the meta device only their shapes."""
    device = next(encoder.parameters()).device
    with torch.inference_mode():
        maps = encoder.eval()(photos(height, width).to(device))
    assert len(maps) == len(encoder.channels) == len(encoder.grids)
    for map_NDhw, channels, grid in zip(maps, encoder.channels, encoder.grids, strict=True):
        cells = (math.ceil(height / grid.stride_y), math.ceil(width / grid.stride_x))
        assert map_NDhw.shape == (1, channels, *cells)
        assert map_NDhw.is_meta or torch.isfinite(map_NDhw).all()


def encoder_grids_hold(encoder: nn.Module, height: int, width: int = 33) -> None:
    """Gradients say where the cells are: what a cell sees of the input is centred where its grid says.

    Of each map the middle cell and its neighbour, and of the deepest map the middle cell at the eight sizes
    from `height` on. A map of which no cell sees less than the image is left out.
    """
    local = _without_global_paths(encoder).double().eval()
    for extra in range(8):
        sizes = (height + extra, width + extra)
        levels = range(len(encoder.grids)) if extra == 0 else [len(encoder.grids) - 1]
        for level in levels:
            grid = encoder.grids[level]
            middle = int(sizes[0] / 2 / grid.stride_y)
            for cell in (middle, middle + 1) if extra == 0 else (middle,):
                first, last = _rows_seen(local, level, cell, sizes)
                if first > 0 and last < sizes[0] - 1:
                    centre = (first + last + 1) / 2
                    assert centre == grid.centre_y + cell * grid.stride_y, f"{encoder.name}, map {level}, {sizes}"


def _rows_seen(encoder: nn.Module, level: int, cell: int, size: tuple[int, int]) -> tuple[int, int]:
    images = photos(*size).double().requires_grad_()
    map_NDhw = encoder(images)[level]
    # Weighted, because the channels of a layer norm have a constant sum.
    weights_D11 = torch.linspace(1, 2, map_NDhw.shape[1], dtype=torch.double).sin().view(-1, 1, 1)
    (gradient,) = torch.autograd.grad((map_NDhw[:, :, cell : cell + 1] * weights_D11).sum(), images)
    rows = torch.nonzero(gradient.abs().sum(dim=(0, 1, 3))).flatten()
    return int(rows[0]), int(rows[-1])


_GLOBAL = ("SqueezeExcite", "SEModule", "GlobalResponseNorm", "Attention", "AttentionRope", "EvaAttention")


class _Same(nn.Module):
    def forward(self, x: torch.Tensor, *others: object, **more: object) -> torch.Tensor:
        return x


def _without_global_paths(encoder: nn.Module) -> nn.Module:
    """A copy in which nothing looks at the whole image: such paths move no cell and hide where the others are."""
    encoder = copy.deepcopy(encoder)
    for module in list(encoder.modules()):
        for name, child in module.named_children():
            if type(child).__name__ in _GLOBAL:
                setattr(module, name, _Same())
    return encoder


# Narrowing steps


def step_contract(
    step: Callable[..., Evidence], image_HW3: np.ndarray, candidates: Candidates, cues: object = None
) -> None:
    """What a step finds lies inside the candidates, is the same twice, and narrows without adding or emptying."""
    evidence, again = step(image_HW3, candidates, cues), step(image_HW3, candidates, cues)
    assert np.array_equal(evidence.log_scores_CHW, again.log_scores_CHW), "a step must not depend on chance"
    allowed_CHW = candidates.allowed()
    assert np.isneginf(evidence.log_scores_CHW[~allowed_CHW]).all(), "evidence for classes that are no candidates"
    rules: tuple[Rule, ...] = (ArgMax(), Threshold(0.8), Portion(0.3))
    for rule in rules:
        narrowed = decide(candidates, evidence, rule)
        left_CHW = narrowed.allowed()
        assert not (left_CHW & ~allowed_CHW).any(), "a step only removes candidates"
        assert left_CHW.any(axis=0).all(), "a set never becomes empty"
        assert np.array_equal(narrowed.index_HW == VOID_ROW, candidates.index_HW == VOID_ROW), "void stays void"
        assert narrowed.decided() >= candidates.decided()


# Readers


def reader_contract(
    read: Callable[[Path], Dataset], write: Callable[[Dataset, Path], object], data: Dataset, folder: Path
) -> None:
    """Written and read again, every photo has the same name and the same candidates at every pixel."""
    write(data, folder)
    again = read(folder)
    assert again.classes == data.classes
    assert [p.name for p in again] == [p.name for p in data]
    assert {k: tuple(v) for k, v in again.splits.items()} == {k: tuple(v) for k, v in data.splits.items()}
    for before, after in zip(data, again, strict=True):
        image_HW3, _ = before.loaded()
        here, there = before.candidates(*image_HW3.shape[:2]), after.candidates(*image_HW3.shape[:2])
        assert np.array_equal(image_HW3, after.loaded()[0])
        assert np.array_equal(here.allowed(), there.allowed()) and here.facts == there.facts
