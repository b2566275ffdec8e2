"""Find photos that are the same picture: re-encoded, resized, brightened.

Each photo is reduced to 64 bits (the signs of its lowest cosine frequencies, "pHash") and a
grey thumbnail of 16x16. Two photos are near duplicates if at most 3 bits differ and the
thumbnails correlate; the bits find the pairs, the thumbnails confirm them. Neighbouring frames
of a moving camera are not near duplicates: keep them together by name (`group_by`).

Legend: N = photos.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

BITS = 3
"""Bits of 64 that may differ. Any two such hashes agree in one of their four 16-bit quarters."""
CORRELATION = 0.97
SIDE = 16
CROWD = 128
"""Above this many photos in a bucket, each is compared with its neighbours in hash order only."""

Fingerprint = tuple[int, np.ndarray]


def fingerprint(image_HW3: np.ndarray) -> Fingerprint:
    """(64 bits, uint8 16x16 thumbnail) of an RGB image."""
    # Strong reduction first: `INTER_AREA` from full size costs more than all the rest.
    step = max(min(image_HW3.shape[:2]) // 128, 1)
    grey = cv2.cvtColor(np.ascontiguousarray(image_HW3[::step, ::step]), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(small.astype(np.float32))[:8, :8].ravel()
    # Not against zero: the median gives every picture as many ones as zeros. The mean brightness is left out.
    bits = low > np.median(low[1:])
    bits[0] = False
    thumbnail = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(bits).tobytes(), "big"), thumbnail


def near_duplicates(prints: Sequence[Fingerprint]) -> list[list[int]]:
    """Groups (of two and more) of positions whose photos are near duplicates, in order.

    The cost is about linear: hashes are compared only within a bucket of equal quarters.
    """
    if not prints:
        return []
    hash_N = np.array([h for h, _ in prints], np.uint64)
    thumbs_N = np.stack([t.ravel() for _, t in prints])
    groups = Groups(len(prints))
    for quarter in range(4):
        key_N = (hash_N >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)
        order_N = np.lexsort((hash_N, key_N))
        starts = np.flatnonzero(np.diff(key_N[order_N], prepend=-1))
        for bucket in np.split(order_N, starts[1:]):
            for i in range(len(bucket) - 1):
                others = bucket[i + 1 : i + 1 + CROWD]
                near = others[np.bitwise_count(hash_N[others] ^ hash_N[bucket[i]]) <= BITS]
                near = near[[groups.root(int(j)) != groups.root(int(bucket[i])) for j in near]] if near.size else near
                if near.size:
                    for j in near[_correlation(thumbs_N[bucket[i]], thumbs_N[near]) >= CORRELATION]:
                        groups.unite(int(bucket[i]), int(j))
    return groups.several()


def _correlation(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Correlation of a thumbnail with others; 1 where both are flat and equally bright."""
    a, b = one.astype(np.float32), many.astype(np.float32)
    same = np.abs(a - b).mean(axis=1) <= 1.5
    a, b = a - a.mean(), b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a * a).sum() * (b * b).sum(axis=1))
    return np.where(same, 1.0, (b @ a) / np.maximum(scale, 1e-6))


class Groups:
    """Union-find over 0..n-1."""

    def __init__(self, n: int):
        self.parent = list(range(n))

    def root(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def unite(self, i: int, j: int) -> None:
        i, j = self.root(i), self.root(j)
        self.parent[max(i, j)] = min(i, j)

    def unite_all(self, members: Iterable[int]) -> None:
        members = list(members)
        for j in members[1:]:
            self.unite(members[0], j)

    def all(self) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        for i in range(len(self.parent)):
            found.setdefault(self.root(i), []).append(i)
        return list(found.values())

    def several(self) -> list[list[int]]:
        return [g for g in self.all() if len(g) > 1]
