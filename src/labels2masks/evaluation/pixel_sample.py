"""Which pixels of a collection of masks a person is asked to name: a random order, drawn in strata.

A stratum is a predicted class and, where the model says how sure it is, one of three levels of that: mistakes crowd
where it is unsure, so fewer pixels tell as much. Strata are visited in proportion to the square root of their size
(between equal numbers, which suit the classes, and proportional ones, which suit the area), with a fifth dealt out
evenly so that none is forgotten. Within a stratum every pixel of every photo is as likely as any other, and none comes
twice.

The order follows from the maps and the seed alone, by SHA-256, on every machine and in every version: whoever asks for
more goes on in the same order, and every beginning of it is a sample of its own.

Legend: H, W = pixels; P = photos; S = strata; K = all strata that could be.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SURE = (0.75, 0.95)
"""Confidences that part the levels: unsure below the first, sure from the second on."""
LEVELS = len(SURE) + 1
EVENLY = 0.2
"""Share of the pixels that is dealt out evenly over the strata."""
BLOCK = 64
"""So many numbers are shuffled among each other: a person who sees the order shall not guess the stratum."""


def strata_map(mask_HW: np.ndarray, confidence_HW: np.ndarray | None) -> np.ndarray:
    """uint16 HW: the stratum of each pixel.

    mask_HW: class indices, -1 = none of the classes. confidence_HW: 0..1, None where nothing is known (one level).
    """
    stratum_HW = (mask_HW + 1).astype(np.uint16) * LEVELS
    if confidence_HW is not None:
        for sure in SURE:
            stratum_HW += confidence_HW >= sure
    return stratum_HW


def strata_count(classes: int) -> int:
    """K: strata 0 ... K - 1 can occur in the maps of so many classes."""
    return (classes + 1) * LEVELS


def predicted_class(stratum: int) -> int:
    """The class that the pixels of a stratum were predicted as, -1 = none of them."""
    return stratum // LEVELS - 1


@dataclass(frozen=True)
class Drawn:
    """One pixel: its photo's place in the collection, and its rank among that photo's pixels of the stratum."""

    stratum: int
    photo: int
    rank: int


def draw(pixels_PK: np.ndarray, count: int, seed: int) -> list[Drawn]:
    """The first `count` pixels of the order, all there are if they are fewer.

    pixels_PK: int64, how many pixels of each photo are in each stratum.
    """
    total_K = pixels_PK.sum(axis=0)
    last_PK = pixels_PK.cumsum(axis=0)
    ranks = {int(k): _shuffled(int(total_K[k]), seed, int(k)) for k in np.flatnonzero(total_K)}
    drawn = []
    for stratum in visits(total_K, count, seed):
        rank = next(ranks[stratum])
        photo = int(np.searchsorted(last_PK[:, stratum], rank, side="right"))
        drawn.append(Drawn(stratum, photo, rank - int(last_PK[photo, stratum] - pixels_PK[photo, stratum])))
    return drawn


def visits(total_K: np.ndarray, count: int, seed: int) -> list[int]:
    """The stratum of each number. total_K: its pixels; none is visited more often than that."""
    roots_K = np.sqrt(total_K)
    wanted_K = (1 - EVENLY) * roots_K / math.fsum(roots_K) + EVENLY * (total_K > 0) / np.count_nonzero(total_K)
    had_K = np.zeros(len(total_K), np.int64)
    count = min(count, int(total_K.sum()))
    order: list[int] = []
    while len(order) < count:
        block = []
        for number in range(len(order), min(len(order) + BLOCK, int(total_K.sum()))):
            lacking_K = np.where(had_K < total_K, wanted_K * (number + 1) - had_K, -np.inf)
            stratum = int(lacking_K.argmax())
            had_K[stratum] += 1
            block.append((_hashed(seed, "visit", number), stratum))
        order += [stratum for _, stratum in sorted(block)]
    return order[:count]


def _shuffled(size: int, seed: int, stratum: int) -> Iterator[int]:
    """0 ... size - 1 in random order, made as far as it is asked for (Fisher and Yates, with a table of moves)."""
    moved: dict[int, int] = {}
    for first in range(size):
        other = first + _hashed(seed, stratum, first) % (size - first)
        yield moved.get(other, other)
        moved[other] = moved.pop(first, first)


def _hashed(*words: int | str) -> int:
    text = "/".join(map(str, words))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:16], "big")
