"""Thresholds that the histogram chooses, against their definitions."""

from itertools import combinations

import numpy as np
import pytest

from labels2masks.cues.threshold import levels, threshold_at, thresholded


def grey_of(seed, *means):
    draw = np.random.default_rng(seed)
    return np.concatenate([draw.normal(m, 9, 120) for m in means]).clip(0, 255).astype(np.uint8).reshape(20, -1)


def test_a_number_stays_itself_and_is_not_above_itself():
    grey = np.array([[99, 100, 101]], np.uint8)
    assert threshold_at(grey, 100) == 100 and thresholded(grey, 100).tolist() == [[0, 0, 255]]


def test_twice_the_mean_is_never_beyond_white():
    assert threshold_at(np.array([[10, 30]], np.uint8), "mean2") == 40
    assert threshold_at(np.array([[200, 250]], np.uint8), "mean2") == 255


@pytest.mark.parametrize("seed", range(5))
def test_triangle_lies_farthest_below_the_line_from_the_peak_to_the_end(seed):
    """Zack et al. 1977: a large dark peak with a long tail; of the bins between, the one deepest under the chord."""
    draw = np.random.default_rng(seed)
    grey = np.clip(20 + draw.exponential(25, (60, 60)), 0, 255).astype(np.uint8)
    counts = np.bincount(grey.ravel(), minlength=256)
    peak, end = int(counts.argmax()), int(np.flatnonzero(counts)[-1]) + 1
    bins = np.arange(peak, end + 1)
    chord = counts[peak] * (end - bins) / (end - peak)
    depth = chord - np.append(counts, 0)[bins]
    at = round(threshold_at(grey, "triangle"))
    assert peak < at < end and depth[bins == at - 1] == pytest.approx(depth.max())  # OpenCV's lies one bin beyond it


@pytest.mark.parametrize("seed", range(3))
def test_levels_have_the_largest_variance_between_them(seed):
    grey = grey_of(seed, 60, 110, 190) // 8  # few grey values, so that all pairs of thresholds can be tried
    mean = grey.mean()

    def between(part):
        return sum((part == k).sum() * (grey[part == k].mean() - mean) ** 2 for k in np.unique(part))

    best = max(between(np.digitize(grey, pair, right=True)) for pair in combinations(np.unique(grey)[:-1], 2))
    assert between(levels(grey, 3)) == pytest.approx(best, rel=1e-6)
