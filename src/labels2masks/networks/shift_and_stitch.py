"""Dense scores from a strided network, in two ways that give the same numbers: Long, Shelhamer, Darrell, CVPR 2015,
arXiv 1411.4038, sections 3.1 and 3.2.

    shift and stitch   the network as it is, on the image shifted by every (y, x) below its stride f: f^2 passes
    a trous            strides become 1, and the filters behind them are dilated by them: one pass on larger maps

Legend: N = images, D = channels, H, W = pixels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def densified(layers: nn.Sequential, stride: int) -> nn.Sequential:
    """A copy of valid layers that keeps `stride`: the strides beyond become 1, and all that follows is dilated by them.

    Its scores are those of the strided layers at every cell between (a trous; Long et al., section 3.1). Only
    convolutions, pools and what acts on single cells.
    """
    layers = copy.deepcopy(layers)
    total = dilation = 1
    for layer in layers.modules():
        if not isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            continue
        own = layer.stride[0] if isinstance(layer.stride, tuple) else layer.stride
        layer.dilation = dilation if isinstance(layer, nn.MaxPool2d) else (dilation * layer.dilation[0],) * 2
        if total * own > stride:
            layer.stride = 1 if isinstance(layer, nn.MaxPool2d) else (1, 1)
            dilation *= own
        total *= own
    return layers


def shift_and_stitch(scores_of: Callable[[Tensor], Tensor], images_NDHW: Tensor, factor: int) -> Tensor:
    """Dense scores of a network of stride `factor` without a change to it: Long et al., arXiv 1411.4038, section 3.2.

    The network sees the image shifted by every (y, x) below `factor`, and the factor^2 maps are interleaved. scores_of
    must be valid, without padding, so that a shift by its stride shifts its cells by one. Height and width: a multiple
    of `factor` more than the field less one, so that every shift has as many cells. The numbers are those of
    `densified`, the cost is that of factor^2 passes.
    """
    height, width = images_NDHW.shape[2:]
    rows = []
    for y in range(factor):
        shifted = [
            scores_of(images_NDHW[:, :, y : height - factor + 1 + y, x : width - factor + 1 + x]) for x in range(factor)
        ]
        rows.append(torch.stack(shifted, dim=-1).flatten(3))
    return torch.stack(rows, dim=3).flatten(2, 3)
