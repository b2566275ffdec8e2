"""Cheaper labels than a data set has: full masks become tags, clicks, strokes, boxes, shares or one block.

    l2m simulate voc_animals clicks/ --kind points --split train --noise

So one learns before anything is labelled which kind is worth its time: train on each, and score on the masks of the
other splits, which stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np

from ..errors import DataError, UsageError
from ..labels import Label, Mask, Region, Regions
from ..labels.seconds import TABLES, labelling_seconds, read_seconds
from ..labels.simulate import LENGTH, simulated
from ..progress import track
from . import jsonl
from .dataset import Dataset, Photo
from .open import open_dataset
from .written import ids_of_mask


@dataclass(frozen=True)
class Simulated:
    """path: the label file, to be opened again. photos: how many have the cheaper label.

    seconds, mask_seconds: what the cheaper labels and the masks they were made from cost a person, by the name of the
    table. left_as_they_were: photos asked for that have no mask and keep the labels they have.
    """

    path: Path
    photos: int
    seconds: dict[str, float]
    mask_seconds: dict[str, float]
    left_as_they_were: tuple[str, ...] = ()


def simulate(
    data: Path | str | Dataset,
    dst: Path | str,
    kind: str,
    split: str | Sequence[str] | None = None,
    noise: bool = False,
    seed: int = 0,
    length: float = LENGTH,
    per: str = "class",
    seconds: Path | str | None = None,
) -> Simulated:
    """Write `data` to the label file `dst` with one cheaper label in place of all labels of each photo.

    kind: "tags", "points", "scribbles", "boxes", "extreme" (boxes from four clicks), "shares" or "block".
    split: the photos whose labels become cheap, one split or several; None = all. The others keep what they have, so
        that they can be scored. Splits are kept, photos stay where they are.
    noise: with mistakes as people were measured to make them, else all that the labels say is true.
    seed: a photo's label depends on it and on the photo's name alone.
    length: of strokes, as a share of the way from tip to tip of an object.
    per: "class" (one click or stroke on each class) or "object".
    seconds: "2016", "today" or a JSON file of measured seconds a mark: written into the labels, so that every later
        figure counts them. None: the labels hold no seconds, and the means of 2016 stand for them.

    Raises UsageError for unknown words and where `dst` exists or no photo has a mask, DataError for bad files.
    """
    data = data if isinstance(data, Dataset) else open_dataset(data)
    tables = dict(TABLES)
    if seconds is not None:
        chosen = read_seconds(seconds)
        tables[chosen.name] = chosen
    splits = [split] if isinstance(split, str) else split
    wanted = {p.name for s in splits for p in data.split(s)} if splits is not None else {p.name for p in data}
    if not any(p.has_mask for p in data if p.name in wanted):
        raise UsageError("no photo has a full mask to make cheaper labels from")
    file = jsonl.free_file(dst)
    spent, before = dict.fromkeys(tables, 0.0), dict.fromkeys(tables, 0.0)
    photos: list[Photo] = []
    kept: list[str] = []
    for photo in track(data.photos, f"simulating {kind}"):
        if photo.name in wanted and photo.has_mask:
            source = photo.vocabulary.source
            ids_HW = ids_of_mask(photo)
            assert ids_HW is not None
            rng = np.random.default_rng((seed, crc32(photo.name.encode("utf-8", "surrogateescape"))))
            label = simulated(kind, ids_HW, source, rng, noise, length, per, _outlined(photo))
            for name, table in tables.items():
                spent[name] += labelling_seconds((label,), source, table)
                before[name] += labelling_seconds((Mask(ids_HW=ids_HW),), source, table)
            if seconds is not None:
                label = replace(label, seconds=round(labelling_seconds((label,), source, chosen), 2))
            photo = replace(photo, labels=(_in_a_file(label, photo, file.parent),))
        elif photo.name in wanted:
            kept.append(photo.name)
        photos.append(photo)
    written = jsonl.write(replace(data, photos=tuple(photos)), file)
    return Simulated(written.path, len(wanted) - len(kept), spent, before, tuple(kept))


def simulated_text(made: Simulated) -> str:
    """What was written and what it costs, a line for each table of seconds."""
    lines = [f"written: {made.path}, {made.photos} photos with cheaper labels"]
    if made.left_as_they_were:
        first = made.left_as_they_were[0]
        lines.append(f"left as they were: {len(made.left_as_they_were)} photos without a mask, the first: {first}")
    for name, spent in made.seconds.items():
        masks = made.mask_seconds[name]
        lines.append(f"at the seconds of {name}: {_time(spent)} of a person's time; as masks {_time(masks)}")
    return "\n".join(lines)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _outlined(photo: Photo) -> tuple[Region, ...]:
    """The objects of a photo where its labels know them one by one."""
    return tuple(r for x in photo.labels if isinstance(x, Regions) for r in x.marks)


def _in_a_file(label: Label, photo: Photo, folder: Path) -> Label:
    """A mask goes to its file at once: those of all photos are more than a memory holds."""
    if not isinstance(label, Mask) or label.ids_HW is None:
        return label
    path = folder / "masks" / f"{photo.name}.png"
    if path.exists():
        raise DataError(f"{path} exists already: name another place for the label file")
    return replace(label, path=jsonl.write_mask(path, label.ids_HW, photo.vocabulary.source), ids_HW=None)
