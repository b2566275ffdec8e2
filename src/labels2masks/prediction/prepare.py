"""A network that will only predict, made faster: batch normalisation folded, memory laid out for the processor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def prepare(network: Any) -> None:
    """Change a network in evaluation mode for good, so that it predicts faster. Its scores stay, up to rounding."""
    fold(network)
    if next(network.parameters()).device.type == "cpu":
        lay_out(network)


@torch.no_grad()
def fold(network: Any) -> int:
    """Fold each batch normalisation into the convolution before it; returns how many were.

    Which one that is, a pass over the smallest photo tells. A convolution that other layers read too stays as it is.
    """
    outputs: dict[int, tuple[nn.Module, Tensor]] = {}  # the tensors as well: while they live, their ids are theirs
    readers: dict[nn.Module, set[nn.Module]] = {}
    sources: dict[nn.Module, set[nn.Module | None]] = {}

    def gave(convolution: nn.Module, _: tuple[Tensor, ...], maps: Tensor) -> None:
        outputs[id(maps)] = convolution, maps

    def reads(layer: nn.Module, maps: tuple[Tensor, ...]) -> None:
        source = outputs[id(maps[0])][0] if id(maps[0]) in outputs else None
        sources.setdefault(layer, set()).add(source)
        if source:
            readers.setdefault(source, set()).add(layer)

    hooks = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            hooks.append(layer.register_forward_hook(gave))
        if isinstance(layer, nn.BatchNorm2d) or not list(layer.children()):
            hooks.append(layer.register_forward_pre_hook(reads))
    network(torch.zeros(1, 3, network.smallest, network.smallest, device=next(network.parameters()).device))
    for hook in hooks:
        hook.remove()
    folded = {
        convolution: layer
        for convolution, (layer, *others) in readers.items()
        if not others and isinstance(layer, nn.BatchNorm2d) and sources[layer] == {convolution}
    }
    for convolution, layer in folded.items():
        convolution.weight, convolution.bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            layer.running_mean,
            layer.running_var,
            layer.eps,
            layer.weight,
            layer.bias,
        )
    gone = set(folded.values())
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if layer in gone:
                setattr(parent, name, getattr(layer, "act", nn.Identity()))  # timm's carry their activation
    return len(folded)


def lay_out(network: nn.Module) -> None:
    """Weights and maps in the layout that is fastest on a CPU; scores stay, up to rounding.

    Channels last, as photos come. But the CPU library's dilated depthwise convolutions take up to ten times as long so:
    from the first of them on an encoder goes on with contiguous maps, since turning large ones takes as long again.
    Dense convolutions of dilation 2 take a third longer from 512 channels on, and get maps turned for them.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    turned = False
    for name, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        depthwise, dilation = layer.groups == layer.in_channels > 1, layer.dilation[0]
        if (depthwise and dilation > 1) or (dilation == 2 and layer.out_channels >= 512):
            layer.register_forward_pre_hook(lambda _, maps: (maps[0].contiguous(),))
            layer.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            turned = depthwise
            if not depthwise:
                layer.register_forward_hook(lambda *given: given[2].contiguous(memory_format=torch.channels_last))
        elif turned and name.startswith("encoder."):
            layer.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
