"""Masks as files: what is written reads back, and equal masks are equal bytes."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labels2masks.classes import Classes
from labels2masks.formats.image import read_mask
from labels2masks.prediction.write import (
    read_predicted,
    regions,
    run_lengths,
    write_coco,
    write_mask,
    write_polygons,
    write_scores,
    write_shares,
)

VOC = Classes(("background", "cat", "cow"), ((0, 0, 0), (64, 0, 0), (64, 128, 0)), "background", file_ids=(0, 8, 10))
MASK_HW = np.array([[0, 1, 1], [2, 0, 1]], np.int32)


def test_the_file_holds_the_data_sets_own_ids_and_colours(tmp_path):
    write_mask(tmp_path / "a/b.png", MASK_HW, VOC)
    assert read_mask(tmp_path / "a/b.png").tolist() == [[0, 8, 8], [10, 0, 8]]
    picture = Image.open(tmp_path / "a/b.png")
    assert picture.mode == "P" and picture.info == {}
    assert picture.getpalette()[24:33] == [64, 0, 0, 0, 0, 0, 64, 128, 0]
    assert (read_predicted(tmp_path / "a/b.png", VOC) == MASK_HW).all()


def test_ids_above_255_take_16_bits(tmp_path):
    classes = Classes(("a", "b", "c"), file_ids=(7, 300, 65535))
    write_mask(tmp_path / "m.png", MASK_HW, classes)
    assert read_mask(tmp_path / "m.png").tolist() == [[7, 300, 300], [65535, 7, 300]]
    assert (read_predicted(tmp_path / "m.png", classes) == MASK_HW).all()


def test_an_id_that_is_no_class_is_outside(tmp_path):
    Image.fromarray(np.array([[0, 255, 9]], np.uint8)).save(tmp_path / "m.png")
    assert read_predicted(tmp_path / "m.png", VOC).tolist() == [[0, -1, -1]]


def test_equal_masks_are_equal_bytes(tmp_path):
    scores_CHW = np.random.default_rng(0).random((3, 2, 3), np.float32)
    for name in ("one", "two"):
        write_mask(tmp_path / f"{name}.png", MASK_HW, VOC)
        write_polygons(tmp_path / f"{name}.json", MASK_HW, VOC)
        write_scores(tmp_path / f"{name}.npz", scores_CHW, VOC)
    for suffix in ("png", "json", "npz"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()
    read = np.load(tmp_path / "one.npz")
    assert read["probabilities_CHW"].dtype == np.float16 and read["classes"].tolist() == list(VOC.names)
    assert np.allclose(read["probabilities_CHW"], scores_CHW, atol=1e-3)


def filled(rings, shape):
    """Pixels whose centres lie inside an odd number of rings, by counting vertical edges to their left."""
    inside_HW = np.zeros(shape, bool)
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, ring[1:], strict=False):
            assert (x0 == x1) != (y0 == y1), "rings run along pixel borders and turn at every point"
            if x0 == x1:
                inside_HW[min(y0, y1) : max(y0, y1), x0:] ^= True
    return inside_HW


def test_a_ring_with_a_hole_by_hand():
    ring_HW = np.ones((3, 3), bool)
    ring_HW[1, 1] = False
    [(rings, area)] = regions(ring_HW)
    assert area == 8
    assert {tuple(p) for p in rings[0]} == {(0, 0), (3, 0), (3, 3), (0, 3)}
    assert {tuple(p) for p in rings[1]} == {(1, 1), (2, 1), (2, 2), (1, 2)}
    assert all(ring[0] == ring[-1] for ring in rings)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.9))
def test_filling_the_polygons_gives_the_mask_back(seed, density):
    rng = np.random.default_rng(seed)
    mask_HW = rng.random(tuple(rng.integers(1, 12, 2))) < density
    again_HW = np.zeros_like(mask_HW)
    for rings, area in regions(mask_HW):
        part_HW = filled(rings, mask_HW.shape)
        assert part_HW.sum() == area
        assert not (again_HW & part_HW).any()
        again_HW |= part_HW
    assert (again_HW == mask_HW).all()


def test_polygons_leave_background_out(tmp_path):
    write_polygons(tmp_path / "p.json", MASK_HW, VOC)
    value = json.loads((tmp_path / "p.json").read_text())
    assert (value["width"], value["height"]) == (3, 2)
    assert [f["properties"] for f in value["features"]] == [
        {"class": "cat", "id": 8, "area": 3},
        {"class": "cow", "id": 10, "area": 1},
    ]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_run_lengths_read_back(seed):
    rng = np.random.default_rng(seed)
    of_class_HW = rng.random(tuple(rng.integers(1, 7, 2))) < 0.5
    counts = run_lengths(of_class_HW)
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    assert (flat.reshape(of_class_HW.shape, order="F") == of_class_HW).all()


def test_coco_and_shares(tmp_path):
    write_coco(tmp_path / "coco.json", [("a", "a.jpg", MASK_HW)], VOC)
    value = json.loads((tmp_path / "coco.json").read_text())
    assert value["categories"] == [{"id": 8, "name": "cat"}, {"id": 10, "name": "cow"}]
    assert value["images"] == [{"id": 1, "file_name": "a.jpg", "name": "a", "height": 2, "width": 3}]
    cat, cow = value["annotations"]
    assert (cat["category_id"], cat["area"], cat["bbox"]) == (8, 3, [1, 0, 2, 2])
    assert cat["segmentation"] == {"size": [2, 3], "counts": [2, 1, 1, 2]}
    assert cow["segmentation"]["counts"] == [1, 1, 4]
    write_shares(tmp_path / "s.csv", [("a", MASK_HW)], VOC)
    assert list(csv.DictReader((tmp_path / "s.csv").open())) == [
        {"image": "a", "background": "0.333333", "cat": "0.500000", "cow": "0.166667"}
    ]


@pytest.mark.parametrize("background, first", [(None, 1), ("a", 0)])
def test_no_coco_category_is_zero_unless_it_is_background(tmp_path, background, first):
    classes = Classes(("a", "b"), background=background)
    write_coco(tmp_path / "c.json", [("x", "x.png", np.array([[0, 1]]))], classes)
    value = json.loads((tmp_path / "c.json").read_text())
    assert [c["id"] for c in value["categories"]] == ([1, 2] if background is None else [1])
