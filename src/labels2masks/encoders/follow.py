"""Where are an encoder's cells? Run it without numbers and follow the Grid through every operation.

The network runs on torch's `meta` device: shapes only, no memory, no arithmetic. A convolution or
pooling moves the grid by the receptive-field recursion (`Grid.after`), explicit padding moves the
origin, and everything else keeps the grid of its largest input: a residual sum keeps that of the main
path, a squeeze-and-excitation product that of the map and not of the pooled vector.
The tests check the result against gradients.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..grid import Grid

aten = torch.ops.aten
_POOLING = (aten.max_pool2d_with_indices, aten.max_pool2d, aten.avg_pool2d)
_WHOLE_IMAGE = (aten.mean, aten._adaptive_avg_pool2d, aten.adaptive_avg_pool2d, aten.linalg_vector_norm)
_ATTENTION = (aten.bmm, aten.baddbmm)


@dataclass
class Followed:
    """outputs: maps on the meta device with their grids. finite_field: nothing looks at the whole image."""

    outputs: list[tuple[Tensor, Grid]]
    finite_field: bool


def follow(module: nn.Module, height: int, width: int) -> Followed:
    """The grids of what `module(images_1 3 height width)` returns: one map or a list of maps.

    Any error of the module passes through, for instance that it takes no such size.
    """
    shapes_only = copy.deepcopy(module).to("meta").eval()
    images = torch.empty(1, 3, height, width, device="meta")
    with torch.no_grad(), _Follow(images) as mode:
        maps = shapes_only(images)
    maps = [maps] if isinstance(maps, Tensor) else list(maps)
    return Followed([(m, mode.grids[id(m)]) for m in maps], mode.finite_field)


class _Follow(TorchDispatchMode):
    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self.grids: dict[int, Grid] = {id(images): Grid()}
        self.alive: list[Tensor] = [images]  # an id is only unique while its tensor lives
        self.finite_field = True

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        operation = func.overloadpacket
        followed = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor) and id(t) in self.grids]
        if not followed:
            return result
        source = max(followed, key=lambda t: t.numel())
        grid = self.grids[id(source)]
        if operation is aten.convolution:
            grid = _after_convolution(grid, *args[1:9])
        elif operation in _POOLING:
            kernel, stride, padding = args[1], args[2] if len(args) > 2 else args[1], args[3] if len(args) > 3 else [0]
            dilation = args[4] if operation is not aten.avg_pool2d and len(args) > 4 else [1]
            grid = _after_window(grid, kernel, stride or kernel, padding, dilation)
        elif operation in (aten.constant_pad_nd, aten.replication_pad2d, aten.reflection_pad2d):
            left, _, top, _ = (list(args[1]) + [0, 0, 0, 0])[:4]
            grid = grid.cropped(-top, -left)
        elif (
            operation in _WHOLE_IMAGE
            or "attention" in str(operation)
            or (operation in _ATTENTION and sum(t is not None and id(t) in self.grids for t in args) > 1)
        ):
            self.finite_field = False
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.grids[id(tensor)] = grid
                self.alive.append(tensor)
        return result


def _after_convolution(grid, weight, bias, stride, padding, dilation, transposed, output_padding, groups) -> Grid:
    if transposed:
        rows = grid.after_transposed(weight.shape[2], stride[0], padding[0])
        columns = grid.after_transposed(weight.shape[3], stride[-1], padding[-1])
        return Grid(rows.stride_y, columns.stride_x, rows.centre_y, columns.centre_x)
    return _after_window(grid, weight.shape[2:], stride, padding, dilation)


def _after_window(grid, kernel, stride, padding, dilation) -> Grid:
    rows = grid.after(kernel[0], stride[0], padding[0], dilation[0])
    columns = grid.after(kernel[-1], stride[-1], padding[-1], dilation[-1])
    return Grid(rows.stride_y, columns.stride_x, rows.centre_y, columns.centre_x)
