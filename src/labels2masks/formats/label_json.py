"""One label <-> one JSON object, in the words of `labels.schema.json`; every refusal names line and field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from ..classes import Classes
from ..errors import DataError, did_you_mean
from ..labels import (
    AreaShares,
    Box,
    Boxes,
    Label,
    Mask,
    Point,
    Points,
    Region,
    Regions,
    Scribbles,
    Stroke,
    Tags,
    kind_name,
)

FIELDS: Mapping[str, tuple[str, ...]] = {
    "tags": ("present", "absent", "complete"),
    "points": ("marks", "complete"),
    "scribbles": ("marks", "complete"),
    "boxes": ("marks", "complete"),
    "regions": ("marks", "complete"),
    "mask": ("path", "segments", "sets"),
    "shares": ("shares", "complete"),
}
"""What an object of each kind may hold beside `kind` and `seconds`."""


class Field:
    """A JSON value that knows where it stands, so that every error can say so."""

    __slots__ = ("key", "parent", "value")

    def __init__(self, value: Any, parent: Field | str, key: str | int | None = None):
        self.value, self.parent, self.key = value, parent, key

    @property
    def where(self) -> str:
        """ "labels.jsonl, line 3, labels[0], marks[2], x", put together only when it is needed."""
        if isinstance(self.parent, str):
            return self.parent
        return f"{self.parent.where}[{self.key}]" if isinstance(self.key, int) else f"{self.parent.where}, {self.key}"

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def has_value(self, key: str) -> bool:
        return key in self and self.value[key] is not None

    def fail(self, expected: str) -> DataError:
        shown = repr(self.value)
        return DataError(f"{self.where}: {shown if len(shown) < 60 else shown[:57] + '...'}; expected {expected}")

    def at(self, key: str) -> Field:
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        if key not in self.value:
            raise DataError(f"{self.where}: no {key!r}; see labels.schema.json")
        return Field(self.value[key], self, key)

    def only(self, *keys: str) -> None:
        if not isinstance(self.value, dict):
            raise self.fail("an object")
        unknown = next((k for k in self.value if k not in keys), None)
        if unknown is not None:
            raise DataError(f"{self.where}: unknown field {unknown!r}{did_you_mean(unknown, keys)}")

    def expect(self, key: str, value: object) -> None:
        if self.at(key).value != value:
            raise self.at(key).fail(f"{value!r}; this program reads version 1")

    def items(self, key: str | None = None, default: bool = False) -> Iterator[Field]:
        """The items of a list. default: a missing key is an empty list."""
        if key is not None:
            return iter(()) if default and key not in self else self.at(key).items()
        if not isinstance(self.value, list):
            raise self.fail("a list")
        return (Field(v, self, i) for i, v in enumerate(self.value))

    def pairs(self, key: str, default: bool = False) -> Iterator[tuple[str, Field]]:
        if default and key not in self:
            return iter(())
        inner = self.at(key)
        if not isinstance(inner.value, dict):
            raise inner.fail("an object")
        return ((name, Field(v, inner, name)) for name, v in inner.value.items())

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.fail("a text")
        return self.value

    def number(self) -> float:
        # Whole numbers of a thousand digits are JSON too; `float` of them overflows.
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or abs(self.value) > 1e300:
            raise self.fail("a number")
        if not isfinite(self.value):
            raise self.fail("a finite number")
        return float(self.value)

    def whole(self) -> int:
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not 0 <= self.value <= 65535:
            raise self.fail("a whole number, 0..65535")
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.fail("true or false")
        return self.value


def label_to_json(label: Label, path_text: Callable[[Path], str]) -> dict[str, Any]:
    """path_text: how a mask's path is written. Fields that say nothing are left out."""
    made: dict[str, Any] = {"kind": kind_name(label)}
    if isinstance(label, Tags):
        made["present"] = sorted(label.present)
        if label.absent:
            made["absent"] = sorted(label.absent)
    elif isinstance(label, Mask):
        if label.path is None:
            raise ValueError("the mask must be in a file before it is written as JSON")
        made["path"] = path_text(label.path)
        if label.segments is not None:
            made["segments"] = {str(segment): i for segment, i in sorted(label.segments.items())}
        if label.sets is not None:
            made["sets"] = {str(i): sorted(names) for i, names in sorted(label.sets.items())}
    elif isinstance(label, AreaShares):
        made["shares"] = {name: float(share) for name, share in label.shares.items()}
    else:
        made["marks"] = [_mark_to_json(m) for m in label.marks]
    if not isinstance(label, Mask) and label.complete:
        made["complete"] = sorted(label.complete)
    if label.seconds is not None:
        made["seconds"] = float(label.seconds)
    return made


def _mark_to_json(mark: Point | Stroke | Box | Region) -> dict[str, Any]:
    made: dict[str, Any] = {"name": mark.name}
    if isinstance(mark, Box):
        if mark.corners == Box.upright(mark.name, *mark.bounds).corners:
            made["bounds"] = [float(v) for v in mark.bounds]
        else:
            made["corners"] = _pairs(mark.corners)
        return made | ({"extremes": _pairs(mark.extremes)} if mark.extremes else {})
    if isinstance(mark, Region):
        # The shortest decimals that are the same float32 again: 12.34, not 12.34000015258789.
        made["polygons"] = [[[[float(str(v)) for v in xy] for xy in ring] for ring in p] for p in mark.polygons]
        return made | ({"crowd": True} if mark.crowd else {})
    if isinstance(mark, Point):
        made |= {"x": float(mark.x), "y": float(mark.y)}
    else:
        made |= {"xy": _pairs(mark.xy), "width": float(mark.width)}
    return made | ({"negative": True} if mark.negative else {})


