"""Doubts about labels: swapped, shifted and missing objects are found, each as what it is, and right labels not."""

import numpy as np
import pytest

from labels2masks.classes import Classes, Vocabulary
from labels2masks.evaluation.label_quality import FADES, SelfConfidence, confident, disagreement, doubts, of_photo
from labels2masks.labels import AreaShares, Box, Boxes, Mask, Point, Points, Tags, rasterise

CLASSES = Classes(("background", "cat", "dog"), background="background")
SAME = Vocabulary.same(CLASSES)
HEIGHT, WIDTH = 96, 128


def truth() -> np.ndarray:
    """int32 HW: a cat (1) of 30x40 and a dog (2) of 20x20 on background."""
    ids_HW = np.zeros((HEIGHT, WIDTH), np.int32)
    ids_HW[20:50, 20:60] = 1
    ids_HW[60:80, 90:110] = 2
    return ids_HW


def predicted(ids_HW: np.ndarray, sure: float = 0.98) -> np.ndarray:
    """float32 CHW: a model that is right, and as sure of it as said."""
    p_CHW = np.full((3, *ids_HW.shape), (1 - sure) / 2, np.float32)
    np.put_along_axis(p_CHW, ids_HW[None].astype(np.int64), np.float32(sure), axis=0)
    return p_CHW


def found(*labels):
    return doubts(rasterise(labels, SAME, HEIGHT, WIDTH), predicted(truth()), CLASSES)


def test_a_right_mask_leaves_no_doubt():
    assert found(Mask(ids_HW=truth())) == []


def test_a_swapped_class():
    ids_HW = truth()
    ids_HW[ids_HW == 2] = 1
    (doubt,) = found(Mask(ids_HW=ids_HW))
    assert (doubt.what, doubt.given, doubt.seen) == ("class", frozenset({1}), 2)
    assert doubt.corners == (90 / WIDTH, 60 / HEIGHT, 110 / WIDTH, 80 / HEIGHT)
    assert (doubt.given_probability, doubt.seen_probability) == pytest.approx((0.01, 0.98), rel=1e-4)
    area, radius = 20 * 20 / (HEIGHT * WIDTH), 10 / (HEIGHT * WIDTH) ** 0.5
    assert doubt.doubt == pytest.approx(area**0.25 * radius**0.5 / (1 + (0.01 / FADES) ** 2), rel=0.05)


def test_a_missing_object():
    ids_HW = truth()
    ids_HW[ids_HW == 1] = 0
    (doubt,) = found(Mask(ids_HW=ids_HW))
    assert (doubt.what, doubt.given, doubt.seen) == ("left out", frozenset({0}), 1)
    assert doubt.corners == (20 / WIDTH, 20 / HEIGHT, 60 / WIDTH, 50 / HEIGHT)


def test_a_shifted_object_and_where_it_belongs():
    ids_HW = np.where(truth() == 1, 0, truth())
    ids_HW[20:50, 32:72] = 1
    (doubt, *others) = found(Mask(ids_HW=ids_HW))
    assert doubt.what == "place" and doubt.given == frozenset({1})
    assert doubt.move[0] * WIDTH == pytest.approx(-12, abs=3) and doubt.move[1] * HEIGHT == pytest.approx(0, abs=2)
    assert not others  # what it uncovers is no doubt of its own


def test_the_larger_mistake_comes_first_and_void_says_nothing():
    ids_HW = truth()
    ids_HW[ids_HW > 0] = 3 - ids_HW[ids_HW > 0]
    first, second = found(Mask(ids_HW=ids_HW))
    assert first.given == frozenset({2}) and second.given == frozenset({1}) and first.doubt > second.doubt
    assert found(Mask(ids_HW=np.full((HEIGHT, WIDTH), -1, np.int32))) == []


def test_a_model_that_is_never_sure_still_ranks():
    ids_HW = truth()
    ids_HW[ids_HW > 0] = 3 - ids_HW[ids_HW > 0]
    said = rasterise((Mask(ids_HW=ids_HW),), SAME, HEIGHT, WIDTH)
    first, second = doubts(said, predicted(truth(), 0.7), CLASSES)
    assert first.given == frozenset({2}) and second.given == frozenset({1})
    sure = doubts(said, predicted(truth()), CLASSES)
    assert sure[1].doubt > first.doubt > second.doubt > 0


