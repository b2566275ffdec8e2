"""What marks of drawing tools promise, where they are cut, and the outlines of shapes that are no polygons."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labels2masks.classes import Classes
from labels2masks.errors import DataError
from labels2masks.formats.marks import Marks, foreign_classes, nothing_drawn, photo_names
from labels2masks.formats.notes import Notes
from labels2masks.formats.shapes import lines_within, one_ring, ring_within
from labels2masks.labels import Boxes, Regions
from labels2masks.labels.outlines import filled

CLASSES = Classes(("background", "cat", "cow", "dog"), background="background")
SQUARE = [[[(1, 1), (6, 1), (6, 6), (1, 6)]]]
H, W = 8, 10
numbers = st.integers(-12, 24).map(lambda v: v / 2)
lines = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=6).map(lambda xy: np.array(xy, np.float64))


def marks() -> Marks:
    return Marks((H, W), Notes(), "here")


def promised(drawn: Marks) -> list[str]:
    """For each class: is every object boxed (b), outlined (o)?"""
    boxed, outlined = drawn.promised(CLASSES)
    return [("b" if c in boxed else "") + ("o" if c in outlined else "") for c in CLASSES.foreground]


def test_a_class_is_promised_where_it_is_marked_in_one_way():
    drawn = marks()
    assert drawn.empty and drawn.labels(CLASSES) == ()
    assert drawn.labels(CLASSES, Boxes) == (Boxes((), frozenset(CLASSES.foreground)),)
    drawn.box("cat", 1, 1, 3, 3)
    assert promised(drawn) == ["b", "bo", "bo"]
    drawn.region("dog", SQUARE)
    assert promised(drawn) == ["b", "bo", "o"]
    drawn.box("dog", 1, 1, 3, 3)
    assert promised(drawn) == ["b", "bo", ""]
    drawn.present.add("cow")
    assert promised(drawn) == ["b", "", ""]
    drawn.point("cat", 2, 2)
    assert promised(drawn) == ["", "", ""]


def test_what_can_not_be_used_promises_nothing_of_its_class():
    drawn = marks()
    drawn.region("cat", SQUARE)
    drawn.region("dog", [[[(np.nan, 1), (6, 1), (6, 6)]]])
    assert promised(drawn) == ["o", "bo", ""] and not drawn.empty
    drawn.leave_out(None, "a mark of an unknown class")
    assert promised(drawn) == ["", "", ""]
    assert len(drawn.notes.lines()) == 2


def test_areas_to_ignore_lie_below_objects():
    drawn = marks()
    drawn.region("__ignore__", [[[(7, 0), (9, 0), (9, 3)]]])
    assert not drawn.notes.lines()
    drawn.region("cat", SQUARE)
    drawn.box("void", 2, 2, 9, 9)
    assert [r.crowd for r in drawn.regions] == [True, False, True] and not drawn.boxes
    assert "void only where no object" in " ".join(drawn.notes.lines())
    drawn.stroke("ignore", [(1, 1), (2, 2)])
    assert not drawn.strokes


def test_the_kind_of_an_empty_photo_is_that_of_the_others():
    boxed, outlined = marks(), marks()
    boxed.box("cat", 1, 1, 3, 3), outlined.region("cat", SQUARE)
    assert nothing_drawn([marks()]) is None
    assert nothing_drawn([marks(), boxed]) is Boxes and nothing_drawn([boxed, outlined]) is Regions


def test_lists_of_names():
    classes = foreign_classes("x", ["a", "void", "a", "b"], {"a": (1, 2, 3)})
    assert classes.names == ("background", "a", "b") and classes.groups == {"void": classes.names}
    assert foreign_classes("x", ["a", "_background_"], {"a": (1, 2, 3)}).colours == ((0, 0, 0), (1, 2, 3))
    many = foreign_classes("x", [str(i) for i in range(300)])
    assert len(set(many.file_ids) | {many.void_id}) == 302
    with pytest.raises(DataError, match="65533"):
        foreign_classes("x", map(str, range(65535)))


def test_names_of_photos():
    assert photo_names(["images/a.jpg", "images/b/c.png"]) == {"images/a.jpg": "a", "images/b/c.png": "b/c"}
    assert photo_names(["a.jpg", "a.png", "images/b.jpg"]) == {
        "a.jpg": "a.jpg",
        "a.png": "a.png",
        "images/b.jpg": "images/b",
    }


@settings(max_examples=30)
@given(lines)
def test_a_line_is_cut_where_it_leaves_the_photo(line_N2):
    parts = lines_within(line_N2, H, W)
    inside_N2 = np.array([xy for xy in along([line_N2]) if (xy >= 0).all() and (xy <= (W, H)).all()]).reshape(-1, 2)
    kept_N2 = along(parts)
    assert ((kept_N2 >= 0) & (kept_N2 <= (W, H))).all()
    assert all(distance(xy, parts) < 1e-6 for xy in inside_N2) and all(distance(xy, [line_N2]) < 1e-6 for xy in kept_N2)


def along(parts: list[np.ndarray]) -> np.ndarray:
    """N2, seventeen points on each segment."""
    steps = np.linspace(0, 1, 17)[:, None]
    return np.concatenate([a + steps * (b - a) for part in parts for a, b in pairwise(part)] or [np.zeros((0, 2))])


def distance(xy: np.ndarray, parts: list[np.ndarray]) -> float:
    """Of a point from drawn lines."""
    start_N2 = np.concatenate([part[:-1] for part in parts])
    step_N2 = np.concatenate([np.diff(part, axis=0) for part in parts])
    share_N = np.clip(((xy - start_N2) * step_N2).sum(1) / np.maximum((step_N2**2).sum(1), 1e-12), 0, 1)
    return float(np.hypot(*(xy - start_N2 - share_N[:, None] * step_N2).T).min())


rings = st.lists(st.tuples(numbers, numbers), min_size=3, max_size=6).map(lambda xy: np.array(xy, np.float64) + 0.01)


@given(rings)
def test_a_ring_cut_at_the_border_holds_the_same_pixels(ring_N2):
    cut_N2 = ring_within(ring_N2, H, W)
    assert np.array_equal(filled([cut_N2] if len(cut_N2) else [], H, W), filled([ring_N2], H, W))


@given(st.lists(rings, min_size=1, max_size=4))
def test_holes_tied_by_seams_hold_the_same_pixels(polygon):
    assert np.array_equal(filled([one_ring(polygon)], H, W), filled(polygon, H, W))
