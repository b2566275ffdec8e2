"""Masks with mistakes that somebody put in: a share of the objects swapped, shifted or missing, drawn from a seed.

    swapped   another class, drawn evenly from the others
    shifted   moved by a third of the object's side (the root of its area), in a direction drawn evenly
    missing   painted over with the class that surrounds most of it

An object is a connected region of one class that is not background, of 0.2 % of the photo or more. The void rim around
it (6 px) goes where it goes.

Legend: H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

import labels2masks as l2m
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.formats.dataset import Photo
from labels2masks.formats.image import image_size

WAYS = ("swapped", "shifted", "missing")
SMALLEST = 0.002
RIM = 6
SHIFT = 1 / 3


@dataclass(frozen=True)
class Mistake:
    """photo: its name. way: one of WAYS. where_HW: bool, the object where it was and where it is now."""

    photo: str
    way: str
    where_HW: np.ndarray


def corrupted(data: l2m.Dataset, share: float, seed: int) -> tuple[l2m.Dataset, list[Mistake], int]:
    """(the data set with mistakes in its masks, without splits; the mistakes; objects in all). Masks are in memory."""
    rng = np.random.default_rng(seed)
    index = {p.name: truth_mask(p, *image_size(p.image)) for p in data}
    background = data.classes.index(data.classes.background) if data.classes.background else -1
    objects = [(name, r) for name, index_HW in index.items() for r in _objects(index_HW, background)]
    wanted = round(share * len(objects))
    left = [w for w in WAYS for _ in range(-(-wanted // len(WAYS)))]
    rng.shuffle(left)
    left = left[:wanted]
    mistakes: list[Mistake] = []
    taken: set[str] = set()
    for i in rng.permutation(len(objects)):
        name, where_HW = objects[i]
        if not left or name in taken:  # one mistake a photo: what surrounds an object is then as it was
            continue
        made = _made(index[name], where_HW, left[-1], background, len(data.classes), rng)
        if made is not None:
            index[name], now_HW = made
            taken.add(name)
            mistakes.append(Mistake(name, left.pop(), where_HW | now_HW))
    photos = tuple(_with_mask(p, index[p.name]) for p in data)
    return replace(data, photos=photos, splits={}), mistakes, len(objects)


def _objects(index_HW: np.ndarray, background: int) -> list[np.ndarray]:
    found = []
    for c in np.unique(index_HW[index_HW >= 0]):
        count, part_HW, stats, _ = cv2.connectedComponentsWithStats((index_HW == c).astype(np.uint8), connectivity=8)
        large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= SMALLEST * index_HW.size]
        found += [part_HW == k for k in large if c != background]
    return found


def _made(
    index_HW: np.ndarray, where_HW: np.ndarray, way: str, background: int, classes: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray] | None:
    """(the mask with the mistake, where the object is now); None where this object can not have it."""
    given = int(index_HW[where_HW][0])
    changed_HW = index_HW.copy()
    if way == "swapped":
        changed_HW[where_HW] = rng.choice([c for c in range(classes) if c not in (given, background)])
        return changed_HW, where_HW
    rim_HW = _grown(where_HW, RIM) & (index_HW < 0)
    gone_HW = where_HW | rim_HW
    around_P = index_HW[_grown(gone_HW, 3) & ~gone_HW]
    around_P = around_P[(around_P >= 0) & (around_P != given)]
    if not around_P.size:
        return None
    changed_HW[gone_HW] = np.bincount(around_P).argmax()
    if way == "missing":
        return changed_HW, where_HW
    angle, length = rng.uniform(0, 2 * np.pi), SHIFT * np.sqrt(where_HW.sum())
    matrix_23 = np.array([[1, 0, round(length * np.cos(angle))], [0, 1, round(length * np.sin(angle))]], np.float64)
    now_HW, rim_now_HW = (
        cv2.warpAffine(m.astype(np.uint8), matrix_23, m.shape[::-1], flags=cv2.INTER_NEAREST) > 0
        for m in (where_HW, rim_HW)
    )
    if now_HW.sum() < where_HW.sum() / 2:
        return None
    changed_HW[rim_now_HW] = -1
    changed_HW[now_HW] = given
    return changed_HW, now_HW


def _grown(where_HW: np.ndarray, pixels: int) -> np.ndarray:
    return cv2.dilate(where_HW.astype(np.uint8), np.ones((2 * pixels + 1,) * 2, np.uint8)) > 0


def _with_mask(photo: Photo, index_HW: np.ndarray) -> Photo:
    """The photo with this mask alone, in the ids of its source."""
    source, target = photo.vocabulary.source, photo.vocabulary.target
    ids = [_source_id(photo, n) for n in target.names]
    void = min(source.void_ids) if source.void_ids else 255
    ids_HW = np.append(np.array(ids, np.int32), void).astype(np.int32)[index_HW]
    return replace(photo, labels=(l2m.Mask(ids_HW=ids_HW),))


def _source_id(photo: Photo, name: str) -> int:
    source = photo.vocabulary.source
    meant = [n for n in source.names if photo.vocabulary.meaning(n) == {name}]
    return source.file_ids[source.index(meant[0])]


def ways(mistakes: Sequence[Mistake]) -> dict[str, int]:
    return {way: sum(m.way == way for m in mistakes) for way in WAYS}
