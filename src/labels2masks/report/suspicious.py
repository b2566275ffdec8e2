"""What in the labels of one photo looks like a slip, and what it says about touching objects.

Legend: H, W = pixels; C = target classes; N = points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import cv2
import numpy as np

from ..classes import Vocabulary
from ..labels import Box, Boxes, Label, Points, Region, Regions, Tags
from ..labels.outlines import filled
from ..labels.seconds import SMALLEST_OBJECT

CRUMB = 20
"""Pixels below which a region of a mask is a slip of the tool: the leg of a far sheep has more."""
THINNEST = 3.0
"""Pixels of a box's shorter side below which it can hold no object, at any stride."""
WHOLE = 0.98
"""The share of the photo from which on a box says no more than a tag."""
OVERLAP = 0.1
"""The share of the smaller box that two boxes of touching objects have in common, about."""
RIM = 5
"""Pixels of void that VOC's masks have around an object, so between two that touch."""

WORDS = {
    "thin_box": "boxes thinner than 3 px hold no object: look for slips of the mouse, or coordinates in shares",
    "whole_box": "boxes over the whole photo say no more than a tag",
    "box_outside": "boxes reach outside the photo: were they drawn on another size, or on the unturned photo?",
    "void_click": "clicks lie on a mask's void: the click counts, the mask says nothing there",
    "tag_without_mask": "classes are tagged that the photo's mask lacks",
    "mask_without_tag": "masks hold classes that the photo's tags deny",
    "crumbs": "masks have crumbs, regions of fewer than 20 px: fill or remove them",
}


def slips(
    labels: Sequence[Label],
    vocabulary: Vocabulary,
    index_HW: np.ndarray | None,
    areas: Mapping[int, np.ndarray],
    height: int,
    width: int,
) -> Iterator[str]:
    """Keys of `WORDS`. index_HW: target classes of the photo's mask, -1 = void, -2 = a class that was chosen away;
    None without a mask. areas: of its regions, see `class_table.region_areas`."""
    boxes = [b.bounds for x in labels if isinstance(x, Boxes) for b in x.marks]
    if any(min(x1 - x0, y1 - y0) < THINNEST for x0, y0, x1, y1 in boxes):
        yield "thin_box"
    if any(_common(b, (0, 0, width, height)) >= WHOLE * height * width for b in boxes):
        yield "whole_box"
    if any(min(x0, y0) < -2 or x1 > width + 2 or y1 > height + 2 for x0, y0, x1, y1 in boxes):
        yield "box_outside"
    if index_HW is None:
        return
    clicks = [m for x in labels if isinstance(x, Points) for m in x.marks if not m.negative]
    inside = [m for m in clicks if 0 <= m.x < width and 0 <= m.y < height and vocabulary.meaning(m.name)]
    if any(index_HW[int(m.y), int(m.x)] == -1 for m in inside):
        yield "void_click"
    yield from _tags_against_mask(labels, vocabulary, {vocabulary.target.names[c] for c in areas})
    if any((of_regions < CRUMB).any() and _has_crumb(index_HW, c) for c, of_regions in areas.items()):
        yield "crumbs"


def _tags_against_mask(labels: Sequence[Label], vocabulary: Vocabulary, there: set[str]) -> Iterator[str]:
    target = vocabulary.target
    for tags in (x for x in labels if isinstance(x, Tags)):
        present = [vocabulary.meaning(n) for n in tags.present]
        if any(meant and not meant & there for meant in present):
            yield "tag_without_mask"
        denied = vocabulary.ruled_out(tags.absent) | (
            vocabulary.complete(tags.complete) - frozenset().union(*present) - {target.background}
        )
        if denied & there:
            yield "mask_without_tag"


