"""Where the masks of an evaluation come from: a model, or a folder of masks that somebody predicted.

Legend: H, W = pixels; M = the classes that the source can name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..classes import Classes
from ..errors import DataError, UsageError
from ..formats.dataset import Dataset, Photo
from ..formats.image import image_size, read_image
from ..prediction.model import FILE, load_model
from ..prediction.views import views_of
from ..prediction.write import read_predicted
from .confusion import OUTSIDE


@dataclass(frozen=True)
class Source:
    """mask: photo -> (mask_HW, -1 or an index into M; confidence_HW or None). Raises DataError.

    names_M, index_M: what it can name, and the data's class index of each, OUTSIDE where the data has none.
    card: what is known for the protocol card. run_folder, trained_on: of a model, the photos it learnt from.
    """

    mask: Callable[[Photo], tuple[np.ndarray, np.ndarray | None]]
    names_M: tuple[str, ...]
    index_M: np.ndarray
    card: Mapping[str, Any]
    run_folder: Path | None = None
    trained_on: frozenset[str] = frozenset()


def open_source(run: Any, data: Dataset, tta: bool | None = None) -> Source:
    """The source that `run` means. Raises UsageError where it is neither a model nor a folder of masks."""
    if isinstance(run, str | Path) and Path(run).is_dir() and not (Path(run) / FILE).is_file():
        return _folder_of_masks(Path(run), data)
    return _model(run, data, tta)


def _model(run: Any, data: Dataset, tta: bool | None) -> Source:
    model = load_model(run)
    views = views_of(tta, model.views)
    folder = model.path.parent if model.path and model.path.name == FILE else None
    split = read_json(folder / "split.json") if folder else {}
    card = dict(model.info.get("protocol") or {}) | {"working_size": model.working_size, "tta": str(views)}

    def mask(photo: Photo) -> tuple[np.ndarray, np.ndarray | None]:
        return model.predict_confidence(read_image(photo.image, photo.levels), views)

    return Source(
        mask,
        model.classes.names,
        matched(model.classes, data),
        card,
        folder,
        frozenset(split.get("train", ())),
    )


def _folder_of_masks(folder: Path, data: Dataset) -> Source:
    if next(folder.rglob("*.png"), None) is None:
        raise UsageError(f"{folder} is neither a finished run (no {FILE}) nor a folder of predicted masks (no PNG)")
    card = read_json(folder / "prediction.json")
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

    seen = card.get("tta", False)
    views = {"tta": str(views_of(seen)) if isinstance(seen, bool) else seen} if card else {}
    return Source(mask, classes.names, matched(classes, data), views | {k: card[k] for k in ("crf",) if k in card})


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


def read_json(path: Path) -> dict[str, Any]:
    """An object from a file; {} where there is none. Raises DataError where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        raise DataError(f"{path}: not valid JSON; remove it or write it again") from None
