"""Candidates: at this pixel, only these classes are possible. The one type every label becomes.

Legend: H, W = pixels; K = rows of the table; C = classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

VOID, REGION, MASK, INK = 0, 1, 2, 3
"""Where a statement comes from, weakest first: none; tags and boxes; a mask; points and strokes."""

VOID_ROW, OPEN_ROW = 0, 1
"""Row 0 states nothing (void); row 1 is the set of all classes."""


@dataclass(frozen=True)
class Facts:
    """What is known of the image as a whole. Class indices; a set of several means "one of these".

    present: each set has at least one pixel somewhere in the image.
    boxes: (classes, (x0, y0, x1, y1)): the object reaches all four sides of the box.
    shares: class -> share of the area, 0..1.
    complete: classes that are in the image only if a label says so.
    """

    present: tuple[frozenset[int], ...] = ()
    boxes: tuple[tuple[frozenset[int], tuple[float, float, float, float]], ...] = ()
    shares: Mapping[int, float] = field(default_factory=dict)
    complete: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Candidates:
    """A map of small sets of classes.

    index_HW: int32, row of the table for each pixel.
    sets_KC: bool, row k is the set of classes. Row 0 is void (all False: no statement, no
        loss, no score, never filled); row 1 is open (all True); no other row is empty.
    source_K: uint8, VOID, REGION, MASK or INK: which loss mean a pixel counts in.
    trust_K: float32 in (0, 1]: how far the statement is believed.
    facts: what is known of the whole image.
    conflicts: pixels at which two statements excluded each other (the stronger one stands).

    Raises ValueError where the table breaks these rules.
    """

    index_HW: np.ndarray
    sets_KC: np.ndarray
    source_K: np.ndarray
    trust_K: np.ndarray
    facts: Facts = field(default_factory=Facts)
    conflicts: int = 0

    def __post_init__(self) -> None:
        rows = len(self.sets_KC)
        if self.index_HW.ndim != 2 or self.index_HW.dtype != np.int32:
            raise ValueError(f"index_HW must be int32 of two axes, got {self.index_HW.dtype} {self.index_HW.shape}")
        if rows < 2 or len(self.source_K) != rows or len(self.trust_K) != rows:
            raise ValueError(f"the table needs void, open and one source and trust a row, got {rows} rows")
        if self.sets_KC[VOID_ROW].any() or not self.sets_KC[1:].any(axis=1).all() or not self.sets_KC[OPEN_ROW].all():
            raise ValueError("row 0 must be empty (void), row 1 full (open), and no other row empty")
        if self.index_HW.size and not 0 <= self.index_HW.min() <= self.index_HW.max() < rows:
            raise ValueError(f"index_HW must lie in 0..{rows - 1}")

    @classmethod
    def open(cls, height: int, width: int, classes: int) -> Candidates:
        """Nothing is known: every class is possible at every pixel."""
        sets_KC = np.zeros((2, classes), bool)
        sets_KC[OPEN_ROW] = True
        return cls(
            np.full((height, width), OPEN_ROW, np.int32),
            sets_KC,
            np.array([VOID, REGION], np.uint8),
            np.ones(2, np.float32),
        )

    def state(
        self, where: np.ndarray | tuple[slice, slice], set_C: np.ndarray, source: int, trust: float
    ) -> Candidates:
        """Intersect with one more statement: inside `where` (bool HW or slices) only `set_C` is possible.

        Void stays void. Where nothing would remain, the stronger source wins, the newer
        within one source, and the pixels are counted as conflicts. Returns a new object.
        """
        if not set_C.any():
            raise ValueError("a statement needs at least one class")
        index_R = self.index_HW[where]
        if index_R.size == 0:
            return self
        table = _Table(self)
        remap_K = np.arange(len(self.sets_KC), dtype=np.int32)
        used_K = np.flatnonzero(np.bincount(index_R.ravel()))
        clashing = [row for row in used_K if row != VOID_ROW and not (self.sets_KC[row] & set_C).any()]
        for row in used_K:
            if row == VOID_ROW:
                continue
            if row in clashing:
                if source >= self.source_K[row]:
                    remap_K[row] = table.row(set_C, source, trust)
            elif source >= self.source_K[row]:
                remap_K[row] = table.row(self.sets_KC[row] & set_C, source, trust)
            else:
                remap_K[row] = table.row(self.sets_KC[row] & set_C, self.source_K[row], self.trust_K[row])
        index_HW = self.index_HW.copy()
        index_HW[where] = remap_K[index_R]
        conflicts = int(np.isin(index_R, clashing).sum()) if clashing else 0
        return table.candidates(index_HW, self.facts, self.conflicts + conflicts)

    def allowed(self) -> np.ndarray:
        """bool CHW: is the class possible at the pixel? Void pixels allow every class. Costs C x H x W bytes."""
        sets_KC = self.sets_KC.copy()
        sets_KC[VOID_ROW] = True
        return np.moveaxis(sets_KC[self.index_HW], -1, 0)

    def labels(self) -> np.ndarray:
        """int32 HW: the class where exactly one is possible, -1 where several are or the pixel is void."""
        return self._single_K()[self.index_HW]

    def decided(self) -> float:
        """Share of the pixels that are not void whose set has one member; 1.0 where all are void."""
        stated = self.index_HW != VOID_ROW
        return float((self._single_K()[self.index_HW][stated] >= 0).mean()) if stated.any() else 1.0

    def expected_shares(self) -> np.ndarray:
        """float64 C: pixels per class, each spread evenly over its candidates; open and void count nothing."""
        count_K = np.bincount(self.index_HW.ravel(), minlength=len(self.sets_KC)).astype(np.float64)
        size_K = self.sets_KC.sum(axis=1)
        count_K[(size_K == 0) | (size_K == self.sets_KC.shape[1])] = 0
        return (count_K / np.maximum(size_K, 1)) @ self.sets_KC

    def mapped(self, transform: Callable[[np.ndarray], np.ndarray]) -> Candidates:
        """The same table over a cropped, flipped or nearest-warped index map; facts are the caller's to drop."""
        return replace(self, index_HW=np.ascontiguousarray(transform(self.index_HW), dtype=np.int32))

    def _single_K(self) -> np.ndarray:
        return np.where(self.sets_KC.sum(axis=1) == 1, self.sets_KC.argmax(axis=1), -1).astype(np.int32)


class _Table:
    """A growing table of distinct rows."""

    def __init__(self, start: Candidates):
        self.sets = list(start.sets_KC)
        self.source = list(start.source_K)
        self.trust = list(start.trust_K)
        self.known = {self._key(*row): k for k, row in enumerate(zip(self.sets, self.source, self.trust, strict=True))}

    @staticmethod
    def _key(set_C: np.ndarray, source: int, trust: float) -> tuple[bytes, int, float]:
        return np.asarray(set_C, bool).tobytes(), int(source), float(np.float32(trust))

    def row(self, set_C: np.ndarray, source: int, trust: float) -> int:
        key = self._key(set_C, source, trust)
        if key not in self.known:
            self.known[key] = len(self.sets)
            self.sets.append(np.asarray(set_C, bool))
            self.source.append(np.uint8(source))
            self.trust.append(np.float32(trust))
        return self.known[key]

    def candidates(self, index_HW: np.ndarray, facts: Facts, conflicts: int) -> Candidates:
        return Candidates(
            index_HW,
            np.stack(self.sets),
            np.array(self.source, np.uint8),
            np.array(self.trust, np.float32),
            facts,
            conflicts,
        )
