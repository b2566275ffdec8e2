"""What a person can say about an image, one small type per kind.

Coordinates are (x, y) in pixels of the upright image, continuous: pixel x covers
[x, x + 1). Names are classes or groups of the source's `Classes`. Every kind carries
    complete: the classes for which nothing was left out in this image. For Boxes and Regions: every
        instance has its own. For Tags, Points, Scribbles and AreaShares: every class that is in the
        image has a mark. Default: nothing is promised, so an unmarked class may be anywhere.
    seconds: what the annotation of this kind took in this image, None where nobody measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

XY = tuple[float, float]


@dataclass(frozen=True)
class Tags:
    """Classes that are somewhere in the image (`present`) and that are not (`absent`)."""

    present: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    complete: frozenset[str] = frozenset()
    seconds: float | None = None


@dataclass(frozen=True)
class Point:
    """One click. negative: "not this class here"."""

    name: str
    x: float
    y: float
    negative: bool = False


@dataclass(frozen=True)
class Points:
    marks: tuple[Point, ...]
    complete: frozenset[str] = frozenset()
    seconds: float | None = None


@dataclass(frozen=True)
class Stroke:
    """A drawn line through `xy`, `width` pixels wide; one vertex is a dot. negative: "not this class here"."""

    name: str
    xy: tuple[XY, ...]
    width: float = 5.0
    negative: bool = False


@dataclass(frozen=True)
class Scribbles:
    marks: tuple[Stroke, ...]
    complete: frozenset[str] = frozenset()
    seconds: float | None = None


@dataclass(frozen=True)
class Box:
    """Four corners in order around the box, so that a rotated box is a box too.

    extremes: points on the object at its left, top, right and bottom, where it was clicked so
        (Papadopoulos et al. 2017, "Extreme clicking for efficient object annotation").
    """

    name: str
    corners: tuple[XY, XY, XY, XY]
    extremes: tuple[XY, ...] = ()

    @classmethod
    def upright(cls, name: str, x0: float, y0: float, x1: float, y1: float) -> Box:
        """The box over [x0, x1) x [y0, y1): VOC's 1-based inclusive (1, 1, 2, 2) is (0, 0, 2, 2)."""
        return cls(name, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of the upright hull."""
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    @property
    def is_upright(self) -> bool:
        x0, y0, x1, y1 = self.bounds
        return set(self.corners) == {(x0, y0), (x1, y0), (x1, y1), (x0, y1)}


@dataclass(frozen=True)
class Boxes:
    marks: tuple[Box, ...]
    complete: frozenset[str] = frozenset()
    seconds: float | None = None


Polygon = tuple[np.ndarray, ...]
"""Rings of float32 (x, y), N2, not closed: the outer one and its holes. Inside is what an odd number of them holds."""


@dataclass(frozen=True, eq=False, slots=True)
class Region:
    """An outlined object: the union of its polygons. crowd: a rough outline around many, which says nothing inside."""

    name: str
    polygons: tuple[Polygon, ...]
    crowd: bool = False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Region):
            return NotImplemented
        return self._said() == other._said()

    def __hash__(self) -> int:
        return hash(self._said())

    def _said(self) -> tuple[object, ...]:
        return self.name, self.crowd, tuple(tuple(ring.tobytes() for ring in p) for p in self.polygons)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of the upright hull; zeros where there is no polygon."""
        if not self.polygons:
            return 0.0, 0.0, 0.0, 0.0
        xy_N2 = np.concatenate([ring for polygon in self.polygons for ring in polygon])
        return (*map(float, xy_N2.min(axis=0)), *map(float, xy_N2.max(axis=0)))  # type: ignore[return-value]


@dataclass(frozen=True)
class Regions:
    """Outlined objects; where two overlap the later one lies on top."""

    marks: tuple[Region, ...]
    complete: frozenset[str] = frozenset()
    seconds: float | None = None


@dataclass(frozen=True)
class Mask:
    """A class for every pixel, in the file ids of the source.

    Either `path` (an indexed image) or `ids_HW` (int32; -1 = outside the photo, void).
    An id in the source's `void_ids` states nothing. A mask is complete by definition.
    segments: for a panoptic PNG, in which a pixel's segment is red + 256 green + 65536 blue: segment -> file id;
        a segment that is not among them is void.
    sets: ids that stand for several classes, "one of these": what a narrowing step left undecided. A mask that has any,
        even an empty table, is an inference from other labels and never the truth to score against.
    """

    path: Path | None = None
    ids_HW: np.ndarray | None = field(default=None, compare=False)
    seconds: float | None = None
    segments: Mapping[int, int] | None = None
    sets: Mapping[int, frozenset[str]] | None = None


@dataclass(frozen=True)
class AreaShares:
    """The share of the image's area that each class takes, 0..1."""

    shares: Mapping[str, float]
    complete: frozenset[str] = frozenset()
    seconds: float | None = None


Label: TypeAlias = Tags | Points | Scribbles | Boxes | Regions | Mask | AreaShares


def kind_name(label: Label) -> str:
    """'tags', 'points', 'scribbles', 'boxes', 'regions', 'mask' or 'shares': the kind's word in files and tables."""
    return {AreaShares: "shares"}.get(type(label), type(label).__name__.lower())  # type: ignore[arg-type]
