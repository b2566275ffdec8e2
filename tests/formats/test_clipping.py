"""What leads out of the photo is cut at its border, and no pixel in it changes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labels2masks.formats.clipping import area, clipped
from labels2masks.labels.outlines import filled

vertices = st.tuples(st.integers(-30, 40), st.integers(-30, 40))


@given(st.lists(vertices, min_size=3, max_size=9))
def test_the_same_pixels(ring):
    # Off the centres of pixels, which rounding could put on either side.
    ring_N2 = np.array(ring) + 0.3
    cut_N2 = clipped(ring_N2, 9, 11)
    assert cut_N2.size == 0 or (cut_N2.min() >= 0 and (cut_N2 <= (11, 9)).all())
    assert (filled([cut_N2], 9, 11) == filled([ring_N2], 9, 11)).all()


def test_by_hand():
    assert clipped(np.array([(-1, 1), (3, 1), (3, 4), (-1, 4)]), 9, 9).tolist() == [[0, 1], [3, 1], [3, 4], [0, 4]]
    assert clipped(np.array([(-5, 1), (-3, 1), (-3, 4)]), 9, 9).size == 0
    assert clipped(np.array([(-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9)]), 4, 6).shape == (4, 2)
    assert area(np.array([(0, 0), (4, 0), (4, 3)])) == 6 and area(np.zeros((0, 2))) == 0
