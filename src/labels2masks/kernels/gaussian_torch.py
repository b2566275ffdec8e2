"""The Gaussian filter on tensors, with gradients: to values always, to features where they ask for one.

    out_q = sum over p of exp(-|f_q - f_p|^2 / 2) v_p           in short K v, as in `gaussian_filter`
    to values           K' g
    to query features   sum over channels of g (K(v f) - f K v)
    to source features  sum over channels of v (K'(g f) - f K' g)

A gradient to features so costs D + 1 more filters and no other kernel (K' is the transpose, g the gradient of `out`).
The backends compute the same operator; "exact" defines it:

    exact     all pairs of points, a chunk at a time; any device, float32 or float64
    triton    all pairs in one pass on the GPU, nothing stored (gaussian_triton.py)
    lattice   the permutohedral lattice in C++, on the CPU. Its gradient to values is its own transpose; that to
              features is the Gaussian's, each K in it by the lattice, and as near to it as the lattice is to K.
    reference the same lattice in numpy

Not normalised, a lattice gives less than the sum: of points drawn at random 0.9 of it in 1 dimension, 0.67 in 5, 0.25
in 8. Normalised the factor falls out, so prefer that where another backend must give the same.

Legend: B = batch; P = source points, Q = query points; D = dimensions; C = channels.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError, did_you_mean
from .gaussian_filter import GaussianFilter, Normalisation
from .upsample_argmax import default_threads

Sum = Callable[[Tensor, bool], Tensor]
"""(values, transposed) -> K values or K' values, of three axes each."""


def gaussian_filter(
    features_src_BPD: Tensor,
    values_BPC: Tensor,
    features_query_BQD: Tensor | None = None,
    backend: str = "auto",
    normalisation: Normalisation = None,
) -> Tensor:
    """filtered_BQC, differentiable in values and features. For many values at the same points: `GaussianOperator`.

    Arguments, types and errors are those of `GaussianOperator` and its `filter`.
    """
    return GaussianOperator(features_src_BPD, features_query_BQD, backend, normalisation).filter(values_BPC)


class GaussianOperator:
    """K for fixed points, as an operator on tensors; `GaussianFilter` is its like for arrays.

    features_src: (P, D) or (B, P, D), D = 1..8, in units of the kernel's standard deviation.
    features_query: (Q, D) or (B, Q, D) on the same device; the sources themselves where None.
    backend: "exact", "triton", "lattice", "reference", or "auto": on a GPU "triton" where it is installed, on a CPU
        "lattice" (without the compiled kernels "reference"), and "exact" for float64 and all else.
    normalisation: "symmetric", "after", "before" or None, as of `GaussianFilter`; gradients pass through it.
    All is computed and returned in float64 where features are float64, else in float32; lattices compute in float32.
    Raises UsageError for shapes that do not fit, an unknown backend, and one that can not run here.
    """

    def __init__(
        self,
        features_src: Tensor,
        features_query: Tensor | None = None,
        backend: str = "auto",
        normalisation: Normalisation = None,
    ) -> None:
        _check(features_src, features_query)
        if normalisation not in ("symmetric", "after", "before", None):
            raise UsageError(f"no normalisation {normalisation!r}: symmetric, after, before or None")
        self._batched = features_src.ndim == 3
        self._sources_BPD = _plain(features_src)
        same = features_query is None
        self._queries_BQD = self._sources_BPD if features_query is None else _plain(features_query)
        points = self._sources_BPD.detach(), None if same else self._queries_BQD.detach()
        self._raw = _sum_of(backend, *points)
        self._before_BP1 = self._after_BQ1 = self._sources_BPD.new_ones(1, 1, 1)
        power = 0.5 if normalisation == "symmetric" else 1.0
        if normalisation in ("symmetric", "after"):
            self._after_BQ1 = (self._sum(self._ones(transposed=False), False) + 1e-20) ** -power
        if normalisation == "symmetric" and same:
            self._before_BP1 = self._after_BQ1
        elif normalisation in ("symmetric", "before"):
            self._before_BP1 = (self._sum(self._ones(transposed=True), True) + 1e-20) ** -power

    def filter(self, values: Tensor) -> Tensor:
        """filtered_QC of values_PC, or filtered_BQC of values_BPC. Features without a batch serve every batch."""
        return self._run(values, self._before_BP1, self._after_BQ1, False)

    def transpose(self, values: Tensor) -> Tensor:
        """filtered_PC of values_QC at the queries: <b, filter(a)> = <transpose(b), a>."""
        return self._run(values, self._after_BQ1, self._before_BP1, True)

    def _run(self, values: Tensor, before: Tensor, after: Tensor, transposed: bool) -> Tensor:
        points = (self._queries_BQD if transposed else self._sources_BPD).shape[1]
        fits = (
            values.ndim == 3 and values.shape[0] == len(self._sources_BPD) if self._batched else values.ndim in (2, 3)
        )
        if not fits or values.shape[-2] != points:
            raise UsageError(
                f"values of {tuple(values.shape)} for a filter of {points} points"
                + (f" and a batch of {len(self._sources_BPD)}" if self._batched else "")
            )
        values = values.to(self._sources_BPD)
        if self._batched:
            return after * self._sum(before * values, transposed)
        if values.ndim == 2:
            return (after * self._sum(before * values[None], transposed))[0]
        side_by_side = values.movedim(0, 1).flatten(1)[None]  # one filter: the weights are the same for all
        filtered = after * self._sum(before * side_by_side, transposed)
        return filtered[0].unflatten(1, (values.shape[0], values.shape[2])).movedim(1, 0)

    def _sum(self, values: Tensor, transposed: bool) -> Tensor:
        return _Sum.apply(values, self._sources_BPD, self._queries_BQD, self._raw, transposed)

    def _ones(self, transposed: bool) -> Tensor:
        return torch.ones_like((self._queries_BQD if transposed else self._sources_BPD)[..., :1])


