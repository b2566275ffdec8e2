"""What a full mask holds, in the shape in which cheaper labels are made from it: classes, and objects one by one.

Legend: H, W = pixels of the photo; h, w = pixels of an object's bounding box; C = classes; R = regions; L = large ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..classes import Classes
from .kinds import Mask, Point, Region, Regions
from .rasterise import ink_region, painted_mask
from .seconds import SMALLEST_OBJECT

NEAR = 0.03
"""A crumb so near to an object, as a share of the photo's long side, is a piece of it: the tip of a tail that void cuts
off. 15 pixels on a photo of PASCAL VOC."""


@dataclass(frozen=True, eq=False)
class Object:
    """One object, or one connected region of the background. x, y: the first column and row of part_hw (bool)."""

    name: str
    x: int
    y: int
    part_hw: np.ndarray

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.part_hw))

    @property
    def window(self) -> tuple[slice, slice]:
        """The object's bounding box, as an index into maps of the photo's size."""
        h, w = self.part_hw.shape
        return slice(self.y, self.y + h), slice(self.x, self.x + w)


@dataclass(frozen=True, eq=False)
class Truth:
    """A full mask. index_HW: int32 indices of `classes.names`, -1 = void. objects: see `truth_of`."""

    index_HW: np.ndarray
    classes: Classes
    objects: tuple[Object, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The classes that have a pixel, in their order, background among them."""
        count_C = np.bincount(self.index_HW.ravel() + 1, minlength=len(self.classes) + 1)[1:]
        return tuple(n for n, count in zip(self.classes.names, count_C, strict=True) if count)

    @property
    def foreground(self) -> frozenset[str]:
        return frozenset(self.classes.foreground)

    def objects_of(self, name: str) -> tuple[Object, ...]:
        """Never empty for a name of `names`."""
        return tuple(o for o in self.objects if o.name == name)

    def allowed(self, name: str) -> np.ndarray:
        """bool HW: where a mark of the class may lie: its own pixels, and void, of which nothing is said."""
        return (self.index_HW == self.classes.index(name)) | (self.index_HW < 0)

    def clickable(self, name: str, on_void: bool = True) -> np.ndarray:
        """bool HW: the pixels of a class at which a click says nothing false with what it speaks for around it.

        on_void: may it speak for void pixels too?
        """
        reach = 4
        ink_hw = ink_region(Point(name, reach + 0.5, reach + 0.5), 2 * reach + 1, 2 * reach + 1)
        of_class_HW = self.index_HW == self.classes.index(name)
        room_HW = self.allowed(name) if on_void else of_class_HW
        return (cv2.erode(room_HW.astype(np.uint8), ink_hw.astype(np.uint8)) > 0) & of_class_HW


def truth_of(ids_HW: np.ndarray, classes: Classes, outlined: Sequence[Region] = ()) -> Truth:
    """The classes and objects of a full mask.

    ids_HW: file ids; what is no class's id is void.
    outlined: objects that are known one by one; later ones lie on top.
    The rest, and everything where nothing is outlined, falls into 8-connected regions, so that touching objects of one
    class are one. Regions below `SMALLEST_OBJECT` of the photo are crumbs: they belong to the nearest object of their
    class (see `NEAR`) or to none. Of a class with nothing else the largest crumb is an object.
    """
    index_HW = np.full(ids_HW.shape, -1, np.int32)
    for index, file_id in enumerate(classes.file_ids):
        index_HW[ids_HW == file_id] = index
    left_HW = index_HW.copy()
    objects: list[Object] = []
    for region, inside_HW in _visible(outlined, *ids_HW.shape):
        if region.name in classes.names:
            inside_HW &= index_HW == classes.index(region.name)
            objects += cut(region.name, inside_HW)
            left_HW[inside_HW] = -1
    for index, name in enumerate(classes.names):
        of_class_HW = (left_HW == index).astype(np.uint8)
        if not of_class_HW.any():
            continue
        count, labels_HW, stats, _ = cv2.connectedComponentsWithStats(of_class_HW, connectivity=8)
        areas = stats[1:count, cv2.CC_STAT_AREA]
        large = np.flatnonzero(areas >= SMALLEST_OBJECT * ids_HW.size)
        if not len(large) and not any(o.name == name for o in objects):
            large = np.array([int(areas.argmax())])
        owner_R = _owners(stats[1:count], large, NEAR * max(ids_HW.shape))
        owner_HW = np.concatenate([[-1], owner_R])[labels_HW]
        for k in range(len(large)):
            objects += cut(name, owner_HW == k)
    return Truth(index_HW, classes, tuple(objects))


def _owners(stats_R5: np.ndarray, large: np.ndarray, near: float) -> np.ndarray:
    """int R: the place in `large` of the region that each region belongs to, -1 for crumbs that are near to none.

    stats_R5: x, y, width, height, area of each region.
    """
    owner_R = np.full(len(stats_R5), -1)
    owner_R[large] = np.arange(len(large))
    first_R2, last_R2 = stats_R5[:, :2], stats_R5[:, :2] + stats_R5[:, 2:4]
    for crumb in np.flatnonzero(owner_R < 0) if len(large) else ():
        apart_L2 = np.maximum(first_R2[large] - last_R2[crumb], first_R2[crumb] - last_R2[large])
        gap_L = np.maximum(apart_L2.max(axis=1), 0)
        if gap_L.min() <= near:
            owner_R[crumb] = int(gap_L.argmin())
    return owner_R


def _visible(outlined: Sequence[Region], height: int, width: int) -> Iterator[tuple[Region, np.ndarray]]:
    """(region, bool HW of what no later one hides); crowds say nothing of single objects."""
    marks = [r for r in outlined if not r.crowd]
    if not marks:
        return
    numbered = Classes(tuple(map(str, range(len(marks)))), colours=((0, 0, 0),) * len(marks))
    regions = Regions(tuple(Region(str(k), r.polygons) for k, r in enumerate(marks)))
    number_HW = painted_mask(regions, numbered, height, width).ids_HW
    assert number_HW is not None
    for k, region in enumerate(marks):
        yield region, number_HW == k


def cut(name: str, inside_HW: np.ndarray) -> Iterator[Object]:
    """The object in its bounding box; none where there is no pixel."""
    ys, xs = np.nonzero(inside_HW.any(axis=1))[0], np.nonzero(inside_HW.any(axis=0))[0]
    if len(ys):
        part_hw = inside_HW[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
        yield Object(name, int(xs[0]), int(ys[0]), part_hw.copy())


def as_mask(truth: Truth, inside: tuple[slice, slice]) -> Mask:
    """The mask of one window of the photo, void around it."""
    ids_C = np.array([*truth.classes.file_ids, -1], np.int32)  # last entry: index -1
    ids_HW = np.full(truth.index_HW.shape, -1, np.int32)
    ids_HW[inside] = ids_C[truth.index_HW[inside]]
    return Mask(ids_HW=ids_HW)


def extremes(part_hw: np.ndarray, rng: np.random.Generator) -> list[tuple[float, float]]:
    """(x, y) of an object's left-, top-, right- and bottommost pixels, one each where there are several."""
    h, w = part_hw.shape
    left, top, right, bottom = (
        float(rng.choice(np.flatnonzero(side))) for side in (part_hw[:, 0], part_hw[0], part_hw[:, -1], part_hw[-1])
    )
    return [(0.5, left + 0.5), (top + 0.5, 0.5), (w - 0.5, right + 0.5), (bottom + 0.5, h - 0.5)]
