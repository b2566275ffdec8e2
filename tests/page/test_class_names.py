"""Classes change in mid-project and every label still says what it said."""

from __future__ import annotations

import numpy as np
import pytest

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import UsageError
from labels2masks.labels import Mask, rasterise
from labels2masks.page.class_names import ClassNames

FIRST = Classes(("ground", "cat", "dog"), background="ground", file_ids=(0, 7, 9))
IDS_HW = np.array([[0, 7, 9]], np.int32)


def read(names: ClassNames, ids_HW: np.ndarray = IDS_HW) -> list[set[str]]:
    """Today's classes that a mask of the first file leaves at each pixel."""
    vocabulary = names.vocabulary(Vocabulary.same(FIRST), FIRST, True)
    assert vocabulary.target == names.now
    allowed_CHW = rasterise((Mask(ids_HW=ids_HW),), vocabulary, *ids_HW.shape).allowed()
    return [{n for c, n in enumerate(names.now.names) if allowed_CHW[c, 0, x]} for x in range(ids_HW.shape[1])]


def test_a_renamed_class_keeps_its_pixels_and_its_id():
    names = ClassNames.of(FIRST).changed("rename", "cat", to="tiger")
    assert names.now.names == ("ground", "tiger", "dog") and names.now.file_ids == (0, 7, 9)
    assert read(names) == [{"ground"}, {"tiger"}, {"dog"}]


def test_a_merged_class_is_the_other():
    names = ClassNames.of(FIRST).changed("merge", "cat", to="dog")
    assert names.now.names == ("ground", "dog")
    assert read(names) == [{"ground"}, {"dog"}, {"dog"}]


def test_who_painted_before_a_class_was_there_may_have_called_it_background():
    names = ClassNames.of(FIRST).changed("add", "bird")
    assert read(names) == [{"ground", "bird"}, {"cat"}, {"dog"}]
    assert names.now.file_ids[3] not in (0, 7, 9, 255)


def test_a_removed_class_says_nothing_and_comes_back_whole():
    names = ClassNames.of(FIRST).changed("remove", "cat")
    assert names.now.names == ("ground", "dog")
    assert read(names) == [{"ground"}, {"ground", "dog"}, {"dog"}]
    again = names.changed("add", "cat")
    assert read(again) == [{"ground"}, {"cat"}, {"dog"}]


def test_changes_on_changes():
    names = ClassNames.of(FIRST)
    for do, name, to in (("rename", "cat", "tiger"), ("merge", "tiger", "dog"), ("rename", "dog", "animal")):
        names = names.changed(do, name, to)
    assert names.now.names == ("ground", "animal")
    assert read(names) == [{"ground"}, {"animal"}, {"animal"}]
    assert read(names.changed("rename", "ground", "floor")) == [{"floor"}, {"animal"}, {"animal"}]


def test_colours():
    names = ClassNames.of(FIRST).changed("recolour", "cat", colour="#0102ff").changed("add", "bird", colour="#aabbcc")
    assert names.now.colours[1] == (1, 2, 255) and names.now.colours[3] == (170, 187, 204)
    plain = ClassNames.of(FIRST)
    for k in range(40):
        plain = plain.changed("add", f"c{k}")
    assert len(set(plain.now.colours)) == 43


def test_a_promise_about_both_halves_is_one_about_the_merged_class():
    names = ClassNames.of(FIRST).changed("merge", "cat", to="dog")
    assert "dog" not in names.promised(frozenset({"dog"}))
    assert "dog" in names.promised(frozenset({"cat", "dog"}))


@pytest.mark.parametrize(
    ("do", "name", "more", "message"),
    [
        ("add", "cat", {}, "already"),
        ("add", " cat", {}, "on one line"),
        ("add", "a\nb", {}, "on one line"),
        ("add", "", {}, "on one line"),
        ("add", "x" * 101, {}, "1 to 100"),
        ("add", "bird", {"colour": "red"}, "#rrggbb"),
        ("rename", "cat", {"to": "dog"}, "merge into it"),
        ("rename", "bird", {"to": "x"}, "did you mean|known are"),
        ("merge", "cat", {"to": "cat"}, "no other class"),
        ("merge", "cat", {"to": None}, "no other class"),
        ("merge", "ground", {"to": "cat"}, "background"),
        ("remove", "ground", {}, "background"),
        ("recolour", "cat", {"colour": "#12345"}, "#rrggbb"),
        ("paint", "cat", {}, "unknown operation"),
    ],
)
def test_what_can_not_be_done_is_refused_in_a_sentence(do, name, more, message):
    with pytest.raises(UsageError, match=message):
        ClassNames.of(FIRST).changed(do, name, **more)
