"""The filter on tensors: every backend against all pairs of points, every gradient against numerical ones."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from skimage import data, transform

from labels2masks.errors import UsageError
from labels2masks.kernels.gaussian_filter import GaussianFilter
from labels2masks.kernels.gaussian_torch import GaussianOperator, gaussian_filter

NORMALISATIONS = ["symmetric", "after", "before", None]


def drawn(*shape: int, spread: float = 1.0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(sum(shape))) * spread


def photo_features() -> torch.Tensor:
    """features_PD of a 40x30 photo, sigmas in proportion to 80 pixels and 13 levels at 500x375."""
    image_HW3 = transform.resize(data.coffee(), (30, 40), anti_aliasing=True) * 255
    y_HW, x_HW = np.indices((30, 40)) / 6.4
    features_PD = np.concatenate([x_HW[..., None], y_HW[..., None], image_HW3 / 13], axis=2).reshape(-1, 5)
    return torch.from_numpy(features_PD.astype(np.float32))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("dims", [1, 5, 8])
def test_exact_is_the_sum_over_all_pairs(dims, crossed, normalisation):
    sources_PD, values_PC = drawn(30, dims), drawn(30, 3)
    queries_QD = drawn(20, dims) if crossed else sources_PD
    weights_QP = torch.exp(-0.5 * (queries_QD[:, None] - sources_PD).square().sum(-1))
    after_Q1, before_P1 = weights_QP.sum(1, keepdim=True), weights_QP.sum(0)[:, None]
    power = {"symmetric": (0.5, 0.5), "after": (1, 0), "before": (0, 1), None: (0, 0)}[normalisation]
    weights_QP = weights_QP / after_Q1 ** power[0] / before_P1.T ** power[1]
    operator = GaussianOperator(sources_PD, queries_QD if crossed else None, "exact", normalisation)
    torch.testing.assert_close(operator.filter(values_PC), weights_QP @ values_PC)
    values_QC = drawn(len(queries_QD), 2)
    torch.testing.assert_close(operator.transpose(values_QC), weights_QP.T @ values_QC)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("crossed", [False, True])
def test_gradients_are_right_twice(crossed, normalisation):
    points = [drawn(2, 3, 2).requires_grad_(), *([drawn(2, 2, 2).requires_grad_()] if crossed else [])]
    values_BPC, values_BQC = drawn(2, 3, 1).requires_grad_(), drawn(2, 2 if crossed else 3, 1).requires_grad_()

    def there(values, sources, queries=None):
        return gaussian_filter(sources, values, queries, "exact", normalisation)

    def back(values, sources, queries=None):
        return GaussianOperator(sources, queries, "exact", normalisation).transpose(values)

    assert torch.autograd.gradcheck(there, (values_BPC, *points))
    assert torch.autograd.gradcheck(back, (values_BQC, *points))
    if normalisation in (None, "symmetric"):
        assert torch.autograd.gradgradcheck(there, (values_BPC, *points))


@pytest.mark.parametrize("backend", ["lattice", "reference"])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_lattices_are_those_of_numpy(backend, normalisation):
    sources_PD, queries_QD = drawn(60, 4, dtype=torch.float32), drawn(50, 4, dtype=torch.float32)
    values_PC, values_QC = torch.rand(60, 9), torch.rand(50, 9)
    theirs = GaussianFilter(sources_PD.numpy(), queries_QD.numpy(), backend, normalisation)
    ours = GaussianOperator(sources_PD, queries_QD, backend, normalisation)
    for one, other in (
        (ours.filter(values_PC), theirs.filter(values_PC.numpy())),
        (ours.transpose(values_QC), theirs.transpose(values_QC.numpy())),
    ):
        torch.testing.assert_close(one, torch.from_numpy(other), atol=1e-5, rtol=1e-5)


def test_the_gradient_to_values_is_the_transpose_on_the_lattice_too():
    operator = GaussianOperator(photo_features()[::3], photo_features(), "lattice", "symmetric")
    values_PC, arriving_QC = torch.rand(400, 3, requires_grad=True), torch.rand(1200, 3)
    (gradient_PC,) = torch.autograd.grad(operator.filter(values_PC), values_PC, arriving_QC)
    assert torch.equal(gradient_PC, operator.transpose(arriving_QC))


def test_the_gradient_to_features_points_the_same_way_on_the_lattice():
    y_P, x_P = (torch.from_numpy(axis.ravel()) for axis in np.indices((30, 40)) / 6.4)
    waves_PC = torch.stack([torch.sin(x_P), torch.cos(y_P), torch.sin(x_P + y_P)], dim=1).float()
    for values_PC, arriving_PC in ((waves_PC, waves_PC.roll(1, 1)), torch.rand(2, 1200, 3)):
        gradients = []
        for backend in ("lattice", "exact"):
            features_PD = photo_features().requires_grad_()
            filtered_PC = gaussian_filter(features_PD, values_PC, None, backend, "after")
            gradients += torch.autograd.grad(filtered_PC, features_PD, arriving_PC)
        ours, exact = gradients
        assert torch.cosine_similarity(ours.flatten(), exact.flatten(), dim=0) > 0.93
        assert 0.85 < (ours * exact).sum() / exact.square().sum() < 1.15


@pytest.mark.parametrize("backend", ["exact", "lattice"])
def test_a_batch_is_its_elements(backend):
    features_BPD, queries_BQD = drawn(3, 40, 2, dtype=torch.float32), drawn(3, 30, 2, dtype=torch.float32)
    values_BPC = torch.rand(3, 40, 5)
    together = gaussian_filter(features_BPD, values_BPC, queries_BQD, backend, "after")
    alone = [
        gaussian_filter(f, v, q, backend, "after")
        for f, v, q in zip(features_BPD, values_BPC, queries_BQD, strict=True)
    ]
    torch.testing.assert_close(together, torch.stack(alone))
    shared = gaussian_filter(features_BPD[0], values_BPC, None, backend, "symmetric")
    alone = [gaussian_filter(features_BPD[0], v, None, backend, "symmetric") for v in values_BPC]
    torch.testing.assert_close(shared, torch.stack(alone))


def test_auto_takes_the_lattice_for_float32_and_all_pairs_for_float64():
    features_PD, values_PC = photo_features(), torch.rand(1200, 4)
    for dtype, backend in ((torch.float32, "lattice"), (torch.float64, "exact")):
        chosen = gaussian_filter(features_PD.to(dtype), values_PC)
        assert chosen.dtype == dtype
        assert torch.equal(chosen, gaussian_filter(features_PD.to(dtype), values_PC, None, backend))
    # Half precision is not enough for distances: it is widened first, and autocast does not narrow it again.
    half_PD = features_PD.half()
    with torch.autocast("cpu", torch.bfloat16):
        narrowed = gaussian_filter(half_PD, values_PC, None, "exact", "after")
    assert torch.equal(narrowed, gaussian_filter(half_PD.float(), values_PC, None, "exact", "after"))


def test_shifting_all_features_changes_nothing_but_rounding():
    """Gradients too: they are formed from differences, not from coordinates."""
    gradients = []
    for shift in (0.0, 1000.0):
        features_PD = (drawn(50, 3, dtype=torch.float32).mul(64).round() / 64 + shift).requires_grad_()
        gaussian_filter(features_PD, torch.ones(50, 1), None, "exact").square().sum().backward()
        gradients.append(features_PD.grad)
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(not find_spec("triton"), reason="needs the package triton (it comes with torch on Linux)")
def test_the_tiled_kernel_in_tritons_interpreter():
    """In a process of its own: the interpreter is chosen when triton is imported."""
    code = """
