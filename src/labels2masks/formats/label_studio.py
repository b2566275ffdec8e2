"""Label Studio: its JSON export, a list of tasks (JSON) or of photos (JSON-MIN).

Coordinates are percent of the photo as the page shows it, EXIF applied; `image_rotation` turned only the view. So a
rotated rectangle is turned in pixels, about its top left corner, clockwise; in percent it would be sheared.

    choices             tags, present; a name that was not chosen may be there all the same
    keypointlabels      points
    rectanglelabels     boxes
    polygonlabels, brushlabels, ellipselabels       outlines; a later one lies on top

Of several annotations of a task the newest counts that was not cancelled; predictions and drafts do not. What is
complete follows `marks`; an annotation that was submitted empty says that there is nothing. `lead_time` is the time of
the whole annotation: it is kept where that is one kind of label.

A photo is looked for by the end of its path; the eight digits that an upload puts before a name may be missing. Several
exports in a folder are its splits. JSON-MIN writes a single choice like a column of the task: it can not be told from
one and is not read.

Writing: photos in images/, referred to as local files, so that a project with the folder as its document root shows
them. Outlines with holes or of several parts become brush strokes, in whole pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..classes import Vocabulary
from ..errors import DataError
from ..labels import Box
from .brush_rle import decoded
from .dataset import Dataset, Photo
from .drawn import PhotoFiles, on_upright, photos_near
from .label_json import Field
from .label_studio_writer import HOLDS, write
from .marks import Marks, drawable_size, foreign_classes, nothing_drawn, photo_names
from .notes import Notes
from .shapes import ellipse, turned
from .streamed_json import streamed

__all__ = ["HOLDS", "LAYOUT", "read", "recognises", "write"]

LAYOUT = "a JSON or JSON-MIN export of Label Studio, or a folder with one"

NAMED_BY = ("choices", "rectanglelabels", "polygonlabels", "brushlabels", "ellipselabels", "keypointlabels", "labels")
"""Where a result keeps its names. The rest of it says by its fields which shape it is."""

_LOOKED_AT = 20
"""JSON files of a folder that are opened to find an export."""


def recognises(path: Path) -> bool:
    return bool(_exports(path))


def read(path: Path) -> Dataset:
    """Raises DataError for a file that is no list of tasks, and where none of the photos is there."""
    files = _exports(path) or [path]
    photos = PhotoFiles.below(photos_near(files[0]))
    notes = Notes()
    found: dict[str, _Drawn] = {}
    splits: dict[str, dict[str, None]] = {}
    missing = ""
    for file in files:
        for task in _tasks(file):
            image, text = _photo(task, photos)
            if image is None:
                missing = missing or text
                notes.add("tasks whose photo is not there, or is there several times under that name", task.where)
                continue
            path_of = image.relative_to(photos.folder).as_posix()
            drawn = _Drawn(task, path_of, image, notes)
            if path_of in found:
                notes.add("photos with several tasks: the newest annotation counts", task.where)
            if path_of not in found or drawn.date >= found[path_of].date:
                found[path_of] = drawn
            splits.setdefault(file.stem, {})[path_of] = None
    if missing and not found:
        raise DataError(
            f"{path}: none of its photos is in {photos.folder}; the first is {missing!r}: put the photos there"
        )
    if not found:
        raise DataError(f"{path}: no task with a photo; expected a list of tasks, as Label Studio exports it as JSON")
    names = sorted({name for drawn in found.values() for name in drawn.marks.names})
    classes = foreign_classes(path, names)
    vocabulary = Vocabulary.same(classes)
    nothing = nothing_drawn(drawn.marks for drawn in found.values())
    name_of = photo_names(found)
    made = []
    for path_of, drawn in found.items():
        name = name_of[path_of]
        labels = drawn.marks.labels(classes, nothing if drawn.is_empty else None)
        if len(labels) == 1:
            labels = (replace(labels[0], seconds=drawn.seconds),)
        elif labels and drawn.seconds is not None:
            notes.add("lead_time of several kinds of labels together is left out", f"photo {name!r}")
        labels = on_upright(labels, drawn.image, drawn.size, notes, f"photo {name!r}")
        made.append(Photo(name, drawn.image, labels, vocabulary))
    named = {split: tuple(name_of[p] for p in paths) for split, paths in splits.items()} if len(files) > 1 else {}
    return Dataset(classes, tuple(made), named, path, "label_studio", notes.lines())


def _exports(path: Path) -> list[Path]:
    files = sorted(path.glob("*.json"))[:_LOOKED_AT] if path.is_dir() else [path]
    return [f for f in files if f.suffix.lower() == ".json" and f.is_file() and _is_export(f)]


def _is_export(file: Path) -> bool:
    try:
        with open(file, "rb") as opened:
            head = opened.read(65536)
    except OSError:
        return False
    tasks = re.search(rb'"(annotations|completions)"\s*:\s*\[', head) and re.search(rb'"(result|data)"\s*:', head)
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[") and bool(tasks or b'"annotation_id"' in head)


def _tasks(file: Path) -> Iterator[Field]:
    """The items of the list, one in memory at a time."""
    for key, i, task in streamed(file):
        if key is not None or not isinstance(task, dict):
            raise DataError(f"{file}: {key or f'task {i}'} is no task; expected a list of tasks, each an object")
        yield Field(task, f"{file}, task {i}")


def _photo(task: Field, photos: PhotoFiles) -> tuple[Path | None, str]:
    """(the file or None, the text that names it). In a task's data the photo is whatever value is one."""
    columns = task.at("data").value if "data" in task else task.value
    if not isinstance(columns, dict):
        raise task.at("data").fail("an object")
    texts = [v for _, v in sorted(columns.items(), key=lambda kv: kv[0] != "image") if isinstance(v, str)]
    for text in texts:
        local = re.search(r"[?&]d=([^&]*)", text)
        path = local.group(1) if local else text
        without_digits = re.sub(r"(^|[/\\])[0-9a-f]{8}-(?=[^/\\]*$)", r"\1", path)
        if found := photos.find(path) or photos.find(without_digits):
            return found[1], text
    return None, texts[0] if texts else ""


