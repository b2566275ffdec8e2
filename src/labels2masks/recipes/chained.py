"""Training by a chain: labels narrowed, in one round or several, then the everyday network on what is left.

runs/<date>-<name>/             the network, a run like any other
    narrowed/                   the data set it learnt from (see `recipes.masks`)
    stages/1-narrowed/          of several rounds, what the earlier ones narrowed
    stages/1-instant/           and the classifier that learnt from it, whose scores the next round asks;
    stages/0-instant/           before the first round, for chains that need class maps: learnt from the labels alone

Every round narrows the person's labels, never what an earlier round made of them, so that no mistake locks in. The
papers that alternate train their network in each round; here the rounds in between take the `instant` one.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..formats.dataset import Dataset
from ..formats.open import open_dataset
from ..training import Settings, processes
from ..training.folder import run_folder
from ..training.stages import train_stages
from .chains import CHAINS
from .instant import instant
from .masks import SUMMARY, masks

if TYPE_CHECKING:
    from ..run import Run


def train_chained(
    data: Dataset, recipe: str, settings: Settings, *, out: Path | str | None, resume: bool, **how: Any
) -> tuple[Run, Dataset]:
    """(run, the data set it learnt from). Photos with masks, and those of other splits than `train`, stay as they are.

    settings: of the network. how: further arguments of `training.train`. Raises as `masks` and `train` do.
    """
    processes.accelerator()
    name = Path(data.root).name if data.root else "data"
    folder = processes.from_main(lambda: run_folder(out, name, resume))
    place = folder / "narrowed"

    chain = CHAINS[recipe]

    def learnt_from(labels: Dataset, number: int) -> Path:
        light = instant().model_copy(update={"weights": settings.weights, "seed": settings.seed})
        alone = {**how, "val": "none", "plan": None}
        return train_stages(labels, [light], out=folder / "stages" / f"{number}-instant", resume=True, **alone).folder

    def narrow() -> None:
        model = learnt_from(data, 0) if "cam_CHW" in chain.cues else None
        for number in range(1, chain.rounds + 1):
            to = place if number == chain.rounds else folder / "stages" / f"{number}-narrowed"
            if not (to / SUMMARY).exists():
                shutil.rmtree(to, ignore_errors=True)  # half written before a kill
                masks(data, to, recipe=recipe, split=how.get("train"), model=model)
            if number < chain.rounds:
                model = learnt_from(open_dataset(to), number)

    processes.from_main(narrow)
    made = open_dataset(place)
    return train_stages(made, [settings], out=folder, resume=True, **how), made
