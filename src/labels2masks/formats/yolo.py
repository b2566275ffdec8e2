"""YOLO, as Ultralytics and Darknet lay it out: a .txt of relative coordinates for each photo, and data.yaml.

    class cx cy w h                 a box
    class x1 y1 x2 y2 x3 y3 ...     an outline; four corners of a turned box where data.yaml says `task: obb`

Coordinates are shares of the upright photo's width and height. A further number at the end is a network's confidence.
`images/a/1.jpg` has its labels in `labels/a/1.txt`, a photo of another folder beside it. An empty file says that there
is nothing in the photo; no file says nothing. In a photo with labels every object of every class has its own.

data.yaml names the classes, and the splits by folders, lists of photos (.txt) or several of them. Its paths are often
those of another machine: the longest end of one that is there is taken. Without data.yaml: Darknet's .data file,
train.txt and val.txt, or folders of these names, and classes.txt or a .names file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..classes import Classes, Vocabulary
from ..errors import DataError
from ..files import write_atomically
from ..labels import Boxes, Mask, Regions
from ..progress import track
from .dataset import Dataset, Photo
from .drawable import classes_left_out, is_settled, marks_of, split_stems
from .drawn import PhotoFiles, photos_near
from .listing import has_images, read_text
from .marks import NOT_FINITE, Marks, drawable_size, foreign_classes, nothing_drawn, photo_names
from .notes import Notes
from .shapes import one_ring
from .written import Written, empty_folder, file_names, left_out, place_photo, same_source
from .yolo_settings import SETTINGS, class_names, photos_of_splits, read_darknet, read_yaml, settings_file, texts_below

LAYOUT = "data.yaml with 'names', or photos with labels/*.txt of 'class cx cy w h' or 'class x1 y1 ...'"
HOLDS = frozenset({"boxes", "regions"})
BEYOND = 0.01
"""How far outside 0..1 a rounded coordinate may lie; more is another unit."""

_LABEL = re.compile(rb"\s*\d+(\.0*)?([ \t]+[-+.\deE]+){4,}\s*$")


def recognises(path: Path) -> bool:
    try:
        return settings_file(path) is not None or (path.is_dir() and has_images(path) and _has_label_file(path))
    except OSError:
        return False


def read(path: Path) -> Dataset:
    """Raises DataError for a damaged data.yaml, label files that are no text, and where there is no photo."""
    file = settings_file(path)
    root = photos_near(file) if file is not None else path
    files = PhotoFiles.below(root)
    if not files.by_path:
        raise DataError(f"{path}: no photos in {root}; put data.yaml into the folder that holds images/ and labels/")
    notes = Notes()
    texts = texts_below(root)
    settings = read_yaml(file) if file is not None else read_darknet(texts, files)
    source = file or root
    splits = photos_of_splits(settings, source, files, texts, notes)
    in_splits = {photo for split in splits.values() for photo in split}
    own = file is None or file.parent == root  # above data.yaml there may be photos of other data sets
    used = [p for p in files.by_path if not splits or p in in_splits or (own and "images" in p.split("/")[:-1])]
    names = photo_names(used)
    name_of = class_names(settings, source, texts, notes)
    found: dict[str, Marks | None] = {}
    for photo in track(used, "reading YOLO"):
        text = next((texts[t] for t in (_label_path(photo), os.path.splitext(photo)[0] + ".txt") if t in texts), None)
        found[photo] = None if text is None else _marks(text, files.by_path[photo], name_of, settings, source, notes)
    marked = [m for m in found.values() if m is not None]
    if name_of is None:
        listed = sorted({n for m in marked for n in m.names}, key=lambda n: int(n.removeprefix("class_")))
    else:
        listed = list(name_of.values())
    classes = foreign_classes(source, listed)
    vocabulary = Vocabulary.same(classes)
    nothing = nothing_drawn(marked) or Boxes
    photos = tuple(
        Photo(names[p], files.by_path[p], () if m is None else m.labels(classes, nothing), vocabulary)
        for p, m in found.items()
    )
    kept = {split: tuple(names[p] for p in photos_of) for split, photos_of in splits.items()}
    return Dataset(classes, photos, kept, path, "yolo", notes.lines())


def write(data: Dataset, path: Path | str) -> Written:
    """A folder with images/, labels/, data.yaml and a list of photos for each split.

    An outline of several parts is a line for each; its holes are tied to the outer ring by a seam of no width, which
    encloses the same pixels. Coordinates hold to 9 digits. Raises UsageError where the folder is there already, and
    for classes that were chosen, merged or joined; DataError for photos and masks that can not be read.
    """
    same_source(data, "YOLO")
    folder = empty_folder(path)
    notes = left_out(data, HOLDS | {"mask"}, "YOLO")
    classes_left_out(data, notes, "YOLO")
    turned = _has_turned_boxes(data) and not any(isinstance(x, Mask | Regions) for p in data.photos for x in p.labels)
    stems = file_names(data, notes)
    files: dict[str, str] = {}
    (folder / "labels").mkdir()
    for photo in track(data.photos, "writing YOLO"):
        image = place_photo(photo, folder / "images" / stems[photo.name], notes)
        files[photo.name] = image.relative_to(folder).as_posix()
        marks = marks_of(photo, HOLDS, notes, "YOLO", void=False, absent=False)
        lines = list(_lines(marks, data.classes, turned))
        if is_settled(photo, marks, notes, "YOLO"):
            write_atomically(folder / _label_path(files[photo.name]), "".join(f"{line}\n" for line in lines))
    settings: dict[str, Any] = {}
    for split, stem in split_stems(data, notes).items():
        if split in SETTINGS:
            notes.add("splits with a name that means something else in data.yaml", f"split {split!r}")
            continue
        listed = [files[n] for n in data.splits[split] if n in files]
        write_atomically(folder / f"{stem}.txt", "".join(f"./{n}\n" for n in listed))
        settings[split] = f"{stem}.txt"
    if not {"train", "val"} <= settings.keys():
        notes.add("no split 'train' or 'val': name them in data.yaml before Ultralytics trains on it", "data.yaml")
    if turned:
        settings["task"] = "obb"
    settings["names"] = dict(enumerate(data.classes.foreground))
    write_atomically(folder / "data.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    return Written(folder, notes.lines())


def _has_turned_boxes(data: Dataset) -> bool:
    return any(not b.is_upright for p in data.photos for x in p.labels if isinstance(x, Boxes) for b in x.marks)


def _lines(marks: Marks, classes: Classes, turned: bool) -> Iterator[str]:
    """The marks as lines; what has no place in them is left out of `marks` too, so that nothing is promised of it."""
    number = {name: i for i, name in enumerate(classes.foreground)}
    size = np.array([marks.width, marks.height], np.float64)
    for box in [box for box in marks.boxes if not box.is_upright and not turned]:
        marks.leave_out(box.name, "turned boxes: YOLO holds them only where there are no outlines")
        marks.boxes.remove(box)
    if not marks.names <= number.keys():
        marks.notes.add("marks of the background, which YOLO has no place for", marks.where)
        marks.boxes = [box for box in marks.boxes if box.name in number]
        marks.regions = [region for region in marks.regions if region.name in number]
    for box in marks.boxes:
        x0, y0, x1, y1 = box.bounds
        centre_and_size = np.array([[(x0 + x1) / 2, (y0 + y1) / 2], [x1 - x0, y1 - y0]])
        yield _line(number[box.name], (np.array(box.corners) if turned else centre_and_size) / size)
    for region in marks.regions:
        if len(region.polygons) > 1:
            marks.notes.add("that several outlines are one object, which YOLO has no place for", marks.where)
        for polygon in region.polygons:
            yield _line(number[region.name], one_ring(polygon) / size)


def _line(number: int, shares_N2: np.ndarray) -> str:
    return " ".join([str(number), *(f"{v:.9g}" for v in shares_N2.ravel())])


def _has_label_file(folder: Path) -> bool:
    """Is one of the first text files, at most two folders down, one of labels?"""
    seen = 0
    for parent, folders, files in os.walk(folder):
        depth = len(Path(parent).relative_to(folder).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if depth < 2 else []
        for file in sorted(f for f in files if f.endswith(".txt"))[:20]:
            seen += 1
            with open(Path(parent) / file, "rb") as opened:
                if _LABEL.match(opened.readline(4096)):
                    return True
        if seen > 60:
            break
    return False


def _label_path(photo: str) -> str:
    """Where the labels of a photo lie: `labels` in place of the last `images` of its path."""
    head, images, tail = f"/{os.path.splitext(photo)[0]}".rpartition("/images/")
    return f"{head}/labels/{tail}.txt"[1:] if images else f"{tail[1:]}.txt"


def _marks(
    file: Path, image: Path, name_of: Mapping[int, str] | None, settings: Mapping[str, Any], source: Path, notes: Notes
) -> Marks | None:
    """The marks of one label file; None where its photo can not be read."""
    size = drawable_size(image, notes, str(file))
    if size is None:
        return None
    marks = Marks(size, notes, str(file))
    keypoints = _keypoints(settings, source)
    for number, line in enumerate(read_text(file).splitlines(), 1):
        marks.where = f"{file}, line {number}"
        words = line.split()
        try:
            values = [float(word) for word in words]
        except ValueError:
            marks.leave_out(None, "lines that are no numbers are left out")
            continue
        if not values:
            continue
        name = None
        if values[0].is_integer() and 0 <= values[0] < 65535:
            name = f"class_{int(values[0])}" if name_of is None else name_of.get(int(values[0]))
        if name is None:
            marks.leave_out(None, "marks of a class that is not in the list of names are left out")
            continue
        _mark(marks, name, values[1:], keypoints, settings.get("task") == "obb")
    return marks


def _mark(marks: Marks, name: str, shares: list[float], keypoints: int, turned: bool) -> None:
    if keypoints and len(shares) == 4 + keypoints:
        marks.notes.add("keypoints are left out, their boxes are not", marks.where)
        shares = shares[:4]
    if len(shares) % 2:
        marks.notes.add("the confidence at the end of a line is left out: a network drew it, no person", marks.where)
        shares = shares[:-1]
    if len(shares) < 4:
        return marks.leave_out(name, "marks of too few numbers are left out")
    if not all(map(isfinite, shares)):
        return marks.leave_out(name, NOT_FINITE)
    if min(shares) < -BEYOND or max(shares) > 1 + BEYOND:
        return marks.leave_out(name, "marks in pixels or percent are left out: shares of the photo, 0..1, are read")
    if len(shares) == 4:
        x, y, width, height = np.array(shares) * [marks.width, marks.height, marks.width, marks.height]
        return marks.box(name, x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    xy_N2 = np.array(shares).reshape(-1, 2) * (marks.width, marks.height)
    if turned and len(xy_N2) == 4:
        return marks.turned_box(name, xy_N2)
    return marks.region(name, [[xy_N2]])


def _keypoints(settings: Mapping[str, Any], source: Path) -> int:
    """Numbers that follow each box where data.yaml says that there are keypoints."""
    shape = settings.get("kpt_shape")
    if shape is None:
        return 0
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int and 0 < n < 10000 for n in shape):
        raise DataError(f"{source}, kpt_shape: expected how many keypoints and how many numbers each, such as [17, 3]")
    return shape[0] * shape[1]