import torch
from labels2masks.kernels.gaussian_torch import GaussianOperator, gaussian_filter
draw = torch.Generator().manual_seed(0)
cases = [(1, 8, 5, 7, 70), (2, 5, 100, 30, 21), (1, 2, 70, None, 3)]
for batch, dims, points, queries, channels in cases:
    sources = torch.randn(batch, 2 * points, dims, generator=draw)[:, ::2]  # every second row: strided
    targets = None if queries is None else torch.randn(batch, queries, dims, generator=draw)
    values = torch.rand(batch, channels, points, generator=draw).mT
    back = torch.rand(batch, queries or points, channels, generator=draw)
    results = []
    for backend in ("triton", "exact"):
        leaves = [values.clone().requires_grad_(), *([] if queries else [sources.clone().requires_grad_()])]
        operator = GaussianOperator(sources if queries else leaves[1], targets, backend, "symmetric")
        out = operator.filter(leaves[0])
        results.append([out, operator.transpose(back), *torch.autograd.grad(out, leaves, back)])
    for ours, exact in zip(*results, strict=True):
        torch.testing.assert_close(ours, exact, atol=2e-5, rtol=2e-5)
# Two clouds far apart: blocks between them are left out, and weigh nothing.
clouds = torch.cat([torch.randn(64, 3, generator=draw), 100 + torch.randn(64, 3, generator=draw)])
values = torch.rand(128, 2, generator=draw)
ours, exact = (gaussian_filter(clouds, values, None, backend) for backend in ("triton", "exact"))
torch.testing.assert_close(ours, exact, atol=0, rtol=2e-5)
values[0] = float("nan")
assert gaussian_filter(clouds, values, None, "triton")[:64].isnan().all()
print("all equal")
"""
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0 and "all equal" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        ((3, 9), {}, "1 to 8 dimensions"),
        ((3,), {}, "1 to 8 dimensions"),
        ((3, 2), {"features_query": torch.zeros(3, 3)}, "dimensions, types or devices"),
        ((3, 2), {"features_query": torch.zeros(3, 2, dtype=torch.float64)}, "float64"),
        ((2, 3, 2), {"features_query": torch.zeros(1, 3, 2)}, "other batches"),
        ((3, 2), {"backend": "exct"}, "did you mean 'exact'"),
        ((3, 2), {"backend": "triton"}, "needs a GPU"),
        ((3, 2), {"normalisation": "both"}, "symmetric, after, before or None"),
    ],
)
def test_what_does_not_fit_is_said(sources, options, message):
    with pytest.raises(UsageError, match=message):
        GaussianOperator(torch.zeros(*sources), **options)


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="a filter of 3 points and a batch of 2"):
        GaussianOperator(torch.zeros(2, 3, 2)).filter(torch.zeros(3, 1))
    with pytest.raises(UsageError, match="a filter of 5 points"):
        GaussianOperator(torch.zeros(3, 2), torch.zeros(5, 2)).transpose(torch.zeros(3, 1))
