"""LabelMe: a .json of shapes beside each photo.

    polygon, mask, circle       outlines; those of one group_id and label are one object, a later one lies on top
    rectangle                   boxes; oriented_rectangle, and the `rotation` of its kin, by four corners
    line, linestrip             scribbles of the usual width
    point, points               points
    flags of the photo          tags: what is ticked is there, and then what is not ticked is not

Coordinates are pixels of the upright photo, continuous. A circle becomes an outline that misses it by 0.05 px at most.
`__ignore__` is an area that states nothing, `_background_` the background. Flags are classes where shapes bear their
names, where labels.txt lists them, or where there are no shapes at all. In a photo with a box or an outline every
object of every class has its own; a file that was saved without anything says that there is nothing.

Class names come from labels.txt, which LabelMe is started with, else from the shapes. Splits come from `splits/*.txt`,
as in a plain folder. The photo is the file that `imagePath` ends in, the JSON's own folder first; a photo that is only
inside the JSON (`imageData`) is not read.

Legend: H, W = pixels; N = vertices.
"""

from __future__ import annotations

import base64
import io
import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..classes import Classes, Vocabulary
from ..errors import DataError
from ..labels import Label, Region
from ..progress import track
from .dataset import Dataset, Photo
from .drawn import PhotoFiles, on_upright
from .image import SUFFIXES
from .label_json import Field
from .labelme_writer import HOLDS, write
from .listing import has_images, read_json, read_lists, read_text
from .marks import (
    MOST_LOOKED_AT,
    NOT_FINITE,
    Marks,
    drawable_size,
    foreign_classes,
    is_void,
    nothing_drawn,
    photo_names,
    touching,
)
from .notes import Notes
from .shapes import ellipse

__all__ = ["HOLDS", "LAYOUT", "read", "recognises", "write"]

LAYOUT = "a .json of LabelMe beside each photo"
LARGEST = 1 << 28
"""Bytes of the JSON of one photo, the photo itself inside it."""
_LOOKED_AT = 20
"""JSON files of a folder that are opened to find one of LabelMe's."""