def _pairs(xy: Iterable[tuple[float, float]]) -> list[list[float]]:
    return [[float(x), float(y)] for x, y in xy]


def label_from_json(field: Field, source: Classes, path_of: Callable[[Field], Path]) -> Label:
    """source: the classes and groups that names must be of. path_of: a mask's path. Raises DataError."""
    kind = field.at("kind").text()
    if kind not in FIELDS:
        raise DataError(f"{field.where}: unknown kind {kind!r}{did_you_mean(kind, FIELDS)}")
    field.only("kind", "seconds", *FIELDS[kind])
    seconds = field.at("seconds").number() if field.has_value("seconds") else None
    if seconds is not None and seconds < 0:
        raise field.at("seconds").fail("0 or more")
    if kind == "mask":
        return Mask(path_of(field.at("path")), seconds=seconds, segments=_segments(field), sets=_sets(field, source))
    complete = _names(field, "complete", source)
    if kind == "tags":
        return Tags(_names(field, "present", source), _names(field, "absent", source), complete, seconds)
    if kind == "shares":
        shares = {_known(n, f, source): f.number() for n, f in field.pairs("shares")}
        if any(not 0 <= s <= 1 for s in shares.values()):
            raise field.at("shares").fail("shares of the area, 0..1")
        return AreaShares(shares, complete, seconds)
    marks = field.items("marks")
    if kind == "points":
        return Points(tuple(_point(m, source) for m in marks), complete, seconds)
    if kind == "scribbles":
        return Scribbles(tuple(_stroke(m, source) for m in marks), complete, seconds)
    if kind == "regions":
        return Regions(tuple(_region(m, source) for m in marks), complete, seconds)
    return Boxes(tuple(_box(m, source) for m in marks), complete, seconds)


def _segments(field: Field) -> dict[int, int] | None:
    if "segments" not in field:
        return None
    return {_number(segment, value, 2**24): value.whole() for segment, value in field.pairs("segments")}


def _sets(field: Field, source: Classes) -> dict[int, frozenset[str]] | None:
    if "sets" not in field:
        return None
    made = {}
    for text, value in field.pairs("sets"):
        names = frozenset(_known(name.text(), name, source) for name in value.items())
        if not names:
            raise value.fail("at least one class")
        made[_number(text, value, 2**16)] = names
    return made


def _number(text: str, value: Field, beyond: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and int(text) < beyond):
        raise DataError(f"{value.where}: {text!r}; expected a whole number below {beyond}, as text")
    return int(text)


def _known(name: str, field: Field, source: Classes) -> str:
    if name not in source.names and name not in source.groups:
        raise DataError(f"{field.where}: unknown class {name!r}{did_you_mean(name, [*source.names, *source.groups])}")
    return name


def _names(field: Field, key: str, source: Classes) -> frozenset[str]:
    return frozenset(_known(f.text(), f, source) for f in field.items(key, default=True))


def _name(field: Field, source: Classes) -> str:
    named = field.at("name")
    return _known(named.text(), named, source)


def _negative(field: Field) -> bool:
    return field.at("negative").flag() if "negative" in field else False


def _point(field: Field, source: Classes) -> Point:
    field.only("name", "x", "y", "negative")
    return Point(_name(field, source), field.at("x").number(), field.at("y").number(), _negative(field))


def _stroke(field: Field, source: Classes) -> Stroke:
    field.only("name", "xy", "width", "negative")
    xy = _line(field.at("xy"))
    width = field.at("width").number() if "width" in field else 5.0
    if not xy or width <= 0:
        raise field.fail("at least one vertex in 'xy' and a 'width' above 0")
    return Stroke(_name(field, source), xy, width, _negative(field))


def _box(field: Field, source: Classes) -> Box:
    field.only("name", "bounds", "corners", "extremes")
    extremes = _line(field.at("extremes")) if "extremes" in field else ()
    if "corners" in field:
        corners = _line(field.at("corners"))
        if len(corners) != 4:
            raise field.at("corners").fail("four corners [x, y], in order around the box")
        return Box(_name(field, source), (corners[0], corners[1], corners[2], corners[3]), extremes)
    bounds = [b.number() for b in field.items("bounds")]
    if len(bounds) != 4 or bounds[0] > bounds[2] or bounds[1] > bounds[3]:
        raise field.at("bounds").fail("[x0, y0, x1, y1] with x0 <= x1 and y0 <= y1")
    return Box(_name(field, source), Box.upright("", *bounds).corners, extremes)


def _region(field: Field, source: Classes) -> Region:
    field.only("name", "polygons", "crowd")
    polygons = []
    for polygon in field.items("polygons"):
        rings = tuple(np.array(_line(ring), np.float32).reshape(-1, 2) for ring in polygon.items())
        if not rings or min(map(len, rings)) < 3 or not all(np.isfinite(ring).all() for ring in rings):
            raise polygon.fail("a ring of at least three vertices, and its holes")
        polygons.append(rings)
    return Region(_name(field, source), tuple(polygons), field.at("crowd").flag() if "crowd" in field else False)


def _line(field: Field) -> tuple[tuple[float, float], ...]:
    made = []
    for vertex in field.items():
        xy = [v.number() for v in vertex.items()]
        if len(xy) != 2:
            raise vertex.fail("[x, y]")
        made.append((xy[0], xy[1]))
    return tuple(made)
