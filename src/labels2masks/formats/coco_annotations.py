"""A photo's labels as COCO annotations, and what they can not say.

Legend: H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..labels import Box, Boxes, Mask, Point, Points, Region, Regions
from ..labels.outlines import filled, run_lengths
from .clipping import area
from .dataset import Photo
from .notes import Notes
from .rle import compressed
from .written import as_regions, size_of


def annotations_of(photos: Sequence[Photo], shift: int, notes: Notes, used: set[str]) -> Iterator[dict[str, Any]]:
    """Of all photos, numbered from 1; a category's id is its file id + shift. used: gets the names that occur."""
    number = 0
    for image_id, photo in enumerate(photos, 1):
        source, size, where = photo.vocabulary.source, size_of(photo), f"photo {photo.name!r}"
        marks = _marks(photo, notes)
        _note_promises(photo, marks, notes)
        for mark in marks:
            if mark.name not in source.names:
                notes.add("marks of a group of classes, for which COCO has no category", where)
            elif fields := _fields(mark, size, notes, where):
                used.add(mark.name)
                number += 1
                category = source.file_ids[source.index(mark.name)] + shift
                yield {"id": number, "image_id": image_id, "category_id": category, **fields}


def _marks(photo: Photo, notes: Notes) -> list[Region | Box | Point]:
    marks: list[Region | Box | Point] = list(as_regions(photo, notes, "COCO"))
    marks += [m for x in photo.labels if isinstance(x, Boxes) for m in x.marks]
    return marks + [m for x in photo.labels if isinstance(x, Points) for m in x.marks]


def _fields(mark: Region | Box | Point, size: tuple[int, int], notes: Notes, where: str) -> dict[str, Any] | None:
    """What an annotation says of its shape; None where it can not."""
    if isinstance(mark, Point):
        if mark.negative:
            notes.add("clicks that say 'not this', which COCO has no place for", where)
            return None
        return {"keypoints": [mark.x - 0.5, mark.y - 0.5, 2], "num_keypoints": 1, "iscrowd": 0}
    x0, y0, x1, y1 = mark.bounds
    bbox = [x0, y0, x1 - x0, y1 - y0]
    if isinstance(mark, Box):
        if not mark.is_upright:
            notes.add("rotation of boxes: the upright box around is written", where)
        if mark.extremes:
            notes.add("extreme clicks of boxes, which COCO has no place for", where)
        return {"segmentation": [], "area": bbox[2] * bbox[3], "bbox": bbox, "iscrowd": 0}
    if not mark.crowd and all(len(p) == 1 for p in mark.polygons):
        pixels = sum(area(ring_N2) for (ring_N2,) in mark.polygons)
        rings = [[float(str(v)) for v in ring_N2.ravel()] for (ring_N2,) in mark.polygons]
        return {"segmentation": rings, "area": pixels, "bbox": bbox, "iscrowd": 0} if rings else None
    of_mark_HW = np.zeros(size, bool)
    for polygon in mark.polygons:
        of_mark_HW |= filled(polygon, *size)
    if not of_mark_HW.any():
        notes.add("crowds and outlines with holes that have no pixel", where)
        return None
    rle = {"size": list(size), "counts": compressed(run_lengths(of_mark_HW))}
    return {"segmentation": rle, "area": int(of_mark_HW.sum()), "bbox": bbox, "iscrowd": int(mark.crowd)}


def _note_promises(photo: Photo, marks: Sequence[Region | Box | Point], notes: Notes) -> None:
    """Note where readers will take more or less for complete than the photo's labels promise."""
    source, where = photo.vocabulary.source, f"photo {photo.name!r}"
    promised: set[str] = set()
    for label in photo.labels:
        if isinstance(label, Mask):
            promised |= set(source.foreground)
        elif isinstance(label, Regions | Boxes):
            promised |= set().union(*(source.members(n) for n in label.complete)) - {source.background}
    outlined = {m.name for m in marks if isinstance(m, Region)}
    boxed = {m.name for m in marks if isinstance(m, Box)}
    read = set(source.foreground) - (outlined & boxed) if outlined or boxed else set()
    if read - promised:
        notes.add("that some objects may have no mark: COCO's readers take all objects of a photo for marked", where)
    if promised - read:
        notes.add("that classes without a mark, or marked in two ways, are not elsewhere in the photo", where)
    if any(x.complete for x in photo.labels if isinstance(x, Points)):
        notes.add("that every class in the photo has a click, which COCO has no place for", where)
