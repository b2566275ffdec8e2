"""How fast each weight learns, by what it is and by how far the run has come."""

from __future__ import annotations

import math

import torch
from torch import nn

from .settings import Settings


def make_optimiser(network: nn.Module, s: Settings) -> torch.optim.Optimizer:
    """Groups by rate and decay: encoder or not, decayed or not (no decay on biases and normalisation), bias or not."""
    groups: dict[tuple[bool, bool, bool], list[nn.Parameter]] = {}
    # Apart only where it matters: checkpoints number the weights in the order of the groups.
    biases = _biases(network) if s.optimiser.bias != 1 else set()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            kind = (".encoder." in f".{name}", parameter.ndim > 1, name in biases)
            groups.setdefault(kind, []).append(parameter)
    pretrained = s.weights != "none"
    listed = [
        {
            "params": parameters,
            "base": s.optimiser.rate
            * (s.optimiser.encoder if in_encoder and pretrained else 1.0)
            * (s.optimiser.bias if bias else 1.0),
            "weight_decay": s.optimiser.weight_decay if decayed else 0.0,
        }
        for (in_encoder, decayed, bias), parameters in sorted(groups.items(), key=lambda item: item[0])
    ]
    if s.optimiser.name == "adamw":
        return torch.optim.AdamW(listed, lr=s.optimiser.rate, fused=True)
    return torch.optim.SGD(listed, lr=s.optimiser.rate, momentum=s.optimiser.momentum)


def _biases(network: nn.Module) -> set[str]:
    """Names of the biases of convolutions and linear layers; what a normalisation adds is none."""
    return {
        f"{name}.bias".removeprefix(".")
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd)
    }


def rate_factor(step: int, steps: int, s: Settings) -> float:
    """Learning rate as a factor: linear warm-up, then poly (1 - t)^0.9 (ParseNet; DeepLab v2), cosine, steps down to a
    tenth, or constant."""
    warm = s.optimiser.warmup * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    if s.optimiser.schedule == "constant":
        return 1.0
    if s.optimiser.schedule == "step":
        return 0.1 ** sum(step >= share * steps for share in s.optimiser.drops)
    t = (step - warm) / max(steps - warm, 1)
    return (1 - t) ** 0.9 if s.optimiser.schedule == "poly" else 0.5 * (1 + math.cos(math.pi * t))
