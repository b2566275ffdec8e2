"""How each of torch's operations reads maps, for `trace`.

Each function takes (trace, func, args, kwargs, tensors read, result) and returns what the result holds. What has no
function here acts on cells if torch says so, and else is not followed: its result may depend on all of its sources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from .windows import Axis, Reading, Seen, backwards, between, window

if TYPE_CHECKING:
    from .trace import Trace

aten = torch.ops.aten


def rest(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Any) -> Seen:
    """Operations on cells, by torch's own tag or by the list below; all else is not followed."""
    first = next(t for t in tree_leaves(result) if isinstance(t, Tensor))
    name = func.overloadpacket.__name__.strip("_")
    if torch.Tag.pointwise in func.tags or func.overloadpacket in _CELLWISE:
        return trace.cellwise(_WORDS.get(name, name), read, first)
    return trace.pooled(_WORDS.get(name, name.replace("_", " ")), read, first)


def _convolution(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Tensor) -> Seen:
    source, weight, _, stride, padding, dilation, transposed = args[:7]
    kernel = weight.shape[2:]
    axes = [window(k, _nth(stride, i), _nth(padding, i), _nth(dilation, i)) for i, k in enumerate(kernel)]
    rows, columns = map(backwards, axes) if transposed else axes
    kind = _kind("deconvolution" if transposed else "convolution", kernel, stride, dilation)
    return trace.windows(kind, source, rows, columns, result)


def _pool(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Any) -> Seen:
    average = func.overloadpacket is aten.avg_pool2d
    source, kernel = args[:2]
    stride = (args[2] if len(args) > 2 else None) or kernel
    padding = args[3] if len(args) > 3 else [0]
    dilation = [1] if average or len(args) < 5 else args[4]
    rows, columns = (window(_nth(kernel, i), _nth(stride, i), _nth(padding, i), _nth(dilation, i)) for i in (0, 1))
    kind = _kind("mean pool" if average else "max pool", (_nth(kernel, 0), _nth(kernel, 1)), stride, dilation)
    return trace.windows(kind, source, rows, columns, tree_leaves(result)[0])


def _interpolation(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Tensor) -> Seen:
    nearest = func.overloadpacket is aten.upsample_nearest2d
    if len(trace.seen[id(args[0])].axes) != 2:
        return trace.pooled("interpolation", read, result)
    corners = not nearest and args[2]
    given = args[2:4] if nearest else args[3:5]
    axes = []
    for i in (0, 1):
        before, behind = args[0].shape[2 + i], result.shape[2 + i]
        if corners:
            axes.append(between(Fraction(before - 1, max(behind - 1, 1))))
            continue
        factor = given[i] if len(given) > i else None
        scale = Fraction(before, behind) if factor is None else 1 / Fraction(factor).limit_denominator(64)
        axes.append(between(scale, Fraction(0) if nearest else (scale - 1) / 2, nearest))
    kind = f"{'nearest' if nearest else 'interpolation'} {times(1 / axes[0].scale)}"
    rows, columns = axes
    return trace.windows(kind, args[0], rows, columns, result)


def _border(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Tensor) -> Seen:
    left, _, top, _ = (list(args[1]) + [0, 0, 0, 0])[:4]
    return trace.windows("", args[0], Axis(((-top,),)), Axis(((-left,),)), result)


def _slice(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Tensor) -> Seen:
    filled: tuple[Any, ...] = (*args, *(0, None, None, 1)[len(args) - 1 :])
    source, dim, start, _, step = filled
    node, axes = trace.seen[id(source)]
    dim %= source.ndim
    if dim not in axes or result.shape == source.shape:
        return Seen(node, axes)
    start = start or 0
    return along(trace, source, dim, Axis(((start + source.shape[dim] if start < 0 else start,),), step), result)


def _chosen(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Tensor) -> Seen:
    """index_select: mirrored borders. In the middle the indices go up by a constant step."""
    source, dim, index = args
    node, axes = trace.seen[id(source)]
    dim %= source.ndim
    if dim not in axes:
        return Seen(node, axes)
    middle = len(index) // 2
    if index.is_meta or middle + 1 >= len(index) or index[middle + 1] <= index[middle]:
        return trace.pooled("gather", read, result)
    step = int(index[middle + 1] - index[middle])
    return along(trace, source, dim, Axis(((int(index[middle]) - step * middle,),), step), result)


