"""What labels cost, worked out by hand from the published means."""

import numpy as np
import pytest

from labels2masks.classes import Classes
from labels2masks.labels import (
    AreaShares,
    Box,
    Boxes,
    Mask,
    Point,
    Points,
    Scribbles,
    Stroke,
    Tags,
    kind_name,
    labelling_seconds,
)
from labels2masks.labels.seconds import TODAY

VOC = Classes(("background", *(f"class{i}" for i in range(20))), background="background")
CAT, DOG = "class0", "class1"


def test_published_means():
    # 20 classes to look for: one second each, or the price of the mark where the class is there.
    assert labelling_seconds([Tags(frozenset({CAT}))], VOC) == 20
    assert labelling_seconds([Points((Point(CAT, 1, 1),))], VOC) == pytest.approx(19 + 2.4)
    assert labelling_seconds([Points((Point(CAT, 1, 1), Point("background", 5, 5)))], VOC) == pytest.approx(19 + 2.4)
    assert labelling_seconds([Scribbles((Stroke(CAT, ((1, 1),)),))], VOC) == pytest.approx(19 + 10.9)
    boxes = Boxes((Box.upright(CAT, 0, 0, 5, 5), Box.upright(CAT, 5, 5, 9, 9), Box.upright(DOG, 0, 0, 3, 3)))
    assert labelling_seconds([boxes], VOC) == 18 + 3 * 26
    assert labelling_seconds([AreaShares({CAT: 0.5, DOG: 0.1})], VOC) == 20 + 2 * 4
    assert labelling_seconds([], VOC) == 0


def test_a_mask_costs_its_objects_and_crumbs_cost_nothing():
    ids_HW = np.zeros((100, 100), np.int32)
    ids_HW[10:20, 10:20] = ids_HW[50:60, 50:60] = 1
    ids_HW[80, 80] = 1  # one pixel of 10,000: a crumb
    ids_HW[30:33, 90:99] = 2
    assert labelling_seconds([Mask(ids_HW=ids_HW)], VOC) == 18 + 3 * 79
    with pytest.raises(ValueError, match="loaded"):
        labelling_seconds([Mask("a.png")], VOC)


def test_measured_seconds_win_and_kinds_have_words():
    labels = [Tags(frozenset({CAT}), seconds=3.5), Points((Point(CAT, 1, 1),), seconds=0.0)]
    assert labelling_seconds(labels, VOC) == 3.5
    kinds = [Tags(), Points(()), Scribbles(()), Boxes(()), Mask(), AreaShares({})]
    assert [kind_name(k) for k in kinds] == ["tags", "points", "scribbles", "boxes", "mask", "shares"]


def test_extreme_clicks_cost_seven_and_newer_tools_are_a_table_of_their_own():
    clicked = Box(CAT, Box.upright(CAT, 0, 0, 5, 5).corners, extremes=((0.5, 2), (3, 0.5), (4.5, 2), (2, 4.5)))
    boxes = Boxes((clicked, Box.upright(DOG, 5, 5, 9, 9)))
    assert labelling_seconds([boxes], VOC) == 18 + 7 + 26
    assert labelling_seconds([boxes], VOC, TODAY) == 18 + 7 + 7
    ids_HW = np.zeros((100, 100), np.int32)
    ids_HW[10:20, 10:20] = 1
    assert labelling_seconds([Mask(ids_HW=ids_HW)], VOC, TODAY) == 19 + 14
    assert labelling_seconds([Tags(seconds=3.5)], VOC, TODAY) == 3.5
