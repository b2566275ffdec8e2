"""The verb `crf tune`: a model and labelled photos -> CRF parameters, what they gain on held-out photos, and a plot.

    l2m crf tune photos/ --model runs/DATE-photos          labels2masks.crf_tune("photos/", run)

OUT.json is what `crf --preset` and `predict --crf` take; OUT.svg shows the search. The search: `evaluation.crf_tuning`.

Legend: P = photos; C = classes; B = resamples.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, UsageError
from ..evaluation.bootstrap import band, bootstrap, mean_over_classes
from ..evaluation.crf_tuning import Scored, Tuned, miou, tune
from ..evaluation.evaluate import chosen_photos, truth_mask
from ..evaluation.sources import matched, read_json
from ..files import write_atomically
from ..formats.dataset import Dataset
from ..formats.image import read_image
from ..formats.open import open_dataset
from ..formats.splitting import folds as folds_of
from ..prediction.crf import Preset, crf_parameters, in_words, write_crf
from ..prediction.model import FILE, load_model, model_file
from ..progress import status, track
from .crf_tuning_plot import tuning_plot
from .svg import standalone

EVALUATIONS, PHOTOS = 80, 60
"""Photos searched on, unless told otherwise: their probabilities are held in memory."""


def crf_tune(
    data: Dataset | Path | str,
    run: Any,
    *,
    split: str | None = None,
    start: Preset = "deeplab",
    folds: int = 5,
    evaluations: int | None = None,
    minutes: float | None = None,
    photos: int = PHOTOS,
    group_by: str | None = None,
    seed: int = 0,
    out: Path | str | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Search the parameters on photos with masks; write OUT.json and OUT.svg, over earlier ones.

    split: None = the data set's 'val'; else the photos that the run set aside; else all. Of more than `photos` a random
        part is taken. What a network says of photos it learnt from is too sure: do not tune on them.
    start: where the search begins. folds: parts of the photos, each once held out; near duplicates, and photos that
        `group_by` names alike, stay together.
    evaluations, minutes: the budget, in CRFs of all photos or in time; 80 evaluations where neither is given.
    out: the file (.json); None = crf.json in the run folder, or beside the model file.

    Returns {"file", "plot", "parameters", "crf" (in words), "data", "split", "photos", "seen_in_training", "skipped",
    mIoU 0..1 as "without" a CRF, with the "start", "held_out" (each photo with what was found without it) and
    "chosen_on" (the result on the photos it was chosen on); "gain" (held_out - without), "gain_band" (95 %, over
    photos), "evaluations", "complete" (the search ended before its budget)}.
    Raises UsageError for a wrong call, DataError where there are too few photos with masks.
    """
    if folds < 2 or photos < folds or (evaluations is not None and evaluations < 1):
        raise UsageError(f"crf tune takes 2 folds or more, as many photos and 1 evaluation: {folds=}, {photos=}")
    if minutes is not None and not minutes > 0:
        raise UsageError(f"--minutes must be above 0, got {minutes}")
    begun = time.monotonic()
    first, model = crf_parameters(start), load_model(run)
    if not (first.bilateral_weight and first.gaussian_weight and first.iterations):
        raise UsageError("the search multiplies: it can not start from a weight of 0 or without iterations")
    file = Path(out) if out is not None else model_file(getattr(run, "path", None) or run).with_name("crf.json")
    if file.suffix != ".json":
        raise UsageError(f"--out names the .json file to write, got {file}")
    data = data if isinstance(data, Dataset) else open_dataset(data)
    folder = model.path.parent if model.path and model.path.name == FILE else None
    chosen, where = chosen_photos(data, split, folder)
    with_mask = [photo.name for photo in chosen if photo.has_mask]
    if len(with_mask) > photos:
        picked = np.random.default_rng(seed).choice(len(with_mask), photos, replace=False)
        with_mask = [with_mask[i] for i in sorted(picked)]
    if len(with_mask) < folds:
        raise DataError(f"{len(with_mask)} photos with masks ({where}); {folds} folds need as many")
    part = data.subset(with_mask)
    fold_of = {name: k for k, names in enumerate(folds_of(part, folds, seed, group_by)) for name in names}
    index_L = matched(model.classes, data)
    scored, skipped = [], []
    for photo in track([p for p in part.photos if p.name in fold_of], "predicting"):
        try:
            image_HW3 = read_image(photo.image, photo.levels)
            truth_HW = truth_mask(photo, *image_HW3.shape[:2]).astype(np.int16)
        except DataError as error:
            skipped.append({"image": photo.name, "reason": str(error)})
            continue
        probabilities_LHW = model.predict_scores(image_HW3).astype(np.float16)
        scored.append(Scored(image_HW3, probabilities_LHW, truth_HW, index_L, fold_of[photo.name]))
    if len({photo.fold for photo in scored}) < 2:
        raise DataError(f"photos of fewer than 2 folds could be read; the first that could not: {skipped[0]['reason']}")
    if evaluations is None and minutes is None:
        evaluations = EVALUATIONS
    seconds = None if minutes is None else max(60 * minutes - (time.monotonic() - begun), 0.0)
    with status("searching CRF parameters") as say:
        tuned = tune(scored, len(data.classes), first, evaluations, seconds, threads, say)
    trained_on = set(read_json(folder / "split.json").get("train", ())) if folder else set()
    result = _summary(tuned) | {
        "data": data.root.name if data.root else "joined data sets",
        "split": where,
        "photos": len(scored),
        "seen_in_training": len(trained_on & set(fold_of)),
        "skipped": skipped,
    }
    tried = [{**asdict(t.parameters), "miou": round(t.miou, 6)} for t in tuned.tried]
    per_fold = [asdict(p) for p in tuned.per_fold]
    rests_on = {"tuned_on": f"{len(scored)} photos of {result['data']}, {where}", **result}
    write_crf(
        file, tuned.parameters, {**rests_on, "start_parameters": asdict(first), "folds": per_fold, "tried": tried}
    )
    plot = write_atomically(file.with_suffix(".svg"), standalone(tuning_plot(tuned)))
    return {
        "file": str(file),
        "plot": str(plot),
        "parameters": asdict(tuned.parameters),
        "crf": in_words(tuned.parameters),
        **result,
    }


