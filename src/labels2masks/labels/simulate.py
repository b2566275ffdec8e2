"""The cheaper labels that a person would have given, made from a full mask.

Each kind is a function of the truth and a random generator. What it says is true: at every pixel that is not void the
class is among the candidates that the label leaves. A class that can not be marked truly (too small for a click, in
crumbs outside all boxes) is not promised to be complete. `slips` makes of a true label one with people's mistakes.

Legend: H, W = pixels of the photo; h, w = pixels of an object's bounding box; P = points of a line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..classes import Classes
from ..errors import UsageError, did_you_mean
from .kinds import AreaShares, Box, Boxes, Label, Mask, Point, Points, Region, Scribbles, Stroke, Tags
from .rasterise import ink_region
from .slips import as_people_say, slipped
from .strokes import depth, stroke
from .truth import Object, Truth, as_mask, extremes, truth_of

KINDS = ("tags", "points", "scribbles", "boxes", "extreme", "shares", "block")

INWARDS, SPREAD = 1.75, 0.25
"""Where people click: the chance of a pixel grows with depth ** INWARDS (its way to the border) and falls as a normal
distribution with its way from the object's centre, SPREAD of the object's width and height being one standard
deviation. Fitted to the 893 clicks on `voc_animals` train that hit their object (Bearman et al. 2016):
benchmarks/simulated_labels.py."""

LENGTH = 0.6
"""Of people's strokes in the scribbles of the GrabCut photos the short ones take about 0.4 of the way from tip to tip,
the long ones all of it."""

PEN = 80
"""The pen is an 80th of the photo's long side: 6 pixels on the GrabCut photos."""

CELLS = 4
"""A block is a cell of this many by this many."""


