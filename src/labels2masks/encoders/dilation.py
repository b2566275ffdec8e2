"""Which 3x3 filters of a ResNet are dilated where a stage keeps its resolution? Three rules, all found in releases.

    keep first   the first unit of a stage keeps the dilation of the stage before, later ones double it: every
                 (stride)-th cell is bit for bit a cell of the undilated network. timm, torchvision; ours unless said.
    all units    the first unit doubles it too. The weights' own function only where the stride stood in the 1x1
                 reduction before it (Caffe's ResNet, DeepLab v2); with it in the 3x3 (semseg's PSPNet), training
                 has to make up for 19 % of change in the features.
    multi-grid   a factor for each unit on top, DeepLab v3, arXiv 1706.05587, section 3.2.

All take timm's ResNet names: `layer1` ... `layer4`, `conv1`, `conv2`. Padding grows with dilation, so no cell moves.
"""

from __future__ import annotations

from torch import nn


def dilate_all_units(features: nn.Module) -> None:
    """The first unit of every dilated stage gets the dilation of the last one, in place."""
    for stage in _stages(features):
        _dilate(stage[0], stage[-1].conv2.dilation[0])


def stride_in_reduction(features: nn.Module) -> None:
    """Strides move from the 3x3 to the 1x1 before it, where Caffe's ResNet has them, in place."""
    for stage in _stages(features):
        stage[0].conv1.stride, stage[0].conv2.stride = stage[0].conv2.stride, (1, 1)


def multi_grid(stage: nn.Module, factors: tuple[int, ...]) -> None:
    """Each unit of the stage gets the dilation of the last one times its own factor, in place."""
    base = stage[-1].conv2.dilation[0]
    for unit, factor in zip(stage, factors, strict=True):
        _dilate(unit, base * factor)


def _stages(features: nn.Module) -> list[nn.Module]:
    return [features.layer2, features.layer3, features.layer4]


def _dilate(unit: nn.Module, dilation: int) -> None:
    unit.conv2.dilation = unit.conv2.padding = (dilation, dilation)
