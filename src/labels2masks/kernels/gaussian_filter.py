"""Gaussian filtering over features of 1 to 8 dimensions: out_q = sum over p of exp(-|f_q - f_p|^2 / 2) value_p.

One primitive behind dense CRFs, guided upsampling and label propagation. Features are in units of
the kernel's standard deviation: for a photo (x / sigma_xy, y / sigma_xy, r / sigma_rgb, ...), for a volume one
coordinate more; any list of points will do.

The permutohedral lattice (Adams, Baek, Davis 2010) takes time linear in the points. It is an approximation: after
normalisation about 0.006 rms beside the exact sum (values of 0..1), and single points more. Without normalisation it is
also too small, by a factor that depends on the points: 0.9 in one dimension, 0.5 on a photo.
Three backends compute the same operator: "lattice" in C++ (csrc/permutohedral.cpp), "reference", the same
lattice in numpy, which defines it and serves where the extension is missing, and "exact", the sum itself in numpy.

Numpy only. Legend: P = source points, Q = query points, D = dimensions, C = channels, M = vertices.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..errors import UsageError, did_you_mean
from . import extension

Normalisation = Literal["symmetric", "after", "before"] | None

_FURTHEST = 2.0**20
"""Features beyond that many standard deviations from zero lose their fraction in float32."""
_PAIRS = 1 << 22
"""Pairs of points that the exact backend holds at a time."""


class GaussianFilter:
    """K for fixed points, as an operator on values.

    features_src: (P, D), D = 1..8; features_query: (Q, D), the sources themselves where None.
    backend: "auto" (the compiled lattice, else the reference), "lattice", "reference" or "exact".
    normalisation: "symmetric": K between the square roots of its row and column sums, what dense CRFs use;
        "after": rows sum to 1, a weighted mean of the sources; "before": columns sum to 1; None: K itself.
    Raises UsageError for other shapes, NaN, and features beyond a million standard deviations.
    """

    def __init__(
        self,
        features_src: np.ndarray,
        features_query: np.ndarray | None = None,
        backend: str = "auto",
        normalisation: Normalisation = None,
    ) -> None:
        sources_PD = _checked(features_src)
        queries_QD = None if features_query is None else _checked(features_query)
        if queries_QD is not None and queries_QD.shape[1] != sources_PD.shape[1]:
            raise UsageError(f"sources have {sources_PD.shape[1]} dimensions, queries {queries_QD.shape[1]}")
        if normalisation not in ("symmetric", "after", "before", None):
            raise UsageError(f"no normalisation {normalisation!r}: symmetric, after, before or None")
        if backend not in ("auto", *_BACKENDS):
            raise UsageError(f"no backend {backend!r}{did_you_mean(str(backend), ['auto', *_BACKENDS])}")
        if backend == "auto":
            backend = "reference" if extension() is None else "lattice"
        self.backend = backend
        self._operator: _Lattice | _Reference | _Exact = _BACKENDS[backend](sources_PD, queries_QD)
        self._before_P1 = self._after_Q1 = np.ones((1, 1), np.float32)
        power = {"symmetric": 0.5, "after": 1.0, "before": 1.0, None: 0.0}[normalisation]
        if normalisation in ("symmetric", "after"):
            ones_P1 = np.ones((len(sources_PD), 1), np.float32)
            self._after_Q1 = (self._operator.apply(ones_P1, transpose=False) + np.float32(1e-20)) ** -power
        if normalisation == "symmetric" and queries_QD is None:
            self._before_P1 = self._after_Q1
        elif normalisation in ("symmetric", "before"):
            queries = len(sources_PD if queries_QD is None else queries_QD)
            ones_Q1 = np.ones((queries, 1), np.float32)
            self._before_P1 = (self._operator.apply(ones_Q1, transpose=True) + np.float32(1e-20)) ** -power

    def filter(self, values_PC: np.ndarray) -> np.ndarray:
        """filtered_QC float32 of values at the sources."""
        return self._after_Q1 * self._operator.apply(_values(values_PC) * self._before_P1, transpose=False)

    def transpose(self, values_QC: np.ndarray) -> np.ndarray:
        """filtered_PC float32 of values at the queries: <b, filter(a)> = <transpose(b), a>, the gradient of `filter`.

        Without missing vertices the lattice is its own transpose; with them nearly.
        """
        return self._before_P1 * self._operator.apply(_values(values_QC) * self._after_Q1, transpose=True)


class _Lattice:
    """The compiled permutohedral lattice."""

    def __init__(self, sources_PD: np.ndarray, queries_QD: np.ndarray | None) -> None:
        compiled = extension()
        if compiled is None:
            raise UsageError("the backend 'lattice' needs the compiled kernels: take 'auto' or 'reference'")
        queries_DQ = None if queries_QD is None else np.ascontiguousarray(queries_QD.T)
        self.lattice = compiled.GaussianLattice(np.ascontiguousarray(sources_PD.T), queries_DQ)
        self.points = len(sources_PD), len(sources_PD if queries_QD is None else queries_QD)

    def apply(self, values: np.ndarray, transpose: bool) -> np.ndarray:
        _fits(values, self.points[transpose])
        out = np.empty((self.points[not transpose], values.shape[1]), np.float32)
        self.lattice.filter(np.ascontiguousarray(values), out, transpose)
        return out


class _Reference:
    """The permutohedral lattice in numpy: what it is, step by step."""

    def __init__(self, sources_PD: np.ndarray, queries_QD: np.ndarray | None) -> None:
        points_ND = sources_PD if queries_QD is None else np.concatenate([sources_PD, queries_QD])
        self.dims = points_ND.shape[1]
        weight_Nv, vertex_NvD = barycentric(points_ND)
        keys_MD, row = np.unique(vertex_NvD.reshape(-1, self.dims), axis=0, return_inverse=True)
        row_Nv = row.reshape(weight_Nv.shape)
        sources = len(sources_PD)
        self.weight, self.row = (weight_Nv[:sources],) * 2, (row_Nv[:sources],) * 2
        if queries_QD is not None:
            self.weight, self.row = (weight_Nv[:sources], weight_Nv[sources:]), (row_Nv[:sources], row_Nv[sources:])
        # Along axis j a vertex's neighbour is one less in every coordinate but j, where it is `dims` more.
        number = {key.tobytes(): i for i, key in enumerate(keys_MD)}
        missing = self.missing = len(keys_MD)
        self.neighbours_M2 = []
        for axis in range(self.dims + 1):
            step_D = np.where(np.arange(self.dims) == axis, self.dims, -1).astype(keys_MD.dtype)
            ends = ((keys_MD + step_D).astype(keys_MD.dtype), (keys_MD - step_D).astype(keys_MD.dtype))
            pair = [[number.get(key.tobytes(), missing) for key in end] for end in ends]
            self.neighbours_M2.append(np.array(pair).T)

    def apply(self, values: np.ndarray, transpose: bool) -> np.ndarray:
        (weight_Pv, weight_Qv), (row_Pv, row_Qv) = self.weight, self.row
        if transpose:
            weight_Pv, weight_Qv, row_Pv, row_Qv = weight_Qv, weight_Pv, row_Qv, row_Pv
        _fits(values, len(weight_Pv))
        table_MC = np.zeros((self.missing + 1, values.shape[1]), np.float32)  # the last row: no vertex, stays zero
        for v in range(self.dims + 1):
            np.add.at(table_MC, row_Pv[:, v], weight_Pv[:, v, None] * values)
        for neighbours_M2 in self.neighbours_M2[:: -1 if transpose else 1]:
            table_MC[:-1] += table_MC[neighbours_M2].sum(axis=1) / 2
        alpha = np.float32(1 / (1 + 2.0**-self.dims))  # so that a point at a vertex keeps its own value
        return alpha * np.einsum("qv,qvc->qc", weight_Qv, table_MC[row_Qv])


def barycentric(points_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(weight_Nv float32, vertex_NvD int64) of the D + 1 vertices around each point (Adams et al. 2010, section 3).

    In float32 and in the order of operations of csrc/simplex_body.h: points on the border of two simplices go to the
    same one.
    """
    points, dims = points_ND.shape
    corners, share = np.float32(dims + 1), np.float32(1 / (dims + 1))
    deviation = np.float32(np.sqrt(2 / 3) * (dims + 1))
    raised = np.empty((points, dims + 1), np.float32)  # on the plane of coordinates that sum to zero
    total = np.zeros(points, np.float32)
    for i in range(dims, 0, -1):
        x = points_ND[:, i - 1] * np.float32(1 / np.sqrt((i + 1.0) * i) * deviation)
        raised[:, i] = total - np.float32(i) * x
        total = total + x
    raised[:, 0] = total
    steps = np.rint(share * raised)
    nearest = steps * corners
    rest = raised - nearest
    rank = np.zeros(raised.shape, np.float32)  # 0 = the largest remainder; of equal ones the first
    for i in range(dims):
        for j in range(i + 1, dims + 1):
            smaller = rest[:, i] < rest[:, j]
            rank[:, i] += smaller
            rank[:, j] += ~smaller
    rank += steps.sum(axis=1, keepdims=True)  # rounding may have left the plane by that many steps
    move = corners * ((rank < 0).astype(np.float32) - (rank >= corners))
    rank, nearest = rank + move, nearest + move
    by_rank = np.zeros((points, dims + 1), np.float32)
    np.put_along_axis(by_rank, rank.astype(np.int64), (raised - nearest) * share, axis=1)
    weight_Nv = np.empty_like(by_rank)
    weight_Nv[:, 0] = by_rank[:, dims] + (1 - by_rank[:, 0])
    weight_Nv[:, 1:] = by_rank[:, dims - 1 :: -1] - by_rank[:, dims:0:-1]
    np.maximum(weight_Nv, 0, out=weight_Nv)  # a sum of ones below zero, by rounding, would have no root
    v = np.arange(dims + 1)[:, None]
    wraps_NvD = rank[:, None, :dims] > dims - v
    vertex_NvD = nearest[:, None, :dims].astype(np.int64) + v - (dims + 1) * wraps_NvD
    return weight_Nv, vertex_NvD