def recognises(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".json" and _is_labelme(path)
    if any((path / folder).is_dir() for folder in ("masks", "mask")):
        return False  # a plain folder, whose masks were made from this JSON
    return any(map(_is_labelme, islice(_json_below(path), _LOOKED_AT)))


def read(path: Path) -> Dataset:
    """Raises DataError for a JSON file that is damaged, and where none of the photos is there."""
    folder = path if path.is_dir() else path.parent
    files = PhotoFiles.below(folder if has_images(folder) else folder.parent)
    found: dict[str, _Drawn] = {}
    notes = Notes()
    for file in track([path] if path.is_file() else list(_json_below(folder)), "reading LabelMe"):
        if not _is_labelme(file):
            notes.add("JSON files without shapes are passed over", str(file))
            continue
        content = _content(file)
        photo = _photo(content, file, files)
        if photo is None:
            inside = ", though it is inside the JSON: save it beside" if content.has_value("imageData") else ""
            notes.add(f"labels of a photo that is not there are left out{inside}", str(file))
        elif photo in found:
            notes.add("a second JSON file of one photo is left out", str(file))
        elif (drawn := _drawn(content, files.by_path[photo], notes)) is not None:
            found[photo] = drawn
    if not found:
        raise DataError(f"{path}: none of the photos of its JSON files is in {files.folder}: put them beside the JSON")
    classes, flags = _classes(folder, found, notes)
    vocabulary = Vocabulary.same(classes)
    nothing = nothing_drawn(drawn.marks for drawn in found.values())
    photos = []
    for photo, name in photo_names(files.by_path if files.folder == path else found).items():
        image = files.by_path[photo]
        labels: tuple[Label, ...] = ()
        if photo in found:
            marks, size = found[photo].marks, found[photo].size
            ticked = _tick(marks, found[photo].flags, flags)
            made = () if ticked and marks.empty else marks.labels(classes, nothing)
            labels = on_upright(made, image, size, notes, f"photo {name!r}")
        photos.append(Photo(name, image, labels, vocabulary))
    splits = read_lists(folder / "splits", {p.name: None for p in photos}, str(folder)) if path.is_dir() else {}
    return Dataset(classes, tuple(photos), splits, path, "labelme", notes.lines())


@dataclass
class _Drawn:
    """What one JSON file says. size: (height, width) of the picture that was drawn on. flags: name -> was it ticked?"""

    marks: Marks
    size: tuple[int, int]
    flags: dict[str, bool]


def _is_labelme(file: Path) -> bool:
    """`shapes` is the third of the keys that LabelMe writes; the photo itself, which may be in there, comes later."""
    try:
        with open(file, "rb") as opened:
            head = opened.read(8192).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError:
        return False
    return head.startswith(b"{") and b'"shapes"' in head


def _json_below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        yield from (Path(parent) / f for f in sorted(files) if f.lower().endswith(".json") and not f.startswith("."))


def _content(file: Path) -> Field:
    if (size := file.stat().st_size) > LARGEST:
        raise DataError(
            f"{file}: {size} bytes; expected the JSON of one photo, at most {LARGEST}: save it without imageData"
        )
    return Field(read_json(file), str(file))


def _photo(content: Field, file: Path, files: PhotoFiles) -> str | None:
    """Path of the photo below the folder: what `imagePath` means beside the JSON, else what it ends in, else the photo
    of the JSON's own name."""
    beside = file.parent.relative_to(files.folder).as_posix()
    text = content.at("imagePath").value if "imagePath" in content else None
    if isinstance(text, str) and text:
        text = text.replace("\\", "/")
        meant = (posixpath.join(beside, text), posixpath.join(beside, posixpath.basename(text)))
        for path in map(posixpath.normpath, meant):
            if path in files.by_path:
                return path
        if (found := files.find(f"{beside}/{text}")) is not None:
            return found[1].relative_to(files.folder).as_posix()
    stem = posixpath.normpath(posixpath.join(beside, file.stem))
    return next((stem + suffix for suffix in sorted(SUFFIXES) if stem + suffix in files.by_path), None)


def _drawn(content: Field, image: Path, notes: Notes) -> _Drawn | None:
    where = content.where
    upright = drawable_size(image, notes, where)
    if upright is None:
        return None
    size = upright
    if content.has_value("imageHeight") and content.has_value("imageWidth"):
        size = int(content.at("imageHeight").number()), int(content.at("imageWidth").number())
    marks = Marks(size, notes, where)
    flags = content.value.get("flags")
    if size in (upright, upright[::-1]):
        group_of: dict[int, object] = {}
        for shape in content.items("shapes"):
            marks.where = shape.where
            count = len(marks.regions)
            _draw(marks, shape.value)
            if len(marks.regions) > count:
                group_of[count] = shape.value.get("group_id")
        _join(marks, group_of)
    ticked = {n: v for n, v in flags.items() if n and isinstance(v, bool)} if isinstance(flags, dict) else {}
    return _Drawn(marks, size, ticked)


def _draw(marks: Marks, shape: Any) -> None:
    label = shape.get("label") if isinstance(shape, dict) else None
    if not isinstance(label, str) or not label.strip():
        return marks.leave_out(None, "shapes without a label are left out")
    label = label.strip()
    try:
        xy_N2 = np.array(shape.get("points"), np.float64)
    except (ValueError, TypeError, OverflowError):
        xy_N2 = np.zeros((0, 2))
    if xy_N2.ndim != 2 or not len(xy_N2) or xy_N2.shape[1] != 2:
        return marks.leave_out(label, "shapes without points [x, y] are left out")
    if not np.isfinite(xy_N2).all():
        return marks.leave_out(label, NOT_FINITE)
    kind, count = shape.get("shape_type") or "polygon", len(xy_N2)
    if kind == "polygon" and count >= 3:
        return marks.region(label, [[xy_N2]])
    if kind == "circle" and count == 2:
        (x, y), (on_x, on_y) = xy_N2
        radius = hypot(on_x - x, on_y - y)
        return marks.region(label, [[ellipse(x, y, radius, radius)]])
    if kind in ("rectangle", "rotation", "oriented_rectangle") and count in (2, 4):
        low, high = xy_N2.min(axis=0), xy_N2.max(axis=0)
        if count == 2 or ((xy_N2 == low) | (xy_N2 == high)).all():
            return marks.box(label, *map(float, (*low, *high)))
        return marks.turned_box(label, xy_N2)
    if kind in ("line", "linestrip") and count >= 2:
        return marks.stroke(label, xy_N2)
    if kind in ("point", "points"):
        for x, y in xy_N2:
            marks.point(label, x, y)
        return None
    if kind == "mask":
        return _draw_mask(marks, label, xy_N2, shape.get("mask"))
    return marks.leave_out(label, "shapes of an unknown kind, or with too few points, are left out")


def _draw_mask(marks: Marks, label: str, xy_N2: np.ndarray, mask: Any) -> None:
    """A PNG in base64 that covers the pixels from the first to the second point; its size is checked before it is
    decoded."""
    left, top = map(int, np.clip(xy_N2.min(axis=0), -1, 1 << 30))
    try:
        image = Image.open(io.BytesIO(base64.b64decode(mask)), formats=("PNG",))
        width, height = image.size
        if left < 0 or top < 0 or left + width > marks.width or top + height > marks.height:
            return marks.leave_out(label, "masks of another size than their place in the photo are left out")
        piece_HW = np.array(image)
    except Exception:  # a damaged PNG raises nearly anything
        return marks.leave_out(label, "masks that are no PNG in base64 are left out")
    if piece_HW.ndim != 2 or not piece_HW.any():
        return marks.leave_out(label, "masks without pixels, or in colours, are left out")
    return marks.bitmap(label, piece_HW > 0, left, top)


def _join(marks: Marks, group_of: Mapping[int, object]) -> None:
    """Outlines of one label and group become one object, in the place of its first; not across what lies between."""
    made: list[Region] = []
    place_of: dict[tuple[str, int], int] = {}
    for i, region in enumerate(marks.regions):
        group = group_of.get(i)
        if not isinstance(group, int):
            made.append(region)
            continue
        first = place_of.setdefault((region.name, group), len(made))
        between = made[first + 1 :]
        if first == len(made):
            made.append(region)
        elif len(between) > MOST_LOOKED_AT or touching(region, between):
            marks.notes.add(
                "parts of an object with another drawn over one and under the other stay apart", marks.where
            )
            made.append(region)
        else:
            made[first] = Region(region.name, made[first].polygons + region.polygons, region.crowd)
    marks.regions = made


def _classes(folder: Path, found: Mapping[str, _Drawn], notes: Notes) -> tuple[Classes, frozenset[str]]:
    """(classes, the flags that are such)."""
    used = {name for drawn in found.values() for name in drawn.marks.names}
    flags = {name for drawn in found.values() for name in drawn.flags}
    file = folder / "labels.txt"
    listed = [line.strip() for line in read_text(file).splitlines()] if file.is_file() else []
    names = [name for name in listed if name and not is_void(name)]
    meant = flags & {*names, *used} if names or used else flags
    if flags - meant:
        notes.add("flags that are no class are left out", f"{folder}, flag {min(flags - meant)!r}")
    if names and (more := {*used, *meant} - {*names} - {n for n in used if is_void(n)}):
        notes.add("labels that labels.txt does not name are added to the classes", f"{folder}, label {min(more)!r}")
    classes = foreign_classes(folder, [*names, *sorted({*used, *meant} - {*names})])
    return classes, frozenset(meant)


def _tick(marks: Marks, flags: Mapping[str, bool], classes: frozenset[str]) -> bool:
    """Was any flag ticked? Then those among the classes become tags."""
    ticked = any(flags.values())
    if ticked:
        marks.present |= {n for n in classes if flags.get(n)}
        marks.absent |= {n for n in classes if flags.get(n) is False}
    return ticked