class _Drawn:
    """What the annotation of a task that counts says of the photo.

    date: as text that sorts. size: (height, width) of the picture that was drawn on, None where nothing was.
    is_empty: submitted without a single result.
    """

    def __init__(self, task: Field, path: str, image: Path, notes: Notes) -> None:
        self.image, self.date, self.is_empty = image, "", False
        self.seconds: float | None = None
        self.size: tuple[int, int] | None = None
        self.marks = Marks((0, 0), notes, f"photo {path!r}")
        annotation = _annotation(task)
        upright = drawable_size(image, notes, f"photo {path!r}") if annotation is not None else None
        if annotation is None or upright is None:
            return
        self.date = _date(annotation)
        if annotation.has_value("lead_time"):
            self.seconds = max(annotation.at("lead_time").number(), 0.0)
        results = _results(annotation)
        self.is_empty = not results
        self.size = next((s for r in results if (s := _size(r))), upright)
        self.marks = Marks(self.size, notes, f"photo {path!r}")
        if self.size not in (upright, upright[::-1]):
            on_upright((), image, self.size, notes, f"photo {path!r}")  # says why
            results = []
        labelled = {str(r.value.get("id")) for r in results if _names(r)}
        for result in results:
            if _names(result) and not result.value.get("item_index") and (_size(result) or self.size) == self.size:
                _mark(result, self.marks)
            elif _names(result):
                notes.add("shapes on further pictures of a task", result.where)
            elif "value" not in result or str(result.value.get("id")) not in labelled:
                notes.add("results that are neither a choice nor a shape with a label", result.where)


def _annotation(task: Field) -> Field | None:
    """The newest that was not cancelled. A task of JSON-MIN is its own."""
    if "annotation_id" in task:
        return task
    every = list(task.items("annotations" if "annotations" in task else "completions", default=True))
    usable = [a for a in every if not (a.at("was_cancelled").value if a.has_value("was_cancelled") else False)]
    return max(reversed(usable), key=_date) if usable else None