class _Sum(torch.autograd.Function):
    """K values. Backwards it is made of itself, so gradients have gradients."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, sources_BPD: Tensor, queries_BQD: Tensor, raw: Sum, transposed: bool
    ) -> Tensor:
        kept = values if any(ctx.needs_input_grad[1:3]) else None
        ctx.save_for_backward(kept, sources_BPD, queries_BQD)
        ctx.raw, ctx.transposed = raw, transposed
        return raw(values, transposed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        values, *points = ctx.saved_tensors

        def filtered(transposed: bool, x: Tensor) -> Tensor:
            return _Sum.apply(x, *points, ctx.raw, transposed)

        there, back = partial(filtered, ctx.transposed), partial(filtered, not ctx.transposed)
        start, end = points[::-1] if ctx.transposed else points
        of_values, of_sources, of_queries = ctx.needs_input_grad[:3]
        of_start, of_end = (of_queries, of_sources) if ctx.transposed else (of_sources, of_queries)
        to_start = _pull(start, end, values, gradient, back) if of_start else None
        to_end = _pull(end, start, gradient, values, there) if of_end else None
        to_sources, to_queries = (to_end, to_start) if ctx.transposed else (to_start, to_end)
        return back(gradient) if of_values else None, to_sources, to_queries, None, None


def _pull(here_D: Tensor, there_D: Tensor, held_C: Tensor, sent_C: Tensor, filtered: Callable) -> Tensor:
    """sum over channels of held (K(sent f_there) - f_here K sent): where the points there pull those here."""
    origin = there_D.detach().mean(dim=1, keepdim=True)  # only differences count, and small numbers differ exactly
    here_D, there_D = here_D - origin, there_D - origin
    moment_D = [(held_C * filtered(sent_C * there_1)).sum(-1, keepdim=True) for there_1 in there_D.split(1, dim=-1)]
    return torch.cat(moment_D, dim=-1) - here_D * (held_C * filtered(sent_C)).sum(-1, keepdim=True)


def _sum_of(backend: str, sources_BPD: Tensor, queries_BQD: Tensor | None) -> Sum:
    on_gpu = sources_BPD.is_cuda
    if backend == "auto" and sources_BPD.dtype == torch.float32 and sources_BPD.device.type == "cpu":
        return _Lattice(sources_BPD, queries_BQD, "auto")
    if backend == "auto":
        tiled = on_gpu and sources_BPD.dtype == torch.float32 and find_spec("triton")
        backend = "triton" if tiled else "exact"
    if backend in ("lattice", "reference"):
        return _Lattice(sources_BPD, queries_BQD, backend)
    queries_BQD = sources_BPD if queries_BQD is None else queries_BQD
    if backend == "exact":
        return _Exact(sources_BPD, queries_BQD)
    if backend == "triton":
        if not find_spec("triton") or not (on_gpu or os.environ.get("TRITON_INTERPRET") == "1"):
            raise UsageError("the backend 'triton' needs a GPU and the package triton: take 'auto' or 'exact'")
        from .gaussian_triton import TiledSum

        return TiledSum(sources_BPD, queries_BQD)
    known = ("auto", "exact", "triton", "lattice", "reference")
    raise UsageError(f"no backend {backend!r}{did_you_mean(str(backend), known)}")


class _Exact:
    """Every pair of points, as many at a time as fit a cache or a small part of a GPU."""

    def __init__(self, sources_BPD: Tensor, queries_BQD: Tensor) -> None:
        self.points = sources_BPD, queries_BQD
        self.pairs = 1 << (22 if sources_BPD.device.type == "cpu" else 26)

    def __call__(self, values: Tensor, transposed: bool) -> Tensor:
        start, end = self.points[::-1] if transposed else self.points
        chunk = max(self.pairs // (start.shape[0] * start.shape[1]), 1)
        with torch.autocast(values.device.type, enabled=False):  # half precision would round the weights
            return torch.cat([_weights(some, start) @ values for some in end.split(chunk, dim=1)], dim=1)


def _weights(queries_BQD: Tensor, sources_BPD: Tensor) -> Tensor:
    """weights_BQP. Not by a product of matrices: |f|^2 - 2 f f' + |f'|^2 loses the digits that near points need."""
    distance_BQP = torch.cdist(queries_BQD, sources_BPD, compute_mode="donot_use_mm_for_euclid_dist")
    return distance_BQP.square_().mul_(-0.5).exp_()


class _Lattice:
    """`GaussianFilter` for every element of the batch, over threads."""

    def __init__(self, sources_BPD: Tensor, queries_BQD: Tensor | None, backend: str) -> None:
        sources = _arrays(sources_BPD)
        queries = [None] * len(sources) if queries_BQD is None else _arrays(queries_BQD)
        self.filters = _over_threads(lambda s, q: GaussianFilter(s, q, backend), sources, queries)

    def __call__(self, values: Tensor, transposed: bool) -> Tensor:
        def run(gaussian: GaussianFilter, values_PC: np.ndarray) -> np.ndarray:
            return (gaussian.transpose if transposed else gaussian.filter)(values_PC)

        return torch.from_numpy(np.stack(_over_threads(run, self.filters, _arrays(values)))).to(values)


def _arrays(tensors: Tensor) -> list[np.ndarray]:
    return list(tensors.detach().to("cpu", torch.float32).numpy())


def _over_threads(run: Callable, *items: list) -> list:
    if len(items[0]) == 1:
        return [run(*(item[0] for item in items))]
    with ThreadPoolExecutor(default_threads()) as pool:
        return list(pool.map(run, *items))


def _plain(features: Tensor) -> Tensor:
    features = features if features.dtype == torch.float64 else features.float()
    return features if features.ndim == 3 else features[None]


def _check(sources: Tensor, queries: Tensor | None) -> None:
    for features in (sources,) if queries is None else (sources, queries):
        if features.ndim not in (2, 3) or not features.numel() or not 1 <= features.shape[-1] <= 8:
            raise UsageError(
                f"expected features of (points, 1 to 8 dimensions), batched or not, got {tuple(features.shape)}"
            )
    if queries is not None and (
        (sources.shape[:-2], sources.shape[-1]) != (queries.shape[:-2], queries.shape[-1])
        or (sources.device, sources.dtype) != (queries.device, queries.dtype)
    ):
        one, two = (f"{tuple(f.shape)} {f.dtype} on {f.device}" for f in (sources, queries))
        raise UsageError(f"sources and queries of other batches, dimensions, types or devices: {one} and {two}")
