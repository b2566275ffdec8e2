"""Boxes in the XML of PASCAL VOC, one file a photo.

Pixels are counted from 1 and the last one is included: (1, 1, 2, 2) covers [0, 2) x [0, 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, ParseError, SubElement

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from ..classes import Classes
from ..errors import DataError
from ..labels import Box, Boxes, Label
from .drawn import on_upright
from .marks import Marks, drawable_size, is_void
from .notes import Notes

SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Annotation:
    """One file. size: (height, width) it was drawn at, None where it does not say.

    objects: name and (xmin, ymin, xmax, ymax) on VOC's counting, None where four numbers are not there.
    """

    size: tuple[int, int] | None
    objects: tuple[tuple[str, tuple[float, ...] | None], ...]


def read_annotation(path: Path) -> Annotation:
    """The objects of one file, parts of objects left out. Raises DataError where it is no XML."""
    try:
        root = parse(path).getroot()
    except (ParseError, DefusedXmlException, ValueError, LookupError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: not a readable VOC annotation ({type(error).__name__}: {reason}); export it again"
        ) from error
    height, width = (_number(root, f"size/{side}") for side in ("height", "width"))
    known = height is not None and width is not None and 1 <= min(height, width) <= max(height, width) < 2**31
    size = (int(height), int(width)) if known else None  # type: ignore[arg-type]
    return Annotation(size, tuple(_object(item) for item in root.iter("object")))


def _object(item: Element) -> tuple[str, tuple[float, ...] | None]:
    corners = [_number(item, f"bndbox/{side}") for side in SIDES]
    found = tuple(c for c in corners if c is not None)
    return (item.findtext("name") or "").strip(), found if len(found) == 4 else None


def has_area(corners: Sequence[float]) -> bool:
    """corners: xmin, ymin, xmax, ymax as VOC counts."""
    return corners[0] - 1 < corners[2] and corners[1] - 1 < corners[3]


def counted(box: Box) -> tuple[float, ...]:
    """xmin, ymin, xmax, ymax of the box's upright hull as VOC counts, to a thousandth of a pixel."""
    x0, y0, x1, y1 = box.bounds
    return tuple(round(float(v), 3) for v in (x0 + 1, y0 + 1, x1, y1))


def _number(item: Element, path: str) -> float | None:
    try:
        return float(item.findtext(path) or "")
    except ValueError:
        return None


def boxes_of(found: Annotation, image: Path, classes: Classes, notes: Notes, where: str) -> tuple[Label, ...]:
    """The boxes on the upright photo, cut off at its border; complete but for the classes of damaged ones."""
    size = drawable_size(image, notes, where)
    if size is None:
        return ()
    marks = Marks(found.size or size, notes, where)
    for name, corners in found.objects:
        if is_void(name):
            notes.add("boxes of areas to ignore are left out", where)
        elif corners is None:
            marks.leave_out(name or None, "boxes without the four numbers xmin to ymax are left out")
        elif not name:
            marks.leave_out(None, "boxes without a class name are left out")
        else:
            x0, y0, x1, y1 = corners
            marks.box(name, x0 - 1, y0 - 1, x1, y1)
    boxed, _ = marks.promised(classes)
    boxes = Boxes(tuple(marks.boxes), boxed)
    return (boxes,) if found.size in (None, size) else on_upright([boxes], image, found.size, notes, where)


def annotation(file_name: str, size: tuple[int, int], boxes: Sequence[Box]) -> bytes:
    """The XML of a photo's boxes, to a thousandth of a pixel; whole numbers are written as such.

    size: (height, width). A rotated box is written as its upright hull.
    """
    root = Element("annotation")
    SubElement(root, "filename").text = file_name
    of_size = SubElement(root, "size")
    for side, length in (("width", size[1]), ("height", size[0]), ("depth", 3)):
        SubElement(of_size, side).text = str(length)
    for box in boxes:
        item = SubElement(root, "object")
        SubElement(item, "name").text = box.name
        SubElement(item, "difficult").text = "0"
        corners = SubElement(item, "bndbox")
        for side, value in zip(SIDES, counted(box), strict=True):
            SubElement(corners, side).text = str(value).removesuffix(".0")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8") + b"\n"