def _date(annotation: Field) -> str:
    key = next((k for k in ("updated_at", "created_at") if annotation.has_value(k)), None)
    return "" if key is None else str(annotation.value[key])


def _results(annotation: Field) -> list[Field]:
    """The results; those of JSON-MIN, per control a list of values or one value, in the same form."""
    if "annotation_id" in annotation:
        return [
            Field({"value": value, "id": f"{key}-{i}"}, annotation, key)
            for key, column in annotation.value.items()
            for i, value in enumerate(column if isinstance(column, list) else [column])
            if isinstance(value, dict) and any(k in value for k in NAMED_BY)
        ]
    results = list(annotation.items("result"))
    for result in results:
        if not isinstance(result.value, dict):
            raise result.fail("an object")
    return results


def _size(result: Field) -> tuple[int, int] | None:
    """(height, width) of the picture that was drawn on, where the result says it."""
    for place in (result, result.at("value") if "value" in result else result):
        with suppress(DataError):
            return int(place.at("original_height").number()), int(place.at("original_width").number())
    return None


def _names(result: Field) -> list[str]:
    value: Any = result.value.get("value")
    names: Any = next((value[k] for k in NAMED_BY if k in value), None) if isinstance(value, dict) else None
    return [n for n in names if isinstance(n, str) and n] if isinstance(names, list) else []


def _mark(result: Field, marks: Marks) -> None:
    """The result as tags or marks; what can not be used is left out, with a note."""
    value, names = result.at("value"), _names(result)
    if "choices" in value:
        if "x" in value or "points" in value or "rle" in value:
            marks.notes.add("choices about single shapes", result.where)
        else:
            marks.present |= set(names)
        return
    one = "width" in value and "height" in value  # a rectangle may be of several classes
    for name in names:
        try:
            if len(names) > 1 and not one:
                marks.leave_out(name, "shapes other than boxes with several labels")
            else:
                _shape(name, value, marks)
        except DataError:
            marks.leave_out(name, "shapes with numbers that are missing or not finite")
        except ValueError as error:
            marks.leave_out(name, f"damaged brush strokes ({error})")


def _shape(name: str, value: Field, marks: Marks) -> None:
    """DataError where a number is missing or not finite, ValueError for a broken brush stroke."""
    if "rle" in value:
        code = value.at("rle").value
        if not isinstance(code, list):
            raise value.at("rle").fail("a list of bytes")
        return marks.bitmap(name, decoded(code, marks.height, marks.width), 0, 0)
    scale = np.array([marks.width, marks.height]) / 100
    if "points" in value:
        xy_N2 = np.array([_pair(point) for point in value.items("points")]).reshape(-1, 2)
        closed = value.at("closed").value if "closed" in value else True
        if closed is False or len(xy_N2) < 3:
            return marks.leave_out(name, "polygons that were not closed")
        return marks.region(name, [[xy_N2 * scale]])
    x, y = (np.array([value.at("x").number(), value.at("y").number()]) * scale).tolist()
    degrees = value.at("rotation").number() if value.has_value("rotation") else 0.0
    if "radiusX" in value:
        radii = np.array([value.at("radiusX").number(), value.at("radiusY").number()]) * scale
        radius_x, radius_y = np.maximum(radii, 0).tolist()
        marks.region(name, [[ellipse(x, y, radius_x, radius_y, degrees)]])
    elif "width" in value and "height" in value:
        across, down = (np.array([value.at("width").number(), value.at("height").number()]) * scale).tolist()
        corners_42 = turned(np.array([(0, 0), (across, 0), (across, down), (0, down)]), degrees) + (x, y)
        box = Box(name, tuple(map(tuple, corners_42.tolist())))  # type: ignore[arg-type]
        if box.is_upright and min(across, down) > 0:
            marks.box(name, *box.bounds)
        else:
            marks.turned_box(name, corners_42)
    else:
        marks.point(name, x, y)


def _pair(point: Field) -> tuple[float, float]:
    xy = [v.number() for v in point.items()]
    if len(xy) != 2:
        raise point.fail("[x, y]")
    return xy[0], xy[1]