def _has_crumb(index_HW: np.ndarray, c: int) -> bool:
    """Is there a crumb of the class among other classes? What void surrounds is the rest of a thin part, as in VOC."""
    count, part_HW, stats, _ = cv2.connectedComponentsWithStats((index_HW == c).astype(np.uint8), connectivity=8)
    for k in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[k])
        if area < CRUMB:
            window = slice(max(y - 1, 0), y + h + 1), slice(max(x - 1, 0), x + w + 1)
            around_hw = cv2.dilate((part_HW[window] == k).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            if (index_HW[window][around_hw] >= 0).all():
                return True
    return False


def touching(
    labels: Sequence[Label], vocabulary: Vocabulary, index_HW: np.ndarray | None, areas: Mapping[int, np.ndarray]
) -> bool | None:
    """Do two objects of one class touch? None where the labels do not tell objects apart.

    labels: as the photo has them, outlines as outlines. index_HW, areas: as in `slips`.
    Boxes tell, by a tenth of the smaller one that two share or by one region of the mask that holds the middles of
    both; so do outlines, and a mask whose objects have a void rim.
    """
    found: list[bool] = []
    for label in labels:
        if isinstance(label, Boxes) and label.marks:
            found += [_share_ground(a, b, vocabulary, index_HW) for a, b in _alike(label.marks)] or [False]
        elif isinstance(label, Regions) and any(not m.crowd for m in label.marks):
            marks = [m for m in label.marks if not m.crowd]
            found += [_outlines_touch(a, b) for a, b in _alike(marks)] or [False]
    if not found and index_HW is not None:
        background = vocabulary.target.background
        ground = vocabulary.target.index(background) if background is not None else -1
        for c in areas:
            if c != ground and (told := _rimmed(index_HW, c)) is not None:
                found.append(told)
    return any(found) if found else None


def _alike(marks: Sequence) -> Iterator[tuple]:
    """Pairs of one class, the first few hundred: enough to see whether any touch."""
    by_name: dict[str, list] = {}
    for mark in marks:
        by_name.setdefault(mark.name, []).append(mark)
    for same in by_name.values():
        yield from combinations(same[:32], 2)


def _common(a: Sequence[float], b: Sequence[float]) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0.0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)


def _share_ground(a: Box, b: Box, vocabulary: Vocabulary, index_HW: np.ndarray | None) -> bool:
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a.bounds, b.bounds)]
    if _common(a.bounds, b.bounds) >= OVERLAP * max(min(areas), 1e-9):
        return True
    meant = vocabulary.meaning(a.name)
    if index_HW is None or len(meant) != 1:
        return False
    c = vocabulary.target.index(min(meant))
    _, part_HW = cv2.connectedComponents((index_HW == c).astype(np.uint8), connectivity=8)
    held = [_at_middle(part_HW, box) for box in (a, b)]
    return held[0] > 0 and held[0] == held[1]


def _at_middle(part_HW: np.ndarray, box: Box) -> int:
    x0, y0, x1, y1 = box.bounds
    y, x = int((y0 + y1) / 2), int((x0 + x1) / 2)
    return int(part_HW[y, x]) if 0 <= y < part_HW.shape[0] and 0 <= x < part_HW.shape[1] else 0


def _outlines_touch(a: Region, b: Region) -> bool:
    grown = (a.bounds[0] - 2, a.bounds[1] - 2, a.bounds[2] + 2, a.bounds[3] + 2)
    if not _common(grown, b.bounds):
        return False
    left, top = (int(min(a.bounds[k], b.bounds[k])) - 2 for k in (0, 1))
    right, bottom = (int(max(a.bounds[k], b.bounds[k])) + 3 for k in (2, 3))
    scale = min(1.0, 256 / max(right - left, bottom - top))
    h, w = round((bottom - top) * scale) + 1, round((right - left) * scale) + 1
    drawn = []
    for region in (a, b):
        inside_hw = np.zeros((h, w), bool)
        for polygon in region.polygons:
            inside_hw |= filled([((ring_N2 - (left, top)) * scale).astype(np.float32) for ring_N2 in polygon], h, w)
        drawn.append(cv2.dilate(inside_hw.astype(np.uint8), np.ones((3, 3), np.uint8)))
    return bool((drawn[0] & drawn[1]).any())


def _rimmed(index_HW: np.ndarray, c: int) -> bool | None:
    """Are objects of a class parted by nothing but their void rims? None where the class has no such rim."""
    of_class_HW = (index_HW == c).astype(np.uint8)
    void_HW = index_HW == -1
    around_HW = (cv2.dilate(of_class_HW, np.ones((3, 3), np.uint8)) > 0) & (of_class_HW == 0)
    if not around_HW.any() or void_HW[around_HW].mean() < 0.8:
        return None
    near_HW = cv2.dilate(of_class_HW, np.ones((2 * RIM + 1,) * 2, np.uint8)) > 0
    joined_HW = ((of_class_HW > 0) | (near_HW & void_HW)).astype(np.uint8)
    count, part_HW, stats, _ = cv2.connectedComponentsWithStats(of_class_HW, connectivity=8)
    _, joint_HW = cv2.connectedComponents(joined_HW, connectivity=8)
    objects = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= SMALLEST_OBJECT * index_HW.size]
    joints = [int(joint_HW[part_HW == k][0]) for k in objects]
    return len(set(joints)) < len(joints)
