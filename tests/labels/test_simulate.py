"""Labels made from masks: what they say is true, equal seeds are equal labels, and with noise they err as people do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import UsageError
from labels2masks.labels import Boxes, Mask, Points, Region, Scribbles, Tags, rasterise
from labels2masks.labels.rasterise import ink_region
from labels2masks.labels.simulate import CELLS, KINDS, points, simulated
from labels2masks.labels.slips import as_people_say, slipped
from labels2masks.labels.truth import truth_of

PLAIN = Classes(("ground", "disc", "box", "line"), background="ground", file_ids=(0, 7, 9, 20))
NO_GROUND = Classes(("a", "b", "c", "d"), file_ids=(0, 7, 9, 20), void_ids=frozenset({11, 255}))


@st.composite
def masks(draw) -> np.ndarray:
    """int32 HW in file ids: discs, boxes, thin lines, crumbs and void over each other."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    ids_HW = np.full((height, width), draw(st.sampled_from([0, 0, 0, 255, 7])), np.int32)
    y_HW, x_HW = np.indices(ids_HW.shape)
    for _ in range(draw(st.integers(0, 7))):
        y, x, size = rng.integers(0, height), rng.integers(0, width), rng.integers(1, 25)
        file_id = rng.choice([0, 7, 7, 9, 9, 20, 255])
        shape = rng.integers(4)
        if shape == 0:
            ids_HW[(y_HW - y) ** 2 + (x_HW - x) ** 2 <= size**2 / 4] = file_id
        elif shape == 1:
            ids_HW[y : y + size, x : x + size // 2 + 1] = file_id
        elif shape == 2:
            ids_HW[np.abs((y_HW - y) - (x_HW - x)) <= 1] = file_id
        else:
            ids_HW[y, x] = file_id
    return ids_HW


def right(label, ids_HW: np.ndarray, classes: Classes) -> np.ndarray:
    """bool HW: the true class is among the candidates, or nothing is known of the pixel."""
    candidates = rasterise((label,), Vocabulary.same(classes), *ids_HW.shape)
    assert candidates.conflicts == 0
    index_HW = truth_of(ids_HW, classes).index_HW
    allowed_HW = np.take_along_axis(candidates.allowed(), np.maximum(index_HW, 0)[None], axis=0)[0]
    silent_HW = candidates.sets_KC.sum(axis=1)[candidates.index_HW] == 0
    return allowed_HW | silent_HW | (index_HW < 0)


@given(masks(), st.sampled_from(KINDS), st.sampled_from([PLAIN, NO_GROUND]), st.sampled_from(["class", "object"]))
def test_what_a_label_says_is_true(ids_HW, kind, classes, per):
    label = simulated(kind, ids_HW, classes, np.random.default_rng(0), per=per)
    assert right(label, ids_HW, classes).all()
    there = set(truth_of(ids_HW, classes).names) & set(classes.foreground)
    absent = set(classes.foreground) - there
    if isinstance(label, Mask) or (ids_HW == 255).all():
        return
    assert absent <= label.complete, "what is not there is promised not to be there"
    if isinstance(label, Points | Scribbles):
        marked = {m.name for m in label.marks}
        assert label.complete & there == marked & there
        for mark in label.marks:
            index_HW = truth_of(ids_HW, classes).index_HW
            assert np.isin(index_HW[ink_region(mark, *ids_HW.shape)], [-1, classes.index(mark.name)]).all()
            x, y = (mark.x, mark.y) if isinstance(label, Points) else mark.xy[len(mark.xy) // 2]
            assert index_HW[int(y), int(x)] == classes.index(mark.name)


@given(masks(), st.sampled_from(KINDS[:-1]))
def test_noisy_labels_are_labels_and_equal_seeds_are_equal(ids_HW, kind):
    made = [simulated(kind, ids_HW, PLAIN, np.random.default_rng(s), noise=True) for s in (3, 3)]
    assert made[0] == made[1]
    height, width = ids_HW.shape
    rasterise(made[:1], Vocabulary.same(PLAIN), height, width)
    if isinstance(made[0], Boxes):
        for box in made[0].marks:
            x0, y0, x1, y1 = box.bounds
            assert 0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height and all(type(v) is float for v in box.bounds)


def scene(height: int = 240, width: int = 320) -> np.ndarray:
    """A disc of radius 60 and two boxes upon the ground, each in a rim of void, and a crumb."""
    y_HW, x_HW = np.indices((height, width))
    away_HW = np.hypot(y_HW - 120, x_HW - 90)
    ids_HW = np.where(away_HW < 60, 7, np.where(away_HW < 64, 255, 0)).astype(np.int32)
    for x in (180, 250):
        ids_HW[56:204, x - 4 : x + 44] = 255
        ids_HW[60:200, x : x + 40] = 9
    ids_HW[5:7, 5:7] = 9
    return ids_HW


def test_each_kind_on_a_scene_that_is_known():
    ids_HW = scene()

    def made(kind, **options):
        return simulated(kind, ids_HW, PLAIN, np.random.default_rng(1), **options)

    assert made("tags") == Tags(frozenset({"disc", "box"}), complete=frozenset({"disc", "box", "line"}))
    assert [m.name for m in made("points").marks] == ["ground", "disc", "box"]
    assert [m.name for m in made("points", per="object").marks] == ["ground", "disc", "box", "box"]
    boxes = made("boxes")
    assert [b.bounds for b in boxes.marks] == [(31, 61, 150, 180), (180, 60, 220, 200), (250, 60, 290, 200)]
    assert boxes.complete == {"disc", "line"}, "a crumb of a box has no box"
    extreme = made("extreme")
    assert [b.bounds for b in extreme.marks] == [b.bounds for b in boxes.marks]
    for box in extreme.marks:
        (left, _), (_, top), (right_, _), (_, bottom) = box.extremes
        x0, y0, x1, y1 = box.bounds
        assert max(left - x0, top - y0, x1 - right_, y1 - bottom) <= 5
    shares = made("shares").shares
    assert shares == {"disc": 0.15, "box": 0.15} and as_people_say(0.004) == 0.01 and as_people_say(0.061) == 0.06
    block = made("block").ids_HW
    ys, xs = np.nonzero(block >= 0)
    assert ys.max() - ys.min() < 240 // CELLS and xs.max() - xs.min() < 320 // CELLS
    assert (block[block >= 0] == ids_HW[block >= 0]).all()


def test_known_objects_are_kept_apart_and_a_later_one_hides_an_earlier():
    ids_HW = np.zeros((40, 60), np.int32)
    ids_HW[10:30, 10:50] = 7

    def region(x0, x1):
        return Region("disc", ((np.array([[x0, 10], [x1, 10], [x1, 30], [x0, 30]], np.float32),),))

    def bounds(*outlined):
        boxes = simulated("boxes", ids_HW, PLAIN, np.random.default_rng(0), outlined=outlined)
        return [b.bounds for b in boxes.marks]

    assert bounds() == [(10, 10, 50, 30)]
    assert bounds(region(10, 30), region(25, 50)) == [(10, 10, 25, 30), (25, 10, 50, 30)]
    assert bounds(region(10, 30)) == [(10, 10, 30, 30), (30, 10, 50, 30)], "the rest is a region of its own"
    assert bounds(replace(region(10, 30), crowd=True)) == [(10, 10, 50, 30)]


def test_strokes_run_along_the_middle_and_have_the_length_that_is_asked():
    ids_HW = np.zeros((100, 400), np.int32)
    ids_HW[40:60, 20:380] = 7  # a bar
    for length in (0.25, 0.5, 1.0):
        label = simulated("scribbles", ids_HW, PLAIN, np.random.default_rng(2), length=length)
        (bar,) = (m for m in label.marks if m.name == "disc")
        xs, ys = np.array(bar.xy).T
        assert abs(np.ptp(xs) / 360 - length) < 0.06
        assert np.abs(ys - 50).max() < 8 and np.abs(ys - 50).mean() < 4
    ground = [m for m in label.marks if m.name == "ground"]
    assert len(ground) == 3


def test_refusals():
    for options, words in (
        ({"kind": "point"}, "did you mean 'points'"),
        ({"kind": "points", "per": "photo"}, "per 'class' or per 'object'"),
        ({"kind": "scribbles", "length": 0.0}, "above 0"),
        ({"kind": "block", "noise": True}, "no simulated noise"),
    ):
        kind = options.pop("kind")
        with pytest.raises(UsageError, match=words):
            simulated(kind, scene(), PLAIN, np.random.default_rng(0), **options)


def test_noisy_clicks_miss_as_often_as_people():
    truth = truth_of(scene(), PLAIN)
    hit = void = other = 0
    for seed in range(500):
        rng = np.random.default_rng(seed)
        for mark in slipped(points(truth, rng, per="object"), truth, rng).marks:
            if mark.name != "ground":
                found = truth.index_HW[int(mark.y), int(mark.x)]
                hit, void = hit + (found == PLAIN.index(mark.name)), void + (found < 0)
                other += found >= 0 and found != PLAIN.index(mark.name)
    clicks = hit + void + other
    assert 0.96 < clicks / 1500 < 1.0, "a class is forgotten now and then"
    assert 0.035 < void / clicks < 0.065 and 0.004 < other / clicks < 0.018


@given(masks(), st.sampled_from(["tags", "points", "scribbles", "boxes", "extreme"]))
def test_without_a_background_something_is_always_seen(ids_HW, kind):
    label = simulated(kind, ids_HW, NO_GROUND, np.random.default_rng(5), noise=True)
    assert rasterise((label,), Vocabulary.same(NO_GROUND), *ids_HW.shape) is not None


def test_noise_on_real_masks(data_root):
    """A few photos of VOC animals: noise-free labels are true, noisy boxes are looser than the masks."""
    root = data_root / "voc_animals"
    names = (root / "ImageSets" / "Segmentation" / "train.txt").read_text().split()[:6]
    classes = Classes(tuple(map(str, range(21))), background="0")
    outwards = []
    for name in names:
        ids_HW = np.asarray(Image.open(root / "SegmentationClass" / f"{name}.png")).astype(np.int32)
        for kind in KINDS:
            assert right(simulated(kind, ids_HW, classes, np.random.default_rng(0)), ids_HW, classes).all(), kind
        tight = [o for o in truth_of(ids_HW, classes).objects if o.name != "0"]
        for seed in range(8):
            noisy = simulated("boxes", ids_HW, classes, np.random.default_rng(seed), noise=True).marks
            if len(noisy) == len(tight):
                for box, one in zip(noisy, tight, strict=True):
                    (h, w), (x0, y0, x1, y1) = one.part_hw.shape, box.bounds
                    outwards += [one.x - x0] * (one.x > 0) + [one.y - y0] * (one.y > 0)
                    outwards += [x1 - one.x - w] * (one.x + w < ids_HW.shape[1])
                    outwards += [y1 - one.y - h] * (one.y + h < ids_HW.shape[0])
    assert 1.5 < np.median(outwards) < 3.5 and 0.06 < np.mean(np.array(outwards) < 0) < 0.3
