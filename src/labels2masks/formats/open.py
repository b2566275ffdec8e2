"""Open any data set: the first reader that recognises a path reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import DataError
from . import (
    ade20k,
    camvid,
    cityscapes,
    coco,
    coco_panoptic,
    csv,
    cvat,
    folder,
    jsonl,
    label_studio,
    labelme,
    sbd,
    scribblesup,
    voc,
    yolo,
)
from .dataset import Dataset
from .image import Levels

READERS = (
    jsonl,
    coco,
    coco_panoptic,
    label_studio,
    labelme,
    cvat,
    yolo,
    scribblesup,
    voc,
    sbd,
    cityscapes,
    ade20k,
    camvid,
    csv,
    folder,
)
"""In the order in which they are asked; `folder` is the least demanding and comes last."""


def open_dataset(
    path: Path | str,
    classes: Sequence[str] | None = None,
    others: str = "void",
    merge: Mapping[str, Sequence[str]] | None = None,
    levels: Levels | None = None,
) -> Dataset:
    """The data set at `path`, with the classes chosen and merged (see `classes.choose`).

    levels: black and white of images of more than 8 bits, (low, high) or "percentile"; without it they are refused.
    Two data sets are joined by `open_dataset(a) + open_dataset(b)`.
    Raises DataError where nothing is there or no reader knows the layout, UsageError for unknown classes.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    for reader in READERS:
        if reader.recognises(path):
            data = reader.read(path)
            if levels is not None:
                data = replace(data, photos=tuple(replace(p, levels=levels) for p in data.photos))
            return data if classes is None and not merge and others == "void" else data.choose(classes, others, merge)
    layouts = "; ".join(f"{r.__name__.rsplit('.', 1)[-1]}: {r.LAYOUT}" for r in READERS)
    raise DataError(f"{path}: no data set that is known here; looked for {layouts}")
