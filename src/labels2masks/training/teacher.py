"""The teacher of `loss.consistency`: the running mean of the weights, which looks at every crop as it is.

Tarvainen and Valpola 2017, "Mean teachers are better role models". It costs a forward pass a step and memory for
nothing but its activations: the loop keeps that mean anyway, and a checkpoint has it.
"""

from __future__ import annotations

from copy import deepcopy
from math import exp

from torch import nn

from ..errors import UsageError
from .settings import Settings


def check_teacher(s: Settings) -> None:
    """UsageError for settings by which there is nobody to be consistent with."""
    if s.loss.consistency > 0 and s.solver == "ridge":
        raise UsageError(
            f"loss.consistency={s.loss.consistency:g} needs steps, and the solver 'ridge' takes none: "
            "--set loss.consistency=0, or another recipe"
        )
    if s.loss.consistency > 0 and s.optimiser.ema == 0:
        raise UsageError(
            f"loss.consistency={s.loss.consistency:g} asks the running mean of the weights, and optimiser.ema=0 keeps "
            "none: --set optimiser.ema=0.05"
        )


def make_teacher(network: nn.Module) -> nn.Module:
    """A copy that never learns by gradients and always predicts: running statistics, no dropout.

    Its `state_dict()` shares memory with it, so what is written there is what it knows.
    """
    return deepcopy(network).eval().requires_grad_(False)


def trusted(step: int, steps: int, ramp: float) -> float:
    """0..1, by how much the teacher counts at a step: exp(-5 (1 - t)^2) over the share `ramp` of the run, then 1.

    A teacher who knows nothing yet teaches nothing (the ramp of Tarvainen and Valpola 2017, section 3.1, which is Laine
    and Aila's).
    """
    t = min(1.0, step / (ramp * steps)) if ramp > 0 else 1.0
    return exp(-5 * (1 - t) ** 2)
