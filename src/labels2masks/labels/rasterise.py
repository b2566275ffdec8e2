"""Labels -> Candidates, at any place and size.

Statements are made from the weakest to the strongest: tags, boxes, mask and outlines, ink.
Where two exclude each other the stronger stands, and the pixel is counted as a conflict.

Legend: H, W = pixels of the raster; C = classes of the vocabulary's target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from math import ceil

import cv2
import numpy as np

from ..classes import Classes, Vocabulary
from ..errors import DataError
from .candidates import INK, MASK, OPEN_ROW, REGION, VOID, VOID_ROW, Candidates, Facts
from .kinds import AreaShares, Box, Boxes, Label, Mask, Point, Points, Region, Regions, Scribbles, Stroke, Tags
from .outlines import filled

INK_RADIUS = 2.0
"""Pixels around a click that it speaks for (the clicks of Bearman et al. 2016 hit within this)."""

TRUST = {REGION: 0.97, MASK: 1.0, INK: 0.95}
"""How far each source is believed. Of 951 human clicks on VOC animals 1.1 % hit another class and
5 % the border; people's boxes miss an animal in 5 % of the photos."""


def rasterise(
    labels: Sequence[Label],
    vocabulary: Vocabulary,
    height: int,
    width: int,
    whole: bool = True,
    outside_HW: np.ndarray | None = None,
) -> Candidates:
    """What the labels of one image leave possible at every pixel.

    labels: all that was said of the image, masks loaded (`ids_HW` of height x width).
    vocabulary: how the labels' names read in the classes of the result.
    whole: does the raster hold the whole image? A crop keeps no fact about presence or shares.
    outside_HW: bool, True where there is no photo (padding): void.

    Raises DataError for unknown ids and for a mask of another size, UsageError for unknown names.
    """
    target = vocabulary.target
    made = Candidates.open(height, width, len(target))
    possible_C, facts = _image_level(labels, vocabulary)
    if not possible_C.all():
        made = made.state((slice(None), slice(None)), possible_C, REGION, TRUST[REGION])
    for boxes in (x for x in labels if isinstance(x, Boxes)):
        made = _promised(made, boxes, vocabulary)
        facts = replace(facts, boxes=facts.boxes + _filled(boxes, vocabulary, height, width))
    if masks := [x for x in labels if isinstance(x, Mask)]:
        made = _masks(made, masks, vocabulary)
    for regions in (x for x in labels if isinstance(x, Regions)):
        made = _regions(_promised(made, regions, vocabulary), regions, vocabulary)
    for box in (b for x in labels if isinstance(x, Boxes) for b in x.marks if b.extremes):
        if (set_C := _set(vocabulary, box.name)).any():
            for x, y in box.extremes:
                made = made.state(ink_region(Point(box.name, x, y), height, width), set_C, INK, TRUST[INK])
    for ink in (x for x in labels if isinstance(x, Points | Scribbles)):
        for mark in ink.marks:
            set_C = _all_but(vocabulary, mark.name) if mark.negative else _set(vocabulary, mark.name)
            if set_C.any():
                made = made.state(ink_region(mark, height, width), set_C, INK, TRUST[INK])
    if outside_HW is not None:
        made = replace(made, index_HW=np.where(outside_HW, np.int32(VOID_ROW), made.index_HW))
    return replace(made, facts=facts if whole else Facts(boxes=facts.boxes, complete=facts.complete))


def _set(vocabulary: Vocabulary, name: str) -> np.ndarray:
    """bool C: the target classes a source name allows; all False = void."""
    target = vocabulary.target
    set_C = np.zeros(len(target), bool)
    for member in vocabulary.meaning(name):
        set_C[target.index(member)] = True
    return set_C


def _all_but(vocabulary: Vocabulary, name: str) -> np.ndarray:
    """bool C: the target classes that remain where a pixel is not `name`."""
    set_C = np.ones(len(vocabulary.target), bool)
    set_C[[vocabulary.target.index(n) for n in vocabulary.ruled_out({name})]] = False
    return set_C


def _indices(vocabulary: Vocabulary, name: str) -> frozenset[int]:
    return frozenset(map(int, np.flatnonzero(_set(vocabulary, name))))


