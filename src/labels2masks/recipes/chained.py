"""Training by a chain: labels narrowed, in one round or several, then the network on what is left.

runs/<date>-<name>/             the network, a run like any other
    narrowed/                   the data set it learnt from (see `recipes.masks`)
    stages/1-narrowed/          of several rounds, what the earlier ones narrowed
    stages/1-instant/           and the classifier that learnt from it, whose scores the next round asks;
    stages/1-network/           with `+alternation` the network itself, which the next round's starts from
    stages/0-instant/           for chains that need scores: the classifier that learnt from the labels alone
    stages/0-classifier/        for chains that need class maps: what learnt the tags of the same photos

Every round narrows the person's labels, never what an earlier round made of them, so that no mistake locks in. What
learns in between learns from no photo that the run is scored on: the split is made before anything else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..formats.dataset import Dataset, Photo
from ..formats.open import open_dataset
from ..narrowing import Threshold
from ..run import Run
from ..training import Settings, processes
from ..training.folder import run_folder, write_json
from ..training.plan import FOLDS, read_plan, split_names
from ..training.rounds import alternation, made_once
from ..training.stages import train_stages
from ..training.tags import classifier_settings, train_classifier
from .auto import Way
from .chains import is_weak
from .instant import instant
from .masks import CLASSICAL, SUMMARY, masks
from .sure import choose_sure


@dataclass(frozen=True)
class Split:
    """Names of the photos to learn from and to score on; origin: where they come from, `FOLDS` for five folds."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    origin: str


def learnt_from(data: Dataset, train: str | None, val: str | None) -> tuple[Photo, ...]:
    """The photos that a run may learn from: without those of a split that it is scored on."""
    if train is None and "train" in data.splits:
        train = "train"
    photos = data.split(train).photos if train else data.photos
    aside = data.splits.get("val" if val in (None, "auto") else val, ()) if train != "val" else ()
    return tuple(p for p in photos if p.name not in set(aside))


def split_of_run(data: Dataset, plan: Path | None, seed: int, train: str | None, val: str | None, **how: Any) -> Split:
    """The split that the run will have: that of its plan, where there is one already."""
    if plan is None:
        names, aside, origin = split_names(data, train, val or "auto", how.get("group_by"), seed)
    else:
        made = read_plan(plan)
        names, aside, origin = made.train + made.unlabelled, made.val, FOLDS if made.fold_names else made.split_origin
    return Split(tuple(names), tuple(aside), origin)


