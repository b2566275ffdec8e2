"""Whatever was drawn last stands at its pixels, whichever tool drew it; checked on what training would read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels2masks.classes import Classes, Vocabulary
from labels2masks.labels import Boxes, Mask, Points, Regions, Scribbles, Tags, is_mask, rasterise
from labels2masks.page.marks import Mark, marks_of
from labels2masks.page.newest import Promises, labels_of

CLASSES = Classes(("ground", "cat", "dog"), background="ground")
SAME = Vocabulary.same(CLASSES)
SQUARE = ((10.0, 10.0), (20.0, 10.0), (20.0, 20.0), (10.0, 20.0))


def in_order(*marks: Mark) -> list[Mark]:
    return [replace(m, id=str(k), order=k) for k, m in enumerate(marks, 1)]


def said(*marks: Mark, answers: dict | None = None) -> np.ndarray:
    """int HW: the class that the labels leave at each pixel, -1 where several."""
    return rasterise(labels_of(in_order(*marks), SAME, Promises(answers or {})), SAME, 30, 30).labels()


def line(name: str, y: float = 15.5, negative: bool = False) -> Mark:
    return Mark("", "scribble", name, ((2.5, y), (27.5, y)), negative, width=3.0)


def polygon(name: str, xy=SQUARE) -> Mark:
    return Mark("", "polygon", name, xy)


def test_a_later_stroke_wins_inside_an_older_outline():
    ids_HW = said(polygon("cat"), line("dog"))
    assert ids_HW[15, 15] == 2 and ids_HW[11, 15] == 1


def test_a_later_outline_cuts_older_ink_of_another_class_and_leaves_the_rest():
    ids_HW = said(line("dog"), polygon("cat"))
    assert (ids_HW[10:20, 10:20] == 1).all()
    assert ids_HW[15, 4] == 2 and ids_HW[15, 25] == 2


def test_older_ink_of_the_same_class_is_not_cut():
    labels = labels_of(in_order(line("cat"), polygon("cat")), SAME, Promises())
    (ink,) = (x for x in labels if isinstance(x, Scribbles))
    assert ink.marks[0].xy == ((2.5, 15.5), (27.5, 15.5))


def test_a_later_not_this_wins_over_an_older_stroke_and_outline():
    assert (said(line("cat"), line("cat", negative=True))[15, 5:25] == -1).all()
    assert said(polygon("cat"), line("cat", negative=True))[15, 15] == -1
    assert said(polygon("cat"), line("cat", negative=True))[11, 15] == 1


def test_a_later_outline_wins_over_an_older_not_this():
    ids_HW = said(line("cat", negative=True), polygon("cat"))
    assert (ids_HW[10:20, 10:20] == 1).all()


def test_points_and_strokes_keep_their_order_where_they_overlap():
    point = Mark("", "point", "dog", ((15.5, 15.5),))
    assert said(line("cat"), point)[15, 15] == 2
    assert said(point, line("cat"))[15, 15] == 1
    assert said(line("ground"), point, line("cat"))[15, 15] == 1


def test_marks_that_do_not_touch_are_as_few_labels_as_kinds():
    marks = [Mark("", "point", "cat", ((5.0, 5.0),)), line("dog", 25.5), Mark("", "point", "dog", ((25.0, 5.0),))]
    labels = labels_of(in_order(*marks, line("cat", 20.5)), SAME, Promises())
    assert [type(x) for x in labels] == [Points, Scribbles]


def test_the_later_of_two_outlines_lies_on_top():
    assert said(polygon("cat"), polygon("dog"))[15, 15] == 2
    assert said(polygon("dog"), polygon("cat"))[15, 15] == 1


def test_extreme_clicks_give_way_to_a_later_outline():
    clicks = Mark("", "extreme", "dog", ((5.0, 15.0), (15.0, 5.0), (25.0, 15.0), (15.0, 18.0)))
    assert said(clicks)[17, 15] == 2
    assert said(clicks, polygon("cat"))[17, 15] == 1
    assert said(clicks, polygon("cat"))[15, 5] == 2
    assert said(polygon("cat"), clicks)[17, 15] == 2


def test_not_in_this_photo_silences_what_is_older_and_gives_way_to_what_is_newer():
    absent = Mark("", "tag", "cat", negative=True)
    assert (said(line("cat"), absent) != 1).all()
    labels = labels_of(in_order(absent, line("cat")), SAME, Promises())
    assert [type(x) for x in labels] == [Scribbles]
    assert rasterise(labels, SAME, 30, 30).conflicts == 0
    assert [type(x) for x in labels_of(in_order(line("cat"), absent, line("cat")), SAME, Promises())] == [Scribbles]


def test_the_last_tag_of_a_class_stands():
    there, gone = Mark("", "tag", "cat"), Mark("", "tag", "cat", negative=True)
    (tags,) = labels_of(in_order(there, gone), SAME, Promises())
    assert (tags.present, tags.absent) == (frozenset(), {"cat"})
    (tags,) = labels_of(in_order(gone, there), SAME, Promises())
    assert (tags.present, tags.absent) == ({"cat"}, frozenset())


@given(
    st.lists(
        st.tuples(st.sampled_from(["point", "line", "not", "polygon"]), st.sampled_from(["cat", "dog"])), max_size=6
    )
)
def test_at_every_pixel_the_last_of_the_drawn_stands(drawn):
    """Against painting one mark after the other. All pass through the middle."""
    made = {
        "point": lambda n: Mark("", "point", n, ((15.5, 15.5),)),
        "line": line,
        "not": lambda n: line(n, negative=True),
        "polygon": polygon,
    }
    ids_HW = said(*(made[kind](name) for kind, name in drawn))
    possible = {0, 1, 2}
    for kind, name in drawn:
        told = {CLASSES.index(name)} if kind != "not" else {0, 1, 2} - {CLASSES.index(name)}
        possible = possible & told or told
    assert ids_HW[15, 15] == (min(possible) if len(possible) == 1 else -1)


def test_all_marked_and_none_drawn_means_not_there():
    candidates = rasterise(labels_of([], SAME, Promises({"cat": "all"})), SAME, 30, 30)
    assert not candidates.allowed()[1].any() and candidates.allowed()[2].all()


def test_all_marked_by_boxes_leaves_nothing_outside_them():
    box = Mark("", "box", "cat", ((10.0, 10.0), (20.0, 20.0)))
    allowed_CHW = rasterise(labels_of(in_order(box), SAME, Promises({"cat": "all"})), SAME, 30, 30).allowed()
    assert allowed_CHW[1, 15, 15] and not allowed_CHW[1, 5, 5]
    assert rasterise(labels_of(in_order(box), SAME, Promises({"cat": "some"})), SAME, 30, 30).allowed()[1, 5, 5]


def test_a_click_outside_the_boxes_is_another_object_so_boxes_promise_nothing():
    box, click = Mark("", "box", "cat", ((10.0, 10.0), (20.0, 20.0))), Mark("", "point", "cat", ((3.0, 3.0),))
    labels = labels_of(in_order(box, click), SAME, Promises({"cat": "all"}))
    (boxes,) = (x for x in labels if isinstance(x, Boxes))
    assert "cat" not in boxes.complete
    assert rasterise(labels, SAME, 30, 30).conflicts == 0
    inside = Mark("", "point", "cat", ((15.0, 15.0),))
    (boxes,) = (x for x in labels_of(in_order(box, inside), SAME, Promises({"cat": "all"})) if isinstance(x, Boxes))
    assert "cat" in boxes.complete


def test_outlines_of_everything_are_a_mask_only_when_every_class_is_answered():
    answers = {"cat": "all", "dog": "all"}
    labels = labels_of(in_order(polygon("cat")), SAME, Promises(answers))
    assert any(is_mask(x, CLASSES) for x in labels)
    labels = labels_of(in_order(polygon("cat")), SAME, Promises({"cat": "all"}))
    assert not any(is_mask(x, CLASSES) for x in labels)


def test_an_answer_of_all_takes_nothing_from_an_opened_mask():
    ids_HW = np.ones((30, 30), np.int32)
    opened = Mark("", "mask", "", order=-1, made="file", held=Mask(ids_HW=ids_HW))
    box = Mark("", "box", "cat", ((10.0, 10.0), (20.0, 20.0)), order=1)
    for marks in ([opened], [opened, box]):
        candidates = rasterise(labels_of(marks, SAME, Promises({"cat": "all", "dog": "all"})), SAME, 30, 30)
        assert (candidates.labels() == 1).all() and candidates.conflicts == 0


def test_a_newer_answer_of_some_takes_a_promise_of_the_file_back():
    box = Mark("", "box", "cat", ((10.0, 10.0), (20.0, 20.0)), made="file")
    promises = Promises(boxed=frozenset({"cat"}))
    assert labels_of([box], SAME, promises)[-1].complete == {"cat"}
    assert labels_of([box], SAME, replace(promises, answers={"cat": "some"}))[-1].complete == frozenset()


def test_seconds_are_summed_per_kind_and_unknown_where_one_is():
    marks = [replace(line("cat"), seconds=2.0), replace(line("dog", 25.5), seconds=3.5)]
    (ink,) = labels_of(in_order(*marks), SAME, Promises())
    assert ink.seconds == 5.5
    (ink,) = labels_of(in_order(marks[0], line("dog", 25.5)), SAME, Promises())
    assert ink.seconds is None


def test_seconds_of_a_stroke_that_was_cut_are_not_counted_twice():
    marks = in_order(replace(line("dog"), seconds=4.0), polygon("cat"))
    (ink,) = (x for x in labels_of(marks, SAME, Promises()) if isinstance(x, Scribbles))
    assert len(ink.marks) == 2 and ink.seconds == pytest.approx(4.0)


def test_labels_of_a_file_become_marks_and_labels_again():
    held = (
        Mask(ids_HW=np.zeros((30, 30), np.int32)),
        Tags(frozenset({"cat"}), frozenset({"dog"}), seconds=1.0),
    )
    marks = marks_of(held)
    assert [m.kind for m in marks] == ["mask", "tag", "tag"]
    assert len({m.id for m in marks}) == 3
    ordered = [replace(m, order=k - 3) for k, m in enumerate(marks)]
    again = labels_of(ordered, SAME, Promises(seconds={"tags": 1.0}))
    assert again[0] is held[0] and again[1] == held[1]
    regions = Regions(labels_of(in_order(polygon("cat")), SAME, Promises())[0].marks)
    assert marks_of((regions,))[0].xy == SQUARE
