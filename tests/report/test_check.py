"""`check` names every classic mistake, goes on after broken files, and draws its sheet."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import draw_photo, write_tiny_dataset
from PIL import Image

from labels2masks.classes import Classes, Vocabulary
from labels2masks.formats.open import open_dataset
from labels2masks.labels import AreaShares, Box, Boxes, Mask, Point, Points, Region, Regions, Scribbles, Stroke, Tags
from labels2masks.report.advice import counting, few_images
from labels2masks.report.check import check, check_text
from labels2masks.report.class_table import region_areas
from labels2masks.report.overlay import overlay
from labels2masks.report.suspicious import slips, touching


def issues(report: dict) -> dict[str, dict]:
    return {i["what"]: i for i in report["issues"]}


@pytest.fixture
def root(tmp_path):
    return write_tiny_dataset(tmp_path / "tiny", photos=6)


def test_a_clean_data_set(root, tmp_path):
    report = check(root, tmp_path / "out")
    assert report["ok"] and report["photos"] == 6 and report["kinds"]["mask"]["photos"] == 6
    assert sum(c["pixel_share"] for c in report["classes"]) == pytest.approx(1)
    assert 0 < report["void_share"] < 0.2
    assert json.loads((tmp_path / "out" / "check.json").read_text()) == report
    with Image.open(report["contact_sheet"]) as sheet:
        assert sheet.width == 1600 and sheet.height > 200
    assert "6 photos" in check_text(report)


def test_the_sheet_is_spread_over_the_set(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "labels2masks.report.check.contact_sheet",
        lambda photos, path, *_: shown.extend(photos if path.name == "contact_sheet.png" else ()) or path,
    )
    check(write_tiny_dataset(tmp_path / "video", photos=64), tmp_path / "out", photos=8)
    places = np.array([int(photo.name[-2:]) for photo in shown])
    assert len(places) == 8 and sorted(places) == places.tolist()
    assert places[0] < 16 and places[-1] >= 48 and np.diff(places).min() >= 4 and np.diff(places).max() <= 16


def test_broken_files_are_listed_and_the_work_goes_on(root):
    (root / "images" / "photo00.png").write_bytes(b"")
    Image.fromarray(np.zeros((64, 48), np.uint8)).save(root / "masks" / "photo01.png")
    Image.fromarray(np.full((48, 64), 77, np.uint8)).save(root / "masks" / "photo02.png")
    Image.fromarray(np.full((48, 64, 3), 77, np.uint8)).save(root / "masks" / "photo03.png")
    report = check(root)
    assert not report["ok"]
    text = check_text(report)
    for words in ("photo00.png: an empty file", "turn the mask", "ids 77 are neither", "saved as RGB"):
        assert words in text
    assert report["kinds"]["mask"]["photos"] == 3


def test_binary_void_and_missing(root):
    for i in range(6):
        path = root / "masks" / f"photo{i:02d}.png"
        ids = np.asarray(Image.open(path))
        Image.fromarray(np.where(ids == 1, 255, 0).astype(np.uint8) if i else np.full_like(ids, 255)).save(path)
    found = issues(check(root))
    assert found["binary"]["level"] == "error" and "file_ids" in found["binary"]["text"]
    assert found["void"]["photos"] == ["photo00"]
    assert "disc" in found["missing"]["text"] and "blank" in found


def test_leakage_and_overlap(root):
    for folder in ("images", "masks"):
        Image.open(root / folder / "photo00.png").save(root / folder / "twin.png")
    (root / "splits" / "train.txt").write_text("photo00\nphoto01\nphoto02\n")
    (root / "splits" / "val.txt").write_text("twin\nphoto03\n")
    found = issues(check(root))
    assert "photo00 ~ twin" in found["leakage"]["text"] and found["leakage"]["level"] == "error"
    (root / "splits" / "val.txt").write_text("photo02\nphoto03\n")
    assert issues(check(root))["overlap"]["photos"] == ["photo02"]


def test_all_kinds_in_one_data_set(root, tmp_path):
    data = open_dataset(root)
    kinds = (
        (Tags(frozenset({"disc"}), frozenset({"box"}), frozenset({"disc", "box"}), 3.0),),
        (Points((Point("disc", 5, 5), Point("box", 200, 5), Point("disc", 9, 9, True))),),
        (Scribbles((Stroke("box", ((3, 3), (20, 20)), 3), Stroke("box", ((40, 40),), 3, True))),),
        (Boxes((Box("disc", ((10, 2), (20, 8), (14, 18), (4, 12))),), frozenset({"disc"})),),
        (AreaShares({"disc": 0.1}), Points((Point("disc", 3, 3),)), Scribbles((Stroke("box", ((1, 3), (6, 3))),))),
        (),
    )
    data = replace(data, photos=tuple(replace(p, labels=x) for p, x in zip(data.photos, kinds, strict=True)))
    report = check(data, tmp_path / "out")
    assert report["kinds"]["tags"]["seconds"] == 3.0 and report["kinds"]["tags"]["measured"]
    assert set(report["kinds"]) == {"tags", "points", "scribbles", "boxes", "shares"}
    found = issues(report)
    assert found["outside"]["photos"] == ["photo01"] and found["unlabelled"]["count"] == 1
    assert found["conflict"]["photos"] == ["photo04"]
    complete = {c["name"]: c["complete"] for c in report["classes"]}
    assert complete["disc"] == {"tags": 1, "boxes": 1} and complete["box"] == {"tags": 1}


def test_overlay_tints_classes_and_leaves_background(root):
    data = open_dataset(root)
    image_HW3, ids_HW = draw_photo(np.random.default_rng(0))
    drawn = overlay(image_HW3, np.where(ids_HW == 255, -1, ids_HW.astype(int)), data.classes, outline=0)
    assert np.array_equal(drawn[ids_HW == 0], image_HW3[ids_HW == 0])
    expected = (image_HW3[ids_HW == 1] + np.array(data.classes.colours[1], float)) / 2
    assert np.abs(drawn[ids_HW == 1] - expected).max() <= 0.5
    with pytest.raises(ValueError, match="equal"):
        overlay(image_HW3, ids_HW[1:], data.classes)


def test_no_torch():
    code = "import sys, labels2masks.report.check, labels2masks.formats.convert; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_masks_of_a_split_only(root):
    (root / "splits" / "val.txt").write_text("photo03\n")
    report = check(root, split="val")
    assert report["photos"] == 1 and report["splits"]["val"] == 1
    assert all(isinstance(x, Mask) for x in open_dataset(root).split("val").photos[0].labels)


CLASSES = Classes(("background", "disc", "box"), background="background")
SAME = Vocabulary.same(CLASSES)


def two_rectangles(gap: int, void: bool) -> np.ndarray:
    """int HW: two of class 1, so many pixels of background or void apart, in a rim of 2 px of void where it is void."""
    index_HW = np.zeros((60, 80), np.int32)
    if void:
        index_HW[18:42, 8 : 32 + gap + 20] = -1
    index_HW[20:40, 10:30] = 1
    index_HW[20:40, 30 + gap : 50 + gap] = 1
    return index_HW


def test_objects_touch_where_only_void_or_nothing_is_between():
    told = lambda labels, index_HW: touching(labels, SAME, index_HW, region_areas(index_HW, 3))  # noqa: E731
    assert told((), two_rectangles(4, void=True)) is True
    assert told((), two_rectangles(4, void=False)) is None  # a mask without rims does not tell objects apart
    apart_HW = two_rectangles(20, void=True)
    apart_HW[:, 32:48] = 0
    assert told((), apart_HW) is False
    boxes = Boxes((Box.upright("disc", 10, 20, 30, 40), Box.upright("disc", 32, 20, 52, 40)))
    assert told((boxes,), two_rectangles(2, void=False)) is False
    one_region_HW = two_rectangles(2, void=False)
    one_region_HW[25:30, 30:32] = 1
    assert told((boxes,), one_region_HW) is True  # one region of the mask holds the middles of both
    near = Boxes((boxes.marks[0], Box.upright("disc", 24, 20, 44, 40), Box.upright("box", 10, 20, 30, 40)))
    assert told((near,), np.zeros((60, 80), np.int32)) is True
    other = Boxes((boxes.marks[0], Box.upright("box", 24, 20, 44, 40)))
    assert told((other,), np.zeros((60, 80), np.int32)) is False
    ring = lambda x: Region("disc", ((np.array([[x, 5], [x + 10, 5], [x + 10, 15], [x, 15]], np.float32),),))  # noqa: E731
    assert touching((Regions((ring(0), ring(10))),), SAME, None, {}) is True
    assert touching((Regions((ring(0), ring(20))),), SAME, None, {}) is False


def test_slips_of_one_photo():
    index_HW = two_rectangles(4, void=True)
    index_HW[2:4, 2:4] = 2
    found = lambda *labels: set(slips(labels, SAME, index_HW, region_areas(index_HW, 3), 60, 80))  # noqa: E731
    assert found() == {"crumbs"}
    index_HW[2:4, 2:4] = 0
    assert found() == set()
    assert found(Boxes((Box.upright("disc", 3, 3, 5, 30),))) == {"thin_box"}
    assert found(Boxes((Box.upright("disc", 0, 0, 80, 60),))) == {"whole_box"}
    assert found(Boxes((Box.upright("disc", 40, 40, 90, 50),))) == {"box_outside"}
    assert found(Points((Point("disc", 31, 30),))) == {"void_click"}
    assert found(Points((Point("disc", 20, 30),))) == set()
    index_HW[19:41, 30:34] = -2  # a class that was chosen away is no void
    assert found(Points((Point("background", 31, 30),))) == set()
    index_HW[19:41, 30:34] = -1
    assert found(Tags(frozenset({"box"}))) == {"tag_without_mask"}
    assert found(Tags(absent=frozenset({"disc"}))) == {"mask_without_tag"}
    assert found(Tags(complete=frozenset({"disc", "box"}))) == {"mask_without_tag"}
    assert found(Tags(frozenset({"disc"}), frozenset({"box"}), frozenset({"disc", "box"}))) == set()


def test_what_few_images_and_touching_objects_mean(root, tmp_path):
    report = check(root, tmp_path / "out")
    text = check_text(report)
    assert "class disc has 6 labelled images: about 14 more would help" in text
    rows = {(row["class"], row["kind"]): row for row in report["table"]}
    disc = rows["disc", "mask"]
    assert disc["photos"] == 6 and disc["marks"] >= 6 and disc["pixels"] > 6 * 100 and disc["seconds"] >= 6 * 79
    assert rows["background", "mask"]["marks"] == 0 and rows["background", "mask"]["seconds"] == 0
    # The seconds of looking for what is not there go with the marks: nothing is lost.
    assert sum(row["seconds"] for row in report["table"]) == pytest.approx(report["seconds"], abs=1)
    assert list(counting(3, 10)) == [("note", "touching", next(counting(3, 10))[2], 3)]
    assert "30% of photos (of 10 " in next(counting(3, 10))[2] and not list(counting(0, 10)) + list(counting(0, 0))


def test_many_rare_classes_are_named_together():
    classes = Classes(tuple(f"c{k}" for k in range(30)))
    found = list(few_images(classes, np.arange(30)))
    assert len(found) == 6 and "c1 has 1 labelled image: about 19" in found[0][2]
    assert "c6 6, c7 7" in found[-1][2] and "c20" not in found[-1][2] and found[-1][3] == 14


def test_classes_in_one_split_only(root):
    for name in ("photo00", "photo01"):
        path = root / "masks" / f"{name}.png"
        ids = np.asarray(Image.open(path))
        Image.fromarray(np.where(ids == 1, 0, ids)).save(path)
    (root / "splits" / "train.txt").write_text("photo02\nphoto03\nphoto04\nphoto05\n")
    (root / "splits" / "val.txt").write_text("photo00\nphoto01\n")
    assert issues(check(root))["not_scored"]["text"].endswith("so 'val' does not score them: disc")
    (root / "splits" / "train.txt").write_text("photo00\nphoto01\n")
    (root / "splits" / "val.txt").write_text("photo02\nphoto03\nphoto04\nphoto05\n")
    assert issues(check(root))["missing"]["text"] == "classes in 'val' that 'train' lacks: disc"


def test_the_sheet_of_suspicious_photos_says_why(root, tmp_path):
    data = open_dataset(root)
    photos = list(data.photos)
    photos[3] = replace(photos[3], labels=(*photos[3].labels, Boxes((Box.upright("disc", 0, 0, 64, 48),))))
    report = check(replace(data, photos=tuple(photos)), tmp_path / "out")
    assert "photo03" in issues(report)["whole_box"]["photos"]
    with Image.open(report["suspicious_sheet"]) as sheet:
        assert sheet.width == 1600
    assert "photos to look at: " in check_text(report)
