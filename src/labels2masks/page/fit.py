"""The classifier of the instant recipe, kept so that one photo's labels can be exchanged: `training.ridge`, by parts.

The recipe's sums over all labelled cells are sums over photos. A stroke takes its photo's part out, puts the new one
in, and solves anew: the cost does not depend on how many photos are labelled. Parts are rounded to whole multiples of
`GRAIN` and summed as integers, so that what was put in and taken out again leaves nothing behind: an undone stroke
gives back the weights bit for bit, and any order of strokes those of a fit from scratch.

Classes weigh alike here, and not by their rarity as in a run of the recipe: such weights would change with every
stroke, and all parts with them. On VOC animals they move mIoU by 0.3 of a point.

Legend: P = cells; D = features; C = classes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..classes import Classes
from ..labels import Candidates
from ..training.instant import decides_objects, joined, of_source
from ..training.ridge import Sums, targets
from .features import Maps

GRAIN = 2.0**-24
"""Sums up to 5e11 fit into 64 bits: features of 600 at a million cells."""
SHRINKAGE, INK = 0.1, 10.0
"""As `Settings.ridge` has them. Of a few values each these served 10, 50 and 300 clicked photos of VOC animals' train
split, by the masks of 100 others of it: from 50, mIoU is 45 in place of 35, from 300 it is 55 in place of 53."""
PARTS, CELLS = 6, 2
"""Photos whose parts, and the features of whose cells, are kept: those that a person goes back and forth between."""


@dataclass(frozen=True)
class Said:
    """What the labels of one photo say of its cells, by source: (cells_P, targets_PC, weight_P); pixels they decide."""

    regions: tuple[np.ndarray, np.ndarray, np.ndarray]
    ink: tuple[np.ndarray, np.ndarray, np.ndarray]
    decided_C: np.ndarray

    @classmethod
    def by(cls, candidates: Candidates) -> Said:
        """candidates: at the size at which the encoder saw the photo."""
        label_HW = candidates.labels()
        decided_C = np.bincount(label_HW[label_HW >= 0], minlength=candidates.sets_KC.shape[1])
        return cls(_told(of_source(candidates, False)), _told(of_source(candidates, True)), decided_C)


class Fit:
    """features: D, the constant included. maps_of: of a photo by its number. One thread at a time."""

    def __init__(self, features: int, classes: Classes, maps_of: Callable[[int], Maps]):
        self.features, self.classes, self.maps_of = features, classes, maps_of
        self.said: dict[int, Said] = {}
        self._parts: OrderedDict[int, list[_Part]] = OrderedDict()
        self._cells: OrderedDict[int, np.ndarray] = OrderedDict()
        self._totals = [_Part.none(features, len(classes)) for _ in range(2)]
        self._decided_C = np.zeros(len(classes), np.int64)

    def put(self, i: int, said: Said | None) -> None:
        """What the photo's labels say now, in place of what they said; None: nothing."""
        new = None if said is None else self._made(i, said)
        self.keep(i)
        if (before := self.said.pop(i, None)) is not None:
            for total, part in zip(self._totals, self._parts.pop(i), strict=True):
                total.add(part, -1)
            self._decided_C -= before.decided_C
        if said is not None and new is not None:
            self.said[i] = said
            for total, part in zip(self._totals, new, strict=True):
                total.add(part, 1)
            self._decided_C += said.decided_C
            self._keep(i, new)

    def keep(self, i: int) -> None:
        """Have at hand what the next change of this photo takes out: half of what that change costs."""
        if i in self.said:
            self._keep(i, self._parts.get(i) or self._made(i, self.said[i]))

    @property
    def decides_objects(self) -> bool:
        """Else cells have to take the candidate that stands out (`training.instant.again`)."""
        return decides_objects(self._decided_C, self.classes)

    def weights(self) -> np.ndarray | None:
        """float32 D x C, as the recipe solves for them; None where the labels decide and narrow nothing."""
        regions, ink = (total.sums() for total in self._totals)
        if not regions.gram_DD[-1, -1] and not ink.gram_DD[-1, -1]:
            return None
        return joined(regions, ink, INK).solved(SHRINKAGE)

    def _keep(self, i: int, parts: list[_Part]) -> None:
        self._parts[i] = parts
        self._parts.move_to_end(i)
        while len(self._parts) > PARTS:
            self._parts.popitem(last=False)

    def _made(self, i: int, said: Said) -> list[_Part]:
        if i not in self._cells:
            self._cells[i] = self.maps_of(i).all()
        self._cells.move_to_end(i)
        while len(self._cells) > CELLS:
            self._cells.popitem(last=False)
        parts = []
        for cells_P, targets_PC, weight_P in (said.regions, said.ink):
            sums = Sums.none(self.features, len(self.classes))
            sums.add(self._cells[i][cells_P], targets_PC, weight_P)
            parts.append(_Part.of(sums))
        return parts


@dataclass(frozen=True)
class _Part:
    """`Sums` in grains, int64; `add` changes it in place."""

    gram_DD: np.ndarray
    product_DC: np.ndarray

    @classmethod
    def none(cls, features: int, classes: int) -> _Part:
        return cls(np.zeros((features, features), np.int64), np.zeros((features, classes), np.int64))

    @classmethod
    def of(cls, sums: Sums) -> _Part:
        return cls(*(np.rint(array / GRAIN).astype(np.int64) for array in (sums.gram_DD, sums.product_DC)))

    def add(self, other: _Part, sign: int) -> None:
        for mine, theirs in ((self.gram_DD, other.gram_DD), (self.product_DC, other.product_DC)):
            np.add(mine, theirs, out=mine) if sign > 0 else np.subtract(mine, theirs, out=mine)

    def sums(self) -> Sums:
        return Sums(self.gram_DD * GRAIN, self.product_DC * GRAIN)


def _told(candidates: Candidates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    targets_PC, weight_P = targets(candidates)
    cells_P = np.flatnonzero(weight_P)
    return cells_P, targets_PC[cells_P], weight_P[cells_P]
