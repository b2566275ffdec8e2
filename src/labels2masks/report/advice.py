"""What a check advises, in plain words: numbers in, (level, what, sentence) out.

Legend: C = target classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..classes import Classes

ENOUGH = 20
"""Labelled images of a class. A fifth that is set aside, and each of five folds, then holds 4 of them. On 4 photos the
IoU of a class of CamVid scatters by 5 points (standard deviation over draws of its validation photos), on 20 by 2: with
fewer, neither you nor the tool can see whether a change helped. It is no promise that 20 are enough to learn from."""
NAMED = 5
"""Classes with a sentence of their own, the rarest first."""
TOUCHING = 0.05
"""The share of photos with touching objects from which on counting by connected regions goes wrong too often."""

Advice = tuple[str, str, str, int]
"""(level, what, sentence, how many)"""


def few_images(classes: Classes, photos_C: np.ndarray) -> Iterator[Advice]:
    """photos_C: images in which a label says that the class is there."""
    ground = classes.background
    rare = sorted((int(n), name) for n, name in zip(photos_C, classes.names, strict=True) if 0 < n < ENOUGH)
    rare = [(n, name) for n, name in rare if name != ground]
    for n, name in rare[:NAMED]:
        images = "1 labelled image" if n == 1 else f"{n} labelled images"
        yield "note", "few", f"class {name} has {images}: about {ENOUGH - n} more would help", 1
    if more := rare[NAMED:]:
        listed = ", ".join(f"{name} {n}" for n, name in more[:20]) + (", ..." if len(more) > 20 else "")
        yield "note", "few", f"classes with fewer than {ENOUGH} labelled images as well: {listed}", len(more)


def counting(touching: int, told: int) -> Iterator[Advice]:
    """touching: photos in which objects of one class touch, of the `told` whose labels tell objects apart."""
    if told and touching / told >= TOUCHING:
        yield (
            "note",
            "touching",
            f"touching objects of one class in {touching / told:.0%} of photos (of {told} whose labels can tell): "
            "if you must count them, this tool is not it",
            touching,
        )


def not_scored(classes: Classes, train: str, split: str, lacking_C: np.ndarray) -> Iterator[Advice]:
    """lacking_C: bool, classes that `train` has and `split` lacks."""
    if lacking_C.any():
        names = _names(classes, lacking_C)
        text = f"classes in {train!r} only, so {split!r} does not score them: {names}"
        yield "note", "not_scored", text, int(lacking_C.sum())


def never_learnt(classes: Classes, train: str, split: str, lacking_C: np.ndarray) -> Iterator[Advice]:
    """lacking_C: bool, classes that `split` has and `train` lacks."""
    if lacking_C.any():
        text = f"classes in {split!r} that {train!r} lacks: {_names(classes, lacking_C)}"
        yield "warning", "missing", text, int(lacking_C.sum())


def _names(classes: Classes, which_C: np.ndarray) -> str:
    found: Sequence[str] = [classes.names[c] for c in np.flatnonzero(which_C)]
    return ", ".join(found[:20]) + (", ..." if len(found) > 20 else "")
