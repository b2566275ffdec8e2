"""Writing LabelMe's files; what they say is at the head of `labelme`.

Legend: H, W = pixels; N = vertices.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ..files import write_atomically
from ..progress import track
from .dataset import Dataset
from .drawable import (
    IGNORED,
    classes_left_out,
    is_settled,
    listed_names,
    marks_of,
    nothing_anywhere,
    pixels,
    split_stems,
)
from .marks import Marks
from .shapes import as_turned
from .written import Written, empty_folder, file_names, left_out, place_photo, same_source

HOLDS = frozenset({"tags", "points", "scribbles", "boxes", "regions"})


def write(data: Dataset, path: Path | str) -> Written:
    """A folder with each photo and its .json beside it, labels.txt, and splits/*.txt.

    An outline of several parts is polygons of one group_id; one with holes is a mask, in whole pixels. Turned boxes
    are oriented rectangles, which LabelMe knows since May 2026. Raises UsageError where the folder is there already,
    and for classes that were chosen, merged or joined; DataError for photos and masks that can not be read.
    """
    same_source(data, "LabelMe")
    folder = empty_folder(path)
    notes = left_out(data, HOLDS | {"mask"}, "LabelMe")
    classes_left_out(data, notes, "LabelMe")
    nothing_anywhere(data, notes, "LabelMe")
    name_of = listed_names(data.classes)
    stems = file_names(data, notes)
    for photo in track(data.photos, "writing LabelMe"):
        image = place_photo(photo, folder / stems[photo.name], notes)
        marks = marks_of(photo, HOLDS, notes, "LabelMe", void=True, absent=True)
        for box in [box for box in marks.boxes if as_turned(box) is None]:
            marks.leave_out(box.name, "boxes without right angles, which LabelMe has no place for")
            marks.boxes.remove(box)
        if marks.absent and not marks.present:
            notes.add("that classes are absent where none is there: LabelMe says so by ticks alone", marks.where)
            marks.absent.clear()
        if is_settled(photo, marks, notes, "LabelMe"):
            content = {
                "version": "5.5.0",
                "flags": {name_of[n]: n in marks.present for n in sorted(marks.present | marks.absent)},
                "shapes": list(_shapes(marks, name_of)),
                "imagePath": image.name,
                "imageData": None,
                "imageHeight": marks.height,
                "imageWidth": marks.width,
            }
            write_atomically(image.with_suffix(".json"), json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    write_atomically(folder / "labels.txt", "".join(f"{n}\n" for n in (IGNORED, *name_of.values())))
    for split, stem in split_stems(data, notes).items():
        listed = [stems[n] for n in data.splits[split] if n in stems]
        write_atomically(folder / "splits" / f"{stem}.txt", "".join(f"{n}\n" for n in listed))
        if stem != split:
            notes.add("names of splits that are no file names are changed", f"split {split!r}")
    return Written(folder, notes.lines())


def _shapes(marks: Marks, name_of: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    def shape(name: str, kind: str, xy: Iterable[Iterable[float]], group: int | None = None) -> dict[str, Any]:
        points = [[float(str(v)) for v in vertex] for vertex in xy]  # the shortest decimals that are the same again
        named = {"label": name_of.get(name, name), "points": points, "group_id": group, "description": ""}
        return named | {"shape_type": kind, "flags": {}, "mask": None}

    for box in marks.boxes:
        if box.is_upright:
            yield shape(box.name, "rectangle", (box.corners[0], box.corners[2]))
        else:
            yield shape(box.name, "oriented_rectangle", box.corners)
    for number, region in enumerate(marks.regions, 1):
        if all(len(polygon) == 1 for polygon in region.polygons):
            group = number if len(region.polygons) > 1 else None
            for (ring_N2,) in region.polygons:
                yield shape(region.name, "polygon", ring_N2, group)
        else:
            piece_HW, left, top = pixels(region, marks.height, marks.width)
            buffer = io.BytesIO()
            Image.fromarray(piece_HW).save(buffer, format="PNG")
            height, width = piece_HW.shape
            yield shape(region.name, "mask", ((left, top), (left + width - 1, top + height - 1))) | {
                "mask": base64.b64encode(buffer.getvalue()).decode("ascii")
            }
    for point in marks.points:
        yield shape(point.name, "point", ((point.x, point.y),))
    for stroke in marks.strokes:
        yield shape(stroke.name, "linestrip", stroke.xy if len(stroke.xy) > 1 else stroke.xy * 2)