def along(trace: Trace, source: Tensor, dim: int, axis: Axis, result: Tensor, kind: str = "") -> Seen:
    """One axis is read so, the other stays. The same for the other axis, right behind, is one operation."""
    node, axes = trace.seen[id(source)]
    if len(axes) != 2:
        return trace.pooled(kind or "gather", [source], result)
    kind = kind or ("" if axis.step == 1 else "subsampling")
    both = (axis, Axis()) if dim == axes[0] else (Axis(), axis)
    if node is trace.nodes[-1] and node.kind == kind and len(node.reads) == 1:
        before, earlier = node.reads[0]
        if earlier and all(Axis() in pair for pair in zip(earlier, both, strict=True)):
            node, both = before, (both[0], earlier[1]) if earlier[0] == Axis() else (earlier[0], both[1])
    return trace.add(kind, [Reading(node, both)], result, axes)


def _reduction(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Any) -> Seen:
    node, axes = trace.seen[id(args[0])]
    at = 2 if func.overloadpacket is aten.linalg_vector_norm else 1
    given = args[at] if len(args) > at else kwargs.get("dim")
    ndim = args[0].ndim
    dims = {d % ndim for d in ([given] if isinstance(given, int) else given or range(ndim))}
    first = tree_leaves(result)[0]
    if dims & set(axes):
        return trace.pooled("image pooling", [args[0]], first)
    kept = axes if first.ndim == ndim else tuple(d - sum(e < d for e in dims) for d in axes)
    return Seen(node, kept)


def _along_channels(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Any) -> Seen:
    """softmax(x, dim), flip(x, dims), layer norm over the last dimensions: cell by cell unless over cells."""
    node, axes = trace.seen[id(args[0])]
    ndim, given = args[0].ndim, args[1]
    if func.overloadpacket is aten.native_layer_norm:
        given = list(range(ndim - len(given), ndim))
    dims = {d % ndim for d in ([given] if isinstance(given, int) else given)}
    if dims & set(axes):
        return trace.pooled("normalisation", read, tree_leaves(result)[0])
    return Seen(node, axes)


def _joined(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Tensor) -> Seen:
    """Maps side by side."""
    stacked = func.overloadpacket is aten.stack
    dim = (args[1] if len(args) > 1 else 0) % result.ndim
    reads = {}
    axes: tuple[int, ...] = ()
    for t in read:
        node, own = trace.seen[id(t)]
        there = tuple(d + (stacked and d >= dim) for d in own)
        axes = max(axes, there, key=len)
        whole = not own or there != axes or (not stacked and dim in own)
        reads[node] = Reading(node, None if whole else (Axis(), Axis()))
    if not stacked and dim in axes:
        axes = ()
    return trace.add("stack" if stacked else "concat", list(reads.values()), result, axes)


def _parts(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Any) -> Seen | list[Seen]:
    node, axes = trace.seen[id(args[0])]
    unbind = func.overloadpacket is aten.unbind
    dim = ((args[1] if len(args) > 1 else 0) if unbind else (args[2] if len(args) > 2 else 0)) % args[0].ndim
    if dim in axes:
        return [trace.pooled("part", read, t) for t in result]
    return Seen(node, tuple(d - (unbind and d > dim) for d in axes))


def _moved(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Tensor) -> Seen:
    """Dimensions in another order, one more, one less."""
    source, operation = args[0], func.overloadpacket
    node, axes = trace.seen[id(source)]
    order = list(range(source.ndim))
    if operation is aten.permute:
        order = [d % source.ndim for d in args[1]]
    elif operation in (aten.transpose, aten.t):
        a, b = (d % source.ndim for d in args[1:3]) if operation is aten.transpose else (0, source.ndim - 1)
        order[a], order[b] = b, a
    elif operation is aten.unsqueeze:
        order.insert(args[1] % result.ndim, -1)
    else:  # squeeze, select
        dims = [args[1]] if isinstance(args[1], int) else args[1]
        gone = {d % source.ndim for d in dims} if source.ndim != result.ndim else set()
        if gone & set(axes):
            return trace.pooled("part", read, result)
        order = [d for d in order if d not in gone]
    return Seen(node, tuple(order.index(d) for d in axes))


def _viewed(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Tensor) -> Seen:
    """Another shape of the same numbers: rows and columns stay dimensions, or become one, or come back from it."""
    node, axes = trace.seen[id(args[0])]
    blocks = _blocks(args[0].shape, result.shape)
    new: list[int] = []
    for axis in axes:
        before, behind = next(block for block in blocks if axis in block[0])
        if before == [axis] and len(behind) == 1:
            new += behind
        elif tuple(before) == axes and len(behind) == 1:
            return Seen(node, (behind[0],))
        elif len(axes) == 1 and before == [axis] and tuple(result.shape[d] for d in behind) == node.size:
            return Seen(node, tuple(behind))
        else:
            return trace.pooled("reshape", read, result)
    return Seen(node, tuple(new))


