"""One mark of the page: what a person drew in one go, under an id of its own; and other tools' labels as such marks.

Coordinates are (x, y) in pixels of the upright photo, continuous. `order` counts the changes of a project: of two marks
that contradict each other on a pixel the one with the higher order stands there (see `newest`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import DataError, did_you_mean
from ..formats.label_json import Field
from ..formats.marks import NO_AREA
from ..formats.shapes import has_area, pairs
from ..labels import AreaShares, Box, Boxes, Label, Mask, Points, Region, Regions, Scribbles, Tags
from ..labels.kinds import XY

VERTICES = {
    "tag": (0, 0),
    "point": (1, 1),
    "scribble": (1, 20_000),
    "box": (2, 2),
    "extreme": (4, 4),
    "polygon": (3, 5_000),
}
"""Kind -> how few and how many vertices its marks have."""
MOST_SECONDS = 86_400.0
WIDTHS = (0.1, 1_000.0)
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Mark:
    """kind: one of `VERTICES`, or "region", "mask" and "shares" for what a file said and no tool here draws.
    held: the file's own label, where the other fields do not say all of it.

    negative: "not this class here"; of a tag: nowhere in the photo. width: of a scribble's pen, pixels. seconds: a
    person's, None where nobody measured. made: "page" or "file".
    """

    id: str
    kind: str
    name: str
    xy: tuple[XY, ...] = ()
    negative: bool = False
    width: float = 5.0
    seconds: float | None = None
    order: int = 0
    made: str = "page"
    held: Box | Region | Mask | AreaShares | None = None

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of the upright hull of its vertices."""
        if isinstance(self.held, Region):
            return self.held.bounds
        xs, ys = zip(*self.xy, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def to_json(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "negative": self.negative,
            "xy": [list(xy) for xy in self.xy],
            "width": self.width,
            "seconds": self.seconds,
            "order": self.order,
            "made": self.made,
        }
        if isinstance(self.held, Region):
            made["polygons"] = [[ring_N2.tolist() for ring_N2 in polygon] for polygon in self.held.polygons]
        return made


def mark_from_json(field: Field, size: tuple[int, int]) -> Mark:
    """A mark as the browser sends it. size: (height, width) of the photo; what leads out of it is moved to its border.

    `order` and `made` are the server's to say, so what is sent there is not looked at. Raises DataError.
    """
    field.only("id", "kind", "name", "negative", "xy", "width", "seconds", "order", "made")
    mark_id, kind, name = field.at("id").text(), field.at("kind").text(), field.at("name").text()
    if not _ID.fullmatch(mark_id):
        raise field.at("id").fail("1 to 64 letters, digits, '-' and '_'")
    if kind not in VERTICES:
        raise DataError(f"{field.where}: unknown kind {kind!r}{did_you_mean(kind, VERTICES)}")
    fewest, most = VERTICES[kind]
    xy = _line(field.at("xy"), most) if "xy" in field else ()
    if not fewest <= len(xy) <= most:
        raise DataError(f"{field.where}: {kind} with {len(xy)} vertices; expected {fewest} to {most}")
    height, width = size
    xy = tuple((min(max(x, 0.0), float(width)), min(max(y, 0.0), float(height))) for x, y in xy)
    pen = field.at("width").number() if kind == "scribble" and field.has_value("width") else 5.0
    if not WIDTHS[0] <= pen <= WIDTHS[1]:
        raise field.at("width").fail(f"a pen of {WIDTHS[0]} to {WIDTHS[1]} pixels")
    seconds = field.at("seconds").number() if field.has_value("seconds") else None
    if seconds is not None and not 0 <= seconds <= MOST_SECONDS:
        raise field.at("seconds").fail(f"seconds, 0 to {MOST_SECONDS:.0f}")
    negative = field.at("negative").flag() if field.has_value("negative") else False
    if negative and kind not in ("tag", "point", "scribble"):
        raise field.at("negative").fail("false: only tags, points and scribbles can say 'not this'")
    made = Mark(mark_id, kind, name, xy, negative, pen, seconds)
    if kind in ("box", "extreme", "polygon") and not _spans(made):
        raise DataError(f"{field.where}: {NO_AREA}")
    return made


def _line(field: Field, most: int) -> tuple[XY, ...]:
    made: list[XY] = []
    for vertex in field.items():
        xy = [v.number() for v in vertex.items()]
        if len(xy) != 2:
            raise vertex.fail("[x, y]")
        if len(made) == most:
            raise DataError(f"{field.where}: more than {most} vertices; draw it in parts")
        made.append((xy[0], xy[1]))
    return tuple(made)


def _spans(mark: Mark) -> bool:
    if mark.kind == "polygon":
        return has_area(np.array(mark.xy))
    x0, y0, x1, y1 = mark.bounds
    return x1 > x0 and y1 > y0


def renamed(mark: Mark, name: str, to: str, in_file: bool) -> Mark:
    """The mark with one class name changed; in what a file said, too, where `in_file` is set."""
    held = mark.held
    if in_file and isinstance(held, AreaShares):
        held = replace(held, shares={to if n == name else n: share for n, share in held.shares.items()})
    elif in_file and isinstance(held, Mask) and held.sets:
        sets = {i: frozenset(to if n == name else n for n in names) for i, names in held.sets.items()}
        held = replace(held, sets=sets)
    return replace(mark, name=to if mark.name == name else mark.name, held=held)


def marks_of(labels: Sequence[Label]) -> tuple[Mark, ...]:
    """What was said of one photo elsewhere, as marks in the order in which it is read; ids are equal at every opening.

    Promises and seconds of a label are not a mark's: see `newest`.
    """
    found = [replace(mark, made="file") for label in labels for mark in _marks_of(label)]
    return tuple(replace(mark, id=f"file-{k}") for k, mark in enumerate(found))


def _marks_of(label: Label) -> Iterator[Mark]:
    if isinstance(label, Tags):
        for name in sorted(label.present | label.absent):
            yield Mark("", "tag", name, negative=name not in label.present)
    elif isinstance(label, Points):
        for point in label.marks:
            yield Mark("", "point", point.name, ((point.x, point.y),), point.negative)
    elif isinstance(label, Scribbles):
        for stroke in label.marks:
            yield Mark("", "scribble", stroke.name, stroke.xy, stroke.negative, stroke.width)
    elif isinstance(label, Boxes):
        for box in label.marks:
            yield _mark_of_box(box)
    elif isinstance(label, Regions):
        for region in label.marks:
            plain = len(region.polygons) == 1 and len(region.polygons[0]) == 1 and not region.crowd
            if plain:
                yield Mark("", "polygon", region.name, pairs(region.polygons[0][0]))
            else:
                yield Mark("", "region", region.name, held=region)
    elif isinstance(label, AreaShares):
        yield Mark("", "shares", "", held=replace(label, complete=frozenset()))
    else:
        yield Mark("", "mask", "", held=label)


def _mark_of_box(box: Box) -> Mark:
    x0, y0, x1, y1 = box.bounds
    if box.is_upright and len(box.extremes) == 4:
        return Mark("", "extreme", box.name, box.extremes, held=box)
    return Mark("", "box", box.name, ((x0, y0), (x1, y1)) if box.is_upright else box.corners, held=box)
