"""The fused kernel against ten lines of brute force: odd sizes, any stride and centre, ties, -inf, both layouts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from labels2masks import kernels
from labels2masks.grid import Grid
from labels2masks.kernels.upsample_argmax import (
    default_threads,
    upsample_argmax,
    upsample_argmax_reference,
    upsample_confusion,
)

GRIDS = st.one_of(
    st.sampled_from([Grid(), Grid.square(16, 15.5), Grid.square(8, 0.5), Grid.square(4, 2), Grid(3, 5, -2, 40)]),
    st.builds(Grid, *[st.floats(0.3, 9)] * 2, *[st.floats(-20, 20)] * 2),
)


@st.composite
def cases(draw):
    """(scores_Chw, grid, height, width): smooth, noisy, whole-numbered (many ties) or partly impossible scores."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes, h, w = draw(st.integers(1, 20)), draw(st.integers(1, 9)), draw(st.integers(1, 40))
    scores_Chw = rng.normal(0, draw(st.sampled_from([0.1, 3, 50])), (classes, h, w)).astype(np.float32)
    kind = draw(st.sampled_from(["noise", "ties", "impossible", "smooth"]))
    if kind == "ties":
        scores_Chw = np.round(scores_Chw)
    if kind == "impossible":
        scores_Chw[rng.random(scores_Chw.shape) < 0.5] = -np.inf
    if kind == "smooth":
        scores_Chw = np.cumsum(scores_Chw, axis=2, dtype=np.float32)
    return scores_Chw, draw(GRIDS), draw(st.integers(1, 50)), draw(st.integers(1, 50))


def brute_force(scores_Chw, grid, height, width):
    """scores_CHW in float64, one pixel at a time."""
    scores_Chw = np.maximum(scores_Chw, -1e30).astype(np.float64)
    classes, h, w = scores_Chw.shape
    scores_CHW = np.empty((classes, height, width))
    for i in range(height):
        y = min(max((i + 0.5 - grid.centre_y) / grid.stride_y, 0), h - 1)
        for j in range(width):
            x = min(max((j + 0.5 - grid.centre_x) / grid.stride_x, 0), w - 1)
            a, b = scores_Chw[:, int(y)], scores_Chw[:, min(int(y) + 1, h - 1)]
            row_Cw = a * (1 - y % 1) + b * (y % 1)
            scores_CHW[:, i, j] = row_Cw[:, int(x)] * (1 - x % 1) + row_Cw[:, min(int(x) + 1, w - 1)] * (x % 1)
    return scores_CHW


def assert_winners(mask_HW, scores_CHW):
    """Every pixel's class has the highest score, up to what float32 can tell apart."""
    given_HW = np.take_along_axis(scores_CHW, mask_HW[None].astype(int), axis=0)[0]
    best_HW = scores_CHW.max(axis=0)
    np.testing.assert_array_less(best_HW - given_HW, 1e-4 + 1e-5 * np.abs(best_HW))


@pytest.mark.parametrize("implementation", [upsample_argmax, upsample_argmax_reference])
@given(case=cases())
def test_winner_is_the_highest_interpolated_score(implementation, case):
    mask_HW, confidence_HW = implementation(*case, confidence=True)
    assert mask_HW.dtype == np.int32 and confidence_HW.dtype == np.float32
    scores_CHW = brute_force(*case)
    assert_winners(mask_HW, scores_CHW)
    np.testing.assert_array_equal(implementation(*case), mask_HW)
    relative_CHW = np.exp(np.maximum(scores_CHW - scores_CHW.max(axis=0), -100))
    possible_HW = scores_CHW.max(axis=0) > -1e20  # elsewhere every class is impossible, and so is a comparison
    np.testing.assert_allclose(confidence_HW[possible_HW], 1 / relative_CHW.sum(axis=0)[possible_HW], atol=2e-4)


@given(case=cases(), threads=st.integers(1, 7))
def test_kernel_equals_the_reference_for_any_threads_and_layout(case, threads):
    scores_Chw, *where = case
    expected_HW, confidence_HW = upsample_argmax_reference(*case, confidence=True)
    for layout_Chw in (
        scores_Chw,
        np.moveaxis(np.ascontiguousarray(np.moveaxis(scores_Chw, 0, -1)), -1, 0),
        np.asfortranarray(scores_Chw),
    ):
        mask_HW, given_HW = upsample_argmax(layout_Chw, *where, confidence=True, threads=threads)
        np.testing.assert_allclose(given_HW, confidence_HW, atol=1e-5)
        # Rounding may merge two scores that differ at the corners; then either may be named.
        differs_HW = mask_HW != expected_HW
        assert differs_HW.mean() <= 0.02
        if differs_HW.any():
            assert_winners(mask_HW, brute_force(*case))


