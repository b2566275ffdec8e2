"""The report of a run: one page that says what was learnt, and the pictures it is made of.

    l2m report runs/DATE-photos          labels2masks.Run("runs/DATE-photos").report()

    report.html     self-contained: no script, no request, pictures inside and without EXIF
    plots/          loss, iou, confusion, reliability (.svg)
    overlays/       validation photos beside labels, truth, prediction and error, the worst first (.jpg)

`train` writes it when it ends; later it is made again only on request.

Legend: C = classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import DataError, UsageError
from ..files import write_atomically
from ..formats.dataset import Dataset, Photo
from ..formats.image import read_image
from ..formats.open import open_dataset
from ..prediction.model import FILE, Model, load_model
from ..progress import track
from ..run import Run
from ..training.plan import Plan
from .facts import Facts, read_facts
from .markup import Markup
from .page import page
from .pictures import jpeg, strip
from .plots import confusion_plot, iou_bars, loss_plot, reliability_plot
from .svg import standalone
from .worst import SHOWN, Shown, shown_with_scores, shown_without

PAGE = "report.html"


def run_report(run: Run | Path | str, data: Dataset | Path | str | None = None, no_photos: bool = False) -> Path:
    """Write the report of a finished run into its folder, over an earlier one; returns the page's path.

    data: where its photos are, with the same choice of classes; None = where they were in training.
    no_photos: leave out every picture that shows a photo; then no data is needed. Names of photos stay.
    Raises UsageError where the folder is no finished run or the data is not its own, DataError where the
    photos are gone or a file of the run is damaged.
    """
    run = run if isinstance(run, Run) else Run(run)
    folder, facts = run.folder, read_facts(run)
    photos = None if no_photos else _photos(facts.plan, data)
    drawn = _plots(facts)
    for name, svg in drawn.items():
        write_atomically(folder / "plots" / f"{name}.svg", standalone(svg))
    shown: list[Shown | tuple[str, str]] = []
    if photos is not None:
        shown = list(track(_shown(photos, facts, folder), "drawing the report", SHOWN))
        for item in shown:
            if isinstance(item, Shown):
                name = re.sub(r"[^A-Za-z0-9_.-]+", "-", item.name)[-80:]
                write_atomically(folder / "overlays" / f"{item.place:04d}-{name}.jpg", jpeg(strip(item.panels)))
    first = folder / "first_batches.png"
    batches = read_image(first) if first.is_file() and not no_photos else None
    return write_atomically(folder / PAGE, page(facts, drawn, shown, batches, no_photos))


def _photos(plan: Plan, data: Dataset | Path | str | None) -> Dataset:
    """The photos to show, checked to be those of the run."""
    if data is None:
        if not plan.data or not Path(plan.data).exists():
            where = f"no longer at {plan.data}" if plan.data else "of several data sets"
            raise DataError(f"the photos of this run are {where}: name them with --data, or leave out with --no-photos")
        data = plan.data
    opened = data if isinstance(data, Dataset) else open_dataset(data)
    if opened.classes.names != plan.class_list.names:
        raise UsageError(
            f"the run's classes are {list(plan.class_list.names)}, the data's {list(opened.classes.names)}: "
            "choose the same with --classes, --others and --merge, or leave the photos out with --no-photos"
        )
    return opened


def _plots(facts: Facts) -> dict[str, Markup]:
    """File name -> drawing."""
    classes, final = facts.plan.class_list, facts.metrics.get("miou")
    drawn = {"loss": loss_plot(facts.rows, final)} if facts.rows else {}
    if facts.scored:
        iou_C = [facts.metrics["per_class"][name]["iou"] for name in classes.names]
        drawn["iou"] = iou_bars(classes, iou_C, facts.bands_C, final)
        drawn["confusion"] = confusion_plot(classes, facts.scored.confusion.counts)
        drawn["reliability"] = reliability_plot(facts.scored.calibration)
    return drawn


def _shown(data: Dataset, facts: Facts, folder: Path) -> Iterator[Shown | tuple[str, str]]:
    """Photos with what the network that never saw them makes of them."""
    plan, scored = facts.plan, facts.scored
    fold_of = {name: k for k, names in enumerate(plan.fold_names) for name in names}
    loaded: dict[int, Model] = {}

    def predict(photo: Photo) -> tuple[np.ndarray, np.ndarray]:
        fold = fold_of.get(photo.name, -1)
        if fold not in loaded:
            loaded[fold] = load_model(folder / "folds" / str(fold) / FILE if fold >= 0 else folder)
        image_HW3 = read_image(photo.image, photo.levels)
        return image_HW3, loaded[fold].predict_mask(image_HW3)

    if scored:
        yield from shown_with_scores(data.subset(scored.names), scored, predict)
    else:
        yield from shown_without(data.subset(plan.val or plan.train), predict)
