"""How far does a pixel's score see? Field, stride, first cell and coverage of every map of a network.

The recursion that everybody does by hand (field += (kernel - 1) * dilation * stride) holds for a chain of layers. Here
one cell is followed back through the recorded network, branches and joins included, as the set of pixels that
have any influence on it. The field is the box around that set, its coverage the share of the box that is in the set:
after dilations 2, 2, 2 it is 29 % (only every second row and column counts), after 1, 2, 4 all of it.

Theoretical: which pixels can count at all. How much they do count is the effective field (`effective_field`).

Legend: h, w = cells or pixels of a box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from ..errors import UsageError
from ..grid import Grid
from .trace import traced
from .windows import Axis, Node

SMALLEST = 256
"""On smaller photos a mean over a sixth of a map has so few cells that it looks like an interpolation."""
_PHASES = 64


@dataclass(frozen=True, eq=False)
class Layer:
    """One map of a network. name: path of the module that made it, "" for the network itself. kind: by what operation.

    channels, size: of the map, for the photo that was asked about. grid: where its cells lie, None for what is pooled.
    field: rows and columns of the box that its cells see, along paths that pool over nothing, the largest where cells
    differ; least: the smallest. None where there is no such path. inside_hw: bool, the pixels of the largest box that
    have any influence; coverage: their share, 0..1. whole_image: some path pools over the whole image, so that every
    pixel has some. held: the last module that returned the map, and at which of its calls, counted from 0; None where
    no module did.
    """

    name: str
    kind: str
    channels: int
    size: tuple[int, int]
    grid: Grid | None
    field: tuple[int, int] | None
    least: tuple[int, int] | None
    inside_hw: np.ndarray | None
    whole_image: bool
    held: tuple[str, int] | None

    @property
    def coverage(self) -> float | None:
        return None if self.inside_hw is None else float(self.inside_hw.mean())

    def row(self) -> dict[str, Any]:
        """The same as words and plain numbers, for tables and JSON."""
        grid = self.grid
        return {
            "name": self.name or "-",
            "kind": self.kind,
            "channels": self.channels,
            "size": _by(self.size),
            "stride": grid and _by((grid.stride_y, grid.stride_x)),
            "first centre": grid and _by((grid.centre_y, grid.centre_x)),
            "field": _range(self.least, self.field),
            "coverage": None if self.coverage is None else f"{100 * self.coverage:.4g} %",
            "whole image": self.whole_image,
        }


class Mask(NamedTuple):
    """bool hw of a box whose first row and column are top and left; outside of it there is nothing."""

    top: int
    left: int
    inside_hw: np.ndarray


def receptive_field(network: nn.Module, size: tuple[int, int] = (512, 512), stages: bool = False) -> list[Layer]:
    """One Layer for every operation that looks beyond its cell, changes cells or brings maps together, in order.

    size: height and width of the photo that map sizes are told for. stages: only the last map of each stage, that is
    of the layers of one stride in one part of the network; maps that several parts read are told too.
    Raises UsageError for photos below 256 pixels.
    """
    if min(size) < SMALLEST:
        raise UsageError(f"fields are told for photos of at least {SMALLEST} pixels a side, got {size[0]}x{size[1]}")
    nodes, scores = traced(network, *size)
    told = _ends(nodes, scores) if stages else {node for node in nodes if node.kind} | {scores}
    return [_layer(node, nodes) for node in nodes[1:] if node in told]


def _layer(node: Node, nodes: Sequence[Node]) -> Layer:
    masks = [] if node.stride is None else _masks(node, nodes)
    largest = max(masks, key=_area, default=None)
    sides = [m.inside_hw.shape for m in masks]
    field = least = None
    if largest is not None:
        field = (max(h for h, _ in sides), max(w for _, w in sides))
        least = (min(h for h, _ in sides), min(w for _, w in sides))
    grid = None
    if node.stride is not None and node.centre is not None:
        grid = Grid(*(float(v) for v in (*node.stride, *node.centre)))
    inside_hw = None if largest is None else largest.inside_hw
    sees = (grid, field, least, inside_hw, node.whole)
    return Layer(node.module, node.kind or "crop", node.channels, node.size, *sees, node.held)


def _masks(node: Node, nodes: Sequence[Node]) -> list[Mask]:
    """What the cells of one period see of the image, those on the diagonal."""
    assert node.stride is not None
    period = max(int(node.common / s) for s in node.stride)
    found = [_seen_by(node, cell, nodes) for cell in range(0, period, -(-period // _PHASES))]
    return [m for m in found if m is not None]


def _seen_by(node: Node, cell: int, nodes: Sequence[Node]) -> Mask | None:
    """What cell (cell, cell) of a map sees of the image; None where all its paths pool."""
    waiting = {node: Mask(cell, cell, np.ones((1, 1), bool))}
    for here in reversed(nodes):
        if here not in waiting:
            continue
        mask = waiting.pop(here)
        if here is nodes[0]:
            return mask
        for source, axes in here.reads:
            if axes is not None and source.stride is not None:
                read = _through(mask, *axes)
                if read is not None:
                    waiting[source] = _union(waiting[source], read) if source in waiting else read
    return None


def _through(mask: Mask, rows: Axis, columns: Axis) -> Mask | None:
    """What these cells read of the source; None for nothing, as between the values of an unpooled map."""
    if mask.inside_hw.all():  # so it mostly is, and then one row and one column say everything
        top, inside_h1 = _along(mask.inside_hw[:, :1], mask.top, rows)
        left, inside_w1 = _along(mask.inside_hw[:1].T, mask.left, columns)
        return _cut(top, left, inside_h1, inside_w1, np.logical_and.outer(inside_h1[:, 0], inside_w1[:, 0]))
    top, inside_hw = _along(mask.inside_hw, mask.top, rows)
    left, inside_wh = _along(inside_hw.T, mask.left, columns)
    return _cut(top, left, inside_wh.any(axis=0), inside_wh.any(axis=1), inside_wh.T)


def _cut(top: int, left: int, used_h: Any, used_w: Any, inside_hw: np.ndarray) -> Mask | None:
    """Without the empty rows and columns at its border. used_h, used_w: bool, what is not empty."""
    used_y, used_x = np.flatnonzero(used_h), np.flatnonzero(used_w)
    if not used_y.size or not used_x.size:
        return None
    y0, x0 = int(used_y[0]), int(used_x[0])
    return Mask(top + y0, left + x0, inside_hw[y0 : used_y[-1] + 1, x0 : used_x[-1] + 1])


def _along(cells_oX: np.ndarray, first: int, axis: Axis) -> tuple[int, np.ndarray]:
    """(first cell, cells) of the source along the leading dimension."""
    if axis == Axis():
        return first, cells_oX
    period, reach = len(axis.taps), [t for taps in axis.taps for t in taps]
    low = first // period * axis.step + min(reach)
    high = (first + len(cells_oX) - 1) // period * axis.step + max(reach)
    read_iX = np.zeros((high - low + 1, *cells_oX.shape[1:]), bool)
    for r, taps in enumerate(axis.taps):
        start = (r - first) % period
        part_oX = cells_oX[start::period]
        for tap in taps if len(part_oX) else ():
            at = (first + start) // period * axis.step + tap - low
            read_iX[at : at + (len(part_oX) - 1) * axis.step + 1 : axis.step] |= part_oX
    return low, read_iX


def _union(a: Mask, b: Mask) -> Mask:
    top, left = min(a.top, b.top), min(a.left, b.left)
    bottom, right = (max(getattr(m, e) + m.inside_hw.shape[i] for m in (a, b)) for i, e in enumerate(("top", "left")))
    inside_hw = np.zeros((bottom - top, right - left), bool)
    for m in (a, b):
        h, w = m.inside_hw.shape
        inside_hw[m.top - top : m.top - top + h, m.left - left : m.left - left + w] |= m.inside_hw
    return Mask(top, left, inside_hw)


def _area(mask: Mask) -> int:
    return mask.inside_hw.size


def _ends(nodes: Sequence[Node], scores: Node) -> set[Node]:
    """Maps that another stage reads, and the scores, before and after they are cropped."""
    ends = {scores}
    for node in nodes:
        for source, _ in node.reads if node.kind else ():
            while not source.kind:  # through crops and borders
                source = source.reads[0].source
            if _stage(source) != _stage(node):
                ends.add(source)
    while not scores.kind and scores.reads:
        scores = scores.reads[0].source
    return ends | {scores}


def _stage(node: Node) -> tuple[str, Any]:
    """Its part of the network above the first number (`encoder.layer1` of `encoder.layer1.0.conv2`), and its stride."""
    parts = node.module.split(".")
    named = next((i for i, part in enumerate(parts) if part.isdigit()), len(parts))
    return ".".join(parts[:named]), node.stride


def _by(sides: Sequence[float]) -> str:
    a, b = (f"{s:g}" for s in sides)
    return a if a == b else f"{a}x{b}"


def _range(least: tuple[int, int] | None, largest: tuple[int, int] | None) -> str | None:
    if least is None or largest is None:
        return None
    return _by(largest) if least == largest else f"{_by(least)}-{_by(largest)}"
