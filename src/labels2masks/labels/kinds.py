"""What a person can say about an image, one small type per kind.

Coordinates are (x, y) in pixels of the upright image, continuous: pixel x covers
[x, x + 1). Names are classes or groups of the source's `Classes`. Every kind carries
    complete: the classes for which nothing was left out in this image. For Boxes: every
        instance has its box. For Tags, Points, Scribbles and AreaShares: every class that is in the
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
    """Four corners in order around the box, so that a rotated box is a box too."""

    name: str
    corners: tuple[XY, XY, XY, XY]

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


@dataclass(frozen=True)
class Mask:
    """A class for every pixel, in the file ids of the source.

    Either `path` (an indexed image) or `ids_HW` (int32; -1 = outside the photo, void).
    An id in the source's `void_ids` states nothing. A mask is complete by definition.
    """

    path: Path | None = None
    ids_HW: np.ndarray | None = field(default=None, compare=False)
    seconds: float | None = None


@dataclass(frozen=True)
class AreaShares:
    """The share of the image's area that each class takes, 0..1."""

    shares: Mapping[str, float]
    complete: frozenset[str] = frozenset()
    seconds: float | None = None


Label: TypeAlias = Tags | Points | Scribbles | Boxes | Mask | AreaShares


def kind_name(label: Label) -> str:
    """'tags', 'points', 'scribbles', 'boxes', 'mask' or 'shares': the word for this kind in files and tables."""
    return {AreaShares: "shares"}.get(type(label), type(label).__name__.lower())  # type: ignore[arg-type]
