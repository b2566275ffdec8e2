"""Marks in the order in which they were made -> labels, in which the newest statement stands at every pixel.

Labels have an order of strength of their own (`labels.rasterise`): ink, then outlines, boxes, tags; within a kind the
newer wins. So ink over an older outline needs nothing. Where a weaker mark is newer than a stronger one that it
contradicts, the older one must not speak there:
    an outline over older ink       the ink is cut at the outline; what lies outside it stays
    an outline over extreme clicks  those of another class inside it are left out of the box
    "not in this photo"             older marks of the class are left out; a newer one takes the tag back
A box says nothing of single pixels (its object is somewhere in it), so it contradicts no ink. Nothing is deleted: the
marks stay as they are, and what was cut comes back when the newer one is removed.

Legend: H, W = pixels of the photo; h, w = of a part of it; N = vertices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import ceil

import cv2
import numpy as np

from ..classes import Vocabulary
from ..labels import Box, Boxes, Label, Mask, Point, Points, Region, Regions, Scribbles, Stroke, Tags
from ..labels.kinds import XY
from ..labels.outlines import filled
from ..labels.rasterise import INK_RADIUS
from .marks import Mark

INK = ("point", "scribble")
BOXED = ("box", "extreme")
OUTLINED = ("polygon", "region")
NEAR = 3.0
"""Pixels by which a mark may reach out of the box or outline of its object and still be one of it."""


@dataclass(frozen=True)
class Promises:
    """What a person promised of one photo, beside the marks.

    answers: class -> "all" (every one is marked) or "some". named, boxed, outlined: what an opened file promised: the
    classes that are marked if they are there, those whose every object has a box, those whose every object has an
    outline. seconds: kind of label -> what it took there, in all.
    """

    answers: Mapping[str, str] = field(default_factory=dict)
    named: frozenset[str] = frozenset()
    boxed: frozenset[str] = frozenset()
    outlined: frozenset[str] = frozenset()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def of(self, name: str, in_file: frozenset[str] = frozenset()) -> bool:
        """Does the promise hold for a class? A person's answer counts more than the file's."""
        answer = self.answers.get(name)
        return answer == "all" or (answer is None and name in in_file)


def labels_of(marks: Iterable[Mark], vocabulary: Vocabulary, promises: Promises) -> tuple[Label, ...]:
    """The labels of one photo. marks: in any order; vocabulary: how their names read today."""
    marks = _without_denied(sorted(marks, key=lambda m: m.order))
    made: list[Label] = [m.held for m in marks if m.kind in ("mask", "shares")]  # type: ignore[misc]
    if any(isinstance(label, Mask) for label in made):  # "all are marked" then means by the mask, which says so itself
        promises = replace(promises, answers={n: a for n, a in promises.answers.items() if a != "all"})
    made += _tags(marks, vocabulary, promises)
    made += _boxes(marks, vocabulary, promises)
    made += _outlines(marks, vocabulary, promises)
    return (*made, *_ink(marks, vocabulary, promises))


def _without_denied(marks: Sequence[Mark]) -> list[Mark]:
    """Without tags that a newer mark takes back, and without older marks of a class that is said not to be there."""
    newest: dict[str, Mark] = {}
    denied: dict[str, int] = {}
    for mark in marks:
        if mark.kind == "tag":
            newest[mark.name] = mark
        if mark.kind == "tag" and mark.negative:
            denied[mark.name] = mark.order
        elif not mark.negative:
            denied.pop(mark.name, None)
    return [
        m
        for m in marks
        if (m.kind != "tag" and (m.negative or m.order > denied.get(m.name, m.order - 1)))
        or (m.kind == "tag" and m is newest[m.name] and (not m.negative or m.name in denied))
    ]


def _tags(marks: Sequence[Mark], vocabulary: Vocabulary, promises: Promises) -> list[Label]:
    """Tags, and with them for which classes nothing was left out of the photo."""
    tags = [m for m in marks if m.kind == "tag"]
    marked = _marked(marks)
    in_file = promises.named | promises.boxed | promises.outlined
    complete = frozenset(n for n in vocabulary.source.foreground if promises.of(n, in_file))
    absent = frozenset(m.name for m in tags if m.negative)
    present = frozenset(m.name for m in tags if not m.negative) | (complete & marked)
    if not (present or absent or complete):
        return []
    seconds = _seconds(tags, "tags", promises) if tags else 0.0
    return [Tags(present, absent, complete, seconds)]


def _marked(marks: Iterable[Mark]) -> frozenset[str]:
    return frozenset(m.name for m in marks if not m.negative and m.name)


def _boxes(marks: Sequence[Mark], vocabulary: Vocabulary, promises: Promises) -> list[Label]:
    boxes = [m for m in marks if m.kind in BOXED]
    if not boxes:
        return []
    outlines = [m for m in marks if m.kind in OUTLINED]
    drawn = tuple(_box(m, [o for o in outlines if o.order > m.order and _excludes(o, m, vocabulary)]) for m in boxes)

    def covered(name: str) -> bool:
        own = [m.bounds for m in boxes if m.name == name]
        rest = [m for m in marks if m.name == name and not m.negative and m.xy + _outer(m) and m.kind not in BOXED]
        return all(any(_holds(box, xy) for box in own) for m in rest for xy in m.xy + _outer(m))

    names = vocabulary.source.foreground
    complete = frozenset(n for n in names if promises.of(n, promises.boxed) and covered(n))
    return [Boxes(drawn, complete, _seconds(boxes, "boxes", promises))]


def _outer(mark: Mark) -> tuple[XY, ...]:
    """Two corners of what only a file can say."""
    if not isinstance(mark.held, Region):
        return ()
    x0, y0, x1, y1 = mark.bounds
    return (x0, y0), (x1, y1)


def _holds(bounds: tuple[float, float, float, float], xy: XY) -> bool:
    x0, y0, x1, y1 = bounds
    return x0 - NEAR <= xy[0] <= x1 + NEAR and y0 - NEAR <= xy[1] <= y1 + NEAR


def _box(mark: Mark, over: Sequence[Mark]) -> Box:
    """over: newer outlines of other classes."""
    if isinstance(mark.held, Box):
        box = replace(mark.held, name=mark.name)
    else:
        box = replace(Box.upright(mark.name, *mark.bounds), extremes=mark.xy if mark.kind == "extreme" else ())
    return replace(box, extremes=tuple(xy for xy in box.extremes if not any(_is_in(o, xy, INK_RADIUS) for o in over)))


def _outlines(marks: Sequence[Mark], vocabulary: Vocabulary, promises: Promises) -> list[Label]:
    outlines = [m for m in marks if m.kind in OUTLINED]
    if not outlines:
        return []

    def covered(name: str) -> bool:
        own = [m for m in outlines if m.name == name]
        rest = [m for m in marks if m.name == name and not m.negative and m.kind in (*INK, *BOXED)]
        return all(m.kind in INK and any(_is_in(o, xy, NEAR) for o in own) for m in rest for xy in m.xy)

    names = vocabulary.source.foreground
    complete = frozenset(n for n in names if promises.of(n, promises.outlined) and covered(n))
    return [Regions(tuple(map(_region, outlines)), complete, _seconds(outlines, "regions", promises))]


def _region(mark: Mark) -> Region:
    if isinstance(mark.held, Region):
        return Region(mark.name, mark.held.polygons, mark.held.crowd)
    return Region(mark.name, ((np.array(mark.xy, np.float32),),))


def _ink(marks: Sequence[Mark], vocabulary: Vocabulary, promises: Promises) -> list[Label]:
    """Points and strokes as few labels as keep the newer of two that overlap behind the older."""
    outlines = [m for m in marks if m.kind in OUTLINED]
    groups: list[list[Mark]] = []
    for mark in (m for m in marks if m.kind in INK):
        for part in _cut(mark, tuple(o for o in outlines if o.order > mark.order and _excludes(o, mark, vocabulary))):
            for group in reversed(groups):
                if (group[0].kind, group[0].made) == (part.kind, part.made):
                    group.append(part)
                    break
                if any(_overlap(part, other) for other in group):
                    groups.append([part])
                    break
            else:
                groups.append([part])
    return [_ink_label(group, promises) for group in groups]


def _ink_label(group: Sequence[Mark], promises: Promises) -> Label:
    if group[0].kind == "point":
        points = tuple(Point(m.name, *m.xy[0], m.negative) for m in group)
        return Points(points, seconds=_seconds(group, "points", promises))
    strokes = tuple(Stroke(m.name, m.xy, m.width, m.negative) for m in group)
    return Scribbles(strokes, seconds=_seconds(group, "scribbles", promises))


def _seconds(marks: Sequence[Mark], kind: str, promises: Promises) -> float | None:
    """What the marks of one label took in all; None where somebody's time for one of them is not known."""
    own = [m.seconds for m in marks if m.made == "page"]
    if len(own) < len(marks):
        own.append(promises.seconds.get(kind))
    known = [s for s in own if s is not None]
    return sum(known) if len(known) == len(own) else None


