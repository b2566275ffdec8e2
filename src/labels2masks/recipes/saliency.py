"""A network for what stands out, of whatever class, learnt from boxes (Oh et al. 2017, section 4).

    boxes -- GrabCut, dense CRF -- network -- its scores, dense CRF, in the same boxes -- network

runs/<date>-<name>/             the second network, a run like any other
    narrowed/                   what it learnt from
    stages/1-narrowed/          the boxes after GrabCut
    stages/1-network/           the first network; in stages/1-linear/ its start in closed form

Any data set with boxes will do, and what is in them does not matter. The paper's network is `--network
deeplab_v2_resnet101`; it trains on MSRA's boxes, once, and does not tell how long. Both networks here start where the
one before them ended; both rounds narrow the person's boxes.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import networks
from ..classes import Classes, Vocabulary
from ..errors import DataError, UsageError
from ..formats.dataset import Dataset
from ..formats.open import open_dataset
from ..labels import Box, Boxes
from ..training import Settings, processes
from ..training.folder import run_folder
from ..training.settings import Augment, Loss, Optimiser
from ..training.stages import train_stages
from ..training.tags import LOWER_HALF, frozen_in
from .masks import CLASSICAL, SUMMARY, masks

if TYPE_CHECKING:
    from ..run import Run

ROUNDS = (("grabcut", "dense_crf"), ("threshold", "dense_crf"))
"""The steps that narrow the boxes in each round; the second's threshold reads the first network."""
OBJECT = Classes(("background", "object"), background="background")


def saliency() -> Settings:
    """A network of two classes from boxes of anything: GrabCut, a network, its scores in the same boxes, a network.

    Hypercolumns on EfficientNet-Lite0, the lower half of it frozen: two minutes a round for 500 photos on two cores.
    Classes are not weighed, since a map of what stands out is read as a probability.
    """
    return Settings(
        network="linear",
        frozen=LOWER_HALF,
        batch_norm="frozen",
        size=320,
        epochs=4,
        augment=Augment(scale=(0.7, 1.4), rare=0),
        optimiser=Optimiser(rate=7e-4),
        loss=Loss(class_weights="none"),
    )


def train_saliency(
    data: Dataset,
    settings: Settings,
    *,
    out: Path | str | None,
    resume: bool,
    train: str | None = None,
    plan: Path | str | None = None,
    **how: Any,
) -> tuple[Run, Dataset]:
    """(run, the data set it learnt from). settings: of both networks. how: further arguments of `training.train`.

    Raises DataError without boxes, UsageError for a plan: it is of one run; else as `masks` and `train` do.
    """
    if plan is not None:
        raise UsageError("a plan is of one run, and the recipe saliency trains several: leave out --plan")
    processes.accelerator()
    data = of_objects(data)
    name = Path(data.root).name if data.root else "data"
    folder = processes.from_main(lambda: run_folder(out, name, resume))
    train = train or ("train" if "train" in data.splits else None)
    if settings.minutes:
        settings = settings.model_copy(update={"minutes": settings.minutes / len(ROUNDS)})
    stages, model = _stages(settings), CLASSICAL
    for number, steps in enumerate(ROUNDS, 1):
        last = number == len(ROUNDS)
        place = folder / "narrowed" if last else folder / "stages" / f"{number}-narrowed"

        def narrow(place: Path = place, steps: tuple[str, ...] = steps, model: str = model) -> None:
            if not (place / SUMMARY).exists():
                shutil.rmtree(place, ignore_errors=True)  # half written before a kill
                masks(data, place, steps=steps, split=train, saliency=model)

        processes.from_main(narrow)
        made = open_dataset(place)
        to = folder if last else folder / "stages" / f"{number}-network"
        run = train_stages(made, stages, out=to, resume=True, train=train, **how)
        model = str(run.folder)
        stages = [stages[-1].model_copy(update={"weights": model})]
    return run, made


def of_objects(data: Dataset) -> Dataset:
    """The boxes of a data set, all of one class "object"; photos without boxes, and all other labels, are left out.

    A data set of two classes, one of them background, stays as it is. Raises DataError where there are no boxes.
    """
    if len(data.classes) == 2 and data.classes.background is not None:
        return data
    vocabulary, photos = Vocabulary.same(OBJECT), []
    for photo in data.photos:
        source = photo.vocabulary.source
        boxes = [_of_object(x, source) for x in photo.labels if isinstance(x, Boxes) and x.marks]
        if boxes:
            photos.append(replace(photo, labels=tuple(boxes), vocabulary=vocabulary))
    if not photos:
        raise DataError(f"{data.root or 'the data set'}: no photo has a box, and saliency is learnt from boxes")
    kept = {p.name for p in photos}
    splits = {name: tuple(n for n in names if n in kept) for name, names in data.splits.items()}
    return replace(
        data, classes=OBJECT, photos=tuple(photos), splits={name: names for name, names in splits.items() if names}
    )


def _of_object(boxes: Boxes, source: Classes) -> Boxes:
    marks = tuple(Box("object", box.corners, box.extremes) for box in boxes.marks)
    complete = frozenset({"object"}) if boxes.complete.issuperset(source.foreground) else frozenset()
    return replace(boxes, marks=marks, complete=complete)


def _stages(settings: Settings) -> list[Settings]:
    """Of the first round: a linear network starts in closed form. What the network has no parts of is not frozen."""
    network = networks.build(settings.network, 2, encoder=settings.encoder, weights=None, settings=settings.options)
    settings = settings.model_copy(update={"frozen": frozen_in(network, settings.frozen)})
    if settings.network != "linear":
        return [settings]
    start = {"solver": "ridge", "epochs": 1, "minutes": None, "frozen": (), "batch_norm": "train"}
    return [settings.model_copy(update=start), settings]
