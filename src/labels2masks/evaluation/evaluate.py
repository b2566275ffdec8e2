"""The verb `evaluate`: a model, or a folder of masks, against a data set -> scores with their protocol card.

Photos with masks give one confusion matrix, boundary F1 and (for models) calibration. Photos with
other labels give agreement with those labels; where no photo has a mask, nothing is called mIoU.

Legend: H, W = pixels; C = classes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..classes import Classes, Vocabulary
from ..errors import DataError, UsageError
from ..formats.dataset import Dataset, Photo
from ..formats.image import image_size, read_image
from ..formats.open import open_dataset
from ..labels import Mask
from ..prediction.ahead import ahead
from ..prediction.model import FILE, load_model
from ..prediction.write import read_predicted
from ..progress import track
from .agreement import Agreement
from .boundary import BoundaryF1, boundary_f1
from .calibration import Calibration, binned
from .confusion import OUTSIDE, Confusion, count
from .protocol import protocol_card


def evaluate(
    run: Any,
    data: Dataset | Path | str,
    split: str | None = None,
    tta: bool = False,
    classes: Sequence[str] | None = None,
    others: str = "void",
    merge: Mapping[str, Sequence[str]] | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Score `run` against `data`.

    run: run folder, `Run`, model.safetensors, model.onnx, or a folder of masks as `predict` writes them
        (<photo name>.png in the ids of the data set's files).
    split: None = the data set's 'val'; else the photos that the run set aside; else all.
    tta: average mirrored and scaled views. classes, others, merge: see `labels2masks.open`.

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
    source = _folder_of_masks(run, data) if _is_folder_of_masks(run) else _model(run, data, tta)
    photos, where = _chosen(data, split, source.run_folder)
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
        elif result.counts is not None:
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
        **{k: v for k, v in source.card.items() if k in _OF_TRAINING and v is not None},
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


_OF_TRAINING = (
    "labels", "labelling_seconds", "pretraining", "seed", "working_size", "checkpoint", "tta", "crf", "thresholds",
)  # fmt: skip
"""Lines of the card that belong to the model and are carried over from its training."""


def truth_mask(photo: Photo, height: int, width: int) -> np.ndarray:
    """int32 HW: the class that the photo's masks state, -1 where void or undecided. Raises DataError.

    From its masks alone: a click beside them that says otherwise is a label to learn from, not the truth.
    """
    masks = tuple(x for x in photo.labels if isinstance(x, Mask))
    return replace(photo, labels=masks).candidates(height, width).labels()


@dataclass(frozen=True)
class _Source:
    """Where masks come from. M = the classes it can name.

    mask: photo -> (mask_HW in indices of M, confidence_HW or None).
    index_M: the data's class index of each, OUTSIDE where the data has none.
    """

    mask: Callable[[Photo], tuple[np.ndarray, np.ndarray | None]]
    names_M: tuple[str, ...]
    index_M: np.ndarray
    card: Mapping[str, Any]
    run_folder: Path | None = None
    trained_on: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _One:
    """What one photo contributes: counts where it has a mask, else the mask to compare with its labels."""

    name: str
    reason: str | None = None
    counts: np.ndarray | None = None
    f1_C: np.ndarray | None = None
    calibration: Calibration | None = None
    weak: tuple[np.ndarray, tuple, Vocabulary] | None = None


def _score(photo: Photo, source: _Source, classes: int) -> _One:
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


def _model(run: Any, data: Dataset, tta: bool) -> _Source:
    model = load_model(run)
    folder = model.path.parent if model.path and model.path.name == FILE else None
    split = _json(folder / "split.json") if folder else {}
    card = dict(model.info.get("protocol") or {}) | {"working_size": model.working_size}

    def mask(photo: Photo) -> tuple[np.ndarray, np.ndarray | None]:
        return model.predict_confidence(read_image(photo.image), tta)

    return _Source(
        mask,
        model.classes.names,
        matched(model.classes, data),
        card | {"tta": "mirrored and scaled views, averaged"} if tta else card,
        folder,
        frozenset(split.get("train", ())),
    )


def _is_folder_of_masks(run: Any) -> bool:
    return isinstance(run, str | Path) and Path(run).is_dir() and not (Path(run) / FILE).is_file()


def _folder_of_masks(folder: Path | str, data: Dataset) -> _Source:
    folder = Path(folder)
    if next(folder.rglob("*.png"), None) is None:
        raise UsageError(f"{folder} is neither a finished run (no {FILE}) nor a folder of predicted masks (no PNG)")
    card = _json(folder / "prediction.json")
    classes = Classes.from_json(card["classes"]) if "classes" in card else data.photos[0].vocabulary.source

    def mask(photo: Photo) -> tuple[np.ndarray, None]:
        path = folder / f"{photo.name}.png"
        mask_HW, size = read_predicted(path, classes), image_size(photo.image)
        if mask_HW.shape != size:
            raise DataError(
                f"{path}: a mask of {mask_HW.shape[1]}x{mask_HW.shape[0]} for a photo of {size[1]}x{size[0]}; "
                "masks are scored at the photo's own size"
            )
        return mask_HW, None

    views = {"tta": "mirrored and scaled views, averaged"} if card.get("tta") else {}
    return _Source(mask, classes.names, matched(classes, data), views)


def matched(classes: Classes, data: Dataset) -> np.ndarray:
    """int32: the data's index for each of `classes`, by name; OUTSIDE where the data has no such class.

    Names that the data merged mean the merged class; backgrounds are one class whatever they are called.
    """
    target, sets = data.classes, data.photos[0].vocabulary.sets
    index_M = np.full(len(classes), OUTSIDE, np.int32)
    for i, name in enumerate(classes.names):
        meaning = {name} if name in target.names else sets.get(name, frozenset())
        if name == classes.background and target.background:
            meaning = {target.background}
        if len(meaning) == 1:
            index_M[i] = target.index(next(iter(meaning)))
    return index_M


def _chosen(data: Dataset, split: str | None, run_folder: Path | None) -> tuple[tuple[Photo, ...], str]:
    """(photos, where they come from in words)."""
    if split is not None:
        return data.split(split).photos, f"split {split!r} of the data set"
    if data.splits.get("val"):
        return data.split("val").photos, "split 'val' of the data set"
    aside = _json(run_folder / "split.json").get("val", []) if run_folder else []
    if aside and {p.name for p in data}.issuperset(aside):
        return data.subset(aside).photos, "the photos that the run set aside (split.json)"
    return data.photos, "all photos (no split was named, and the data set has no 'val')"


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        raise DataError(f"{path}: not valid JSON; remove it or write it again") from None
