"""A checkpoint is one safetensors file: tensors and, in its header, the JSON they belong to.

One file, so a kill can not part them; temporary name, fsync, rename. The newest two are kept: where the
newest does not read, or does not have its checksum, the one before it serves. Nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..files import write_atomically
from ..networks.saved import KEY, seal, unseal


def save_checkpoint(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
    """Write `step-<step>.safetensors` and remove all but the newest two."""
    kept = {name: t.detach().cpu().contiguous() for name, t in sorted(tensors.items())}
    content = save(kept, {KEY: seal({**state, "step": step}, kept)})
    path = write_atomically(folder / f"step-{step:08d}.safetensors", content)
    for old in sorted(folder.glob("step-*.safetensors"))[:-2]:
        old.unlink()
    return path


def newest_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[str]] | None:
    """(tensors, state, complaints) of the newest checkpoint that reads; None where there is none.

    complaints: one line for each newer file that did not read.
    """
    complaints: list[str] = []
    for path in sorted(folder.glob("step-*.safetensors"), reverse=True):
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return tensors, unseal((file.metadata() or {})[KEY], tensors), complaints
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            complaints.append(f"{path} does not read ({error}); going back to the checkpoint before it")
    if complaints:
        complaints[-1] = complaints[-1].replace("going back to the checkpoint before it", "no older one is left")
        return {}, {"step": 0}, complaints
    return None


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors under flat names; its numbers (rates) are functions of the step and need no saving."""
    return {
        f"optimiser.{index}.{name}": value
        for index, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
        if isinstance(value, Tensor)
    }


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, index, name = key.split(".", 2)
            like = parameters[int(index)]
            # In the memory format of the weights: a fused step walks through both as they lie.
            state.setdefault(int(index), {})[name] = (
                torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            )
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
