"""Markup that can not be broken out of, and plots that say what their numbers say."""

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels2masks.classes import Classes
from labels2masks.evaluation import Calibration
from labels2masks.report.lessons import lessons
from labels2masks.report.markup import element, joined
from labels2masks.report.plots import confusion_plot, iou_bars, loss_plot, reliability_plot, smoothed
from labels2masks.report.sections import without_place
from labels2masks.report.svg import apart, shortened, standalone, ticks
from labels2masks.report.worst import largest_mistakes, places


@given(st.text(st.characters(codec=None)))
def test_any_text_is_one_text(text):
    root = ElementTree.fromstring(element("p", text, title=text))
    assert len(root) == 0 and list(root.attrib) == ["title"]
    if text.isprintable() and text.isascii():
        assert (root.text or "") == text == root.get("title")


def test_elements_nest_and_drop_nothing():
    assert joined("<", element("b", 1.5, None, ["a", "&"])) == "&lt;<b>1.5a&amp;</b>"
    assert element("img", src='a"b', alt=None, data_x=2, class_="c") == '<img src="a&quot;b" data-x="2" class="c"/>'


def classes(count: int) -> Classes:
    return Classes(tuple(f"<class> {i} & a rather long name of it" for i in range(count)))


@pytest.mark.parametrize("count", [1, 3, 60])
def test_plots_are_well_formed_at_every_number_of_classes(count):
    counts_CD = np.random.default_rng(count).integers(0, 50, (count, count + 1))
    calibration = Calibration()
    shares = [None, *np.linspace(0, 1, count)][:count]
    rows = [{"step": 1.0, "loss": 2.0}, {"step": 2.0, "loss": 1.0, "mIoU": 0.5}]
    for svg in (
        confusion_plot(classes(count), counts_CD),
        confusion_plot(classes(count), np.zeros((count, count + 1), int)),
        iou_bars(classes(count), shares, [(0.1, 0.2)] * count, 0.5),
        reliability_plot(calibration),
        loss_plot(rows, 0.6),
        loss_plot(rows[:1]),
    ):
        root = ElementTree.fromstring(standalone(svg).encode())
        assert "nan" not in svg and "inf" not in svg
        _, _, width, height = map(float, root.get("viewBox").split())
        for text in root.iter("{http://www.w3.org/2000/svg}text"):
            assert 0 <= float(text.get("x")) <= width and 0 <= float(text.get("y")) <= height


def test_the_confusion_matrix_is_normalised_by_rows():
    svg = confusion_plot(Classes(("cat", "dog")), np.array([[3, 1, 0], [0, 0, 0]]))
    said = [e.text for e in ElementTree.fromstring(svg).iter() if e.text]
    assert "cat: 75.0 % predicted as cat" in said and "cat: 25.0 % predicted as dog" in said
    assert "none of them" not in said and not [s for s in said if s.startswith("dog: ")]
    assert "none of them" in confusion_plot(Classes(("cat",)), np.array([[1, 1]]))


def test_bars_come_best_first_and_absent_classes_last():
    svg = iou_bars(Classes(("a", "b", "c")), [0.2, None, 0.7], [None] * 3, 0.45)
    labels = [e.text for e in ElementTree.fromstring(svg).iter() if e.text in ("a", "b", "c", "not in the truth")]
    assert labels == ["c", "a", "b", "not in the truth"]


def test_reliability_draws_each_bin_that_has_pixels():
    calibration = Calibration()
    calibration.add(np.zeros((1, 4), int), np.array([[0.99, 0.99, 0.5, 0.5]]), np.array([[0, 0, 0, 1]]))
    said = [e.text for e in ElementTree.fromstring(reliability_plot(calibration)).iter() if e.text]
    assert "confidence 99 %: right 100.0 % of 50.0% of the pixels" in said
    assert "confidence 50 %: right 50.0 % of 50.0% of the pixels" in said


def test_small_parts():
    assert ticks(0, 1, 4) == [0, 0.25, 0.5, 0.75, 1] and ticks(-3, 12, 5) == [0, 5, 10] and ticks(2, 2) == [2]
    assert apart([10, 11, 40], 5) == [10, 15, 40] and apart([11, 10], 5) == [15, 10]
    assert shortened("abcdefghij", 5) == "ab…ij" and shortened("abc", 5) == "abc"
    assert places(5) == [0, 1, 2, 3, 4] and places(101) == [*range(9), 39, 70, 100] and len(set(places(13))) == 12
    assert smoothed(np.array([1.0, 5.0])).tolist() == [1, 5]
    line = smoothed(np.append(np.nan, np.linspace(0, 1, 100)))
    assert np.allclose(line[20:80], np.linspace(0, 1, 100)[19:79])
    assert without_place("/home/me/photos/a.png: damaged", "/home/me/photos") == "a.png: damaged"
    assert without_place("nothing in /home/me/photos", "/home/me/photos/") == "nothing in photos"


def test_mistakes_are_the_largest_beside_the_diagonal():
    found = list(largest_mistakes(np.array([[90, 6, 0], [1, 0, 3]]), Classes(("a", "b"))))
    assert found == [("a", "b", 0.06), ("b", None, 0.03), ("b", "a", 0.01)]


def test_sentences_follow_from_the_numbers():
    named = Classes(("sky", "pole", "car"))
    counts_CD = np.array([[90, 0, 0, 10], [60, 20, 0, 20], [0, 0, 0, 0]])
    per_class = {"sky": {"iou": 0.81}, "pole": {"iou": 0.2}, "car": {"iou": None}}
    calibration = Calibration()
    calibration.add(np.zeros((1, 4), int), np.full((1, 4), 0.9), np.array([[0, 0, 1, 1]]))
    metrics = {"per_class": per_class, "miou": 0.505, "absent": ["car"]}
    rows = [{"step": 5, "mIoU": 0.3}, {"step": 9, "loss": 1.0}]
    told = lessons(metrics, named, counts_CD, calibration, rows)
    assert told == [
        "Found well: sky (81).",
        "Found poorly: pole (20).",
        "The commonest confusions: 60 % of pole is taken for sky; 20 % of pole is taken for none of the classes; "
        "10 % of sky is taken for none of the classes.",
        "Its confidence is off by 40.0 points on average; it is too sure of itself.",
        "On validation photos it went 30.0, 50.5: still rising when it ended.",
        "The validation photos hold no car: nothing is known about that.",
    ]
    assert "no score" in lessons({}, named, None, None, rows)[0]
