"""Confusion against brute force and against a picture worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels2masks.classes import Classes
from labels2masks.evaluation.confusion import OUTSIDE, Confusion, count

ABC = Classes(("a", "b", "c"))


def test_worked_by_hand():
    #  truth a a b b   mask a b b b : a 1 of 2 right, union 2; b 2 right, union 3; c does not occur
    confusion = Confusion(ABC)
    confusion.add(np.array([[0, 1, 1, 1]]), np.array([[0, 0, 1, 1]]))
    scores = confusion.scores()
    assert scores["per_class"]["a"] == {"iou": 0.5, "precision": 1.0, "recall": 0.5, "pixels": 2}
    assert scores["per_class"]["b"]["iou"] == pytest.approx(2 / 3)
    assert scores["per_class"]["c"] == {"iou": None, "precision": None, "recall": None, "pixels": 0}
    assert scores["absent"] == ["c"]
    assert scores["miou"] == confusion.miou == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores["fw_iou"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert scores["pixel_accuracy"] == 0.75
    assert scores["mean_accuracy"] == 0.75


def test_an_absent_class_that_is_predicted_costs_the_true_one_and_stays_absent():
    confusion = Confusion(ABC)
    confusion.add(np.array([[0, 2]]), np.array([[0, 0]]))
    assert confusion.scores()["per_class"]["c"] == {"iou": None, "precision": 0.0, "recall": None, "pixels": 0}
    assert confusion.miou == 0.5


def test_a_prediction_outside_the_protocol_is_an_error():
    confusion = Confusion(ABC)
    confusion.add(np.array([[0, OUTSIDE, 7, 1]]), np.array([[0, 0, 0, 1]]))
    scores = confusion.scores()
    assert scores["outside"] == 0.5
    assert scores["per_class"]["a"]["iou"] == pytest.approx(1 / 3)
    assert scores["pixel_accuracy"] == 0.5


def test_nothing_counted_has_no_score():
    confusion = Confusion(ABC)
    confusion.add(np.zeros((2, 2), np.int32), np.full((2, 2), -1))
    assert confusion.miou is None
    assert confusion.scores()["pixel_accuracy"] is None
    assert confusion.scores()["absent"] == ["a", "b", "c"]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\) against a truth of shape \(3, 2\)"):
        Confusion(ABC).add(np.zeros((2, 3), np.int32), np.zeros((3, 2), np.int32))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.int64, np.int32, np.int16]))
def test_equals_brute_force_and_void_never_matters(seed, dtype):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 7, 2))
    mask, truth = rng.integers(-1, 5, shape).astype(dtype), rng.integers(-1, 3, shape).astype(dtype)
    expected = np.zeros((3, 4), np.int64)
    for predicted, true in zip(mask.flat, truth.flat, strict=True):
        if true >= 0:
            expected[true, predicted if 0 <= predicted < 3 else 3] += 1
    assert (count(mask, truth, 3) == expected).all()
    elsewhere = np.where(truth < 0, rng.integers(-1, 5, shape), mask)
    assert (count(elsewhere, truth, 3) == expected).all()


def test_adding_up_is_the_confusion_of_all_images():
    rng = np.random.default_rng(0)
    images = [(rng.integers(0, 3, (4, 5)), rng.integers(-1, 3, (4, 5))) for _ in range(4)]
    whole, first, second = Confusion(ABC), Confusion(ABC), Confusion(ABC)
    for i, pair in enumerate(images):
        whole.add(*pair)
        (first if i % 2 else second).add(*pair)
    first += second
    assert (first.counts == whole.counts).all()