def simulated(
    kind: str,
    ids_HW: np.ndarray,
    classes: Classes,
    rng: np.random.Generator,
    noise: bool = False,
    length: float = LENGTH,
    per: str = "class",
    outlined: Sequence[Region] = (),
) -> Label:
    """The label of one kind that a person would have given.

    kind: one of `KINDS`. ids_HW: the full mask in file ids; what is no class is void.
    noise: with people's mistakes (see `slips`); else everything it says is true.
    length: of strokes, as a share of the way from tip to tip of an object, above 0 and at most 1.
    per: "class" or "object": how many clicks and strokes. Boxes are per object always.
    outlined: the objects where they are known one by one, else connected regions stand for them.

    Raises UsageError for other values, and for a block with noise: of people's mistakes in masks nothing was measured.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind {kind!r}{did_you_mean(kind, KINDS)}")
    if per not in ("class", "object"):
        raise UsageError(f"marks are per 'class' or per 'object', got {per!r}")
    if not 0 < length <= 1:
        raise UsageError(f"the length of strokes is a share above 0 and at most 1, got {length}")
    if noise and kind == "block":
        raise UsageError("a block has no simulated noise: people's mistakes in masks were not measured")
    make: dict[str, Callable[[Truth, np.random.Generator], Label]] = {
        "tags": tags,
        "points": partial(points, per=per),
        "scribbles": partial(scribbles, length=length, per=per),
        "boxes": boxes,
        "extreme": extreme_clicks,
        "shares": shares,
        "block": block,
    }
    truth = truth_of(ids_HW, classes, outlined)
    label = make[kind](truth, rng)
    return slipped(label, truth, rng) if noise else label


def tags(truth: Truth, rng: np.random.Generator) -> Tags:
    """Every class that has a pixel; background is no tag."""
    present = truth.foreground & set(truth.names)
    return Tags(present=present, complete=_promised(truth, set(present)))


def points(truth: Truth, rng: np.random.Generator, per: str = "class") -> Points:
    """A click on every class, background among them (one, wherever `per`), or on every object.

    Larger objects are clicked sooner: the chance to be the one that is clicked goes by area.
    """
    marks: list[Point] = []
    for name in truth.names:
        clickable_HW = truth.clickable(name)
        reachable = [o for o in truth.objects_of(name) if (clickable_HW[o.window] & o.part_hw).any()]
        for chosen in _chosen(reachable, truth, per, rng):
            x, y = click(chosen.part_hw, rng, clickable_HW[chosen.window] & chosen.part_hw)
            marks.append(Point(name, chosen.x + x, chosen.y + y))
    return Points(tuple(marks), _promised(truth, {m.name for m in marks}))


def click(part_hw: np.ndarray, rng: np.random.Generator, clickable_hw: np.ndarray | None = None) -> tuple[float, float]:
    """(x, y) where a person clicks on an object: towards its middle (see `INWARDS`), at the centre of a pixel.

    part_hw: bool, the object. clickable_hw: the pixels of it that may be taken; None = all. At least one.
    """
    ys_P, xs_P = np.nonzero(part_hw if clickable_hw is None else clickable_hw)
    depth_hw = depth(part_hw)
    centre_y, centre_x = (axis.mean() for axis in np.nonzero(part_hw))
    h, w = part_hw.shape
    away_P = ((xs_P - centre_x) / w) ** 2 + ((ys_P - centre_y) / h) ** 2
    log_P = INWARDS * np.log(depth_hw[ys_P, xs_P]) - away_P / (2 * SPREAD**2)
    chance_P = np.exp(log_P - log_P.max())
    pick = rng.choice(len(chance_P), p=chance_P / chance_P.sum())
    return float(xs_P[pick]) + 0.5, float(ys_P[pick]) + 0.5


def scribbles(truth: Truth, rng: np.random.Generator, length: float = LENGTH, per: str = "class") -> Scribbles:
    """A stroke on every class or object, and up to three on the background, around what is on it."""
    marks: list[Stroke] = []
    width = max(3.0, float(round(max(truth.index_HW.shape) / PEN)))
    for name in truth.names:
        objects = truth.objects_of(name)
        chosen = _around(objects, truth, rng) if name == truth.classes.background else _chosen(objects, truth, per, rng)
        allowed_HW = truth.allowed(name)
        for part in chosen:
            true = partial(_stays, name, part, allowed_HW)
            if (drawn := stroke(part.part_hw, length, width, true, rng)) is not None:
                xy = tuple((float(x) + part.x, float(y) + part.y) for x, y in drawn[0].round(1))
                marks.append(Stroke(name, xy, drawn[1]))
    return Scribbles(tuple(marks), _promised(truth, {m.name for m in marks}))


def boxes(truth: Truth, rng: np.random.Generator) -> Boxes:
    """A tight box around every object.

    Without a background something must be possible beside all boxes: where void lies there, only absent classes are
    promised.
    """
    marks = []
    covered = {name: np.zeros(truth.index_HW.shape, bool) for name in truth.classes.foreground}
    for one in truth.objects:
        if one.name in covered:
            h, w = one.part_hw.shape
            marks.append(Box.upright(one.name, one.x, one.y, one.x + w, one.y + h))
            covered[one.name][one.window] = True
    if truth.classes.background is None and not np.any(list(covered.values()), axis=0).all():
        return Boxes(tuple(marks), _promised(truth, set()))
    outside = {n for n, c_HW in covered.items() if ((truth.index_HW == truth.classes.index(n)) & ~c_HW).any()}
    return Boxes(tuple(marks), _promised(truth, set(truth.names) - outside))


def extreme_clicks(truth: Truth, rng: np.random.Generator) -> Boxes:
    """The same boxes, clicked at the object's left, top, right and bottom (Papadopoulos et al. 2017).

    A click speaks for a few pixels around it. So it is moved inwards by up to as many, and left out where the object's
    tip is thinner than that.
    """
    made = boxes(truth, rng)
    objects = [o for o in truth.objects if o.name in truth.foreground]
    rooms = {name: truth.clickable(name, on_void=False) for name in {o.name for o in objects}}
    marks = []
    for box, one in zip(made.marks, objects, strict=True):
        clickable_hw = rooms[one.name][one.window] & one.part_hw
        ys_P, xs_P = np.nonzero(clickable_hw)
        found = []
        for x, y in extremes(one.part_hw, rng):
            if len(xs_P) and (away_P := np.hypot(xs_P + 0.5 - x, ys_P + 0.5 - y)).min() <= 5:
                nearest = int(away_P.argmin())
                found.append((one.x + float(xs_P[nearest]) + 0.5, one.y + float(ys_P[nearest]) + 0.5))
        marks.append(replace(box, extremes=tuple(found)))
    return replace(made, marks=tuple(marks))


def shares(truth: Truth, rng: np.random.Generator) -> AreaShares:
    """The area of every class but background as people say it (see `as_people_say`), void left out of the whole."""
    count_C = np.bincount(truth.index_HW.ravel() + 1, minlength=len(truth.classes) + 1)[1:]
    share_C = count_C / max(int(count_C.sum()), 1)
    present = [n for n in truth.names if n in truth.foreground]
    told = {n: as_people_say(share_C[truth.classes.index(n)]) for n in present}
    return AreaShares(told, _promised(truth, set(present)))


def block(truth: Truth, rng: np.random.Generator) -> Mask:
    """The full mask of one cell of a grid of `CELLS` by `CELLS`, void around it (Lin et al. 2019, "Block Annotation").

    A cell in which something is known; which one is drawn.
    """
    height, width = truth.index_HW.shape
    rows = np.linspace(0, height, min(CELLS, height) + 1).astype(int)
    columns = np.linspace(0, width, min(CELLS, width) + 1).astype(int)
    cells = [
        (slice(y0, y1), slice(x0, x1))
        for y0, y1 in zip(rows, rows[1:], strict=False)
        for x0, x1 in zip(columns, columns[1:], strict=False)
    ]
    known = [c for c in cells if (truth.index_HW[c] >= 0).any()]
    return as_mask(truth, known[rng.integers(len(known))] if known else cells[0])


def _chosen(objects: Sequence[Object], truth: Truth, per: str, rng: np.random.Generator) -> Sequence[Object]:
    """The objects of one class that are marked."""
    if not objects or (per == "object" and objects[0].name != truth.classes.background):
        return objects
    area_O = np.array([o.area for o in objects], float)
    return [objects[rng.choice(len(objects), p=area_O / area_O.sum())]]


def _around(ground: Sequence[Object], truth: Truth, rng: np.random.Generator) -> list[Object]:
    """Parts of the largest region of the background in three sectors around the middle of the photo."""
    largest = max(ground, key=lambda o: o.area)
    height, width = truth.index_HW.shape
    y_hw, x_hw = np.indices(largest.part_hw.shape)
    angle_hw = np.arctan2((y_hw + largest.y - height / 2) / height, (x_hw + largest.x - width / 2) / width)
    sector_hw = ((angle_hw / (2 * np.pi) + rng.random()) % 1 * 3).astype(int)
    parts = [largest.part_hw & (sector_hw == k) for k in range(3)]
    return [replace(largest, part_hw=p) for p in parts if p.sum() >= 0.02 * truth.index_HW.size] or [largest]


def _stays(name: str, part: Object, allowed_HW: np.ndarray, line_P2: np.ndarray, width: float) -> bool:
    """Does a line in the part's own coordinates leave ink only where its class, or void, is?"""
    h, w = part.part_hw.shape
    x_P, y_P = np.floor(line_P2).astype(int).T
    if x_P.min() < 0 or y_P.min() < 0 or x_P.max() >= w or y_P.max() >= h or not part.part_hw[y_P, x_P].all():
        return False
    mark = Stroke(name, tuple((float(x) + part.x, float(y) + part.y) for x, y in line_P2.round(1)), width)
    return bool(allowed_HW[ink_region(mark, *allowed_HW.shape)].all())


def _promised(truth: Truth, marked: set[str]) -> frozenset[str]:
    """The classes that are marked or not there; none where the whole photo is void."""
    return truth.foreground - (set(truth.names) - marked) if truth.names else frozenset()