def tuned_text(result: Mapping[str, Any]) -> str:
    """What `crf_tune` returned, for a person."""
    low, high = result["gain_band"] or (result["gain"], result["gain"])
    lines = [
        f"{result['crf']}",
        f"mIoU on {result['photos']} photos ({result['split']}): {_points(result['without'])} without a CRF, "
        f"{_points(result['start'])} with the one the search began from,",
        f"{_points(result['held_out'])} held out (each photo with what was found without it): "
        f"a gain of {100 * result['gain']:+.1f}, 95 % band over photos {100 * low:+.1f} to {100 * high:+.1f}",
        f"{_points(result['chosen_on'])} with the result on the photos it was chosen on: not a score to report",
    ]
    if result["gain"] <= 0:
        lines.append("nothing was gained on held-out photos: leave the CRF out, or tune on more photos")
    elif result["held_out"] < result["start"]:
        lines.append("held out, the search is below the CRF it began from: take that one, or tune on more photos")
    if result["seen_in_training"]:
        count = result["seen_in_training"]
        lines.append(f"the network learnt from {count} of these photos and is too sure there: choose others (--split)")
    if result["skipped"]:
        lines.append(f"{len(result['skipped'])} photos left out; the first: {result['skipped'][0]['reason']}")
    if not result["complete"]:
        lines.append(f"the budget of {result['evaluations']} evaluations ended the search; a larger one may find more")
    return "\n".join([*lines, f"{result['file']}: for --preset and --crf; {result['plot']}: the search"])


def _summary(tuned: Tuned) -> dict[str, Any]:
    mean_BM = mean_over_classes(bootstrap(np.stack([tuned.held_out_P3C, tuned.without_P3C])))
    without, held_out = miou(tuned.without_P3C), miou(tuned.held_out_P3C)
    found = band(mean_BM[:, 0] - mean_BM[:, 1])
    return {
        "without": round(without, 6),
        "start": round(miou(tuned.start_P3C), 6),
        "held_out": round(held_out, 6),
        "chosen_on": round(miou(tuned.chosen_P3C), 6),
        "gain": round(held_out - without, 6),
        "gain_band": None if found is None else [round(v, 6) for v in found],
        "evaluations": len(tuned.tried),
        "complete": tuned.complete,
    }


def _points(share: float) -> str:
    return f"{100 * share:.1f}"
