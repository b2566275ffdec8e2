"""The plan of a network: its stages with size, stride and field, found by following it and not written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..classes import Classes
from ..errors import UsageError
from ..evaluation.receptive_field import receptive_field
from ..networks import build
from ..networks.saved import load_network
from ..prediction.model import model_file

CLASSES = 21


def layer_plan(network: nn.Module, size: tuple[int, int] = (512, 512), stages: bool = True) -> list[dict[str, Any]]:
    """One row a stage, or with stages=False one for every map: words and numbers for a table or JSON.

    size: height and width of the photo that map sizes are told for, from 256 on.
    """
    return [layer.row() for layer in receptive_field(network, size, stages)]


def drawn_up(name: str, encoder: str | None = None) -> nn.Module:
    """The network of that name, or of a run, for looking at its shape: without memory, or with its weights if a run.

    Raises UsageError where the name is neither, or for an ONNX file, which has no layers of ours.
    """
    if not Path(name).exists():
        with torch.device("meta"):
            return build(name, CLASSES, encoder)
    if encoder is not None:
        raise UsageError(f"{name} has its own encoder: no --encoder with a run")
    return of_run(name)[0]


def of_run(path: Path | str) -> tuple[nn.Module, Classes]:
    """The trained network of a run folder or a model.safetensors, in evaluation mode, and what its scores mean."""
    file = model_file(path)
    if file.suffix == ".onnx":
        raise UsageError(f"{file}: an ONNX file has no gradients; name the run folder or its model.safetensors")
    network, info = load_network(file)
    return network.eval(), Classes.from_json(info["classes"])
