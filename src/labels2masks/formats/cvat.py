"""CVAT for images 1.1: annotations.xml beside images/.

    polygon, ellipse, mask      outlines; those of a higher z_order lie on top, then the later ones
    box                         boxes, rotated clockwise around their centre by `rotation` degrees
    polyline                    scribbles of the usual width
    points, skeleton            points; of a skeleton those that are neither outside nor occluded
    tag                         tags, present

Coordinates are pixels, continuous. An ellipse becomes an outline that misses it by 0.05 px at most. The runs of a mask
go along the rows of its own box, zeros first. A label named "ignore", "void" or "__ignore__" is an area that states
nothing. In an image with a box or an outline every object of every class has its own, and in one without any shape
there is nothing, as CVAT lists what somebody had before their eyes. Subsets are splits; several files in a folder are
read together. Tracks and cuboids are left out.

The file is read as a stream, one image at a time; entities are refused.

Legend: H, W = pixels; N = vertices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from ..classes import Classes, Colour, Vocabulary
from ..errors import DataError
from ..labels import Label
from ..labels.outlines import from_run_lengths
from .cvat_writer import HOLDS, write
from .dataset import Dataset, Photo
from .drawn import PhotoFiles, on_upright, photos_near
from .marks import NOT_FINITE, Marks, drawable_size, foreign_classes, nothing_drawn, photo_names
from .notes import Notes
from .shapes import ellipse, turned_corners

__all__ = ["HOLDS", "LAYOUT", "read", "recognises", "write"]

LAYOUT = "annotations.xml of CVAT for images beside images/"
_LOOKED_AT = 50
"""XML files of a folder that are opened to find CVAT's."""


def recognises(path: Path) -> bool:
    return bool(_files(path))


def read(path: Path) -> Dataset:
    """Raises DataError for damaged or hostile XML, and where none of its images is there."""
    listed = _files(path) or [path]
    files = PhotoFiles.below(photos_near(listed[0]))
    notes = Notes()
    colours: dict[str, Colour | None] = {}
    found: dict[str, tuple[Marks, tuple[int, int]]] = {}
    splits: dict[str, list[str]] = {}
    missing = ""
    for file in listed:
        for element in _elements(file):
            if element.tag == "label":
                colours |= _label(element)
            elif element.tag == "track":
                notes.add("tracks are left out: export the task as 'CVAT for images'", str(file))
            else:
                where = f"{file}, image {element.get('name')!r}"
                photo = _photo(element, files)
                if photo is None:
                    missing = missing or where
                    notes.add("images that are not there, or several times under that name, are left out", where)
                elif photo in found:
                    notes.add("an image that is listed twice: its second shapes are left out", where)
                elif (drawn := _drawn(element, files.by_path[photo], notes, where)) is not None:
                    found[photo] = drawn
                    if (subset := element.get("subset") or "default") != "default":
                        splits.setdefault(subset, []).append(photo)
    if not found:
        raise DataError(
            f"{missing}: not in {files.folder}; put the photos into images/ beside the XML"
            if missing
            else f"{path}: lists no image; export the task as 'CVAT for images 1.1', with its images"
        )
    classes = _classes(listed[0], colours, (marks for marks, _ in found.values()), notes)
    vocabulary = Vocabulary.same(classes)
    nothing = nothing_drawn(marks for marks, _ in found.values())
    names = photo_names(files.by_path if files.folder == path else found)
    photos = []
    for photo, name in names.items():
        image = files.by_path[photo]
        labels: tuple[Label, ...] = ()
        if photo in found:
            marks, size = found[photo]
            labels = on_upright(marks.labels(classes, nothing), image, size, notes, marks.where)
        photos.append(Photo(name, image, labels, vocabulary))
    kept = {split: tuple(names[p] for p in of_split) for split, of_split in splits.items()}
    return Dataset(classes, tuple(photos), kept, path, "cvat", notes.lines())


def _files(path: Path) -> list[Path]:
    listed = sorted(path.glob("*.xml"))[:_LOOKED_AT] if path.is_dir() else [path]
    return [f for f in listed if f.suffix.lower() == ".xml" and f.is_file() and _is_cvat(f)]


def _is_cvat(file: Path) -> bool:
    try:
        with open(file, "rb") as opened:
            head = opened.read(8192)
    except OSError:
        return False
    return b"<annotations" in head and re.search(rb"<(meta|image|track|version)[\s>/]", head) is not None


def _elements(file: Path) -> Iterator[Element]:
    """The labels, images and tracks of a file; each is forgotten when the next is asked for."""
    try:
        with open(file, "rb") as opened:
            events = iter(iterparse(opened, events=("start", "end")))
            path: list[Element] = []
            while (event := _next(file, events)) is not None:
                kind, element = event
                if kind == "start":
                    path.append(element)
                    continue
                path.pop()
                depth, inside_meta = len(path), len(path) > 1 and path[1].tag == "meta"
                if (depth == 1 and element.tag in ("image", "track")) or (inside_meta and element.tag == "label"):
                    yield element
                if len(path) == 1:
                    path[0].clear()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from error


def _next(file: Path, events: Iterator[tuple[str, Element]]) -> tuple[str, Element] | None:
    try:
        return next(events, None)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())[:80]
        raise DataError(
            f"{file}: not readable as CVAT's XML ({type(error).__name__}: {reason}); export it again"
        ) from None


