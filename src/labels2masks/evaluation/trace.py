"""Which cells does each map of a network read? The network run without numbers, every operation kept as windows.

`traced(network, height, width)` sends shapes through the network (torch's `meta` device: no memory, no arithmetic, the
network is not copied) and writes down a `Node` for every operation that looks beyond its own cell, changes the
cells, or brings maps together. Along each axis such an operation is an `Axis`: a convolution, a pool, a deconvolution,
an interpolation, a crop and a mirrored border are all of one form. What is computed from sizes alone (matrices that
interpolate or average, indices that mirror) keeps its numbers, and so is a window too.

What looks at the whole image, or at more than can be followed, becomes a `pooled` node: global pooling, means over
parts of the image, normalisation over an image, attention. Pixels near the border are not modelled: a field is
that of a cell far from it.

Legend: h, w = cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from ..prediction.network import evaluating
from .operations import FOLLOW, SHAPE_ONLY, along, rest, times
from .windows import Axis, Node, Reading, Seen, interpolating


def traced(network: nn.Module, height: int, width: int) -> tuple[list[Node], Node]:
    """(nodes in order, the first is the image; the node of the scores) of network(images_1 3 height width).

    The network may itself be on the meta device. Its mode and values are left as they are.
    """
    empty = {n: torch.empty_like(t, device="meta") for n, t in [*network.named_parameters(), *network.named_buffers()]}
    images = torch.empty(1, 3, height, width, device="meta")
    trace = Trace(images)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(evaluating(network))
        for name, module in network.named_modules():
            stack.callback(module.register_forward_pre_hook(trace.entering(name)).remove)
            stack.callback(module.register_forward_hook(trace.leaving).remove)
        stack.enter_context(_Products(trace))
        stack.enter_context(trace)
        scores = torch.func.functional_call(network, empty, (images,))
    return trace.nodes, trace.seen[id(scores)].node


class Trace(TorchDispatchMode):
    def __init__(self, images: Tensor) -> None:
        super().__init__()
        one, half = Fraction(1), Fraction(1, 2)
        image = Node("image", "", 3, (images.shape[2], images.shape[3]), (), (one, one), (half, half), one, False)
        self.nodes = [image]
        self.seen = {id(images): Seen(image, (2, 3))}
        self.alive = [images]  # an id is only unique while its tensor lives
        self.modules = [""]
        self.calls: dict[str, int] = {}
        self.quiet = False

    def entering(self, name: str) -> Callable[..., None]:
        return lambda module, inputs: self.modules.append(name)

    def leaving(self, module: nn.Module, inputs: Any, output: Any) -> None:
        name = self.modules.pop()
        self.calls[name] = self.calls.get(name, 0) + 1
        if name and id(output) in self.seen:
            self.seen[id(output)].node.held = (name, self.calls[name] - 1)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if not any(t.is_meta for t in tensors):  # made of sizes alone: with its numbers
            return func(*args, **({**kwargs, "device": "cpu"} if kwargs.get("device") is not None else kwargs))
        result = func(*_on_meta(args), **_on_meta(kwargs))
        read = [t for t in tensors if id(t) in self.seen]
        if read and not self.quiet and func.overloadpacket not in SHAPE_ONLY:
            self.keep(result, FOLLOW.get(func.overloadpacket, rest)(self, func, args, kwargs, read, result))
        return result

    def keep(self, result: Any, seen: Seen | list[Seen]) -> None:
        leaves = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        self.alive += leaves
        for k, t in enumerate(leaves):
            self.seen[id(t)] = seen[k] if isinstance(seen, list) else seen

    def add(self, kind: str, reads: Sequence[Reading], result: Tensor, axes: tuple[int, ...], size: Any = None) -> Seen:
        """A new node. Its grid is that of its widest source."""
        maps = [r for r in reads if r.axes is not None and r.source.stride is not None]
        common = Fraction(1)
        stride = centre = None
        if maps:
            main = max(maps, key=lambda r: r.source.channels)
            stride, centre = _after(main.source, main.axes)
            for value in (*stride, *(r.source.common for r in maps)):
                common = _common(common, value)
        others = [d for d in range(1, result.ndim) if d not in axes]
        channels = result.shape[others[0]] if others else 1
        if size is None:
            size = tuple(result.shape[d] for d in axes or (2, 3)) if len(axes) == 2 or result.ndim == 4 else (1, 1)
        whole = any(r.axes is None or r.source.whole for r in reads)
        node = Node(kind, self.modules[-1], channels, size, tuple(reads), stride, centre, common, whole)
        self.nodes.append(node)
        return Seen(node, axes)

    def pooled(self, kind: str, read: Sequence[Tensor], result: Tensor) -> Seen:
        sources = dict.fromkeys(self.seen[id(t)].node for t in read)
        return self.add(kind, [Reading(s, None) for s in sources], result, ())

    def windows(self, kind: str, source: Tensor, rows: Axis, columns: Axis, result: Tensor) -> Seen:
        """The last two dimensions read as windows."""
        node, axes = self.seen[id(source)]
        if axes != (source.ndim - 2, source.ndim - 1):
            return self.pooled(kind, [source], result)
        return self.add(kind, [Reading(node, (rows, columns))], result, (result.ndim - 2, result.ndim - 1))

    def cellwise(self, kind: str, read: Sequence[Tensor], result: Tensor) -> Seen:
        """Every cell from the same cell of each source, or of one that has a single cell."""
        placed = []
        for t in read:
            node, axes = self.seen[id(t)]
            there = tuple(d + result.ndim - t.ndim for d in axes)
            stretched = any(t.shape[d] != result.shape[e] for d, e in zip(axes, there, strict=True))
            placed.append(Seen(node, () if stretched else there))
        widest = max(placed, key=lambda s: (len(s.axes), s.node.channels))
        reads = {}
        for node, axes in placed:
            same = bool(axes) and axes == widest.axes
            reads[node] = Reading(node, (Axis(), Axis()) if same else None)
        if len(reads) == 1:
            return widest
        return self.add(kind, list(reads.values()), result, widest.axes, widest.node.size)


def _after(source: Node, axes: tuple[Axis, Axis] | None) -> tuple[tuple[Fraction, ...], tuple[Fraction, ...]]:
    """(stride, centre) of what reads the source so."""
    assert axes is not None and source.stride is not None and source.centre is not None
    centre = tuple(c + s * a.offset for c, s, a in zip(source.centre, source.stride, axes, strict=True))
    return tuple(s * a.scale for s, a in zip(source.stride, axes, strict=True)), centre


def _common(a: Fraction, b: Fraction) -> Fraction:
    """The least that both divide."""
    return Fraction(lcm(a.numerator, b.numerator), gcd(a.denominator, b.denominator))


def _on_meta(tree: Any) -> Any:
    return tree_map(lambda x: x.to("meta") if isinstance(x, Tensor) and not x.is_meta else x, tree)


_PARTS = "means of parts"


class _Products(TorchFunctionMode):
    """Products of matrices, caught before torch takes them apart into products of other shapes."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, trace = kwargs or {}, self.trace
        linear = func is F.linear
        if not linear and getattr(func, "__name__", "") not in ("matmul", "__matmul__", "__rmatmul__"):
            return func(*args, **kwargs)
        left, right = args[1::-1] if getattr(func, "__name__", "") == "__rmatmul__" else args[:2]
        maps = [t for t in (left, right) if isinstance(t, Tensor) and id(t) in trace.seen]
        trace.quiet = True
        try:
            result = func(*args, **kwargs)
        finally:
            trace.quiet = False
        if len(maps) == 2:
            trace.keep(result, trace.pooled("attention", maps, result))
        elif maps:
            (source,) = maps
            matrix = right if source is left else left
            dim = source.ndim - (1 if source is left else 2)
            node, axes = trace.seen[id(source)]
            known = not matrix.is_meta and matrix.ndim == 2
            axis = interpolating(matrix.T if source is left else matrix) if known else None
            if not axes:
                seen = trace.seen[id(source)]
                if node is trace.nodes[-1] and node.kind == _PARTS and result.ndim == 4:  # rows, and now columns
                    node.size = (result.shape[2], result.shape[3])
            elif dim not in axes:
                seen = trace.add("linear", [Reading(node, (Axis(), Axis()))], result, axes, node.size)
            elif axis is None:
                seen = trace.pooled(_PARTS, maps, result)
            else:
                seen = along(trace, source, dim, axis, result, f"interpolation {times(1 / axis.scale)}")
            trace.keep(result, seen)
        return result