def train_chained(
    data: Dataset,
    way: Way,
    settings: Settings,
    *,
    out: Path | str | None,
    resume: bool,
    sure: float | str | None,
    card: dict[str, str],
    saliency: Path | str = CLASSICAL,
    plan: Path | str | None = None,
    group_by: str | None = None,
    **how: Any,
) -> tuple[Run, Dataset]:
    """(run, the data set it learnt from), which has the splits `train` and `val` of the run. Photos with masks, and
    those that are not learnt from, stay as they are.

    settings: of the network. sure, saliency: see `masks`; sure "auto": see `recipes.sure`. card: what the protocol card
    says of the recipe. how: train and val. Raises as `masks` and `train` do.
    """
    processes.accelerator()
    name = Path(data.root).name if data.root else "data"
    folder = processes.from_main(lambda: run_folder(out, name, resume))
    known = folder / "plan.json" if (folder / "plan.json").exists() else None if plan is None else Path(plan)
    split = processes.from_main(lambda: split_of_run(data, known, settings.seed, group_by=group_by, **how))
    sides = {"train": split.train} | ({"val": split.val} if split.val else {})
    data = replace(data, splits={k: v for k, v in data.splits.items() if k not in ("train", "val")} | sides)
    card = card | {"data": name if data.root else ""} | ({"split": split.origin} if split.val else {})
    photos = data.subset(split.train).photos
    if split.origin == FOLDS:  # every photo with a mask is scored in some fold
        photos = tuple(p for p in photos if is_weak(p))
    least, card = _certainty(replace(data, photos=photos), way, settings, sure, folder, card)
    rounds = max(chain.rounds for chain in way.chains)
    alternates = any(chain.between == "network" for chain in way.chains)
    if alternates and settings.minutes:
        settings = settings.model_copy(update={"minutes": settings.minutes / rounds})
    classifier: Path | None = None
    if any("cam_CHW" in chain.cues for chain in way.chains):
        place = folder / "stages" / "0-classifier"
        chosen = classifier_settings().model_copy(update={"encoder": settings.encoder})
        classifier = processes.from_main(lambda: train_classifier(photos, place, settings.weights, chosen))

    def narrow(number: int, model: Path | None) -> Path:
        to = folder / "narrowed" if number == rounds else folder / "stages" / f"{number}-narrowed"
        cues: dict[str, Any] = {"model": model, "classifier": classifier, "saliency": saliency}
        cues |= {"weights": settings.weights, "encoder": settings.encoder}
        made = partial(masks, data, recipe=way.narrow, split="train", sure=least, **cues)
        return processes.from_main(lambda: made_once(to, SUMMARY, made))

    def learn(to: Path, number: int, last: bool) -> Path:
        labels = open_dataset(to)
        known = json.loads((to / SUMMARY).read_text(encoding="utf-8"))["priors"]
        told: dict[str, Any] = {"card": card | {"priors": known}}
        own = settings
        if alternates and number > 1:
            own = settings.model_copy(update={"weights": str(folder / "stages" / f"{number - 1}-network")})
        if last:
            val = "val" if split.val else "auto" if split.origin == FOLDS else "none"
            how = {"train": "train", "val": val, "group_by": group_by, "plan": plan, **told}
            return train_stages(labels, [own], out=folder, resume=True, **how).folder
        alone = replace(labels.subset([p.name for p in photos]), splits={})
        light = own if alternates else _light(own)
        place = folder / "stages" / f"{number}-{'network' if alternates else 'instant'}"
        return train_stages(alone, [light], out=place, resume=True, val="none", **told).folder

    first: Path | None = None
    if any("scores_CHW" in chain.cues for chain in way.chains):  # of photos that no fold scores, as all that narrows
        labelled = replace(data.subset([p.name for p in photos if p.labels]), splits={})
        place = folder / "stages" / "0-instant"
        first = train_stages(labelled, [_light(settings)], out=place, resume=True, val="none", card=card).folder
    return Run(alternation(rounds, narrow, learn, first)), open_dataset(folder / "narrowed")


def _light(settings: Settings) -> Settings:
    """The `instant` classifier on the same encoder."""
    same = {"encoder": settings.encoder, "weights": settings.weights, "seed": settings.seed}
    return instant().model_copy(update=same)


def _certainty(
    data: Dataset, way: Way, settings: Settings, sure: float | str | None, folder: Path, card: dict[str, str]
) -> tuple[float | None, dict[str, str]]:
    """(the certainty from which a chain decides, None = its own; the card with how it was chosen)."""
    if sure is None:
        rules = {f"{chain.rule.least:g}" for chain in way.chains if isinstance(chain.rule, Threshold)}
        return None, card | (
            {"thresholds": f"labels decided from {' or '.join(sorted(rules))} on: fixed by the recipe"} if rules else {}
        )
    if sure != "auto":
        return float(sure), card | {"thresholds": f"labels decided from {float(sure):g} on: as it was asked for"}
    kept = folder / "sure.json"
    if not kept.exists():
        found = choose_sure(data, way.narrow, folder / "stages" / "sure", settings)
        processes.from_main(lambda: write_json(kept, found))
    found = json.loads(kept.read_text(encoding="utf-8"))
    how = f"by agreement with the labels of {len(found['aside'])} training photos kept aside, no masks (sure.json)"
    return found["sure"], card | {"thresholds": f"labels decided from {found['sure']:g} on: {how}"}
