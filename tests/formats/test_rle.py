"""Run lengths as COCO's text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels2masks.formats.rle import compressed, decompressed, pixels_of_rle
from labels2masks.labels.outlines import run_lengths


@given(st.lists(st.integers(0, 10**6), max_size=30))
def test_round_trip(runs):
    assert decompressed(compressed(runs)).tolist() == runs


def test_by_hand():
    """Digits of 5 bits from the lowest on, 48 added, 32 where more follow; from the fourth run on a difference."""
    assert compressed([6, 1, 40, 4, 5]) == "61" + "X1" + "3" + "mN"
    assert decompressed("61X13mN").tolist() == [6, 1, 40, 4, 5]


@given(st.integers(0, 2**30), st.integers(1, 9), st.integers(1, 9))
def test_pixels(seed, height, width):
    pixels_HW = np.random.default_rng(seed).random((height, width)) < 0.5
    for counts in (run_lengths(pixels_HW), compressed(run_lengths(pixels_HW))):
        value = {"size": [height, width], "counts": counts}
        assert (pixels_of_rle(value, height, width) == pixels_HW).all()


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"size": [2, 3], "counts": [6]},
        {"size": [3, 2], "counts": [5]},
        {"size": [3, 2], "counts": [7, -1]},
        {"size": [3, 2], "counts": [True, 5]},
        {"size": [3, 2], "counts": [3.0, 3]},
        {"size": [3, 2], "counts": "6 "},
        {"size": [3, 2], "counts": "V"},
        {"size": [3, 2], "counts": "ooooooo1"},
        {"size": [3, 2], "counts": ""},
        {"size": [3, 2], "counts": "\u20ac"},
        {"size": [3, 2], "counts": 6},
    ],
)
def test_what_does_not_fit_is_refused(value):
    with pytest.raises(ValueError):
        pixels_of_rle(value, 3, 2)
