"""The marks that a person drew on one photo in another tool: checked, cut at the photo's border, and what they promise.

Tools that box and outline promise that nothing was left out: in a photo with a box or an outline every object of every
class has its own, as all trainers on such files assume. A class of which a mark could not be used, or that is there by
a tag, a click or a line but neither boxed nor outlined, has no such promise; nor has one with boxes and outlines both,
where either may be all or some.

Legend: H, W = pixels; N = vertices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path

import numpy as np

from ..classes import Classes, Colour
from ..errors import DataError
from ..labels import Box, Boxes, Label, Point, Points, Region, Regions, Scribbles, Stroke, Tags
from ..labels.kinds import Polygon
from ..labels.outlines import regions
from .class_names import named_classes
from .image import image_size
from .listing import VOID_NAMES
from .notes import Notes
from .shapes import has_area, lines_within, pairs, ring_within

Ring = np.ndarray | Sequence[Sequence[float]]


class Marks:
    """The marks of one photo in the order in which they lie on each other, later on top.

    size: (height, width) of the picture that they are drawn on; at most the photo's number of pixels. where: for notes.
    Marks under a name for void ("ignore", "__ignore__") are areas that state nothing.
    """

    def __init__(self, size: tuple[int, int], notes: Notes, where: str) -> None:
        self.height, self.width = size
        self.notes, self.where = notes, where
        self.boxes: list[Box] = []
        self.regions: list[Region] = []
        self.points: list[Point] = []
        self.strokes: list[Stroke] = []
        self.present: set[str] = set()
        self.absent: set[str] = set()
        self.doubtful: set[str | None] = set()  # None: a mark of nobody knows which class

    @property
    def empty(self) -> bool:
        """Was nothing said, not even in vain?"""
        return not (
            self.boxes or self.regions or self.points or self.strokes or self.present or self.absent or self.doubtful
        )

    @property
    def names(self) -> set[str]:
        """All names that are used, those for void among them."""
        drawn = {m.name for marks in (self.boxes, self.regions, self.points, self.strokes) for m in marks}
        return drawn | self.present | self.absent

    def leave_out(self, name: str | None, sentence: str) -> None:
        """A mark of class `name` (None: unknown) is not used, and nothing is promised about its class."""
        self.notes.add(sentence, self.where)
        self.doubtful.add(name)

    def box(self, name: str, x0: float, y0: float, x1: float, y1: float) -> None:
        """The box over [x0, x1) x [y0, y1)."""
        if is_void(name):
            return self.region(name, [[[(x0, y0), (x1, y0), (x1, y1), (x0, y1)]]])
        if not all(map(isfinite, (x0, y0, x1, y1))):
            return self.leave_out(name, NOT_FINITE)
        left, right = (min(max(x, 0.0), float(self.width)) for x in (x0, x1))
        top, bottom = (min(max(y, 0.0), float(self.height)) for y in (y0, y1))
        if left >= right or top >= bottom:
            return self.leave_out(name, NO_AREA)
        self._cut(min(x0, y0) < -1 or x1 > self.width + 1 or y1 > self.height + 1)
        self.boxes.append(Box.upright(name, left, top, right, bottom))

    def turned_box(self, name: str, corners: Ring) -> None:
        """A box by its four corners in order. One that is not upright may reach out of the photo by the photo's size,
        since it has to keep its corners."""
        corners_42 = np.asarray(corners, np.float64)
        if is_void(name):
            return self.region(name, [[corners_42]])
        if not np.isfinite(corners_42).all():
            return self.leave_out(name, NOT_FINITE)
        box = Box(name, pairs(corners_42))  # type: ignore[arg-type]
        if box.is_upright:
            return self.box(name, *box.bounds)
        size = np.array([self.width, self.height])
        if not has_area(corners_42) or (corners_42 < -size).any() or (corners_42 > 2 * size).any():
            return self.leave_out(name, NO_AREA)
        self.boxes.append(box)

    def region(self, name: str, polygons: Iterable[Sequence[Ring]], crowd: bool = False) -> None:
        """An outlined object: polygons of an outer ring and its holes, each ring at least three vertices (x, y)."""
        kept: list[Polygon] = []
        for polygon in polygons:
            rings = [np.asarray(ring, np.float64) for ring in polygon]
            if not all(np.isfinite(ring).all() for ring in rings):
                return self.leave_out(name, NOT_FINITE)
            xy_N2 = np.concatenate(rings)
            if (xy_N2 < 0).any() or (xy_N2 > (self.width, self.height)).any():
                self._cut(bool((xy_N2 < -1).any() or (xy_N2 > (self.width + 1, self.height + 1)).any()))
                rings = [ring_within(ring, self.height, self.width) for ring in rings]
            if has_area(rings[0]):
                kept.append(tuple(ring.astype(np.float32) for ring in rings if len(ring) >= 3))
        if not kept:
            return self.leave_out(name, NO_AREA)
        region = Region(name, tuple(kept), crowd or is_void(name))
        if is_void(name) and touching(region, self.regions[-MOST_LOOKED_AT:]):
            self.notes.add("areas to ignore are void only where no object is outlined too", self.where)
        self.regions.append(region)

    def bitmap(self, name: str, of_object_HW: np.ndarray, left: int, top: int) -> None:
        """An object by its pixels: bool, a piece of the photo that begins at (left, top)."""
        found = regions(of_object_HW)
        self.region(name, [[np.array(ring[:-1], np.float64) + (left, top) for ring in rings] for rings, _ in found])

    def point(self, name: str, x: float, y: float) -> None:
        if is_void(name):
            return self.notes.add("clicks and lines on areas to ignore are left out", self.where)
        if not (0 <= x <= self.width and 0 <= y <= self.height):  # NaN is not either
            return self.leave_out(name, "clicks outside the photo are left out")
        self.points.append(Point(name, float(x), float(y)))

    def stroke(self, name: str, line: Ring) -> None:
        """A drawn line, in the width that strokes have where nobody said one; vertices that are all one are a dot."""
        line_N2 = np.asarray(line, np.float64)
        if is_void(name):
            return self.notes.add("clicks and lines on areas to ignore are left out", self.where)
        if not np.isfinite(line_N2).all():
            return self.leave_out(name, NOT_FINITE)
        line_N2 = line_N2[:1] if (line_N2 == line_N2[0]).all() else line_N2
        parts = lines_within(line_N2, self.height, self.width)
        if not parts:
            return self.leave_out(name, "lines outside the photo are left out")
        self._cut(bool((line_N2 < -1).any() or (line_N2 > (self.width + 1, self.height + 1)).any()))
        self.strokes += [Stroke(name, pairs(part)) for part in parts]

    def _cut(self, far: bool) -> None:
        """far: by more than a pixel; less is how tools round."""
        if far:
            self.notes.add("marks that reach out of the photo are cut at its border", self.where)

    def promised(self, classes: Classes) -> tuple[frozenset[str], frozenset[str]]:
        """(classes whose every object is boxed, classes whose every object is outlined); see the head of this file."""
        boxed = {b.name for b in self.boxes}
        outlined = {r.name for r in self.regions if not is_void(r.name)}
        seen = {m.name for marks in (self.points, self.strokes) for m in marks} | (self.present - boxed - outlined)
        if None in self.doubtful:
            return frozenset(), frozenset()
        sure = frozenset(classes.foreground) - seen - self.doubtful - (boxed & outlined)
        return sure - outlined, sure - boxed

    def labels(self, classes: Classes, nothing: type[Boxes] | type[Regions] | None = None) -> tuple[Label, ...]:
        """The marks as labels. nothing: what a photo without any mark is, where somebody looked at it: one without
        boxes, one without outlines, or (None) one of which nothing is known."""
        if self.empty:
            return () if nothing is None else (nothing((), complete=frozenset(classes.foreground)),)
        boxed, outlined = self.promised(classes)
        made: list[Label] = []
        if self.present or self.absent:
            present, absent = frozenset(self.present), frozenset(self.absent - self.present)
            made.append(Tags(present, absent, complete=present | absent))
        if self.points:
            made.append(Points(tuple(self.points)))
        if self.strokes:
            made.append(Scribbles(tuple(self.strokes)))
        if self.boxes:
            made.append(Boxes(tuple(self.boxes), boxed))
        if self.regions:
            made.append(Regions(tuple(self.regions), outlined))
        return tuple(made)


MOST_LOOKED_AT = 200
"""Regions that one is compared with: what a person draws is fewer, and what a hostile file holds takes no hours."""
MOST_CLASSES = 65533
"""Ids 0..65535, less the background and 255."""
NOT_FINITE = "marks with coordinates that are no finite numbers are left out"
NO_AREA = "marks without area in the photo are left out"


def is_void(name: str) -> bool:
    return name.lower() in VOID_NAMES


def touching(one: Region, others: Iterable[Region]) -> bool:
    """Do the upright hulls of `one` and of any other overlap?"""
    x0, y0, x1, y1 = one.bounds
    hulls = (other.bounds for other in others)
    return any(x0 < right and left < x1 and y0 < bottom and top < y1 for left, top, right, bottom in hulls)


def nothing_drawn(found: Iterable[Marks]) -> type[Boxes] | type[Regions] | None:
    """What a photo without a mark is in a data set with these: of the kind that the others have."""
    boxed = False
    for marks in found:
        if marks.regions:
            return Regions
        boxed |= bool(marks.boxes)
    return Boxes if boxed else None


def foreign_classes(path: Path, names: Iterable[str], colours: Mapping[str, Colour] | None = None) -> Classes:
    """Classes of a list that knows no background, which is added before all others; one that has it has it first.

    Names for void become groups of all classes, so that areas may bear them. colours: by name, used where all have one.
    Raises DataError for more of them than ids.
    """
    listed = dict.fromkeys(names)
    void = [n for n in listed if is_void(n)]
    if len(listed) > MOST_CLASSES:
        raise DataError(f"{path}: {len(listed)} classes; expected at most {MOST_CLASSES}, beside background and void")
    classes = named_classes(n for n in listed if n not in void)
    known = {classes.names[0]: (0, 0, 0), **(colours or {})}
    return replace(
        classes,
        colours=tuple(known[n] for n in classes.names) if known.keys() >= set(classes.names) else (),
        groups={n: classes.names for n in void},
    )


def photo_names(paths: Iterable[str]) -> dict[str, str]:
    """Path below a folder -> name of the photo: without suffix unless two would be one, without an `images/` that
    holds them all."""
    stems = {path: path.rpartition(".")[0] for path in paths}
    often = Counter(stems.values())
    cut = len("images/") if all(path.startswith("images/") for path in stems) else 0
    return {path: (stem if often[stem] == 1 else path)[cut:] for path, stem in stems.items()}


def drawable_size(image: Path, notes: Notes, where: str) -> tuple[int, int] | None:
    """(height, width) of the upright photo; None, with a note, where it can not be read."""
    try:
        return image_size(image)
    except DataError:
        notes.add("labels of photos that can not be read are left out", where)
        return None
