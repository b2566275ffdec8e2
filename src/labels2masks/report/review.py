"""The verb `review`: which labels of a data set disagree most with models that have not learnt from them.

    l2m review runs/DATE-photos photos/          labels2masks.review("runs/DATE-photos", "photos/")

    review.html     the most doubtful labels with their photos, to go through with the keyboard; decisions can be saved
    review.csv      one line for each doubtful object, click, box, tag or share, the most doubtful first
    review.json     the same, every photo with its doubt, and how the predictions were made
    pixels/         <photo>.png for the photos of the page: 255 = all probability on classes the label rules out
    predictions/, folds/, made_for.json         see `training.held_out`; a second call goes on from them

Legend: H, W = pixels; C = classes.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import DataError, UsageError
from ..evaluation.label_quality import SelfConfidence, confident, disagreement, doubts, of_photo
from ..files import write_atomically
from ..formats.dataset import Dataset, Photo
from ..formats.image import image_size
from ..formats.open import open_dataset
from ..prediction.views import shrinking
from ..progress import track
from ..run import Run
from ..training.folder import held
from ..training.held_out import HeldOut, predict_held_out
from ..training.plan import read_plan
from ..training.ridge import candidates_at
from .doubt_rows import Found, rows
from .review_page import review_page

LONG_SIDE = 256
"""What labels and predictions are compared at: twice as fine as the predictions are kept."""
LISTED = 10_000
"""Doubts in the files; of a photo at most `OF_A_PHOTO`."""
OF_A_PHOTO = 20
SHOWN = 100
"""Doubts on the page."""


def review(
    run: Run | Path | str,
    data: Dataset | Path | str,
    out: Path | str | None = None,
    split: str | None = None,
    minutes: float | None = None,
    group_by: str | None = None,
    shown: int = SHOWN,
) -> dict[str, Any]:
    """Rank photos, objects and pixels by how much their labels disagree with cross-validated predictions.

    run: a finished run; the photos it did not learn from are predicted by its own network.
    data: the data set whose labels are reviewed, with the run's classes. split: look at one split only.
    out: the folder to write to; None = `reviews/<run>`. Predictions that are there already are kept.
    minutes: the photos that the run learnt from are predicted by ridge regression on its frozen encoder, in five folds
        (two passes over the photos); with minutes by five networks of the run's own plan, trained that long in all.
    group_by: regular expression; photos whose names give the same first group (or match) are in one fold.
    shown: doubts on the page.

    Returns {"out", "page", "photos" (reviewed), "doubts" (listed), "confident" (of them), "most_doubtful" (the first
    photo), "first" (five doubts), "predicted_by": {who: photos}, "skipped": [{"photo", "reason"}]}.
    Raises UsageError for a wrong call, DataError where there is nothing to review.
    """
    run = run if isinstance(run, Run) else Run(run)
    if minutes is not None and not minutes > 0:
        raise UsageError(f"--minutes must be above 0, got {minutes:g}")
    if shown < 0:
        raise UsageError(f"--shown takes 0 and more, got {shown}")
    plan = read_plan(run.folder / "plan.json")
    data = data if isinstance(data, Dataset) else open_dataset(data)
    if data.classes.names != plan.class_list.names:
        raise UsageError(
            f"the run's classes are {list(plan.class_list.names)}, the data's {list(data.classes.names)}: "
            "choose the same with --classes, --others and --merge"
        )
    looked_at = data.split(split) if split is not None else data
    if not any(p.labels for p in looked_at):
        raise DataError(f"{data.root or 'the data set'}: no photo has a label to review")
    folder = Path(out) if out is not None else Path("reviews") / run.folder.resolve().name
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; expected a folder")
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        predicted = predict_held_out(run, plan, looked_at, folder, minutes, group_by, _say)
        return _written(looked_at, predicted, folder, shown)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _written(data: Dataset, predicted: HeldOut, folder: Path, shown: int) -> dict[str, Any]:
    own = SelfConfidence(len(data.classes))
    found: list[Found] = []
    photos: list[tuple[str, float, float]] = []  # name, doubt, share of the pixels that disagree
    skipped = dict(predicted.skipped)
    for photo in track([p for p in data if p.name in predicted.by], "comparing labels"):
        try:
            size = image_size(photo.image)
            small = shrinking(*size, LONG_SIDE)
            said = candidates_at(photo, size, small)
            probabilities_CHW = predicted.predictions.read(photo.name, *small)
        except DataError as error:
            skipped[photo.name] = str(error)
            continue
        own.add(said, probabilities_CHW)
        of_this = doubts(said, probabilities_CHW, data.classes)
        photos.append(
            (
                photo.name,
                of_photo(of_this, said, probabilities_CHW),
                float(disagreement(said, probabilities_CHW).mean()),
            )
        )
        found += [Found(photo, size, d) for d in of_this[:OF_A_PHOTO]]
        if len(found) > 2 * LISTED:
            found = _worst(found)
    if not photos:
        raise DataError(f"none of the {len(skipped)} photos can be reviewed; the first: {next(iter(skipped.values()))}")
    thresholds_C = own.thresholds()
    found = [Found(f.photo, f.size, f.doubt, confident(f.doubt, thresholds_C)) for f in _worst(found)]
    photos.sort(key=lambda p: (-p[1], p[0]))
    lines = rows(found, data.classes)
    for photo in {f.photo.name: f.photo for f in found[:shown]}.values():
        write_atomically(folder / "pixels" / f"{photo.name}.png", _pixels(photo, predicted))
    reasons = [{"photo": name, "reason": reason} for name, reason in sorted(skipped.items())]
    by = dict(Counter(predicted.by[name] for name, *_ in photos))
    write_atomically(folder / "review.csv", _csv(lines))
    report = {
        "photos": [{"photo": n, "doubt": round(d, 4), "disagreeing_share": round(s, 4)} for n, d, s in photos],
        "doubts": lines,
        "predicted_by": {name: predicted.by[name] for name, *_ in photos},
        "self_confidence": {n: round(float(t), 4) for n, t in zip(data.classes.names, thresholds_C, strict=True)},
        "skipped": reasons,
    }
    write_atomically(folder / "review.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    title = Path(data.root).name if data.root else "joined data sets"
    page = review_page(title, found[:shown], lines[:shown], len(lines), photos, by, reasons, data.classes, predicted)
    write_atomically(folder / "review.html", page)
    return {
        "out": str(folder),
        "page": str(folder / "review.html"),
        "photos": len(photos),
        "doubts": len(lines),
        "confident": sum(f.confident for f in found),
        "most_doubtful": photos[0][0],
        "first": lines[:5],
        "predicted_by": by,
        "skipped": reasons,
    }


def _worst(found: list[Found]) -> list[Found]:
    return sorted(found, key=lambda f: (-f.doubt.doubt, f.photo.name, f.doubt.corners))[:LISTED]


def _csv(lines: Sequence[dict[str, Any]]) -> str:
    """As a spreadsheet can read it: a cell that begins like a formula gets a quote before it."""
    text = io.StringIO()
    columns = list(lines[0]) if lines else ["place", "photo", "reason"]
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for line in lines:
        writer.writerow(
            {k: f"'{v}" if isinstance(v, str) and v[:1] in tuple("=+-@\t\r") else v for k, v in line.items()}
        )
    return text.getvalue()


def _pixels(photo: Photo, predicted: HeldOut) -> bytes:
    """PNG of the photo's own size."""
    size = image_size(photo.image)
    small = shrinking(*size, LONG_SIDE)
    grey_hw = disagreement(candidates_at(photo, size, small), predicted.predictions.read(photo.name, *small))
    grey_HW = cv2.resize(np.rint(255 * grey_hw).astype(np.uint8), size[::-1], interpolation=cv2.INTER_LINEAR)
    return cv2.imencode(".png", grey_HW)[1].tobytes()
