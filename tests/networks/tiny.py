"""The trunks of the papers with a handful of channels, for exports: what they cost is operations and weights."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from labels2masks.encoders import pyramid, vgg, vgg_atrous
from labels2masks.networks import segnet, unet


def make_trunks_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the test ends every timm encoder is `TinyResNet`, and VGG16 and U-Net have few channels."""
    monkeypatch.setattr(pyramid, "_features", lambda name, output_stride, pretrained: TinyResNet(output_stride))
    down = ((3, 2, 2), (2, 3, 3), (3, 4, 4, 4), (4, 5, 5, 5), (5, 6, 6, 6))
    for module in (vgg, vgg_atrous):
        monkeypatch.setattr(module, "_PLAN", tuple(widths[1:] for widths in down))
        monkeypatch.setattr(module, "_CLASSIFIER", 8)
    monkeypatch.setattr(segnet, "_DOWN", down)
    monkeypatch.setattr(segnet, "_UP", (*(widths[::-1] for widths in down[:0:-1]), (2, 2)))
    monkeypatch.setattr(unet, "_WIDTHS", (2, 4, 8, 16, 32))


class TinyResNet(nn.Module):
    """In the place of timm's network: a map at 2, 4, 8, 16, 32, dilated by "keep first", stages with ResNet's names."""

    pretrained_cfg = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

    def __init__(self, output_stride: int) -> None:
        super().__init__()
        channels = [4, 4, 8, 12, 16]
        self.conv1 = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        stride, dilation, reduction = 2, 1, [2]
        for k, (ins, outs, units) in enumerate(zip(channels, channels[1:], (1, 1, 1, 3), strict=False), start=1):
            step = 2 if stride < output_stride else 1
            first = dilation
            stride, dilation = stride * step, dilation * 2 // step
            stage = [_Unit(ins, outs, step, first), *(_Unit(outs, outs, 1, dilation) for _ in range(units - 1))]
            setattr(self, f"layer{k}", nn.Sequential(*stage))
            reduction.append(stride)
        self.feature_info = _Info(channels, reduction)

    def forward(self, images_N3HW: Tensor) -> list[Tensor]:
        maps = [self.conv1(images_N3HW)]
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps.append(stage(maps[-1]))
        return maps


class _Unit(nn.Module):
    def __init__(self, ins: int, outs: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(ins, outs, 1), nn.Conv2d(outs, outs, 3, stride, dilation, dilation)

    def forward(self, maps_NDhw: Tensor) -> Tensor:
        return self.conv2(self.conv1(maps_NDhw).relu()).relu()


class _Info:
    def __init__(self, channels: list[int], reduction: list[int]) -> None:
        self._channels, self._reduction = channels, reduction

    def channels(self) -> list[int]:
        return self._channels

    def reduction(self) -> list[int]:
        return self._reduction


def awake(network: nn.Module) -> nn.Module:
    """Layers that begin near zero get values that matter, so that scores of no form are flat or tiny."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.std() <= 0.02:
            nn.init.kaiming_normal_(layer.weight)
        if isinstance(layer, nn.BatchNorm2d):
            for values, low, high in ((layer.running_mean, -0.5, 0.5), (layer.running_var, 0.5, 1.5)):
                nn.init.uniform_(values, low, high)
            if layer.affine:
                nn.init.uniform_(layer.weight, 0.5, 1.5)
        bias = getattr(layer, "bias", None)
        if isinstance(bias, Tensor) and not bias.any():
            nn.init.normal_(bias, std=0.1)
    return network
