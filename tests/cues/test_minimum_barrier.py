"""The minimum barrier distance against every interval of values: a pixel is that far if, and only if, some interval of
that width joins it to the border."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from labels2masks.cues.saliency import barrier, minimum_barrier


def by_all_intervals(grey_hw):
    edge_hw = np.ones(grey_hw.shape, bool)
    edge_hw[1:-1, 1:-1] = False
    least_hw = np.full(grey_hw.shape, np.inf)
    values = np.unique(grey_hw).astype(int)
    for low in values:
        for high in values[values >= low]:
            parts_hw, _ = ndimage.label((grey_hw >= low) & (grey_hw <= high))
            joined_hw = (parts_hw > 0) & np.isin(parts_hw, parts_hw[edge_hw])
            least_hw = np.where(joined_hw, np.minimum(least_hw, high - low), least_hw)
    return least_hw


@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(1, 8), st.integers(1, 255))
def test_equals_the_definition(seed, height, width, highest):
    grey_hw = np.random.default_rng(seed).integers(0, highest + 1, (height, width), dtype=np.uint8)
    exact_hw = by_all_intervals(grey_hw)
    assert np.array_equal(barrier(grey_hw), exact_hw)
    coarse_hw = barrier(grey_hw, step=7)
    assert (coarse_hw >= exact_hw).all() and (coarse_hw < exact_hw + 7).all()


def test_by_hand():
    """Into the middle 5 from the left over 9 costs 9 - 5, from the right over 3 costs 6 - 3: peak and floor of one way
    count together, not the least peak (6) less the highest floor (5)."""
    walls = [99, 99, 99, 99, 99]
    assert barrier(np.array([walls, [6, 9, 5, 3, 6], walls], np.uint8))[1].tolist() == [0, 3, 3, 3, 0]
    # A corner is no way through.
    assert barrier(np.array([[0, 9, 9, 9], [9, 0, 9, 9], [9, 9, 9, 9]], np.uint8))[1, 1] == 9


@pytest.mark.parametrize("height, width", [(60, 80), (240, 170), (1, 5)])
def test_the_thing_inside_stands_out(height, width):
    flat_HW3 = np.full((height, width, 3), (70, 120, 80), np.uint8)
    saliency_HW = minimum_barrier(flat_HW3)
    assert saliency_HW.shape == (height, width) and saliency_HW.dtype == np.float32 and not saliency_HW.any()
    if height > 1:
        thing_HW = np.zeros((height, width), bool)
        thing_HW[height // 4 : height // 2, width // 4 : width // 2] = True
        saliency_HW = minimum_barrier(np.where(thing_HW[..., None], np.uint8((200, 60, 40)), flat_HW3))
        assert saliency_HW.max() <= 1 and ((saliency_HW > 0.5) == thing_HW).mean() > 0.97