def _blocks(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Dimensions of both shapes, without those of one, in the smallest groups of equal size."""
    a, b = [[d for d, n in enumerate(shape) if n != 1] for shape in (old, new)]
    blocks = []
    while a:
        before, behind = [a.pop(0)], [b.pop(0)]
        left, right = old[before[0]], new[behind[0]]
        while left != right:
            if left < right:
                before.append(a.pop(0))
                left *= old[before[-1]]
            else:
                behind.append(b.pop(0))
                right *= new[behind[-1]]
        blocks.append((before, behind))
    return blocks


def _unpool(trace: Trace, func: Any, args: Any, kwargs: Any, read: list[Tensor], result: Tensor) -> Seen:
    """Values back to where their maxima were, by `max_unpool2d` or by a scatter over flattened maps."""
    flat = func.overloadpacket is not aten.max_unpool2d
    values, where = (args[3], args[2]) if flat else args[:2]
    value, place = trace.seen.get(id(values)), trace.seen.get(id(where))
    if value and place and value.axes == place.axes and value.node.size == place.node.size and place.node.reads:
        fine, axes = place.node.reads[0]
        if axes and "pool" in place.node.kind:
            reading = Reading(value.node, (backwards(axes[0]), backwards(axes[1])))
            seen = trace.add(f"unpool {times(axes[0].step)}", [reading], result, value.axes, fine.size)
            # Where a value goes is for the pooled map to say: its cells lie where they did before the pool.
            seen.node.stride, seen.node.centre = fine.stride, fine.centre
            return seen
    return trace.pooled("scatter", read, result)


def _nth(values: Any, i: int) -> int:
    return values if isinstance(values, int) else values[i if len(values) > 1 else 0]


def _kind(what: str, kernel: Sequence[int], stride: Any, dilation: Any) -> str:
    """`3x3 convolution /2 dilation 4`."""
    step, reach = _nth(stride, 0), _nth(dilation, 0)
    up = "x" if what == "deconvolution" else "/"
    return f"{kernel[0]}x{kernel[1]} {what}{f' {up}{step}' * (step > 1)}{f' dilation {reach}' * (reach > 1)}"


def times(factor: Any) -> str:
    return f"x{float(factor):g}"


_WORDS = {"add": "sum", "mul": "product", "sub": "difference", "bmm": "attention"}
_WORDS |= {"native_group_norm": "group norm", "adaptive_avg_pool2d": "means of parts"}
_WORDS |= {f"scaled_dot_product_{how}attention": "attention" for how in ("", "flash_", "fused_", "efficient_")}
# Cell by cell, but without torch's tag that says so.
_CELLWISE = {
    *(aten._native_batch_norm_legit_no_training, aten.native_batch_norm, aten.cudnn_batch_norm, aten.native_dropout),
    *(aten.hardswish, aten.hardswish_, aten.hardtanh_, aten.relu_, aten.leaky_relu_, aten.silu_, aten.masked_fill),
    *(aten.expand, aten.clone, aten._to_copy, aten.copy_, aten.detach, aten.alias, aten.lift_fresh, aten.rsub),
}
# They take a map's shape, and none of its values.
SHAPE_ONLY = {aten.new_zeros, aten.new_ones, aten.new_full, aten.new_empty, aten.zeros_like, aten.ones_like}
FOLLOW: dict[Any, Callable[..., Any]] = {
    aten.convolution: _convolution,
    **dict.fromkeys((aten.max_pool2d_with_indices, aten.max_pool2d, aten.avg_pool2d), _pool),
    **dict.fromkeys((aten.upsample_bilinear2d, aten.upsample_nearest2d), _interpolation),
    **dict.fromkeys((aten.constant_pad_nd, aten.replication_pad2d, aten.reflection_pad2d), _border),
    **dict.fromkeys((aten.mean, aten.sum, aten.amax, aten.max, aten.linalg_vector_norm, aten.var), _reduction),
    **dict.fromkeys((aten._softmax, aten._log_softmax, aten.flip, aten.native_layer_norm), _along_channels),
    **dict.fromkeys((aten.cat, aten.stack), _joined),
    **dict.fromkeys((aten.split, aten.split_with_sizes, aten.unbind), _parts),
    **dict.fromkeys((aten.permute, aten.transpose, aten.t, aten.unsqueeze, aten.squeeze, aten.select), _moved),
    **dict.fromkeys((aten.view, aten._unsafe_view, aten.reshape), _viewed),
    **dict.fromkeys((aten.scatter_add, aten.max_unpool2d), _unpool),
    aten.slice: _slice,
    aten.index_select: _chosen,
}
