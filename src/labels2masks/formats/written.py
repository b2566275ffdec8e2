"""What writers of foreign formats share: photos put in their place, masks as outlines or ids, and what had to stay out.

Legend: H, W = pixels.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import UsageError
from ..files import write_atomically
from ..labels import Label, Mask, Region, Regions, kind_name
from ..labels.outlines import regions
from ..labels.rasterise import check_size
from .dataset import Dataset, Photo
from .image import image_orientation, image_size, read_image
from .notes import Notes


@dataclass(frozen=True)
class Written:
    """path: what can be opened again. left_out: what the format could not hold, a sentence each."""

    path: Path
    left_out: tuple[str, ...] = ()


def empty_folder(path: Path | str) -> Path:
    """The folder, made. UsageError where there is something already."""
    path = Path(path)
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise UsageError(f"{path} exists already: name another folder, or remove it first")
    path.mkdir(parents=True, exist_ok=True)
    return path


def left_out(data: Dataset, holds: Collection[str], name: str) -> Notes:
    """Notes with the label kinds that a format can not hold; writers add what else they drop.

    holds: of tags, points, scribbles, boxes, regions, mask, shares. name: the format's.
    """
    notes = Notes()
    for photo in data.photos:
        for label in photo.labels:
            if kind_name(label) not in holds:
                notes.add(f"{kind_name(label)}, which {name} has no place for", f"photo {photo.name!r}")
            elif label.seconds is not None:
                notes.add(f"seconds that labelling took, which {name} has no place for", f"photo {photo.name!r}")
    return notes


def file_names(data: Dataset, notes: Notes, flat: bool = False) -> dict[str, str]:
    """Photo's name -> its path below a format's folders, without suffix; no name leads out of them.

    flat: a format without folders: 'a/b' becomes 'a__b'. Where a name had to change, that is noted.
    """
    made: dict[str, str] = {}
    taken: dict[str, int] = {}
    for photo in data.photos:
        parts = [plain_name(part) for part in photo.name.split("/") if part not in ("", ".", "..")]
        plain = name = ("__" if flat else "/").join(parts) or "photo"
        while name.lower() in taken:  # two files on this disk may be one on another
            taken[plain.lower()] += 1
            name = f"{plain}_{taken[plain.lower()]}"
        taken[name.lower()] = 1
        made[photo.name] = name
        if name != photo.name:
            notes.add("photo names that are no file names here are changed", f"photo {photo.name!r}, now {name!r}")
    return made


def plain_name(part: str) -> str:
    """A file name on every system, and none that is hidden."""
    part = re.sub(r'[\x00-\x1f\x7f\\:*?"<>|\ud800-\udfff]', "_", part).strip()
    return re.sub(r"^\.", "_", part) or "_"


def place_photo(photo: Photo, path: Path, notes: Notes) -> Path:
    """The photo at `path` (its suffix is the photo's own): a hard link where the disk allows it, else a copy.

    A photo that EXIF turns is written upright, as JPEG of quality 95 or PNG, since readers of most formats do not know
    EXIF and would lay the labels across it. Returns the file. UsageError where there is one already: through a hard
    link it may be somebody's original.
    """
    path = path.with_name(path.name + photo.image.suffix.lower())
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        raise UsageError(f"{path} exists already: two photos would have one name; name another folder, or rename one")
    if image_orientation(photo.image) > 1 and photo.levels is None:
        buffer = io.BytesIO()
        lossy = path.suffix in (".jpg", ".jpeg")
        options: dict[str, Any] = {"format": "JPEG", "quality": 95} if lossy else {"format": "PNG"}
        Image.fromarray(read_image(photo.image)).save(buffer, **options)
        notes.add("photos that EXIF turns are written upright, encoded anew", f"photo {photo.name!r}")
        return write_atomically(path if lossy else path.with_suffix(".png"), buffer.getvalue())
    try:
        os.link(photo.image.resolve(), path)
    except OSError:
        shutil.copyfile(photo.image, path)
    return path


def ids_of_mask(photo: Photo) -> np.ndarray | None:
    """int32 HW: file ids of the photo's masks laid over each other, -1 = void; None where it has none.

    Raises DataError, also where a mask is not of the photo's size.
    """
    ids_HW = None
    for label in replace(photo, labels=photo.masks).labels_loaded():
        assert isinstance(label, Mask)
        own_HW = check_size(label, image_size(photo.image))
        known_HW = ~np.isin(own_HW, [-1, *photo.vocabulary.source.void_ids])
        ids_HW = np.where(known_HW, own_HW, -1 if ids_HW is None else ids_HW).astype(np.int32)
    return ids_HW


def as_regions(photo: Photo, notes: Notes, name: str) -> tuple[Region, ...]:
    """The photo's outlines, and its masks outlined: each connected region of a class but background is one.

    What an outline can not say of a mask is noted: void pixels, and that regions are no objects. Raises DataError.
    """
    made: list[Region] = []
    source = photo.vocabulary.source
    for label in photo.labels:
        if isinstance(label, Regions):
            made += label.marks
        elif isinstance(label, Mask):
            (loaded,) = replace(photo, labels=(label,)).labels_loaded()
            assert isinstance(loaded, Mask) and loaded.ids_HW is not None
            for of_class in source.foreground:
                of_class_HW = loaded.ids_HW == source.file_ids[source.index(of_class)]
                for rings, _ in regions(of_class_HW) if of_class_HW.any() else ():
                    made.append(Region(of_class, (tuple(np.array(r[:-1], np.float32) for r in rings),)))
            where = f"photo {photo.name!r}"
            notes.add(f"masks are outlined: {name} holds outlines; what touches is one of them", where)
            if label.sets and np.isin(loaded.ids_HW, list(label.sets)).any():
                notes.add(f"pixels of several candidates: beside outlines {name} knows nothing undecided", where)
            if np.isin(loaded.ids_HW, [-1, *source.void_ids]).any():
                notes.add(f"void pixels of masks: beside outlines {name} knows no void", where)
    return tuple(made)


def size_of(photo: Photo) -> tuple[int, int]:
    """(height, width) of the upright photo. Raises DataError."""
    return image_size(photo.image)


def same_source(data: Dataset, name: str) -> None:
    """UsageError where photos are read in other classes than their labels name: such a set only jsonl holds."""
    for photo in data.photos:
        if photo.vocabulary.source != data.classes or any(
            meant != frozenset({source}) for source, meant in photo.vocabulary.sets.items()
        ):
            raise UsageError(
                f"classes were chosen, merged or joined, which {name} has no place for: convert before, or --to jsonl"
            )


def labels_of(photo: Photo, kind: type[Label]) -> tuple[Label, ...]:  # type: ignore[valid-type]
    return tuple(x for x in photo.labels if isinstance(x, kind))
