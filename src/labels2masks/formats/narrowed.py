"""Narrowed candidates as a data set: what `l2m masks` writes and everything here can open again.

    masks/<name>.png        for other tools: a class wherever one is left, void elsewhere
    candidates/<name>.png   the same, but a pixel of several candidates has an id of its own
    labels.jsonl            photos with the labels they had, and beside them those candidates (`Mask.sets`)

A mask that a person drew is not replaced. Where nothing is left undecided the two pictures are equal.

Legend: H, W = pixels; K = rows of a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..classes import Vocabulary
from ..errors import DataError, UsageError
from ..labels import VOID_ROW, Candidates, Mask
from . import jsonl
from .dataset import Dataset, Photo
from .jsonl import write_mask


def write_narrowed(photo: Photo, candidates: Candidates, folder: Path) -> Mask:
    """Both pictures of one photo, in the ids of its labels; returns the label that stands for them.

    Raises DataError where more sets are left than a picture of 16 bits has ids, UsageError as `written_as` does.
    """
    classes, names = photo.vocabulary.source, written_as(photo.vocabulary)
    free = iter(i for i in range(65536) if i not in classes.file_ids and i not in classes.void_ids)
    id_K = np.full(len(candidates.sets_KC), classes.void_id)
    mask_K = id_K.copy()
    known: dict[bytes, int] = {}
    sets: dict[int, frozenset[str]] = {}
    used_K = np.flatnonzero(np.bincount(candidates.index_HW.ravel(), minlength=len(id_K)))
    for k in used_K[used_K != VOID_ROW]:
        set_C = candidates.sets_KC[k]
        members = np.flatnonzero(set_C)
        if len(members) == 1:
            id_K[k] = mask_K[k] = classes.file_ids[classes.index(names[members[0]])]
            continue
        if set_C.tobytes() not in known:
            file_id = next(free, None)
            if file_id is None:
                raise DataError(f"photo {photo.name!r}: more sets of classes than ids in a mask of 16 bits")
            known[set_C.tobytes()] = file_id
            sets[file_id] = frozenset(names[c] for c in members)
        id_K[k] = known[set_C.tobytes()]
    write_mask(folder / "masks" / f"{photo.name}.png", mask_K[candidates.index_HW], classes)
    path = folder / "candidates" / f"{photo.name}.png"
    write_mask(path, id_K[candidates.index_HW], classes)
    return Mask(path, seconds=0.0, sets=sets)


def written_as(vocabulary: Vocabulary) -> list[str]:
    """For each class that photos are read in, the name of it that their labels have and that means nothing else.

    Raises UsageError for a class without one: a merged class, whose pixels no single id of the file stands for.
    """
    names = []
    for name in vocabulary.target.names:
        if name not in vocabulary.source.names or vocabulary.meaning(name) != {name}:
            raise UsageError(
                f"no id of the label files stands for class {name!r} (classes were merged or joined): l2m convert first"
            )
        names.append(name)
    return names


def write_set(data: Dataset, found: Mapping[str, Mask], folder: Path) -> Path:
    """The label file over the pictures. found: photo name -> label, for the photos that were narrowed."""
    photos = tuple(replace(p, labels=(*p.labels, found[p.name])) if p.name in found else p for p in data.photos)
    return jsonl.write(replace(data, photos=photos), folder).path
