"""A data set as an export of Label Studio: label_studio.json beside images/. See `label_studio` for the layout.

Legend: H, W = pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import numpy as np

from ..files import write_atomically
from ..labels import Box, Mask, Region
from .brush_rle import encoded
from .dataset import Dataset, Photo
from .drawable import classes_left_out, is_settled, marks_of, pixels
from .marks import Marks
from .notes import Notes
from .shapes import as_turned, turned_corners
from .written import Written, empty_folder, file_names, left_out, place_photo, same_source

NAME = "Label Studio"
FILE_NAME = "label_studio.json"
HOLDS = frozenset({"tags", "points", "boxes", "regions"})


def write(data: Dataset, path: Path | str) -> Written:
    """Write the folder `path`: label_studio.json, and the photos in images/.

    Raises UsageError where the folder exists or the classes were chosen, merged or joined; DataError for damaged
    photos and masks.
    """
    same_source(data, NAME)
    folder = empty_folder(path)
    notes = left_out(_otherwise_kept(data), HOLDS, NAME)
    classes_left_out(data, notes, NAME)
    if data.splits:
        notes.add(f"splits, which {NAME} has no place for", f"split {next(iter(data.splits))!r}")
    stems = file_names(data, notes)

    def tasks(out: BinaryIO) -> None:
        for i, photo in enumerate(data.photos):
            placed = place_photo(photo, folder / "images" / stems[photo.name], notes)
            address = "/data/local-files/?d=" + quote(placed.relative_to(folder).as_posix(), errors="surrogateescape")
            task = {"id": i + 1, "data": {"image": address}, "annotations": _annotations(photo, notes)}
            out.write(b",\n" if i else b"[")
            out.write(json.dumps(task, ensure_ascii=False, allow_nan=False).encode())
        out.write(b"]\n" if data.photos else b"[]\n")

    write_atomically(folder / FILE_NAME, tasks)
    return Written(folder, notes.lines())


def _otherwise_kept(data: Dataset) -> Dataset:
    """The data set without masks, which are outlined, and without seconds, which are kept or noted below."""
    photos = [
        replace(p, labels=tuple(replace(x, seconds=None) for x in p.labels if not isinstance(x, Mask)))
        for p in data.photos
    ]
    return replace(data, photos=tuple(photos))


def _annotations(photo: Photo, notes: Notes) -> list[dict[str, Any]]:
    marks = marks_of(photo, HOLDS, notes, NAME, void=False, absent=False)
    if not is_settled(photo, marks, notes, NAME):
        return []
    results = list(_results(marks))
    for i, result in enumerate(results):
        result |= {"id": f"r{i}", "to_name": "image"}
        if result["type"] != "choices":
            result |= {"original_width": marks.width, "original_height": marks.height, "image_rotation": 0}
    annotation: dict[str, Any] = {"id": 1, "was_cancelled": False, "result": results}
    seconds = [x.seconds for x in photo.labels if x.seconds is not None]
    if len(photo.labels) == 1 and seconds:
        annotation["lead_time"] = seconds[0]
    elif seconds:
        notes.add(f"seconds of single kinds: {NAME} has one time for all that was drawn", f"photo {photo.name!r}")
    return [annotation]


def _results(marks: Marks) -> Iterator[dict[str, Any]]:
    scale = np.array([100 / marks.width, 100 / marks.height])
    if marks.present:
        yield {"from_name": "choice", "type": "choices", "value": {"choices": sorted(marks.present)}}
    for point in marks.points:
        x, y = (np.array([point.x, point.y]) * scale).tolist()
        yield _shape("keypoint", point.name, {"x": x, "y": y, "width": 0.5})
    for box in marks.boxes:
        if value := _rectangle(box, scale):
            yield _shape("rectangle", box.name, value)
        else:
            marks.notes.add("boxes whose corners are no right angles", marks.where)
    for region in marks.regions:
        if len(region.polygons) == 1 and len(region.polygons[0]) == 1:
            points = (region.polygons[0][0].astype(np.float64) * scale).tolist()
            yield _shape("polygon", region.name, {"points": points, "closed": True})
        else:
            yield _shape("brush", region.name, {"format": "rle", "rle": encoded(_painted(region, marks))})


def _shape(kind: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": kind, "type": f"{kind}labels", "value": value | {f"{kind}labels": [name]}}


def _rectangle(box: Box, scale: np.ndarray) -> dict[str, float] | None:
    """x, y, width, height in percent, rotation in degrees; None for corners that make no rectangle."""
    upright = (*box.bounds, 0.0) if box.is_upright else as_turned(box)
    if upright is None:
        return None
    x0, y0, x1, y1, degrees = upright
    x, y = np.asarray(turned_corners(*upright)[0] if degrees else (x0, y0)) * scale
    width, height = np.array([x1 - x0, y1 - y0]) * scale
    return {"x": float(x), "y": float(y), "width": float(width), "height": float(height), "rotation": degrees}


def _painted(region: Region, marks: Marks) -> np.ndarray:
    painted_HW = np.zeros((marks.height, marks.width), bool)
    piece_HW, left, top = pixels(region, marks.height, marks.width)
    painted_HW[top : top + piece_HW.shape[0], left : left + piece_HW.shape[1]] = piece_HW
    if any((ring_N2 != np.rint(ring_N2)).any() for polygon in region.polygons for ring_N2 in polygon):
        marks.notes.add("fractions of a pixel in outlines with holes or several parts: they are painted", marks.where)
    return painted_HW