def _image_level(labels: Sequence[Label], vocabulary: Vocabulary) -> tuple[np.ndarray, Facts]:
    """(possible_C, facts): what tags, marks and shares say of the image as a whole."""
    target = vocabulary.target
    present: dict[frozenset[int], None] = {}
    shares: dict[int, float] = {}
    complete: frozenset[int] = frozenset()
    possible_C = np.ones(len(target), bool)
    seen: set[int] = set()  # marked by any label
    shown: set[int] = set()  # marked by a tag, share or box
    denied_by_ink: set[int] = set()
    denied: set[int] = set()
    for label in labels:
        if isinstance(label, Mask):
            continue
        if isinstance(label, Tags):
            names = label.present
            denied |= {target.index(n) for n in vocabulary.ruled_out(label.absent)}
        elif isinstance(label, AreaShares):
            names = frozenset(n for n, share in label.shares.items() if share > 0)
            for name, share in label.shares.items():
                meant = _indices(vocabulary, name)
                if len(meant) == 1:
                    shares[min(meant)] = shares.get(min(meant), 0.0) + share
        else:
            names = frozenset(m.name for m in label.marks if not getattr(m, "negative", False))
        sets = [i for n in sorted(names) if (i := _indices(vocabulary, n))]
        present.update(dict.fromkeys(sets))
        marked = frozenset().union(*sets)
        promised = frozenset(target.index(n) for n in vocabulary.complete(label.complete))
        complete |= promised
        seen |= marked
        if isinstance(label, Points | Scribbles):
            denied_by_ink |= promised - marked
        else:
            denied |= promised - marked
            shown |= marked
    # Ink can not lift what tags deny of the whole image: it wins on its own pixels, as a conflict.
    possible_C[list(denied - shown)] = False
    possible_C[list(denied_by_ink - seen)] = False
    if not possible_C.any():
        raise DataError("the labels of this image leave no class possible: tags exclude every class")
    return possible_C, Facts(tuple(present), (), shares, complete)


def _promised(made: Candidates, drawn: Boxes | Regions, vocabulary: Vocabulary) -> Candidates:
    """Outside all boxes (or outlines) of a completely boxed (outlined) class, that class is impossible."""
    target = vocabulary.target
    height, width = made.index_HW.shape
    for name in sorted(vocabulary.complete(drawn.complete)):
        inside_HW = np.zeros((height, width), np.uint8)
        for mark in drawn.marks:
            # Inside a box of a class that was chosen away nothing is known, so nothing is denied.
            if name in (meaning := vocabulary.meaning(mark.name)) or not meaning:
                if isinstance(mark, Region):
                    _fill_region(inside_HW, mark)
                else:
                    _fill_box(inside_HW, mark)
        all_but_C = np.ones(len(target), bool)
        all_but_C[target.index(name)] = False
        if all_but_C.any():
            made = made.state(inside_HW == 0, all_but_C, REGION, TRUST[REGION])
    return made


def _fill_box(canvas_HW: np.ndarray, box: Box) -> None:
    """Set the pixels whose centres lie in the box, at least one where the box touches the canvas."""
    height, width = canvas_HW.shape
    x0, y0, x1, y1 = box.bounds
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return
    if box.is_upright:
        left, top = max(0, min(ceil(x0 - 0.5), width - 1)), max(0, min(ceil(y0 - 0.5), height - 1))
        canvas_HW[top : max(top + 1, ceil(y1 - 0.5)), left : max(left + 1, ceil(x1 - 0.5))] = 1
    else:
        cv2.fillConvexPoly(canvas_HW, _fixed_point(box.corners), 1, shift=4)


def _fill_region(canvas: np.ndarray, region: Region, value: int = 1) -> None:
    """Set the pixels whose centres lie in one of the region's polygons. canvas: HW, of integers."""
    height, width = canvas.shape
    for polygon in region.polygons:
        outer_N2 = np.concatenate(polygon)
        left, top = np.clip(np.floor(outer_N2.min(axis=0)), 0, (width, height)).astype(int)
        right, bottom = np.clip(np.ceil(outer_N2.max(axis=0)), 0, (width, height)).astype(int)
        if right > left and bottom > top:
            inside = filled([ring_N2 - (left, top) for ring_N2 in polygon], bottom - top, right - left)
            canvas[top:bottom, left:right][inside] = value


_CROWD = -2