@pytest.mark.parametrize("grid", [Grid.square(4, 2), Grid(3.7, 4.1, 9.5, -3)])
def test_many_threads_give_what_one_gives(grid):
    # Large enough that the kernel does start them.
    scores_Chw = np.random.default_rng(0).normal(size=(9, 80, 90)).cumsum(axis=2).astype(np.float32)
    truth_HW = np.random.default_rng(1).integers(-1, 9, (320, 360)).astype(np.int32)
    one, many = ({"threads": threads, "confidence": True} for threads in (1, 5))
    for a, b in zip(
        upsample_argmax(scores_Chw, grid, 320, 360, **one),
        upsample_argmax(scores_Chw, grid, 320, 360, **many),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    expected_HW = upsample_argmax_reference(scores_Chw, grid, 320, 360)
    assert (upsample_argmax(scores_Chw, grid, 320, 360, threads=3) == expected_HW).mean() > 0.99999
    counts = [upsample_confusion(scores_Chw, grid, truth_HW, threads) for threads in (1, 5)]
    np.testing.assert_array_equal(*counts)
    assert counts[0].sum() == (truth_HW >= 0).sum()
    truth_HW[-1, -1] = 9
    with pytest.raises(ValueError, match="same class list"):
        upsample_confusion(scores_Chw, grid, truth_HW, threads=5)


@pytest.mark.parametrize("classes", [1, 21, 150])
@pytest.mark.parametrize("kind", ["noise", "smooth"])
def test_it_names_what_torch_names(classes, kind):
    scores_NChw = torch.randn(1, classes, 24, 32, generator=torch.Generator().manual_seed(classes))
    scores_NChw = scores_NChw.cumsum(3) if kind == "smooth" else scores_NChw
    scores_NCHW = F.interpolate(scores_NChw, size=(96, 128), mode="bilinear", align_corners=False)
    mask_HW, confidence_HW = upsample_argmax(scores_NChw[0].numpy(), Grid.square(4, 2), 96, 128, confidence=True)
    expected, expected_HW = scores_NCHW.softmax(1)[0].max(0)
    assert (mask_HW == expected_HW.numpy()).mean() > 0.9999
    np.testing.assert_allclose(confidence_HW, expected.numpy(), atol=1e-5)


@given(case=cases(), seed=st.integers(0, 99))
def test_confusion_counts_the_mask(case, seed):
    scores_Chw, grid, height, width = case
    truth_HW = np.random.default_rng(seed).integers(-1, len(scores_Chw), (height, width)).astype(np.int32)
    mask_HW = upsample_argmax(*case)
    confusion_CC = upsample_confusion(scores_Chw, grid, truth_HW, threads=3)
    expected_CC = np.zeros_like(confusion_CC)
    np.add.at(expected_CC, (truth_HW[truth_HW >= 0], mask_HW[truth_HW >= 0]), 1)
    np.testing.assert_array_equal(confusion_CC, expected_CC)


def test_lowest_index_wins_a_tie():
    np.testing.assert_array_equal(upsample_argmax(np.zeros((9, 3, 3), np.float32), Grid.square(4, 2), 12, 12), 0)


def test_border_is_where_the_two_scores_cross():
    # Class 0 falls from 3 to -1 between the centres 2 and 6, class 1 stays 0: they meet at x = 5.
    scores_Chw = np.array([[[3, -1]], [[0, 0]]], np.float32)
    mask_HW = upsample_argmax(scores_Chw, Grid.square(4, 2), 1, 8)
    np.testing.assert_array_equal(mask_HW, [[0, 0, 0, 0, 0, 1, 1, 1]])


def test_a_third_class_may_win_between_two_others():
    scores_Chw = np.array([[[4, -4]], [[1, 1]], [[-4, 4]]], np.float32)
    np.testing.assert_array_equal(np.unique(upsample_argmax(scores_Chw, Grid.square(8, 0.5), 1, 9)), [0, 1, 2])


@pytest.mark.parametrize("implementation", [upsample_argmax, upsample_argmax_reference])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("place", [(0, 0, 0), (4, 2, 20)])
def test_scores_that_say_nothing_are_refused(implementation, bad, place):
    for scores_Chw in (np.zeros((5, 3, 21), np.float32), np.zeros((3, 21, 5), np.float32).transpose(2, 0, 1)):
        scores_Chw[place] = bad
        with pytest.raises(ValueError, match="diverged"):
            implementation(scores_Chw, Grid.square(4, 2), 12, 84)


def test_wrong_shapes_are_told():
    with pytest.raises(ValueError, match="three axes"):
        upsample_argmax(np.zeros((3, 4), np.float32), Grid(), 3, 4)
    with pytest.raises(ValueError, match="size of 1x1"):
        upsample_argmax(np.zeros((3, 4, 4), np.float32), Grid(), 0, 4)
    with pytest.raises(ValueError, match="same class list"):
        upsample_confusion(np.zeros((2, 4, 4), np.float32), Grid(), np.full((4, 4), 2, np.int32))


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert default_threads() >= 1


def test_missing_extension_warns_once_or_is_an_error(monkeypatch):
    monkeypatch.setattr(kernels, "_kernels", None)
    monkeypatch.setattr(kernels, "_why", "not built", raising=False)
    monkeypatch.setattr(kernels, "_warned", False)
    monkeypatch.delenv("L2M_REQUIRE_KERNELS", raising=False)
    scores_Chw = np.random.default_rng(0).normal(size=(3, 4, 4)).astype(np.float32)
    with pytest.warns(UserWarning, match="no compiled kernels") as caught:
        for _ in range(2):
            upsample_argmax(scores_Chw, Grid.square(4, 2), 16, 16)
            upsample_confusion(scores_Chw, Grid.square(4, 2), np.zeros((16, 16), np.int32))
    assert len(caught) == 1 and kernels.variant() == "numpy"
    monkeypatch.setenv("L2M_REQUIRE_KERNELS", "1")
    with pytest.raises(RuntimeError, match="required and missing"):
        upsample_argmax(scores_Chw, Grid.square(4, 2), 16, 16)


def test_kernels_import_without_torch():
    code = "import sys, labels2masks.kernels.upsample_argmax; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