def _excludes(newer: Mark, older: Mark, vocabulary: Vocabulary) -> bool:
    """Can no class be what both marks say?"""
    if isinstance(newer.held, Region) and newer.held.crowd:
        return False
    one, other = vocabulary.meaning(newer.name), vocabulary.meaning(older.name)
    if older.negative:
        return bool(one) and one <= vocabulary.ruled_out({older.name})
    return bool(one and other) and one.isdisjoint(other)


def _reach(mark: Mark) -> float:
    return INK_RADIUS if mark.kind == "point" else mark.width / 2


def _overlap(one: Mark, other: Mark) -> bool:
    x0, y0, x1, y1 = one.bounds
    left, top, right, bottom = other.bounds
    far = _reach(one) + _reach(other) + 1
    return x0 <= right + far and left <= x1 + far and y0 <= bottom + far and top <= y1 + far


def _is_in(outline: Mark, xy: XY, reach: float) -> bool:
    """Does the outline hold the place, or come nearer to it than `reach`?"""
    return bool(_near(outline, np.array([xy]), reach)[0])


def _near(outline: Mark, xy_N2: np.ndarray, reach: float) -> np.ndarray:
    """bool N: is the place less than `reach` pixels from a pixel of the outlined area?

    A disc around it then has no pixel in the area. Looked at in the part of the photo where both are.
    """
    x0, y0, x1, y1 = outline.bounds
    margin = ceil(reach) + 2
    low = np.floor(np.maximum(xy_N2.min(axis=0), (x0, y0))) - margin
    high = np.ceil(np.minimum(xy_N2.max(axis=0), (x1, y1))) + margin
    if (high <= low).any():
        return np.zeros(len(xy_N2), bool)
    cell = max(float(np.prod(high - low) / MOST_LOOKED_AT) ** 0.5, 1.0)
    w, h = np.ceil((high - low) / cell).astype(int)
    area_hw = np.zeros((h, w), bool)
    for polygon in _region(outline).polygons:
        area_hw |= filled([(ring_N2 - low) / cell for ring_N2 in polygon], h, w)
    if not area_hw.any():
        return np.zeros(len(xy_N2), bool)
    away_hw = cv2.distanceTransform((~area_hw).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    place_N2 = np.floor((xy_N2 - low) / cell).astype(int)
    inside_N = ((place_N2 >= 0) & (place_N2 < (w, h))).all(axis=1)
    x_N, y_N = np.clip(place_N2, 0, (w - 1, h - 1)).T
    return inside_N & (away_hw[y_N, x_N] <= reach / cell + 1)


MOST_LOOKED_AT = 1_000_000
"""Pixels at which ink and outlines are compared; where a photo has more, in cells of several pixels."""


@lru_cache(maxsize=4_096)
def _cut(mark: Mark, over: tuple[Mark, ...]) -> tuple[Mark, ...]:
    """What is left of ink that newer outlines lie over: a point or nothing, a stroke or the pieces of one."""
    if not over:
        return (mark,)
    line_N2 = np.array(mark.xy, np.float64)
    line_N2 = line_N2 if mark.kind == "point" else _fine(line_N2)
    gone_N = np.zeros(len(line_N2), bool)
    for outline in over:
        gone_N |= _near(outline, line_N2, _reach(mark))
    if not gone_N.any():
        return (mark,)
    borders = np.flatnonzero(np.diff(gone_N)) + 1
    pieces = np.split(line_N2, borders)
    kept = [piece for piece, gone in zip(pieces, gone_N[[0, *borders]], strict=True) if not gone]
    seconds = None if mark.seconds is None else mark.seconds / max(len(kept), 1)
    return tuple(replace(mark, xy=tuple(map(tuple, piece.tolist())), seconds=seconds) for piece in kept)


def _fine(line_N2: np.ndarray) -> np.ndarray:
    """The line with vertices at most a pixel apart."""
    parts = [line_N2[:1]]
    for start, end in zip(line_N2[:-1], line_N2[1:], strict=True):
        steps = max(ceil(float(np.hypot(*(end - start)))), 1)
        parts.append(start + (end - start) * (np.arange(1, steps + 1) / steps)[:, None])
    return np.concatenate(parts)
