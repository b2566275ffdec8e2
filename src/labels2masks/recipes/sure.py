"""How sure a chain should be before it decides a pixel, chosen without a mask.

Some photos' labels are kept aside. The others are narrowed at each of several certainties, the `instant` classifier
learns from what is left, and the certainty wins by which it agrees best with the labels kept aside: clicks and strokes
hit, tags found, boxes around what it predicts (see `evaluation.agreement`). Counting how many of its decisions are
right would not do: deciding one pixel of each photo, it would always be right.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..evaluation.agreement import Agreement, one_number
from ..formats.dataset import Dataset, Photo
from ..formats.image import read_image
from ..formats.open import open_dataset
from ..run import Run
from ..training import Settings, processes
from ..training.stages import train_stages
from ..training.tags import train_classifier
from .auto import chosen
from .chains import NOTHING
from .instant import instant
from .masks import masks

TRIED = (0.5, 0.65, 0.8, 0.9, 0.95)
MOST = 150
"""Photos that take part; more are sampled."""
ASIDE = 0.25


def choose_sure(
    data: Dataset,
    recipe: str,
    folder: Path,
    settings: Settings,
    tried: Sequence[float] = TRIED,
) -> dict[str, Any]:
    """{"sure": the certainty, 0..1; "agreement": [of each tried, 0..1]; "tried"; "aside": photos whose labels chose}.

    data: photos to learn from; those with a mask take no part. recipe: of `masks`, which narrows them. folder:
    for what is made on the way; gone at the end. settings: weights and seed of the classifier. Of equals the smallest.
    Raises UsageError for fewer than four photos that the recipe narrows.
    """
    photos = [p for p in data.photos if chosen(recipe, None, p).name != NOTHING.name]
    if len(photos) < 4:
        raise UsageError(
            f"--sure auto keeps the labels of some photos aside, and {recipe} narrows {len(photos)}: give a share, 0..1"
        )
    order = np.random.default_rng(settings.seed).permutation(len(photos))[:MOST]
    aside = [photos[i] for i in order[: max(1, round(ASIDE * len(order)))]]
    rest = replace(data, photos=tuple(photos[i] for i in order[len(aside) :]), splits={})
    light = instant().model_copy(update={"weights": settings.weights, "seed": settings.seed})
    processes.from_main(lambda: shutil.rmtree(folder, ignore_errors=True))  # left by a kill
    classifier: Path | None = None
    if any("cam_CHW" in chosen(recipe, None, p).cues for p in photos):
        learn = partial(train_classifier, rest.photos, folder / "classifier", weights=settings.weights)
        classifier = processes.from_main(learn)
    found = []
    for sure in tried:
        to = folder / f"{sure:g}-narrowed"
        processes.from_main(partial(masks, rest, to, recipe=recipe, classifier=classifier, sure=sure))
        learnt = train_stages(open_dataset(to), [light], out=folder / f"{sure:g}-instant", val="none")
        found.append(_agreement(learnt, aside))
    processes.from_main(lambda: shutil.rmtree(folder, ignore_errors=True))
    best = max(range(len(found)), key=lambda i: (found[i], -tried[i]))
    return {"sure": tried[best], "agreement": found, "tried": list(tried), "aside": [p.name for p in aside]}


def _agreement(run: Run, photos: Sequence[Photo]) -> float:
    agreement = Agreement()
    for photo in photos:
        agreement.add(run.predict(read_image(photo.image, photo.levels)), photo.labels, photo.vocabulary)
    return one_number(agreement.scores())["agreement"]
