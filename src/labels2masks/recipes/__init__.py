"""A recipe is a function that returns the settings of a run, or of several in stages; `train` follows one.

`everyday` is for a person's own photos; the settings of the papers are functions in `published` and `fcn_to_dilation`.
The systems that learn from cheap labels are `chains`: labels narrowed first, and terms in the loss of what learns then.
`auto` picks among them by the labels that are there, `mixed` takes every photo by its own (see `auto`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, did_you_mean
from ..formats.dataset import Dataset, Photo
from ..formats.open import open_dataset
from ..networks import NETWORKS
from ..report.run_report import PAGE, run_report
from ..training import Settings, processes
from ..training.folder import run_folder
from ..training.plan import read_plan
from ..training.settings import with_settings
from ..training.stages import train_stages
from .auto import PICKS, Way, way_of_auto, way_of_chain, way_of_mixture
from .chained import learnt_from, train_chained
from .chains import CHAINS, kind_word
from .everyday import everyday
from .fcn_to_dilation import FCN_TO_DILATION
from .frozen import frozen
from .instant import instant, instant_and_unlabelled
from .masks import SUMMARY
from .published import PUBLISHED
from .saliency import saliency, train_saliency

if TYPE_CHECKING:
    from ..run import Run

Recipe = Callable[[], Settings | list[Settings]]
OWN = (everyday, frozen, instant, saliency)
RECIPES: dict[str, Recipe] = {recipe.__name__: recipe for recipe in (*OWN, *FCN_TO_DILATION, *PUBLISHED)}

UNLABELLED, ALTERNATION = "unlabelled", "alternation"
"""What may follow a recipe's name after a plus sign: photos without labels take part too; the rounds in between train
the network, as in the papers that alternate."""


def available() -> list[dict[str, Any]]:
    """One dictionary a recipe: name, labels (what it needs one of), network, encoder, runs (None = one), rounds of
    narrowing and what learns between them (None = one round), the paper, its published score where the recipe has its
    name (mIoU on VOC val; of a network, as it says), and what the recipe does."""
    rows: list[dict[str, Any]] = []
    for name, recipe in RECIPES.items():
        *earlier, last = _stages(recipe)
        rows.append(
            {
                "name": name,
                "labels": "any",
                "network": last.network,
                "encoder": last.encoder,
                "runs": len(earlier) + 1 if earlier else None,
                "rounds": None,
                "paper": NETWORKS[last.network].paper,
                "published": NETWORKS[name].published if name in NETWORKS else None,
                "for": (recipe.__doc__ or "").partition("\n")[0],
            }
        )
    last = everyday()
    common = {"network": last.network, "encoder": last.encoder, "runs": None, "rounds": None}
    for chain in CHAINS.values():
        steps = f"labels narrowed by {' + '.join(chain.steps)}" if chain.steps else "labels as they are"
        terms = ", ".join(name.removeprefix("loss.") for name, weight in chain.settings.items() if weight)
        row = {"name": chain.name, "labels": chain.needs, **common, "paper": chain.paper}
        row |= {"rounds": f"{chain.rounds}, {chain.between} between" if chain.rounds > 1 else None}
        rows.append({**row, "published": chain.published, "for": f"{steps}{terms and f'; in the loss: {terms}'}"})
    rows.append({"name": "mixed", "labels": "any", **common, "for": "Every photo by its own labels, the terms of all."})
    picks = ", ".join(f"{p.recipe} for {kind_word(p.kind)}" for p in PICKS)
    rows.append({"name": "auto", "labels": "any", **common, "for": f"{picks}; mixed for several; everyday for masks"})
    rows.append({"name": f"NAME+{UNLABELLED}", "labels": "and none", "for": "photos without labels take part too"})
    rows.append({"name": f"NAME+{ALTERNATION}", "for": "the network learns between the rounds, as in the paper"})
    return rows


def _stages(recipe: Recipe) -> list[Settings]:
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
    sure: float | str | None = None,
    saliency: str | Path = "classical",
    settings: Mapping[str, Any] | None = None,
) -> Run:
    """Train a network on whatever labels `data` has; returns the finished run with its report, scored where there
    are masks.

    data: a data set, or the path of one.

    recipe: a name of `RECIPES`. Some papers train in stages: those are several runs, the earlier ones in `stages/` of
        the last one's folder. Or a name of `CHAINS`: labels are narrowed first (see `masks`), and the everyday network
        learns from what is left. "mixed" takes every photo by its own labels, "auto" looks at what labels there are and
        says what it picks. "+unlabelled" after a name: photos without labels take part too, by what the running mean
        of the weights says of them. "+alternation": in rounds, the network itself learns in between, not `instant`.
    network, encoder: a family with its encoder, or a published name alone; None = the recipe's.
    weights: "auto" (the installed package), "none", "hub" (downloads), a safetensors file, or an earlier run.
    train, val: splits; val "auto" takes the data set's own, else sets a fifth aside once, or scores by five
        folds below 60 labelled photos; "none" trains without a score.
    epochs or minutes: how long; minutes cover all, folds and stages included, epochs are of each stage.
    size: long side photos are shrunk to.
    out: the run's folder, made anew (default `runs/<date>-<name>`). resume: go on in `out`.
    group_by: regular expression on photo names; what it matches alike is not torn between splits.
    plan: a plan.json to follow unchanged, on the data that it was made with. no_photos: a report without pictures.
    sure: narrow only where a chain is as certain, 0..1; "auto": chosen by labels kept aside (see `recipes.sure`);
        None: as the chain does. saliency: for chains that use it, "classical" or a run (see `masks`).
    settings: {"optimiser.rate": 3e-4}, any of `training.Settings`.
    Raises UsageError (the call), DataError (the files), TrainingError (the loss is no number).
    """
    sure = _share(sure)
    begun = Path(out) / "plan.json" if resume and out is not None else None
    if begun is not None and begun.is_file():
        recipe = read_plan(begun).card.get("asked", recipe)
    name, added = _parsed(recipe)
    if network is not None and network not in NETWORKS:
        raise UsageError(f"unknown network {network!r}{did_you_mean(network, NETWORKS)}")
    data = data if isinstance(data, Dataset) else open_dataset(data)
    way = _way("everyday" if name == "auto" and plan else name, learnt_from(data, train, val), added, network)
    if sure is not None and not way.chains:
        raise UsageError(f"recipe {way.name} narrows no labels: leave out --sure")
    stages = _stages(instant_and_unlabelled if way.base == "instant" and UNLABELLED in added else RECIPES[way.base])
    if network is not None and len(stages) > 1:
        names = " -> ".join(stage.network for stage in stages)
        raise UsageError(f"recipe {recipe} trains {names} in stages: leave out --network, or take another recipe")
    each = None if minutes is None else minutes / len(stages)
    common: dict[str, Any] = {"weights": str(weights), "seed": seed}
    common |= {k: v for k, v in {"epochs": epochs, "minutes": each, "size": size}.items() if v is not None}
    chosen = []
    for stage in stages:
        changes: dict[str, Any] = {**way.settings, **common}
        if UNLABELLED in added and stage.solver == "steps":
            changes |= {"loss.consistency": 1.0, "optimiser.ema": stage.optimiser.ema or 0.05}
        if network is not None or encoder is not None:
            changes |= {"network": network or stage.network, "encoder": encoder}
            if changes["network"] != stage.network or encoder is None:
                changes["options"] = {}
        chosen.append(with_settings(stage, {**changes, **(settings or {})}))
    processes.accelerator()
    called = Path(data.root).name if data.root else "data"
    out = processes.from_main(lambda: run_folder(out, called, resume))
    if processes.accelerator().is_main_process:
        for line in way.lines:
            print(line, file=sys.stderr, flush=True)
    card = {"asked": recipe, "recipe": "+".join([way.name, *added]), "priors": "none", **_narrowed_before(data)}
    if way.chains:
        how: dict[str, Any] = {"train": train, "val": val, "group_by": group_by, "plan": plan}
        how |= {"sure": sure, "saliency": saliency, "card": card}
        run, data = train_chained(data, way, chosen[0], out=out, resume=resume, **how)
    elif way.base == "saliency":
        how = {"train": train, "val": val, "group_by": group_by, "plan": plan, "card": card}
        run, data = train_saliency(data, chosen[0], out=out, resume=resume, **how)
    else:
        how = {"train": train, "val": val, "group_by": group_by, "plan": plan, "card": card}
        run = train_stages(data, chosen, out=out, resume=resume, **how)
    processes.from_main(lambda: _reported(run, data, no_photos))
    return run


def _share(sure: float | str | None) -> float | str | None:
    """The certainty as a number, "auto" or None. UsageError for what is none of them."""
    if sure is None or sure == "auto":
        return sure
    try:
        share = float(sure)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"--sure {sure}: expected a share, 0..1, or auto")
    return share


def _parsed(recipe: str) -> tuple[str, list[str]]:
    """(name, what follows it after plus signs). UsageError for words that are none."""
    name, *added = recipe.split("+")
    names = [*RECIPES, *CHAINS, "mixed", "auto"]
    if name not in names:
        raise UsageError(f"unknown recipe {name!r}{did_you_mean(name, names)}")
    for word in added:
        if word not in (UNLABELLED, ALTERNATION):
            raise UsageError(f"unknown {word!r} after recipe {name}{did_you_mean(word, [UNLABELLED, ALTERNATION])}")
    return name, added


def _way(name: str, photos: Sequence[Photo], added: Sequence[str], network: str | None) -> Way:
    """What the recipe makes of the photos that are learnt from. UsageError where they are not what it needs."""
    if name in CHAINS:
        way = way_of_chain(CHAINS[name], photos)
    elif name in RECIPES:
        way = Way(name, base=name)
    else:
        way = way_of_mixture(photos) if name == "mixed" else way_of_auto(photos)
    if network is not None and name == "auto":
        way = replace(way, base="everyday")
    if UNLABELLED in added and all(p.labels for p in photos):
        raise UsageError(f"every training photo has labels: leave out +{UNLABELLED}, or add photos without labels")
    if ALTERNATION in added:
        if not any(chain.rounds > 1 for chain in way.chains):
            raise UsageError(f"recipe {name} narrows labels in one round or none: leave out +{ALTERNATION}")
        way = replace(way, chains=tuple(replace(chain, between="network") for chain in way.chains))
    return way


def _narrowed_before(data: Dataset) -> dict[str, str]:
    """What the card says of labels that `masks` made: its summary lies beside them."""
    root = data.root and Path(data.root)
    summary = root and (root if root.is_dir() else root.parent) / SUMMARY
    if not summary or not summary.is_file():
        return {}
    made = json.loads(summary.read_text(encoding="utf-8"))
    return {"priors": f"{made.get('priors', 'unknown')} (labels narrowed before: {made['chains']})"}


def _reported(run: Run, data: Dataset, no_photos: bool) -> None:
    """A finished run has a report, made once; one that was killed while it was drawn gets it from `resume`."""
    if not (run.folder / PAGE).exists():
        run_report(run, data, no_photos)


__all__ = ["CHAINS", "RECIPES", "available", "everyday", "train"]
