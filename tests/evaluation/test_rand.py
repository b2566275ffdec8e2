"""The Rand score against its definition over pairs of pixels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from labels2masks.evaluation.rand import rand_scores


def by_pairs(segments_HW: np.ndarray, objects_HW: np.ndarray) -> tuple[float, float, float]:
    """Of ordered pairs of pixels in objects, a pixel with itself too: how many are together in both, in each."""
    pixels = [(int(s), int(t), k) for k, (s, t) in enumerate(zip(segments_HW.flat, objects_HW.flat, strict=True)) if t]
    together = truth = predicted = 0
    for (s, t, k), (other_s, other_t, other_k) in itertools.product(pixels, repeat=2):
        joined = k == other_k or (s == other_s and s > 0)
        together += joined and t == other_t
        truth += t == other_t
        predicted += joined
    split, merge = together / truth, together / predicted
    return 2 * split * merge / (split + merge), split, merge


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_definition(seed: int) -> None:
    draw = np.random.default_rng(seed)
    segments_HW, objects_HW = draw.integers(0, 4, (6, 7)), draw.integers(0, 3, (6, 7))
    assert rand_scores(segments_HW, objects_HW) == pytest.approx(by_pairs(segments_HW, objects_HW), abs=1e-12)


def test_what_a_person_expects() -> None:
    objects_HW = np.array([[1, 1, 1, 1, 0, 2, 2, 2, 2]])
    assert rand_scores(objects_HW, objects_HW) == (1.0, 1.0, 1.0)
    assert rand_scores(7 * objects_HW, objects_HW) == (1.0, 1.0, 1.0)  # numbers are names
    _, split, merge = rand_scores(np.ones_like(objects_HW), objects_HW)
    assert split == 1.0 and merge == 0.5  # a broken border joins the two
    _, split, merge = rand_scores(np.array([[1, 1, 3, 3, 0, 2, 2, 2, 2]]), objects_HW)
    assert split == 0.75 and merge == 1.0
    assert rand_scores(objects_HW, np.zeros_like(objects_HW)) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="shapes|objects of"):
        rand_scores(objects_HW, objects_HW.T)