def _painted(regions: Regions, values: Mapping[str, int], ground: int, height: int, width: int) -> np.ndarray:
    """int32 HW: the value of the topmost region's name, `ground` where there is none, -2 in a crowd only."""
    canvas_HW = np.full((height, width), ground, np.int32)
    for region in sorted(regions.marks, key=lambda r: not r.crowd):  # crowds lie below all others
        _fill_region(canvas_HW, region, _CROWD if region.crowd else values[region.name])
    return canvas_HW


def is_mask(label: Label, source: Classes) -> bool:
    """Does a person say of every pixel what it is: a mask, or outlines of all objects of all classes?"""
    if not isinstance(label, Regions):
        return isinstance(label, Mask) and label.sets is None
    promised = frozenset().union(*(source.members(n) for n in label.complete))
    return promised.issuperset(source.foreground) and all(m.crowd or m.name in source.names for m in label.marks)


def painted_mask(regions: Regions, source: Classes, height: int, width: int) -> Mask:
    """The mask that complete outlines are: background around them (void where classes have none), void in a crowd."""
    values = dict(zip(source.names, source.file_ids, strict=True))
    ground = -1 if source.background is None else values[source.background]
    ids_HW = _painted(regions, values, ground, height, width)
    ids_HW[ids_HW == _CROWD] = -1
    return Mask(ids_HW=ids_HW, seconds=regions.seconds)


def _regions(made: Candidates, regions: Regions, vocabulary: Vocabulary) -> Candidates:
    """Within an outline its class, within a crowd no statement."""
    names = list(dict.fromkeys(m.name for m in regions.marks))
    canvas_HW = _painted(regions, {n: i for i, n in enumerate(names)}, -1, *made.index_HW.shape)
    for i, name in enumerate(names):
        if (set_C := _set(vocabulary, name)).any():
            made = made.state(canvas_HW == i, set_C, MASK, TRUST[MASK])
        else:  # a class that was chosen away
            canvas_HW[canvas_HW == i] = _CROWD
    return replace(made, index_HW=np.where(canvas_HW == _CROWD, np.int32(VOID_ROW), made.index_HW))


def _fixed_point(xy: Sequence[tuple[float, float]]) -> np.ndarray:
    """OpenCV's drawing coordinates with 4 fractional bits; its integer coordinates are pixel centres."""
    return np.round((np.clip(np.asarray(xy, np.float64), -1e6, 1e6) - 0.5) * 16).astype(np.int32)


def _filled(
    boxes: Boxes, vocabulary: Vocabulary, height: int, width: int
) -> tuple[tuple[frozenset[int], tuple[float, float, float, float]], ...]:
    """The boxes that lie wholly in the raster: their object touches all four sides."""
    facts = []
    for box in boxes.marks:
        x0, y0, x1, y1 = box.bounds
        meant = _indices(vocabulary, box.name)
        if meant and box.is_upright and x0 >= -1 and y0 >= -1 and x1 <= width + 1 and y1 <= height + 1:
            facts.append((meant, (x0, y0, x1, y1)))
    return tuple(facts)


def _masks(made: Candidates, masks: Sequence[Mask], vocabulary: Vocabulary) -> Candidates:
    """One statement per id; pixels that are void in every mask become row 0 whatever tags and boxes said."""
    if len(masks) == 1 and len(made.sets_KC) == 2 and not masks[0].sets:
        return _mask_alone(made, masks[0], vocabulary)
    stated = [_sets_of_ids(mask, made.index_HW.shape, vocabulary) for mask in masks]
    void_HW = np.ones(made.index_HW.shape, bool)
    for ids_HW, sets in stated:
        void_HW &= ~np.isin(ids_HW, list(sets))
    made = replace(made, index_HW=np.where(void_HW, np.int32(VOID_ROW), made.index_HW))
    for ids_HW, sets in stated:
        for i, set_C in sets.items():
            made = made.state(ids_HW == i, set_C, MASK, TRUST[MASK])
    return made


