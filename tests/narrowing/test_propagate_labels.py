"""Label propagation as a narrowing step: marks fill their colour, nobody else is decided."""

import numpy as np
import pytest
from contracts import step_contract

from labels2masks.errors import UsageError
from labels2masks.labels import INK, REGION, VOID_ROW, Candidates
from labels2masks.narrowing import ArgMax, decide, propagate_labels


def scene():
    """(image_HW3 of three colours, candidates): two of three classes, a stroke in each of two colours, a void edge."""
    image_HW3 = np.full((30, 45, 3), 40, np.uint8)
    image_HW3[:, 15:30], image_HW3[:, 30:] = (190, 180, 60), (90, 240, 250)
    image_HW3 += np.random.default_rng(0).integers(0, 6, image_HW3.shape, dtype=np.uint8)
    candidates = Candidates.open(30, 45, 3).state(np.ones((30, 45), bool), np.array([True, True, False]), REGION, 0.9)
    for k, x in enumerate((4, 24)):
        ink_HW = np.zeros((30, 45), bool)
        ink_HW[10:20, x] = True
        candidates = candidates.state(ink_HW, np.arange(3) == k, INK, 1.0)
    return image_HW3, candidates.mapped(lambda index_HW: np.where(np.arange(45) == 44, VOID_ROW, index_HW))


def test_contract():
    step_contract(propagate_labels, *scene())


def test_two_strokes_fill_their_colours_and_a_third_colour_stays_open():
    image_HW3, candidates = scene()
    evidence = propagate_labels(image_HW3, candidates)
    narrowed = decide(candidates, evidence, ArgMax())
    mask_HW = narrowed.labels()
    assert (mask_HW[:, :15] == 0).all() and (mask_HW[:, 15:30] == 1).all()
    assert (mask_HW[:, 30:] == -1).all() and not evidence.confidence_HW[:, 30:].any()
    assert evidence.confidence_HW[:, :30].min() > 0.9
    np.testing.assert_array_equal(narrowed.allowed()[:2, :, 30:44], True)


def test_a_vote_for_what_is_no_candidate_is_not_heard():
    image_HW3 = np.zeros((10, 12, 3), np.uint8)
    candidates = Candidates.open(10, 12, 3)
    ink_HW = np.zeros((10, 12), bool)
    ink_HW[5, 2] = True
    candidates = candidates.state(ink_HW, np.array([True, False, False]), INK, 1.0)
    candidates = candidates.state((slice(None), slice(6, None)), np.array([False, True, True]), REGION, 0.9)
    evidence = propagate_labels(image_HW3, candidates)
    assert not evidence.confidence_HW[:, 6:].any() and evidence.confidence_HW[:, :6].all()


def test_an_image_of_another_size_is_refused():
    with pytest.raises(UsageError, match="candidates of 4x5"):
        propagate_labels(np.zeros((4, 6, 3), np.uint8), Candidates.open(4, 5, 2))