class _Exact:
    """Every pair of points."""

    def __init__(self, sources_PD: np.ndarray, queries_QD: np.ndarray | None) -> None:
        self.sources_PD = sources_PD
        self.queries_QD = sources_PD if queries_QD is None else queries_QD

    def apply(self, values: np.ndarray, transpose: bool) -> np.ndarray:
        sources_PD, queries_QD = self.sources_PD, self.queries_QD
        if transpose:
            sources_PD, queries_QD = queries_QD, sources_PD
        _fits(values, len(sources_PD))
        out_QC = np.empty((len(queries_QD), values.shape[1]), np.float32)
        chunk = max(_PAIRS // len(sources_PD), 1)
        for q in range(0, len(queries_QD), chunk):
            distance_QP = np.zeros((len(queries_QD[q : q + chunk]), len(sources_PD)), np.float32)
            for f_Q, f_P in zip(queries_QD[q : q + chunk].T, sources_PD.T, strict=True):
                distance_QP += (f_Q[:, None] - f_P) ** 2
            out_QC[q : q + chunk] = np.exp(-0.5 * distance_QP) @ values
        return out_QC


_BACKENDS: dict[str, type[_Lattice] | type[_Reference] | type[_Exact]] = {
    "lattice": _Lattice,
    "reference": _Reference,
    "exact": _Exact,
}


def _checked(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float32)
    if features.ndim != 2 or not len(features) or not 1 <= features.shape[1] <= 8:
        raise UsageError(f"expected features of (points, 1 to 8 dimensions), got {features.shape}")
    if not np.abs(features).max() <= _FURTHEST:  # also False for NaN
        raise UsageError(
            "features hold NaN or lie more than 1,000,000 standard deviations from zero: "
            "subtract their mean, or take a larger sigma"
        )
    return features


def _values(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float32)
    if values.ndim != 2:
        raise UsageError(f"expected values of (points, channels), got {values.shape}")
    return values


def _fits(values: np.ndarray, points: int) -> None:
    if len(values) != points:
        raise UsageError(f"values of {len(values)} points for a filter of {points}")
