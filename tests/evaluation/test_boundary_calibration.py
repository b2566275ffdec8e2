"""Boundary F1 and calibration on pictures that a person can check."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels2masks.classes import Classes
from labels2masks.evaluation.boundary import BoundaryF1, boundary_f1
from labels2masks.evaluation.calibration import Calibration

AB = Classes(("ground", "thing"))


def square(top, left, side=10, shape=(40, 40)):
    mask_HW = np.zeros(shape, np.int32)
    mask_HW[top : top + side, left : left + side] = 1
    return mask_HW


def test_the_same_outline_is_one_and_a_far_one_is_zero():
    assert boundary_f1(square(5, 5), square(5, 5), 2).tolist() == [1.0, 1.0]
    assert boundary_f1(square(28, 28), square(2, 2), 2).tolist() == [0.0, 0.0]
    assert boundary_f1(np.zeros((40, 40), np.int32), square(5, 5), 2).tolist() == [0.0, 0.0]


def test_tolerance_is_a_share_of_the_diagonal():
    # 40 x 40: the diagonal is 56.6 px, so 1 px is 1.77 % of it
    moved = boundary_f1(square(5, 6), square(5, 5), 2, tolerance=0.018)
    assert moved.tolist() == [1.0, 1.0]
    strict = boundary_f1(square(5, 6), square(5, 5), 2, tolerance=0.0)
    # the 36 px outline moved by one column keeps the 9 + 9 shared pixels of its upper and lower side
    assert strict[1] == pytest.approx(18 / 36)


def test_half_of_the_outline():
    truth_HW = np.zeros((40, 40), np.int32)
    truth_HW[:, 20:] = 1
    mask_HW = truth_HW.copy()
    mask_HW[20:] = 0  # the lower half is missing: the outline's lower half is not met, a wrong one is drawn
    f1 = boundary_f1(mask_HW, truth_HW, 2, tolerance=0.0)[1]
    precision, recall = 20 / 39, 20 / 40
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_a_class_without_outline_in_the_truth_is_not_scored():
    f1_C = boundary_f1(square(5, 5), np.zeros((40, 40), np.int32), 2)
    assert np.isnan(f1_C).all()
    scores = BoundaryF1(AB)
    scores.add(f1_C)
    assert scores.scores() == {"boundary_f1": None, "per_class": {"ground": None, "thing": None}}


def test_an_outline_that_is_void_in_the_truth():
    """VOC's void rim: an object that is right up to the rim has a perfect outline."""
    truth_HW = square(4, 4, 14)
    truth_HW[4:18, 4:18][[0, 1, -1, -2]] = -1
    truth_HW[4:18, 4:18][:, [0, 1, -1, -2]] = -1
    assert boundary_f1(square(5, 5, 12), truth_HW, 2).tolist() == [1.0, 1.0]


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_what_is_predicted_at_void_never_matters(seed):
    rng = np.random.default_rng(seed)
    truth_HW, mask_HW = rng.integers(-1, 2, (9, 8)), rng.integers(-1, 3, (9, 8))
    other_HW = np.where(truth_HW < 0, rng.integers(-1, 3, (9, 8)), mask_HW)
    assert np.array_equal(boundary_f1(mask_HW, truth_HW, 2), boundary_f1(other_HW, truth_HW, 2), equal_nan=True)
    confidence_HW = rng.random((9, 8))
    one, two = Calibration(), Calibration()
    one.add(mask_HW, confidence_HW, truth_HW)
    two.add(other_HW, np.where(truth_HW < 0, 0.5, confidence_HW), truth_HW)
    assert one.error == two.error


def test_means_over_classes_and_images():
    scores = BoundaryF1(AB)
    scores.add(np.array([1.0, 0.5]))
    scores.add(np.array([0.5, np.nan]))
    assert scores.scores() == {
        "boundary_f1": pytest.approx((0.75 + 0.5) / 2),
        "per_class": {"ground": 0.75, "thing": 0.5},
    }


def test_calibration_by_hand():
    calibration = Calibration()
    assert calibration.error is None
    # four pixels at 0.9, three right: off by 0.15; one at 0.3 that is right: off by 0.7; one void
    mask = np.array([[1, 1, 1, 0, 0, 1]])
    truth = np.array([[1, 1, 1, 1, 0, -1]])
    calibration.add(mask, np.array([[0.9, 0.9, 0.9, 0.9, 0.3, 0.1]]), truth)
    assert calibration.error == pytest.approx((4 * 0.15 + 0.7) / 5)