def _sets_of_ids(
    mask: Mask, shape: tuple[int, ...], vocabulary: Vocabulary
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """(ids_HW, id -> bool C for the ids that occur and state something). DataError for a wrong size, unknown ids."""
    ids_HW, source = check_size(mask, shape), vocabulary.source
    ids = set(np.flatnonzero(np.bincount(np.add(ids_HW, 1, dtype=np.intp).ravel())[1:]).tolist())
    unknown = sorted(ids - set(source.file_ids) - source.void_ids - set(mask.sets or ()))
    if unknown:
        known = sorted(set(source.file_ids) | source.void_ids)
        shown = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
        raise DataError(
            f"{mask.path or 'mask'}: ids {shown} are neither classes nor void; known ids are "
            f"{', '.join(map(str, known[:40]))}: name them in the class list, or map them to void"
        )
    sets = {i: _set(vocabulary, n) for n, i in zip(source.names, source.file_ids, strict=True) if i in ids}
    for i, names in (mask.sets or {}).items():
        parts = [_set(vocabulary, n) for n in names]
        # One void member, and the pixel may be what nobody asks about.
        sets[i] = np.logical_or.reduce(parts) if all(p.any() for p in parts) else np.zeros(len(vocabulary.target), bool)
    return ids_HW, {i: set_C for i, set_C in sets.items() if set_C.any()}


def check_size(mask: Mask, shape: tuple[int, ...]) -> np.ndarray:
    """The mask's ids_HW. DataError where they are not of this shape."""
    ids_HW = mask.ids_HW
    if ids_HW is None:
        raise ValueError("the mask must be loaded (ids_HW) before it is rasterised")
    if ids_HW.shape != shape:
        raise DataError(
            f"{mask.path or 'mask'}: a mask of {ids_HW.shape[1]}x{ids_HW.shape[0]} pixels for an image of "
            f"{shape[1]}x{shape[0]}; export it at the image's size"
        )
    return ids_HW


def _mask_alone(made: Candidates, mask: Mask, vocabulary: Vocabulary) -> Candidates:
    """The usual case: nothing else was said, so ids go straight to rows of the vocabulary's own table."""
    ids_HW = check_size(mask, made.index_HW.shape)
    row_of_id, sets_KC, source_K, trust_K = _table_of_masks(vocabulary)
    if ids_HW.size and ids_HW.min() >= 0 and ids_HW.max() < 256:  # bytes are looked up at twice the speed
        index_HW = cv2.LUT(ids_HW.astype(np.uint8), row_of_id[1:257])
    else:
        index_HW = row_of_id.take(np.add(ids_HW, 1, dtype=np.intp), mode="clip")
    if index_HW.min(initial=0) < 0:
        _sets_of_ids(mask, ids_HW.shape, vocabulary)  # raises: it names the unknown ids
    return Candidates(index_HW, sets_KC, source_K, trust_K, made.facts, made.conflicts)


@lru_cache(maxsize=64)
def _table_of_masks(vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(row of each id, sets_KC, source_K, trust_K): a row for every id that states something, whether it occurs or not.

    Entry i + 1 is the row of id i; the first is that of ids below 0, outside the photo. -1 = the id is unknown.
    One table for all photos of a source: a batch then joins tables by looking at one.
    """
    source = vocabulary.source
    row_of_id = np.full(max(*source.file_ids, *source.void_ids, 255) + 3, -1, np.int32)
    row_of_id[[0, *(1 + i for i in source.void_ids)]] = VOID_ROW
    sets = [np.zeros(len(vocabulary.target), bool), np.ones(len(vocabulary.target), bool)]
    for name, i in zip(source.names, source.file_ids, strict=True):
        set_C = _set(vocabulary, name)
        row_of_id[1 + i] = len(sets) if set_C.any() else VOID_ROW
        if set_C.any():
            sets.append(set_C)
    source_K = np.full(len(sets), MASK, np.uint8)
    source_K[[VOID_ROW, OPEN_ROW]] = VOID, REGION
    trust_K = np.full(len(sets), TRUST[MASK], np.float32)
    trust_K[[VOID_ROW, OPEN_ROW]] = 1
    return row_of_id, np.stack(sets), source_K, trust_K


def ink_region(mark: Point | Stroke, height: int, width: int) -> np.ndarray:
    """bool HW: the pixels that a click or stroke speaks for."""
    canvas_HW = np.zeros((height, width), np.uint8)
    xy = ((mark.x, mark.y),) if isinstance(mark, Point) else mark.xy
    radius = INK_RADIUS if isinstance(mark, Point) else mark.width / 2
    line = _fixed_point(xy)
    thickness = max(1, round(2 * radius))
    if len(line) == 1:
        x, y = line[0]
        cv2.circle(canvas_HW, (int(x), int(y)), int(radius * 16), 1, thickness=-1, shift=4)
    else:
        cv2.polylines(canvas_HW, [line], isClosed=False, color=1, thickness=thickness, shift=4)
    return canvas_HW.astype(bool)