def test_clicks_boxes_tags_and_shares():
    (click,) = found(Points((Point("cat", 100, 70), Point("dog", 95, 65), Point("cat", 30, 30))))
    assert (click.what, click.given, click.seen) == ("mark", frozenset({1}), 2)
    (negative,) = found(Points((Point("cat", 30, 30, negative=True),)))
    assert negative.given == frozenset({0, 2}) and negative.seen == 1
    (box,) = found(Boxes((Box.upright("dog", 20, 20, 60, 50), Box.upright("dog", 90, 60, 110, 80))))
    assert (box.what, box.given, box.seen) == ("box", frozenset({2}), 1)
    (moved,) = found(Boxes((Box.upright("cat", 32, 20, 72, 50),)))
    assert moved.what == "place" and moved.move[0] < 0
    assert found(Tags(frozenset({"cat", "dog"}))) == []
    (absent,) = found(Tags(absent=frozenset({"cat"})))
    assert (absent.what, absent.given, absent.seen) == ("left out", frozenset({0, 2}), 1)
    (promised,) = found(Boxes((Box.upright("cat", 20, 20, 60, 50),), complete=frozenset({"cat", "dog"})))
    assert (promised.what, promised.seen) == ("left out", 2)
    assert found(AreaShares({"cat": 0.1})) == []
    (share,) = found(AreaShares({"cat": 0.9}))
    assert share.what == "share" and share.given_probability == 0.9


def test_a_tag_that_is_nowhere():
    p_CHW = predicted(np.zeros((HEIGHT, WIDTH), np.int32))
    (tag,) = doubts(rasterise((Tags(frozenset({"cat"})),), SAME, HEIGHT, WIDTH), p_CHW, CLASSES)
    assert (tag.what, tag.given, tag.seen) == ("tag", frozenset({1}), -1)


def test_disagreement_is_the_mass_that_the_label_rules_out():
    said = rasterise((Points((Point("cat", 100, 70),)), Tags(absent=frozenset({"dog"}))), SAME, HEIGHT, WIDTH)
    wrong_HW = disagreement(said, predicted(truth()))
    assert wrong_HW[70, 100] == pytest.approx(0.99) and wrong_HW[0, 0] == pytest.approx(0.01, rel=1e-3)
    assert not disagreement(rasterise((), SAME, HEIGHT, WIDTH), predicted(truth())).any()


def test_a_photo_is_as_doubtful_as_its_objects_and_its_worst_pixels():
    right = rasterise((Mask(ids_HW=truth()),), SAME, HEIGHT, WIDTH)
    ids_HW = truth()
    ids_HW[0, 0] = 1
    one_pixel = rasterise((Mask(ids_HW=ids_HW),), SAME, HEIGHT, WIDTH)
    p_CHW = predicted(truth())
    worst = [doubt] = doubts(
        rasterise((Mask(ids_HW=np.where(truth() == 2, 1, truth())),), SAME, HEIGHT, WIDTH), p_CHW, CLASSES
    )
    assert of_photo([], right, p_CHW) == pytest.approx(2 * 0.02, rel=1e-3)
    assert of_photo([], one_pixel, p_CHW) > of_photo([], right, p_CHW)
    assert of_photo(worst, right, p_CHW) == pytest.approx(doubt.doubt + 0.04, rel=1e-3)
    assert of_photo([], rasterise((), SAME, HEIGHT, WIDTH), p_CHW) == 0


def test_confident_means_as_sure_as_on_its_own_pixels():
    own = SelfConfidence(3)
    said = rasterise((Mask(ids_HW=truth()),), SAME, HEIGHT, WIDTH)
    own.add(said, predicted(truth(), 0.8))
    assert own.thresholds() == pytest.approx([0.8, 0.8, 0.8])
    assert SelfConfidence(3).thresholds().tolist() == [1, 1, 1]
    ids_HW = np.where(truth() == 2, 1, truth())
    for sure, expected in ((0.7, False), (0.9, True)):
        (doubt,) = doubts(rasterise((Mask(ids_HW=ids_HW),), SAME, HEIGHT, WIDTH), predicted(truth(), sure), CLASSES)
        assert confident(doubt, own.thresholds()) is expected


def test_without_background_every_region_is_an_object():
    classes = Classes(("sky", "grass", "cow"))
    ids_HW = np.zeros((HEIGHT, WIDTH), np.int32)
    ids_HW[50:] = 1
    seen_HW = ids_HW.copy()
    seen_HW[60:80, 40:70] = 2
    said = rasterise((Mask(ids_HW=ids_HW),), Vocabulary.same(classes), HEIGHT, WIDTH)
    (doubt,) = doubts(said, predicted(seen_HW), classes)
    assert (doubt.what, doubt.given, doubt.seen) == ("left out", frozenset({1}), 2)
    (doubt,) = doubts(said, predicted(np.where(ids_HW == 0, 2, ids_HW)), classes)
    assert (doubt.what, doubt.given, doubt.seen) == ("class", frozenset({0}), 2)
