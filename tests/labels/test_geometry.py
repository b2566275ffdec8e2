"""Labels that move with the image: points exactly, boxes as polygons, masks by nearest warp."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels2masks.labels import Box, Boxes, Mask, Point, Points, Region, Regions, Scribbles, Stroke, Tags
from labels2masks.labels.geometry import moved

H, W = 11, 17
IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])
FLIP = np.array([[-1.0, 0, W], [0, 1, 0]])
UPSIDE_DOWN = np.array([[1.0, 0, 0], [0, -1, H]])


def ids(seed, height=H, width=W, largest=65535):
    return np.random.default_rng(seed).integers(0, largest + 1, (height, width)).astype(np.int32)


@given(st.integers(0, 1000))
def test_masks_flip_shift_and_stay_exactly(seed):
    mask = Mask(ids_HW=ids(seed))
    assert (moved([mask], IDENTITY, H, W)[0].ids_HW == mask.ids_HW).all()
    assert (moved([mask], FLIP, H, W)[0].ids_HW == np.fliplr(mask.ids_HW)).all()
    assert (moved([mask], UPSIDE_DOWN, H, W)[0].ids_HW == np.flipud(mask.ids_HW)).all()
    shifted_HW = moved([mask], np.array([[1.0, 0, 3], [0, 1, -2]]), H, W)[0].ids_HW
    assert (shifted_HW[: H - 2, 3:] == mask.ids_HW[2:, : W - 3]).all()
    assert (shifted_HW[:, :3] == -1).all() and (shifted_HW[H - 2 :] == -1).all()


@pytest.mark.parametrize("scale", [2, 3])
def test_a_mask_twice_as_large_repeats_its_pixels(scale):
    mask = Mask(ids_HW=ids(1))
    larger_HW = moved([mask], np.array([[scale, 0, 0], [0, scale, 0.0]]), H * scale, W * scale)[0].ids_HW
    expected_HW = mask.ids_HW.repeat(scale, 0).repeat(scale, 1)
    assert (larger_HW == expected_HW).mean() == 1.0


def test_a_negative_id_of_an_earlier_move_stays_outside():
    mask = Mask(ids_HW=np.full((H, W), -1, np.int32))
    assert (moved([mask], FLIP, H, W)[0].ids_HW == -1).all()


@given(
    st.floats(0.3, 3),
    st.floats(-3.1, 3.1),
    st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
    st.tuples(st.floats(0, W), st.floats(0, H)),
)
def test_drawn_labels_map_exactly(scale, angle, shift, xy):
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    matrix_23 = np.array([[c, -s, shift[0]], [s, c, shift[1]]])
    x, y = matrix_23 @ (*xy, 1)
    point, scribble, box = moved(
        [
            Points((Point("cat", *xy, negative=True),), frozenset({"cat"}), 2.0),
            Scribbles((Stroke("cat", (xy, (1.0, 2.0)), width=7),)),
            Boxes((Box.upright("cat", *xy, xy[0] + 3, xy[1] + 2),)),
        ],
        matrix_23,
        H,
        W,
    )
    inside = 0 <= x < W and 0 <= y < H
    assert len(point.marks) == inside and point.complete == {"cat"} and point.seconds == 2.0
    if inside:
        assert (point.marks[0].x, point.marks[0].y) == pytest.approx((x, y)) and point.marks[0].negative
    assert scribble.marks[0].xy[0] == pytest.approx((x, y)) and scribble.marks[0].width == 7
    corners = np.array([(*xy, 1), (xy[0] + 3, xy[1], 1), (xy[0] + 3, xy[1] + 2, 1), (xy[0], xy[1] + 2, 1)])
    np.testing.assert_allclose(box.marks[0].corners, corners @ matrix_23.T, atol=1e-9)


def test_flipped_and_scaled_boxes_stay_upright_and_there_and_back_is_the_same():
    boxes = Boxes((Box.upright("cat", 1.5, 2.25, 7.1, 9.3),))
    there = moved([boxes], FLIP @ np.array([[1.7, 0, 0], [0, 1.7, 0], [0, 0, 1]]), 40, 40)[0]
    assert there.marks[0].is_upright
    twice = moved(moved([boxes], FLIP, H, W), FLIP, H, W)[0]
    np.testing.assert_allclose(twice.marks[0].corners, boxes.marks[0].corners)


def test_tags_stay_and_an_unread_mask_is_refused():
    tags = Tags(frozenset({"cat"}))
    assert moved([tags], FLIP, H, W) == (tags,)
    with pytest.raises(ValueError, match="loaded"):
        moved([Mask("a.png")], FLIP, H, W)


def test_outlines_and_extreme_clicks_move_with_their_objects():
    matrix_23 = np.array([[2.0, 0, 1], [0, 3, -2]])
    ring_N2 = np.array([(1, 2), (5, 2), (3, 7)], np.float32)
    box = Box("cat", Box.upright("cat", 1, 2, 5, 7).corners, ((1, 4),))
    regions, boxes = moved([Regions((Region("cat", ((ring_N2,),), True),)), Boxes((box,))], matrix_23, H, W)
    assert regions.marks[0].crowd and np.array_equal(regions.marks[0].polygons[0][0], ring_N2 * (2, 3) + (1, -2))
    assert boxes.marks[0].extremes == ((3.0, 10.0),) and boxes.marks[0].bounds == (3.0, 4.0, 11.0, 19.0)
