"""Where a training starts from: fresh weights, pretrained ones of the encoder, or an earlier run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from .. import networks
from ..classes import Classes
from ..errors import UsageError, did_you_mean
from ..networks.saved import FILE, KEY, start_from
from .settings import Settings


def built(s: Settings, classes: int) -> nn.Module:
    """The network with its starting weights; the new layers are drawn from the seed, the frozen ones do not learn.

    Raises UsageError for a frozen part that the network does not have.
    """
    torch.manual_seed(s.seed)
    weights = None if s.weights == "none" or is_run(s.weights) else s.weights
    network = networks.build(s.network, classes, encoder=s.encoder, weights=weights, settings=s.options)
    network.working_size = s.size  # type: ignore[assignment]
    parts = dict(network.named_modules())
    for name in s.frozen:
        if name not in parts:
            raise UsageError(f"network {s.network} has no part {name!r} to freeze{did_you_mean(name, parts)}")
        parts[name].requires_grad_(False)
    if s.batch_norm == "frozen":
        for part in parts.values():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.requires_grad_(False)
    return network


def started(s: Settings, classes: Classes, say: Callable[[str], None]) -> nn.Module:
    """`built`, and filled from an earlier run where `weights` names one; heads are matched by class name."""
    network = built(s, len(classes))
    if is_run(s.weights):
        report = start_from(network, classes, s.weights)
        new = ", ".join(report["new_classes"]) or "none"
        say(f"started from {s.weights}: {report['copied']} tensors, classes learnt anew: {new}")
    return network


def is_run(weights: str) -> bool:
    """Does `weights` name a run, or the model file of one, rather than an encoder's weights?"""
    path = Path(weights)
    if (path / FILE).is_file():
        return True
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False  # the encoder's loader says what is wrong with it


def pretraining(s: Settings) -> str:
    """What the weights had seen before, for the protocol card; of earlier runs all, in their order."""
    if s.weights == "none":
        return "none"
    if is_run(s.weights):
        path = Path(s.weights)
        before = (_header(path).get("protocol") or {}).get("pretraining", "none")
        named = f"an earlier run: {path.parent.name if path.is_file() else path.name}"
        return named if before == "none" else f"{before} -> {named}"
    named = "the installed package" if s.weights == "auto" else Path(s.weights).name
    return f"encoder {s.encoder or s.network}: ImageNet ({named})"


def _header(path: Path) -> dict[str, Any]:
    """What a run, or the model file of one, says of itself."""
    with safe_open(path / FILE if path.is_dir() else path, framework="pt") as file:
        return json.loads(file.metadata()[KEY])
