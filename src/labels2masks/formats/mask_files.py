"""What writers of masks share: pixels in a format's ids, lists of splits, one split folder for every photo.

Legend: H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..classes import Classes, Colour
from ..errors import DataError, UsageError
from ..files import write_atomically
from ..labels import Mask, Regions, is_mask
from .dataset import Dataset, Photo
from .notes import Notes
from .written import ids_of_mask, left_out, plain_name

MASKS = frozenset({"mask"})


def mask_notes(data: Dataset, name: str, holds: Collection[str] = MASKS) -> Notes:
    """`left_out` for a format of masks: outlines that leave nothing out are painted as one, which is noted instead."""
    photos = []
    for photo in data.photos:
        source = photo.vocabulary.source
        painted = [isinstance(x, Regions) and is_mask(x, source) for x in photo.labels]
        labels = (Mask(seconds=x.seconds) if paint else x for x, paint in zip(photo.labels, painted, strict=True))
        photos.append(replace(photo, labels=tuple(labels)))
    notes = left_out(replace(data, photos=tuple(photos)), holds, name)
    for photo, kept in zip(data.photos, photos, strict=True):
        if photo.labels != kept.labels:
            notes.add(f"regions are painted as a mask: {name} has no outlines", f"photo {photo.name!r}")
        if not photo.has_mask and holds == MASKS:
            notes.add(f"photos without a mask are in {name}, without a label", f"photo {photo.name!r}")
    return notes


def write_lists(data: Dataset, names: Mapping[str, str], folder: Path, notes: Notes) -> None:
    """`<split>.txt` with a photo a line for every split that has photos."""
    for split, photos in data.splits.items():
        write_list(split, [names[photo] for photo in photos if photo in names], folder, notes)


def write_list(split: str, lines: Sequence[str], folder: Path, notes: Notes) -> None:
    """The list of one split; an empty one, and a second of one file name, are not written but noted."""
    stem, where = plain_name(split.replace("/", "__")), f"split {split!r}"
    if not lines:
        notes.add("empty splits", where)
    elif (folder / f"{stem}.txt").exists():
        notes.add("splits whose names are one as file names", where)
    else:
        if stem != split:
            notes.add("split names that are no file names are changed", f"{where}, now {stem!r}")
        write_atomically(folder / f"{stem}.txt", "".join(f"{line}\n" for line in lines))


def one_split_each(data: Dataset, known: Mapping[str, str], name: str, notes: Notes) -> dict[str, str]:
    """Photo -> its folder, for a format whose folders are its splits.

    known: split -> folder, the first of them for photos of no split; a photo of several is in the first that is known.
    """
    first = next(iter(known.values()))
    made: dict[str, str] = {}
    for split in [*(s for s in known if s in data.splits), *(s for s in data.splits if s not in known)]:
        if split not in known:
            notes.add(f"splits but {', '.join(known)}, for which {name} has no folders", f"split {split!r}")
            continue
        for photo in data.splits[split]:
            if made.setdefault(photo, known[split]) != known[split]:
                notes.add(f"further splits of a photo: {name} holds one", f"photo {photo!r}, split {split!r}")
    for photo_name in (p.name for p in data.photos if p.name not in made):
        made[photo_name] = first
        notes.add(f"photos of no split are put into {first}: {name} has a folder for each", f"photo {photo_name!r}")
    return made


def known_ids(classes: Classes, ids: Mapping[str, int], name: str, notes: Notes) -> Mapping[str, int]:
    """`ids`, class -> id of a format with a class list of its own. UsageError for other classes but a background."""
    foreign = [n for n in classes.foreground if n not in ids]
    if foreign:
        raise UsageError(
            f"{name} has no class {foreign[0]!r}: choose and merge classes before (in Python: "
            "labels2masks.open(PATH, classes=..., merge=...)), or convert --to folder, which holds any"
        )
    if classes.groups:
        notes.add(f"groups of classes, which {name} has no place for", "the class list")
    if classes.background is not None and classes.background not in ids:
        notes.add(f"background becomes void: {name} has none", "every mask")
    return ids


def ids_in(photo: Photo, ids: Mapping[str, int], void: int, notes: Notes) -> np.ndarray | None:
    """int32 HW: the photo's masks in a format's ids, void where they say nothing or several classes; None without any.

    ids: class of the data set -> id; a class without one is void. Raises DataError for damaged masks and unknown ids.
    """
    ids_HW = ids_of_mask(photo)
    if ids_HW is None:
        return None
    source = photo.vocabulary.source
    unknown = sorted({*map(int, np.unique(ids_HW))} - {-1, *source.file_ids})
    if unknown:
        raise DataError(
            f"photo {photo.name!r}: its mask holds {unknown[0]}, which is neither a class nor void; name it in the "
            "class list, or map it to void"
        )
    table = np.full(max(source.file_ids) + 2, void, np.int32)  # entry i + 1 is id i, the first one void
    for source_name, file_id in zip(source.names, source.file_ids, strict=True):
        meant = photo.vocabulary.sets[source_name]
        if len(meant) == 1:
            table[file_id + 1] = ids.get(next(iter(meant)), void)
        elif meant and (ids_HW == file_id).any():
            notes.add("pixels that are one of several classes become void", f"photo {photo.name!r}")
    return table[ids_HW + 1]


def write_grey(path: Path, ids_HW: np.ndarray) -> Path:
    """A grey PNG of 8 bits, ids as they are: what formats without a palette expect, and readers that know none."""
    image = Image.fromarray(ids_HW.astype(np.uint8))
    return write_atomically(path, lambda file: image.save(file, format="PNG"))


def write_colours(path: Path, ids_HW: np.ndarray, colours: Mapping[int, Colour]) -> Path:
    """A PNG in RGB. colours: id -> colour, for every id of the mask."""
    table = np.zeros((max(colours) + 1, 3), np.uint8)
    for file_id, colour in colours.items():
        table[file_id] = colour
    image = Image.fromarray(table[ids_HW])
    return write_atomically(path, lambda file: image.save(file, format="PNG"))
