"""What one axis of a convolution, a pool, a deconvolution, an interpolation, a crop or a mirrored border reads.

All are of one form, with a period: what cell o reads is what cell o - u reads, moved by a whole number of cells. The
borders of the map are not modelled.

Legend: o = cells of the result, i = cells of the source.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """Cell o of the result reads the cells (o // u) * step + t of the source, t in taps[o % u], u = len(taps).

    place: where in the source the result's cell 0 lies, in its cells; None = in the middle of what cells read.
    """

    taps: tuple[tuple[int, ...], ...] = ((0,),)
    step: int = 1
    place: Fraction | None = None

    @property
    def scale(self) -> Fraction:
        """Cells of the source from one cell of the result to the next."""
        return Fraction(self.step, len(self.taps))

    @property
    def offset(self) -> Fraction:
        """Where in the source, in its cells, the result's cell 0 lies."""
        if self.place is not None:
            return self.place
        middles = [Fraction(t[0] + t[-1], 2) - self.scale * r for r, t in enumerate(self.taps) if t]
        return sum(middles, Fraction()) / len(middles)


def window(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Axis:
    return Axis((tuple(k * dilation - padding for k in range(kernel)),), stride)


def backwards(axis: Axis) -> Axis:
    """What a window of the source wrote, it is read by: a transposed convolution, or values put back where a pool found
    them."""
    (taps,) = axis.taps
    step = axis.step
    return Axis(tuple(tuple(sorted((r - t) // step for t in taps if (r - t) % step == 0)) for r in range(step)))


def between(scale: Fraction, offset: Fraction = Fraction(), nearest: bool = False) -> Axis:
    """Interpolation at offset + scale * o: the cells on both sides, one where it falls on a cell."""
    places = [offset + scale * r for r in range(scale.denominator)]
    taps = [(floor(p),) if nearest or p.denominator == 1 else (floor(p), floor(p) + 1) for p in places]
    return Axis(tuple(taps), scale.numerator, None if nearest else offset)


class Reading(NamedTuple):
    """What a node reads of a source. axes: windows of rows and of columns, or None for all of it."""

    source: Node
    axes: tuple[Axis, Axis] | None


@dataclass(eq=False)
class Node:
    """One map. kind: what made it, in words; empty for crops and borders. module: path of the module that did.

    stride, centre: of its cells, in pixels, per axis; None for what is pooled. common: shifted by so many pixels, all
    that it is made of repeats. whole: something on its way looks at the whole image. held: the last module that
    returned it, so after normalisation and activation, and at which of its calls.
    """

    kind: str
    module: str
    channels: int
    size: tuple[int, int]
    reads: tuple[Reading, ...]
    stride: tuple[Fraction, ...] | None
    centre: tuple[Fraction, ...] | None
    common: Fraction
    whole: bool
    held: tuple[str, int] | None = None


class Seen(NamedTuple):
    """A tensor with a node's map. axes: its dimensions of rows and columns, one where they are flattened, or none."""

    node: Node
    axes: tuple[int, ...]


def interpolating(matrix_oi: Tensor) -> Axis | None:
    """The windows of a matrix that interpolates. None for one with more than two taps a row: such a mean is over a part
    of the map, and grows with the map."""
    taps_oi = matrix_oi.abs() > 1e-3
    if int(taps_oi.sum(dim=1).max()) > 2:
        return None
    cells = matrix_oi.shape[1]
    place_o = matrix_oi.double() @ torch.arange(cells, dtype=torch.double)
    inner = torch.nonzero((place_o > 0.5) & (place_o < cells - 1.5)).flatten().tolist()
    if len(inner) < 2:
        return None
    slope = float(place_o[inner[-1]] - place_o[inner[0]]) / (inner[-1] - inner[0])
    scale = Fraction(slope).limit_denominator(64)
    period, step = scale.denominator, scale.numerator
    found: dict[int, tuple[int, ...]] = {}
    for o in inner:
        taps = torch.nonzero(taps_oi[o]).flatten().tolist()
        found.setdefault(o % period, tuple(t - o // period * step for t in taps))
    place = Fraction(float(place_o[inner[0]]) - inner[0] * float(scale)).limit_denominator(1024)
    return Axis(tuple(found.get(r, ()) for r in range(period)), step, place)
