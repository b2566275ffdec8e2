"""The search for CRF parameters: it climbs, shares its evaluations, and never sees what it is scored on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from labels2masks.evaluation.crf_tuning import (
    NAMES,
    Scored,
    at,
    coordinate_search,
    miou,
    sums_with,
    tune,
)
from labels2masks.kernels.dense_crf import PRESETS

START = replace(PRESETS["krahenbuhl"], iterations=2)


def scored(seed: int, fold: int) -> Scored:
    """A bright square on the ground, scores with noise of a few pixels' size, a rim of void."""
    rng = np.random.default_rng(seed)
    truth_HW = np.zeros((20, 26), np.int16)
    y, x = rng.integers(2, 8, 2)
    truth_HW[y : y + 10, x : x + 14] = 1
    image_HW3 = (60 + 120 * truth_HW[..., None] + rng.normal(0, 5, (20, 26, 3))).clip(0, 255).astype(np.uint8)
    noise_LHW = rng.normal(0, 1.5, (2, 10, 13)).repeat(2, axis=1).repeat(2, axis=2)
    scores_LHW = noise_LHW + 1.2 * (np.arange(2)[:, None, None] == truth_HW)
    probabilities_LHW = np.exp(scores_LHW) / np.exp(scores_LHW).sum(axis=0)
    truth_HW[0] = -1
    return Scored(image_HW3, probabilities_LHW.astype(np.float16), truth_HW, np.array([0, 1]), fold)


PHOTOS = [scored(seed, seed % 3) for seed in range(6)]


@pytest.fixture(scope="module")
def tuned():
    return tune(PHOTOS, 2, START, evaluations=None)


def test_it_climbs_to_the_top_of_a_hill():
    top, asked = (3, -4, 0, 2, -1), []
    search = coordinate_search()
    position = next(search)
    with pytest.raises(StopIteration):
        while True:
            asked.append(position)
            position = search.send(-sum(abs(a - b) for a, b in zip(position, top, strict=True)))
    assert top in asked and asked[0] == (0,) * 5
    assert all(-6 <= e <= 8 for p in asked for e in p) and len(asked) < 60


def test_positions_are_factors():
    assert at(START, (0,) * 5) == START
    moved = at(START, (2, -2, 1, -6, 0))
    expected = (20.0, 40.0, 18.4, 0.0, 3.0)
    assert tuple(getattr(moved, name) for name in NAMES) == expected and moved.iterations == 2


def test_it_finds_better_ones_and_says_what_they_gain_on_photos_they_have_not_seen(tuned):
    assert tuned.complete and len(tuned.per_fold) == 3
    assert tuned.tried[0].parameters == START and len({t.parameters for t in tuned.tried}) == len(tuned.tried)
    best = max(t.miou for t in tuned.tried)
    assert miou(tuned.chosen_P3C) == best == pytest.approx(miou(sums_with(PHOTOS, 2, tuned.parameters)))
    assert miou(tuned.without_P3C) + 0.05 < miou(tuned.held_out_P3C) <= best + 0.02
    for p, photo in enumerate(PHOTOS):
        expected_13C = sums_with([photo], 2, tuned.per_fold[photo.fold])
        np.testing.assert_array_equal(tuned.held_out_P3C[p], expected_13C[0])
    correct_C = sum((p.probabilities_LHW.argmax(axis=0) == p.truth_HW).sum() for p in PHOTOS)
    assert tuned.without_P3C[:, 0].sum() == correct_C
    assert tuned.without_P3C[:, 1].sum() == sum((p.truth_HW >= 0).sum() for p in PHOTOS)


def test_a_fold_never_sees_its_own_truth(tuned):
    nonsense = [replace(p, truth_HW=1 - p.truth_HW.clip(0)) if p.fold == 0 else p for p in PHOTOS]
    other = tune(nonsense, 2, START, evaluations=None)
    assert other.per_fold[0] == tuned.per_fold[0]
    assert miou(other.held_out_P3C[[0, 3]]) < 0.3 < miou(tuned.held_out_P3C[[0, 3]])


def test_budgets_hold():
    said = []
    tuned = tune(PHOTOS[:3], 2, START, evaluations=4, say=said.append)
    assert len(tuned.tried) == len(said) == 4 and not tuned.complete and said[3].startswith("evaluation 4/4: mIoU ")
    tuned = tune(PHOTOS[:3], 2, START, evaluations=None, seconds=0)
    assert len(tuned.tried) == 1 and tuned.parameters == START and set(tuned.per_fold) == {START}


def test_classes_are_matched():
    swapped = [replace(p, probabilities_LHW=p.probabilities_LHW[::-1], index_L=np.array([1, 0])) for p in PHOTOS]
    np.testing.assert_array_equal(sums_with(swapped, 2, START), sums_with(PHOTOS, 2, START))
    foreign = [replace(PHOTOS[0], index_L=np.array([0, -1]))]
    assert sums_with(foreign, 2, START)[0, 2, 1] == 0
