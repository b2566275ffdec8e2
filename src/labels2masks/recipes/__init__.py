"""A recipe is a function that returns the settings of a run, or of several in stages; `train` follows one.

`everyday` is for a person's own photos; the settings of the papers are functions in `published` and `fcn_to_dilation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, did_you_mean
from ..formats.dataset import Dataset
from ..formats.open import open_dataset
from ..networks import NETWORKS
from ..report.run_report import PAGE, run_report
from ..training import Settings, processes
from ..training.settings import with_settings
from ..training.stages import train_stages
from .chained import train_chained
from .chains import CHAINS
from .everyday import everyday
from .fcn_to_dilation import FCN_TO_DILATION
from .instant import instant
from .published import PUBLISHED

if TYPE_CHECKING:
    from ..run import Run

RECIPES: dict[str, Callable[[], Settings | list[Settings]]] = {
    recipe.__name__: recipe for recipe in (everyday, instant, *FCN_TO_DILATION, *PUBLISHED)
}


def available() -> list[dict[str, Any]]:
    """One dictionary a recipe: name, network, encoder, runs (None = one), the network's paper, its published score
    where the recipe has its name, and what the recipe does."""
    rows = []
    for name, recipe in RECIPES.items():
        *earlier, last = _stages(recipe)
        rows.append(
            {
                "name": name,
                "network": last.network,
                "encoder": last.encoder,
                "runs": len(earlier) + 1 if earlier else None,
                "paper": NETWORKS[last.network].paper,
                "published": NETWORKS[name].published if name in NETWORKS else None,
                "for": (recipe.__doc__ or "").partition("\n")[0],
            }
        )
    for chain in CHAINS.values():
        last = everyday()
        narrow = f"Labels narrowed by {' + '.join(chain.steps)}, then everyday."
        row = {"name": chain.name, "network": last.network, "encoder": last.encoder, "runs": None}
        rows.append({**row, "paper": chain.paper, "published": None, "for": narrow})
    return rows


def _stages(recipe: Callable[[], Settings | list[Settings]]) -> list[Settings]:
    made = recipe()
    return made if isinstance(made, list) else [made]


def train(
    data: Dataset | Path | str,
    recipe: str = "auto",
    network: str | None = None,
    encoder: str | None = None,
    weights: str | Path = "auto",
    train: str | None = None,
    val: str | None = "auto",
    epochs: float | None = None,
    minutes: float | None = None,
    size: int | None = None,
    seed: int = 0,
    out: Path | str | None = None,
    resume: bool = False,
    group_by: str | None = None,
    plan: Path | str | None = None,
    no_photos: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> Run:
    """Train a network on whatever labels `data` has; returns the finished run with its report, scored where there
    are masks.

    data: a data set, or the path of one.

    recipe: a name of `RECIPES`; "auto" is the everyday one, which takes every mixture of label kinds. Some papers train
        in stages: those are several runs, the earlier ones in `stages/` of the last one's folder. Or a name of
        `CHAINS`: labels are narrowed first (see `masks`), and the everyday network learns from what is left.
    network, encoder: a family with its encoder, or a published name alone; None = the recipe's.
    weights: "auto" (the installed package), "none", "hub" (downloads), a safetensors file, or an earlier run.
    train, val: splits; val "auto" takes the data set's own, else sets a fifth aside once, or scores by five
        folds below 60 labelled photos; "none" trains without a score.
    epochs or minutes: how long; minutes cover all, folds and stages included, epochs are of each stage.
    size: long side photos are shrunk to.
    out: the run's folder, made anew (default `runs/<date>-<name>`). resume: go on in `out`.
    group_by: regular expression on photo names; what it matches alike is not torn between splits.
    plan: a plan.json to follow unchanged. no_photos: a report without pictures of photos.
    settings: {"optimiser.rate": 3e-4}, any of `training.Settings`.
    Raises UsageError (the call), DataError (the files), TrainingError (the loss is no number).
    """
    if recipe != "auto" and recipe not in RECIPES and recipe not in CHAINS:
        raise UsageError(f"unknown recipe {recipe!r}{did_you_mean(recipe, [*RECIPES, *CHAINS, 'auto'])}")
    if network is not None and network not in NETWORKS:
        raise UsageError(f"unknown network {network!r}{did_you_mean(network, NETWORKS)}")
    data = data if isinstance(data, Dataset) else open_dataset(data)
    stages = _stages(RECIPES.get(recipe, everyday))
    if network is not None and len(stages) > 1:
        names = " -> ".join(stage.network for stage in stages)
        raise UsageError(f"recipe {recipe} trains {names} in stages: leave out --network, or take another recipe")
    each = None if minutes is None else minutes / len(stages)
    common: dict[str, Any] = {"weights": str(weights), "seed": seed}
    common |= {k: v for k, v in {"epochs": epochs, "minutes": each, "size": size}.items() if v is not None}
    chosen = []
    for stage in stages:
        changes: dict[str, Any] = dict(common)
        if network is not None or encoder is not None:
            changes |= {"network": network or stage.network, "encoder": encoder}
            if changes["network"] != stage.network or encoder is None:
                changes["options"] = {}
        chosen.append(with_settings(stage, {**changes, **(settings or {})}))
    how: dict[str, Any] = {"train": train, "val": val, "group_by": group_by, "plan": plan}
    if recipe in CHAINS:
        run, data = train_chained(data, recipe, chosen[0], out=out, resume=resume, **how)
    else:
        run = train_stages(data, chosen, out=out, resume=resume, **how)
    processes.from_main(lambda: _reported(run, data, no_photos))
    return run


def _reported(run: Run, data: Dataset, no_photos: bool) -> None:
    """A finished run has a report, made once; one that was killed while it was drawn gets it from `resume`."""
    if not (run.folder / PAGE).exists():
        run_report(run, data, no_photos)


__all__ = ["RECIPES", "available", "everyday", "train"]
