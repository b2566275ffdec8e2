"""Means and majorities over segments, against loops over the segments."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import data, segmentation

from labels2masks.errors import UsageError
from labels2masks.kernels.superpixels import (
    achievable_accuracy,
    achievable_mask,
    pool_by_segments,
    superpixel_vote,
)


@st.composite
def cases(draw):
    """(segments_HW with gaps, features_DHW, truth_HW with void, count), up to 255 labels."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(1, 1), (1, 12), (9, 1), (7, 11)]))
    segments_HW = rng.integers(0, draw(st.sampled_from([1, 3, 80])), shape).clip(max=shape[0] * shape[1])
    count = draw(st.sampled_from([1, 2, 7, 255]))
    segments_HW = segments_HW.astype(draw(st.sampled_from([np.uint8, np.int32, np.int64, np.uint64])))
    features_DHW = rng.normal(0, 3, (draw(st.sampled_from([1, 2, 5])), *shape))
    return segments_HW, features_DHW, rng.integers(-1, count, shape), count


@given(case=cases())
def test_pooled_features_are_the_means_of_the_segments(case):
    segments_HW, features_DHW, _, _ = case
    pooled_KD = pool_by_segments(features_DHW, segments_HW)
    vote_LHW = superpixel_vote(features_DHW, segments_HW)
    assert pooled_KD.shape == (segments_HW.max() + 1, len(features_DHW)) and pooled_KD.dtype == np.float32
    assert vote_LHW.shape == features_DHW.shape and vote_LHW.dtype == np.float32
    for k, row_D in enumerate(pooled_KD):
        inside_HW = segments_HW == k
        expected_D = features_DHW[:, inside_HW].mean(axis=1) if inside_HW.any() else np.zeros(len(features_DHW))
        np.testing.assert_allclose(row_D, expected_D, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(vote_LHW[:, inside_HW], row_D[:, None].repeat(inside_HW.sum(), axis=1))
    np.testing.assert_array_equal(np.moveaxis(pooled_KD[segments_HW], -1, 0), vote_LHW)
    np.testing.assert_allclose(superpixel_vote(vote_LHW, segments_HW), vote_LHW, rtol=1e-6, atol=1e-6)


@given(case=cases())
def test_the_achievable_mask_is_the_majority_of_each_segment(case):
    segments_HW, _, truth_HW, count = case
    mask_HW = achievable_mask(truth_HW, segments_HW, count)
    right = 0
    for k in np.unique(segments_HW):
        inside_HW = segments_HW == k
        pixels_L = [(truth_HW[inside_HW] == label).sum() for label in range(count)]
        expected = int(np.argmax(pixels_L)) if max(pixels_L) else -1
        assert (mask_HW[inside_HW] == expected).all()
        right += max(pixels_L)
    accuracy, stated = achievable_accuracy(truth_HW, segments_HW, count), (truth_HW >= 0).sum()
    assert accuracy is None if not stated else accuracy == pytest.approx(right / stated)


def test_no_choice_of_one_label_a_segment_beats_the_bound():
    rng = np.random.default_rng(0)
    segments_HW, truth_HW = rng.integers(0, 5, (6, 7)), rng.integers(-1, 3, (6, 7))
    stated_HW = truth_HW >= 0
    choices = (np.array(choice)[segments_HW] for choice in product(range(3), repeat=5))
    best = max((mask_HW == truth_HW)[stated_HW].mean() for mask_HW in choices)
    assert achievable_accuracy(truth_HW, segments_HW, 3) == pytest.approx(best)


@given(case=cases())
def test_finer_segments_never_lower_the_bound(case):
    segments_HW, _, truth_HW, count = case
    half_HW = np.arange(truth_HW.shape[1]) % 2
    finer_HW = np.unique(segments_HW.astype(int) * 2 + half_HW, return_inverse=True)[1].reshape(truth_HW.shape)
    pixels_HW = np.arange(truth_HW.size).reshape(truth_HW.shape)
    bounds = [achievable_accuracy(truth_HW, s, count) for s in (segments_HW, finer_HW, pixels_HW)]
    if bounds[0] is not None:
        assert bounds[0] <= bounds[1] <= bounds[2] == 1


def test_segments_of_a_photo_clean_noisy_scores():
    image_HW3 = data.astronaut()[:200:2, 100:300:2]
    segments_HW = segmentation.slic(image_HW3, n_segments=60, start_label=0)
    truth_HW = (image_HW3.mean(axis=2) > 100).astype(int)
    scores_LHW = np.stack([1.0 - truth_HW, truth_HW]) + np.random.default_rng(0).normal(0, 1.5, (2, 100, 100))
    noisy, voted = (
        (s.argmax(axis=0) == truth_HW).mean() for s in (scores_LHW, superpixel_vote(scores_LHW, segments_HW))
    )
    assert noisy < 0.72 and 0.8 < voted <= achievable_accuracy(truth_HW, segments_HW, 2) < 1


def test_what_is_impossible_somewhere_is_impossible_in_the_segment():
    scores_LHW = np.zeros((2, 1, 4), np.float32)
    scores_LHW[1, 0, 0] = -np.inf
    vote_LHW = superpixel_vote(scores_LHW, np.array([[0, 0, 1, 1]]))
    np.testing.assert_array_equal(vote_LHW[1], [[-np.inf, -np.inf, 0, 0]])


FEATURES, SEGMENTS = np.zeros((2, 3, 4)), np.zeros((3, 4), int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: superpixel_vote(FEATURES[0], SEGMENTS), "expected DHW"),
        (lambda: superpixel_vote(FEATURES[:, :2], SEGMENTS), "expected DHW"),
        (lambda: superpixel_vote(FEATURES * np.nan, SEGMENTS), "NaN"),
        (lambda: pool_by_segments(FEATURES, SEGMENTS - 1), "number them anew"),
        (lambda: pool_by_segments(FEATURES, SEGMENTS + 13), "number them anew"),
        (lambda: pool_by_segments(FEATURES, SEGMENTS / 2), "integer segments"),
        (lambda: achievable_mask(SEGMENTS + 2, SEGMENTS, 2), "integer labels below 2"),
        (lambda: achievable_mask(SEGMENTS[:2], SEGMENTS, 2), "integer labels below 2"),
    ],
)
def test_what_can_not_be_used_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()