def _label(element: Element) -> dict[str, Colour | None]:
    """Name -> colour of a label; nothing for a point of a skeleton, which is a label below another."""
    name = (element.findtext("name") or "").strip()
    if not name or element.findtext("parent"):
        return {}
    digits = re.fullmatch(r"#([0-9a-fA-F]{6})", (element.findtext("color") or "").strip())
    red, green, blue = bytes.fromhex(digits[1]) if digits else (0, 0, 0)
    return {name: (red, green, blue) if digits else None}


def _classes(file: Path, colours: Mapping[str, Colour | None], found: Iterator[Marks], notes: Notes) -> Classes:
    used = sorted({name for marks in found for name in marks.names})
    more = [name for name in used if name not in colours]
    if more and colours:
        notes.add("labels that the file does not list are added to the classes", f"{file}, label {more[0]!r}")
    known = {name: colour for name, colour in colours.items() if colour is not None}
    return foreign_classes(file, [*colours, *more], known)


def _photo(image: Element, files: PhotoFiles) -> str | None:
    """Path of the photo below the folder: CVAT puts it into images/, or the images/ of its subset."""
    name = (image.get("name") or "").replace("\\", "/")
    for path in (f"images/{image.get('subset') or 'default'}/{name}", f"images/{name}", name):
        if path in files.by_path:
            return path
    found = files.find(name)
    return None if found is None else found[1].relative_to(files.folder).as_posix()


def _drawn(image: Element, file: Path, notes: Notes, where: str) -> tuple[Marks, tuple[int, int]] | None:
    """(the marks, (height, width) of the picture that they are drawn on); None where the photo can not be read."""
    upright = drawable_size(file, notes, where)
    if upright is None:
        return None
    size = upright
    if image.get("width") and image.get("height"):
        try:
            size = int(float(image.get("height", ""))), int(float(image.get("width", "")))
        except (ValueError, OverflowError):
            raise DataError(
                f"{where}: width {image.get('width')!r}, height {image.get('height')!r}; expected pixels"
            ) from None
    marks = Marks(size, notes, where)
    if size in (upright, upright[::-1]):
        for shape in sorted(image, key=_z_order):
            name = (shape.get("label") or "").strip()
            if shape.get("outside") in ("1", "true") or shape.tag == "attribute":
                continue
            if not name:
                marks.leave_out(None, "shapes without a label are left out")
                continue
            try:
                _draw(marks, name, shape)
            except (ValueError, OverflowError):
                marks.leave_out(name, "shapes with a number missing, or that is none, are left out")
    return marks, size


def _z_order(shape: Element) -> float:
    try:
        z = float(shape.get("z_order", "0"))
    except ValueError:
        return 0.0
    return z if isfinite(z) else 0.0


def _draw(marks: Marks, name: str, shape: Element) -> None:
    """Raises ValueError for text that is no number."""
    if shape.tag == "tag":
        marks.present.add(name)
    elif shape.tag == "box":
        x0, y0, x1, y1 = _numbers(shape, "xtl", "ytl", "xbr", "ybr")
        degrees = float(shape.get("rotation", "0"))
        if not all(map(isfinite, (x0, y0, x1, y1, degrees))):
            marks.leave_out(name, NOT_FINITE)
        elif degrees % 360 == 0:
            marks.box(name, x0, y0, x1, y1)
        else:
            marks.turned_box(name, turned_corners(x0, y0, x1, y1, degrees))
    elif shape.tag == "polygon":
        marks.region(name, [[_points(shape, at_least=3)]])
    elif shape.tag == "polyline":
        marks.stroke(name, _points(shape, at_least=2))
    elif shape.tag == "points":
        for x, y in _points(shape):
            marks.point(name, x, y)
    elif shape.tag == "skeleton":
        for point in shape.iter("points"):
            if "1" not in (point.get("outside"), point.get("occluded")):
                for x, y in _points(point):
                    marks.point(name, x, y)
    elif shape.tag == "ellipse":
        x, y, radius_x, radius_y = _numbers(shape, "cx", "cy", "rx", "ry")
        degrees = float(shape.get("rotation", "0"))
        if not all(map(isfinite, (x, y, radius_x, radius_y, degrees))):
            marks.leave_out(name, NOT_FINITE)
        else:
            marks.region(name, [[ellipse(x, y, max(radius_x, 0), max(radius_y, 0), degrees)]])
    elif shape.tag == "mask":
        _draw_mask(marks, name, shape)
    else:
        marks.leave_out(name, "shapes of an unknown kind, cuboids among them, are left out")


def _draw_mask(marks: Marks, name: str, shape: Element) -> None:
    left, top, width, height = (int(v) for v in _numbers(shape, "left", "top", "width", "height"))
    runs = [int(run) for run in shape.get("rle", "").split(",")]
    if not (0 <= left < left + width <= marks.width and 0 <= top < top + height <= marks.height):
        marks.leave_out(name, "masks of another size than their place in the photo are left out")
    elif min(runs) < 0 or sum(runs) != width * height:
        marks.leave_out(name, "masks whose runs do not sum to their size are left out")
    else:
        marks.bitmap(name, from_run_lengths(runs, width, height).T, left, top)


def _numbers(shape: Element, *keys: str) -> tuple[float, ...]:
    return tuple(float(shape.get(key, "")) for key in keys)


def _points(shape: Element, at_least: int = 1) -> np.ndarray:
    """N2 of "x,y;x,y"."""
    pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
    if len(pairs) < at_least or any(len(pair) != 2 for pair in pairs):
        raise ValueError("points as x,y;x,y")
    return np.array([[float(x), float(y)] for x, y in pairs])
