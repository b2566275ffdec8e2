"""The dense CRF as a narrowing step: within the candidates, it fills what no step spoke about, up to colour edges."""

import numpy as np
import pytest
from contracts import step_contract

from labels2masks.errors import UsageError
from labels2masks.labels import INK, REGION, VOID_ROW, Candidates
from labels2masks.narrowing import ArgMax, Evidence, decide, dense_crf


def scene():
    """(image_HW3 of two colours, candidates): two classes of three possible, a stroke in each colour, a void column."""
    image_HW3 = np.full((40, 40, 3), 60, np.uint8)
    image_HW3[:, 17:] = (190, 180, 60)
    image_HW3 += np.random.default_rng(0).integers(0, 9, image_HW3.shape, dtype=np.uint8)
    candidates = Candidates.open(40, 40, 3).state(np.ones((40, 40), bool), np.array([True, True, False]), REGION, 0.9)
    for k, x in enumerate((4, 34)):
        ink_HW = np.zeros((40, 40), bool)
        ink_HW[10:30, x] = True
        candidates = candidates.state(ink_HW, np.arange(3) == k, INK, 1.0)
    return image_HW3, candidates.mapped(lambda index_HW: np.where(np.arange(40) == 39, VOID_ROW, index_HW))


def test_contract():
    image_HW3, candidates = scene()
    step_contract(dense_crf, image_HW3, candidates, Evidence.none(candidates))


def test_two_strokes_fill_two_colours():
    image_HW3, candidates = scene()
    evidence = dense_crf(image_HW3, candidates, Evidence.none(candidates), "krahenbuhl")
    mask_HW = decide(candidates, evidence, ArgMax()).labels()
    assert (mask_HW[:, :17] == 0).mean() > 0.99 and (mask_HW[:, 17:39] == 1).mean() > 0.99
    assert (mask_HW[:, 39] == -1).all()
    assert not evidence.confidence_HW[:, 39].any()


def test_what_does_not_fit_is_refused():
    candidates = Candidates.open(4, 5, 2)
    with pytest.raises(UsageError, match="do not fit"):
        dense_crf(np.zeros((4, 6, 3), np.uint8), candidates, Evidence.none(candidates))


@pytest.mark.parametrize(
    "wrong", [lambda x: x.astype(np.float32) - 120, lambda x: x / 255, lambda x: x.astype(np.int32)]
)
def test_a_photo_of_other_levels_is_refused(wrong):
    """A mean-subtracted photo cast to bytes turns -30 into 226 without a word: so nothing is cast."""
    image_HW3, candidates = scene()
    with pytest.raises(UsageError, match="uint8 RGB"):
        dense_crf(wrong(image_HW3), candidates, Evidence.none(candidates))
