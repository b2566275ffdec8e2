"""Training in stages: runs that each start from the weights of the one before (FCN 32s -> 16s -> 8s, SegNet by pairs).

runs/<date>-<name>/         the last stage, a run like any other
    stages/1-fcn32s/        the earlier ones, each with a plan, a score and a network of its own
    stages/2-fcn16s/

Data, splits and seed are the same in all, so none has learnt from what another is scored on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..formats.dataset import Dataset
from ..run import Run
from . import processes
from .folder import run_folder
from .settings import Settings
from .train import train


def train_stages(
    data: Dataset,
    stages: Sequence[Settings],
    *,
    out: Path | str | None = None,
    resume: bool = False,
    plan: Path | str | None = None,
    **how: Any,
) -> Run:
    """Train by each of `stages` in turn; returns the run of the last. One stage is `train` itself.

    The first starts from the weights it names, each later one from the run before: equal names and shapes are
    copied, heads are matched by class name. how: further arguments of `train`.
    Raises UsageError for a plan of one run where there are several.
    """
    if len(stages) == 1:
        return train(data, stages[0], out=out, resume=resume, plan=plan, **how)
    if plan is not None:
        raise UsageError(f"a plan is of one run, and this recipe trains {len(stages)}: leave out --plan")
    processes.accelerator()
    name = Path(data.root).name if data.root else "data"
    folder = processes.from_main(lambda: run_folder(out, name, resume))
    finished, weights = (folder / "model.safetensors").exists(), stages[0].weights
    for number, stage in enumerate(stages, 1):
        last = number == len(stages)
        if last or not finished:
            place = folder if last else folder / "stages" / f"{number}-{stage.network}"
            run = train(data, stage.model_copy(update={"weights": weights}), out=place, resume=True, **how)
            weights = str(run.folder)
    return run
