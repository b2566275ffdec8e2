"""The verb `evaluate`: a model, or a folder of masks, against a data set -> scores with their protocol card.

Photos with masks give one confusion matrix, boundary F1 and (for models) calibration. Photos with
other labels give agreement with those labels; where no photo has a mask, nothing is called mIoU.

Legend: H, W = pixels; C = classes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..classes import Vocabulary
from ..errors import DataError
from ..formats.dataset import Dataset, Photo
from ..formats.open import open_dataset
from ..prediction.ahead import ahead
from ..progress import track
from .agreement import Agreement
from .boundary import BoundaryF1, boundary_f1
from .calibration import Calibration, binned
from .confusion import OUTSIDE, Confusion, count
from .protocol import OF_TRAINING, protocol_card
from .sources import Source, open_source, read_json


def evaluate(
    run: Any,
    data: Dataset | Path | str,
    split: str | None = None,
    tta: bool | None = None,
    classes: Sequence[str] | None = None,
    others: str = "void",
    merge: Mapping[str, Sequence[str]] | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Score `run` against `data`.

    run: run folder, `Run`, model.safetensors, model.onnx, or a folder of masks as `predict` writes them
        (<photo name>.png in the ids of the data set's files).
    split: None = the data set's 'val'; else the photos that the run set aside; else all.
    tta: average mirrored and scaled views, or take one; None = look at photos as the run's recipe does.
    classes, others, merge: see `labels2masks.open`.

    Classes are matched by name. What a model predicts beyond the data's classes counts as an error.
    Returns scores of `Confusion.scores()` with boundary_f1 (also per class), calibration_error,
    confusion (rows true, columns predicted, last = none of the classes); agreement; photos,
    without_mask, unlabelled, skipped, split, seen_in_training, missing_classes (the model has no such
    class), foreign_classes (the data has no such class), protocol. See `as_text`.
    Raises UsageError for a wrong call, DataError where no photo could be scored.
    """
    if not isinstance(data, Dataset):
        data = open_dataset(data, classes, others, merge)
    elif classes is not None or merge:
        data = data.choose(classes, others, merge)
    if not len(data):
        raise DataError(f"{data.root or 'the data set'} has no photos to score")
    source = open_source(run, data, tta)
    photos, where = chosen_photos(data, split, source.run_folder)
    missing = sorted(set(range(len(data.classes))) - set(map(int, source.index_M)))

    confusion, outlines, calibration = Confusion(data.classes), BoundaryF1(data.classes), Calibration()
    agreement, skipped = Agreement(), []
    scored = weak = unlabelled = 0

    def one(photo: Photo) -> _One:
        try:
            return _score(photo, source, len(data.classes))
        except DataError as error:
            return _One(photo.name, reason=str(error))

    workers = threads or min(4, os.cpu_count() or 1)
    for result in track(ahead(one, photos, workers), "evaluating", len(photos)):
        if result.reason is not None:
            skipped.append({"image": result.name, "reason": result.reason})
        elif result.counts is not None and result.f1_C is not None:
            scored += 1
            confusion.counts += result.counts
            outlines.add(result.f1_C)
            if result.calibration is not None:
                calibration += result.calibration
        elif result.weak is not None:
            weak += 1
            agreement.add(*result.weak)
        else:
            unlabelled += 1
    if skipped and not scored and not weak:
        raise DataError(f"none of the {len(photos)} photos could be scored; the first: {skipped[0]['reason']}")
    if not scored and not weak:
        raise DataError(f"none of the {len(photos)} photos ({where}) has a label to score against")

    found: dict[str, Any] = {}
    if scored:
        found = confusion.scores()
        edges = outlines.scores()
        for name, f1 in edges["per_class"].items():
            found["per_class"][name]["boundary_f1"] = f1
        found |= {
            "boundary_f1": edges["boundary_f1"],
            "calibration_error": calibration.error,
            "confusion": confusion.counts.tolist(),
        }
    if weak:
        found["agreement"] = {"photos": weak, **agreement.scores()}
    card = protocol_card(
        data=data.root.name if data.root else "joined data sets",
        split=where,
        photos=scored or weak,
        **{k: v for k, v in source.card.items() if k in OF_TRAINING and v is not None},
    )
    return found | {
        "photos": scored,
        "without_mask": weak,
        "unlabelled": unlabelled,
        "skipped": skipped,
        "split": where,
        "seen_in_training": len({p.name for p in photos} & source.trained_on),
        "missing_classes": [data.classes.names[i] for i in missing],
        "foreign_classes": [n for n, i in zip(source.names_M, source.index_M, strict=True) if i == OUTSIDE],
        "protocol": card if scored else card | {"miou_means": None},
    }


def truth_mask(photo: Photo, height: int, width: int) -> np.ndarray:
    """int32 HW: the class that the photo's masks state, -1 where void or undecided. Raises DataError.

    From its masks alone: a click beside them that says otherwise is a label to learn from, not the truth.
    """
    return replace(photo, labels=photo.masks).candidates(height, width).labels()


@dataclass(frozen=True)
class _One:
    """What one photo contributes: counts where it has a mask, else the mask to compare with its labels."""

    name: str
    reason: str | None = None
    counts: np.ndarray | None = None
    f1_C: np.ndarray | None = None
    calibration: Calibration | None = None
    weak: tuple[np.ndarray, tuple, Vocabulary] | None = None


def _score(photo: Photo, source: Source, classes: int) -> _One:
    if not photo.labels:
        return _One(photo.name)
    predicted_HW, confidence_HW = source.mask(photo)
    # Index -1 (an id that is no class) takes the last entry, which is OUTSIDE.
    mask_HW = np.append(source.index_M, OUTSIDE).astype(np.int32)[predicted_HW]
    if not photo.has_mask:
        return _One(photo.name, weak=(mask_HW, photo.labels, photo.vocabulary))
    truth_HW = truth_mask(photo, *mask_HW.shape)
    return _One(
        photo.name,
        counts=count(mask_HW, truth_HW, classes),
        f1_C=boundary_f1(mask_HW, truth_HW, classes),
        calibration=None if confidence_HW is None else binned(mask_HW, confidence_HW, truth_HW),
    )


def chosen_photos(data: Dataset, split: str | None, run_folder: Path | None) -> tuple[tuple[Photo, ...], str]:
    """(photos, where they come from in words)."""
    if split is not None:
        return data.split(split).photos, f"split {split!r} of the data set"
    if data.splits.get("val"):
        return data.split("val").photos, "split 'val' of the data set"
    aside = read_json(run_folder / "split.json").get("val", []) if run_folder else []
    if aside and {p.name for p in data}.issuperset(aside):
        return data.subset(aside).photos, "the photos that the run set aside (split.json)"
    return data.photos, "all photos (no split was named, and the data set has no 'val')"
