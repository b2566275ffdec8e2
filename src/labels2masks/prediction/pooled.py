"""Tiles that pool over the whole photo: the pooled vectors are taken once, from the photo shrunk to one tile.

Squeeze-and-excitation, image-level features and response normalisation reduce a map to one value per channel. One
pass over the shrunk photo keeps these values in the order in which they arise; in the passes over tiles each stands
in the place of the tile's own. Works below the modules, on torch's operations, so no network has to know of it.

Legend: H, W = pixels; h, w = cells; C = classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from .sliding import Forward
from .tiles import Whole

aten = torch.ops.aten


def pooling_over(forward: Forward) -> Whole:
    """`tiles.Whole` for the passes of a network in evaluation mode."""

    def over(shrunk_HW3: np.ndarray) -> Forward:
        with _Pooled() as kept:
            forward(shrunk_HW3)

        def of_tile(tile_HW3: np.ndarray) -> np.ndarray:
            with _Pooled(kept.values):
                return forward(tile_HW3)

        return of_tile

    return over


class _Pooled(TorchDispatchMode):
    """Keeps what is pooled over an image in `values`; with `given`, puts these in its place."""

    def __init__(self, given: Sequence[Tensor] | None = None) -> None:
        super().__init__()
        self.values: list[Tensor] = []
        self.given = None if given is None else iter(given)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not _pools(func.overloadpacket, args):
            return func(*args, **(kwargs or {}))
        if self.given is not None:
            return next(self.given)
        self.values.append(func(*args, **(kwargs or {})))
        return self.values[-1]


def _pools(operation: Any, args: Sequence[Any]) -> bool:
    """Does it reduce both sides of a map to one? (A mean over the channels of a map does not.)"""
    if operation in (aten.mean, aten.amax):
        return args[0].ndim == 4 and len(args) > 1 and args[1] is not None and len(args[1]) == 2
    if operation is aten.linalg_vector_norm:
        return args[0].ndim == 4 and len(args) > 2 and args[2] is not None and len(args[2]) == 2
    return operation in (aten._adaptive_avg_pool2d, aten.adaptive_avg_pool2d) and list(args[1]) == [1, 1]
