"""Boxes in the XML of PASCAL VOC, one file a photo.

Pixels are counted from 1 and the last one is included: (1, 1, 2, 2) covers [0, 2) x [0, 2).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, ParseError, SubElement

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from ..errors import DataError
from ..labels import Box, Boxes, Label
from .drawn import on_upright
from .image import image_size
from .notes import Notes

SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Annotation:
    """One file. size: (height, width) it was drawn at, None where it does not say.

    objects: name and (x0, y0, x1, y1) on VOC's counting, None where four numbers with an area are not there.
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
    size = (int(height), int(width)) if height and width and min(height, width) >= 1 else None
    return Annotation(size, tuple(_object(item) for item in root.iter("object")))


def _object(item: Element) -> tuple[str, tuple[float, ...] | None]:
    corners = [_number(item, f"bndbox/{side}") for side in SIDES]
    found = tuple(c for c in corners if c is not None)
    return (item.findtext("name") or "").strip(), found if len(found) == 4 and has_area(found) else None


def has_area(corners: Sequence[float]) -> bool:
    """corners: xmin, ymin, xmax, ymax as VOC counts."""
    return corners[0] - 1 < corners[2] and corners[1] - 1 < corners[3]


def counted(box: Box) -> tuple[float, ...]:
    """xmin, ymin, xmax, ymax of the box's upright hull as VOC counts, to a thousandth of a pixel."""
    x0, y0, x1, y1 = box.bounds
    return tuple(round(float(v), 3) for v in (x0 + 1, y0 + 1, x1, y1))


def _number(item: Element, path: str) -> float | None:
    try:
        number = float(item.findtext(path) or "")
    except ValueError:
        return None
    return number if isfinite(number) else None


def boxes_of(
    found: Annotation, image: Path, every_class: Collection[str], notes: Notes, where: str
) -> tuple[Label, ...]:
    """The boxes on the upright photo, cut off at its border; complete but for the classes of damaged ones."""
    marks: list[Box] = []
    complete = set(every_class)
    for name, corners in found.objects:
        if not name:
            notes.add("boxes without a class name are left out", where)
            complete.clear()
        elif corners is None:
            notes.add("boxes without an area, or without the four numbers xmin to ymax, are left out", where)
            complete.discard(name)
        else:
            x0, y0, x1, y1 = corners
            marks.append(Box.upright(name, x0 - 1, y0 - 1, x1, y1))
    drawn = on_upright([Boxes(tuple(marks), frozenset(complete))], image, found.size, notes, where)
    return tuple(_cut_off(x, image, notes, where) if isinstance(x, Boxes) else x for x in drawn)


def _cut_off(boxes: Boxes, image: Path, notes: Notes, where: str) -> Boxes:
    try:
        height, width = image_size(image)
    except DataError:  # `check` reports the photo
        return boxes
    marks, outside = [], set()
    for box in boxes.marks:
        x0, y0, x1, y1 = box.bounds
        kept = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
        if max(abs(a - b) for a, b in zip(kept, box.bounds, strict=True)) > 1:
            notes.add("boxes that reach beyond the photo are cut off at its border", where)
        if kept[0] < kept[2] and kept[1] < kept[3]:
            marks.append(Box.upright(box.name, *kept))
        else:
            outside.add(box.name)
    return replace(boxes, marks=tuple(marks), complete=boxes.complete - outside)


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
