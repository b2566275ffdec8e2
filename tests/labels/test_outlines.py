"""Outlines and run lengths give the pixels back; filling agrees with a test of every pixel centre."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from labels2masks.labels.outlines import filled, from_run_lengths, regions, run_lengths

masks = arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))
vertices = st.lists(st.tuples(*[st.floats(-3, 12, width=32)] * 2), min_size=3, max_size=7)


@given(masks)
def test_runs_give_the_mask_back(mask_HW):
    assert (from_run_lengths(run_lengths(mask_HW), *mask_HW.shape) == mask_HW).all()


@pytest.mark.parametrize("counts", [[3], [2, 1, 2], [-1, 7], [[6]], [2**63 - 1, 2**63 - 1, 8]])
def test_runs_that_do_not_fit_are_refused(counts):
    with pytest.raises(ValueError):
        from_run_lengths(counts, 2, 3)


@given(masks)
def test_outlines_filled_give_the_mask_back(mask_HW):
    again_HW = np.zeros_like(mask_HW)
    for rings, area in regions(mask_HW):
        inside_HW = filled([np.array(r) for r in rings], *mask_HW.shape)
        assert inside_HW.sum() == area and not (again_HW & inside_HW).any()
        again_HW |= inside_HW
    assert (again_HW == mask_HW).all()


def crossings(ring, x, y):
    """Edges that a ray from (x, y) to the left crosses."""
    pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
    return sum((ay <= y) != (by <= y) and ax + (y - ay) * (bx - ax) / (by - ay) <= x for (ax, ay), (bx, by) in pairs)


@given(st.lists(vertices, min_size=1, max_size=3))
def test_filling_agrees_with_a_ray_from_each_pixel_centre(rings):
    inside_HW = filled([np.array(r) for r in rings], 8, 9)
    for y in range(8):
        for x in range(9):
            expected = sum(crossings(r, x + 0.5, y + 0.5) for r in rings) % 2 == 1
            on_edge = any(
                (ay <= y + 0.5) != (by <= y + 0.5) and abs(ax + (y + 0.5 - ay) * (bx - ax) / (by - ay) - x - 0.5) < 1e-6
                for r in rings
                for (ax, ay), (bx, by) in zip(r, [*r[1:], r[0]], strict=True)
            )
            assert on_edge or inside_HW[y, x] == expected
