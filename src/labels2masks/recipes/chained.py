"""Training by a chain: labels narrowed once, then the everyday network on what is left.

runs/<date>-<name>/         the network, a run like any other
    narrowed/               the data set it learnt from (see `recipes.masks`)
    stages/1-instant/       for chains that need class maps: the classifier they come from, learnt from the same labels
"""

from __future__ import annotations

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

    def narrow() -> None:
        model = None
        if CHAINS[recipe].cues and "cam_CHW" in CHAINS[recipe].cues:
            first = instant().model_copy(update={"weights": settings.weights, "seed": settings.seed})
            model = train_stages(
                data, [first], out=folder / "stages" / "1-instant", resume=True, **{**how, "val": "none", "plan": None}
            ).folder
        masks(data, place, recipe=recipe, split=how.get("train"), model=model)

    if not (place / SUMMARY).exists():
        processes.from_main(narrow)
    made = open_dataset(place)
    return train_stages(made, [settings], out=folder, resume=True, **how), made
