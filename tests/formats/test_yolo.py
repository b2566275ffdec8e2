"""YOLO's layouts: five numbers, many numbers, one number too many; data.yaml from another machine, another system."""

from pathlib import Path

import numpy as np
import pytest
from formats.contracts_reader import damaged, reads_or_refuses
from formats.drawn_sets import (
    ALL,
    CLASSES,
    H,
    W,
    boxes,
    by_name,
    close,
    data_set,
    every_kind,
    in_order,
    outlines,
    photo,
    written_and_read,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from labels2masks.classes import Classes
from labels2masks.errors import DataError, UsageError
from labels2masks.formats import yolo
from labels2masks.formats.open import open_dataset
from labels2masks.labels import Box, Boxes, Mask, Region, Regions

YAML = "path: /content/pets  # of another machine\ntrain: images/train\nval: images/val\nnc: 2\nnames: [cat, dog]\n"
BOX = "0 0.5 0.5 0.5 0.5\n"
TRIANGLE = "1 0 0 0.5 0 0 0.5\n"


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def make_yolo(root: Path) -> Path:
    for name, lines in {"train/a": BOX + TRIANGLE, "train/b": "", "val/a": TRIANGLE}.items():
        photo(root / "images" / f"{name}.jpg")
        text(root / "labels" / f"{name}.txt", lines)
    text(root / "data.yaml", YAML)
    return root


def one(root: Path, lines: str, settings_: str = "names: [cat, dog]\ntrain: images\n", orientation: int = 1):
    """The labels of one photo with these lines, and the notes."""
    photo(root / "images" / "a.jpg", orientation)
    text(root / "labels" / "a.txt", lines)
    text(root / "data.yaml", settings_)
    data = open_dataset(root)
    assert data.format == "yolo"
    return data.photos[0].labels, " ".join(data.notes)


def test_boxes_outlines_empty_files_and_splits(tmp_path):
    data = open_dataset(make_yolo(tmp_path))
    assert data.classes.names == ("background", "cat", "dog") and data.classes.background == "background"
    assert data.splits == {"train": ("train/a", "train/b"), "val": ("val/a",)} and not data.notes
    a, b, c = data.photos
    triangle = Region("dog", ((np.array([(0, 0), (W / 2, 0), (0, H / 2)], np.float32),),))
    assert a.labels == (
        Boxes((Box.upright("cat", W / 4, H / 4, W * 3 / 4, H * 3 / 4),), frozenset({"cat"})),
        Regions((triangle,), frozenset({"dog"})),
    )
    assert b.labels == (Regions((), ALL),) and b.has_mask  # looked at, nothing there
    assert c.labels == (Regions((triangle,), ALL),) and c.has_mask
    (tmp_path / "labels" / "train" / "b.txt").unlink()
    assert open_dataset(tmp_path).photos[1].labels == ()  # nobody looked


@pytest.mark.parametrize(
    "settings_",
    [
        "train: [images/train]\nval: [images/val]\nnames: {0: cat, 1: dog}\n",
        "train: ../train.txt\nval: ['lists/val.txt']\nnames: [cat, dog]\n",
        "path: 'D:\\data\\pets'\ntrain: images\\train\nval: D:\\data\\pets\\images\\val\nnames: [cat, dog]\n",
        "train: /home/somebody/pets/images/train\nval: https://example.org/pets/images/val\nnames: [cat, dog]\n",
        "nc: 2\ntrain: ../pets/images/train\nval: images/val/\nnames:\n- cat\n- dog\n",
    ],
    ids=["lists", "text files", "Windows", "other machine", "Roboflow"],
)
def test_splits_are_found_whatever_machine_they_were_written_on(tmp_path, settings_):
    root = make_yolo(tmp_path)
    text(root / "train.txt", "./images/train/a.jpg\nC:\\pets\\images\\train\\b.jpg\n")
    text(root / "lists" / "val.txt", "/somewhere/else/images/val/a.jpg\n../../etc/passwd\n")
    text(root / "data.yaml", settings_)
    data = open_dataset(root)
    assert data.splits == {"train": ("train/a", "train/b"), "val": ("val/a",)}
    assert data.classes.names == ("background", "cat", "dog")
    assert ("line 2" in " ".join(data.notes)) == ("lists" in settings_)
    assert all(p.image.is_relative_to(root) for p in data)


def test_confidence_after_a_box_and_after_an_outline(tmp_path):
    labels, said = one(tmp_path, "0 0.5 0.5 0.5 0.5 0.91\n1 0 0 0.5 0 0 0.5 0.77\n")
    assert [len(x.marks) for x in labels] == [1, 1] and isinstance(labels[0], Boxes)
    assert labels[0].marks[0].bounds == (4, 3, 12, 9) and len(labels[1].marks[0].polygons[0][0]) == 3
    assert "confidence" in said and "2 times" in said


def test_four_corners_are_an_outline_unless_the_task_is_obb(tmp_path):
    diamond = "0 0.5 0.25 0.75 0.5 0.5 0.75 0.25 0.5\n"
    ((regions,), _) = one(tmp_path / "a", diamond)
    assert isinstance(regions, Regions)
    ((turned,), _) = one(tmp_path / "b", diamond, "names: [cat, dog]\ntrain: images\ntask: obb\n")
    assert turned.marks == (Box("cat", ((8, 3), (12, 6), (8, 9), (4, 6))),) and not turned.marks[0].is_upright


def test_keypoints_are_no_outline(tmp_path):
    settings_ = "names: [cat, dog]\ntrain: images\nkpt_shape: [2, 3]\n"
    (boxed,), said = one(tmp_path, "0 0.5 0.5 0.5 0.5 0.1 0.1 2 0.3 0.3 1\n", settings_)
    assert boxed.marks[0].bounds == (4, 3, 12, 9) and "keypoints" in said


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 nan 0.5 0.5 0.5", "finite"),
        ("0 0.5 0.5 inf 0.5", "finite"),
        ("0 0 0 1e9 0 0 0.5", "percent"),
        ("0 50 50 25 25", "percent"),
        ("0 0.5 0.5 0 0.5", "area"),
        ("0 0.5 0.5 -0.5 0.5", "percent"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", "area"),
        ("0 0.5 0.5 0.5", "too few"),
        ("0", "too few"),
        ("7 0.5 0.5 0.5 0.5", "not in the list"),
        ("0.5 0.5 0.5 0.5 0.5", "not in the list"),
        ("cat 0.5 0.5 0.5 0.5", "no numbers"),
        ("0,0.5,0.5,0.5,0.5", "no numbers"),
    ],
)
def test_damaged_lines_are_left_out_and_promise_nothing(tmp_path, line, says):
    (regions,), said = one(tmp_path, f"{line}\n{TRIANGLE}")
    assert [m.name for m in regions.marks] == ["dog"] and says in said and "line 1" in said
    assert regions.complete == (frozenset({"dog"}) if line[:2] in ("0", "0 ") else frozenset())


def test_marks_beyond_the_photo_are_cut_at_its_border(tmp_path):
    (boxed,), said = one(tmp_path, "0 0.9 0.5 0.6 0.2\n")
    assert boxed.marks[0].bounds == pytest.approx((9.6, 4.8, 16, 7.2)) and "cut" in said


def test_shares_are_of_the_photo_as_exif_turns_it(tmp_path):
    (boxed,), _ = one(tmp_path, "0 0.5 0.25 1 0.5\n", orientation=6)
    assert boxed.marks[0].bounds == (0, 0, H, W / 2)


def test_later_outlines_lie_on_top(tmp_path):
    square = "0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75"
    one(tmp_path, f"0 {square}\n1 {square}\n")
    (mask,) = open_dataset(tmp_path).photos[0].labels_loaded()
    assert isinstance(mask, Mask) and mask.ids_HW[6, 8] == 2 and set(np.unique(mask.ids_HW)) == {0, 2}


def test_names_of_files_that_occur_twice(tmp_path):
    root = make_yolo(tmp_path)
    text(root / "data.yaml", "train: train.txt\nval: val.txt\nnames: [cat, dog]\n")
    text(root / "train.txt", "images/train/a.jpg\n"), text(root / "val.txt", "/x/val/a.jpg\na.jpg\n")
    data = open_dataset(root)  # val/a.jpg is no path here and a.jpg might be either
    assert data.splits == {"train": ("train/a",)} and "line 1" in " ".join(data.notes)


def test_names_and_number_of_classes(tmp_path):
    _, said = one(tmp_path / "a", BOX, "names: [cat, dog]\nnc: 3\ntrain: images\n")
    assert "nc" in said
    (boxed,), _ = one(tmp_path / "b", "5 0.5 0.5 0.5 0.5\n", "names: {5: cat, 9: dog}\ntrain: images\n")
    assert boxed.marks[0].name == "cat"
    one(tmp_path / "c", BOX, "nc: 2\ntrain: images\n")
    assert open_dataset(tmp_path / "c").classes.names == ("background", "class_0", "class_1")
    one(tmp_path / "d", TRIANGLE, "names: [Background, dog, ignore]\ntrain: images\n")
    classes = open_dataset(tmp_path / "d").classes
    assert classes.names == ("Background", "dog") and classes.background == "Background"


def test_areas_to_ignore_state_nothing(tmp_path):
    one(tmp_path, f"0 0 0 0.5 0 0.5 1 0 1\n{TRIANGLE}", "names: [ignore, dog]\ntrain: images\n")
    (p,) = open_dataset(tmp_path)
    assert p.candidates(H, W).index_HW[H - 1, 0] == 0  # void


def test_darknet_and_labelimg_without_data_yaml(tmp_path):
    photo(tmp_path / "d" / "obj_train_data" / "a.jpg"), text(tmp_path / "d" / "obj_train_data" / "a.txt", BOX)
    text(tmp_path / "d" / "obj.names", "cat\ndog\n"), text(tmp_path / "d" / "train.txt", "data/obj_train_data/a.jpg\n")
    text(tmp_path / "d" / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    data = open_dataset(tmp_path / "d")
    assert data.format == "yolo" and data.classes.names[1:] == ("cat", "dog")
    assert data.splits == {"train": ("obj_train_data/a",)} and data.photos[0].labels[0].marks[0].name == "cat"
    photo(tmp_path / "l" / "a.jpg"), text(tmp_path / "l" / "a.txt", BOX), text(tmp_path / "l" / "classes.txt", "cat\n")
    data = open_dataset(tmp_path / "l")
    assert data.format == "yolo" and data.classes.names == ("background", "cat") and data.photos[0].name == "a"


def test_a_data_file_that_lies_about_its_classes(tmp_path):
    photo(tmp_path / "a.jpg"), text(tmp_path / "a.txt", BOX), text(tmp_path / "obj.names", "cat\n")
    text(tmp_path / "obj.data", f"classes = {'9' * 5000}\nnames = ../../obj.names\ntrain = /etc/passwd.txt\n")
    data = open_dataset(tmp_path)
    assert data.classes.names == ("background", "cat") and not data.splits


@pytest.mark.parametrize(
    ("settings_", "says"),
    [
        ("names: [cat\ntrain: images\n", "line"),
        ("a: &a [1]\nb: [*a, *a]\nnames: [cat]\ntrain: images\n", "aliases"),
        ("a: &a {x: 1}\nb: &b {<<: [*a, *a]}\nnames: [cat]\ntrain: images\n", "aliases"),
        ("names: !!python/object/apply:os.system ['true']\ntrain: images\n", "YAML"),
        ("names: [no, yes]\ntrain: images\n", "quotes"),
        ("names: [[cat]]\ntrain: images\n", "a name"),
        ("names: {cat: 0}\ntrain: images\n", "number of a class"),
        ("names: [cat]\ntrain: 5\n", "expected a folder"),
        ("names: [cat]\ntrain: images\nkpt_shape: [17]\n", "kpt_shape"),
        ("when: 2020-13-45\nnames: [cat]\ntrain: images\n", "YAML"),
        ("x: " + "[" * 30000 + "\nnames: [cat]\ntrain: images\n", "nested"),
        ("names: [cat]\ntrain: images\nx: " + "a" * (1 << 20) + "\n", "bytes"),
    ],
)
def test_a_damaged_or_hostile_data_yaml_is_refused_in_one_line(tmp_path, settings_, says):
    with pytest.raises(DataError, match=says) as caught:
        one(tmp_path, BOX, settings_)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_no_photos(tmp_path):
    with pytest.raises(DataError, match="no photos"):
        yolo.read(text(tmp_path / "in" / "data.yaml", YAML))


def test_labels_that_are_no_text(tmp_path):
    make_yolo(tmp_path)
    (tmp_path / "labels" / "train" / "a.txt").write_bytes(b"\xff\xfe0 0")
    with pytest.raises(DataError, match=r"a\.txt.*UTF-8"):
        open_dataset(tmp_path)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.lists(boxes, max_size=3), st.lists(outlines, max_size=3)), min_size=1, max_size=2))
def test_round_trip(tmp_path_factory, drawn):
    labels = [in_order(*x) for x in drawn]
    data = data_set(tmp_path_factory.mktemp("photos"), *labels, [])
    again = written_and_read(yolo, data)
    assert again.classes == CLASSES
    for found, meant in zip(again, by_name(data), strict=True):
        assert found.name == meant.name
        assert close(found.labels, meant.labels, 1e-6)


def test_what_yolo_can_not_hold_is_said(tmp_path):
    data = every_kind(tmp_path / "photos")
    written = yolo.write(data, tmp_path / "set")
    said = "\n".join(written.left_out)
    for words in (
        "tags",
        "points",
        "scribbles",
        "masks are outlined",
        "void pixels",
        "turned boxes",
        "several outlines",
    ):
        assert words in said
    again = {p.name: p for p in open_dataset(tmp_path / "set")}
    assert open_dataset(tmp_path / "set").splits == data.splits
    assert again["g"].labels == () and again["f"].labels == (Regions((), ALL),)
    for name in ("c", "d"):  # holes and parts give the same pixels
        before = next(p for p in data if p.name == name).labels_loaded()[0]
        (after,) = again[name].labels_loaded()
        assert np.array_equal(np.maximum(before.ids_HW, 0), after.ids_HW)
    with pytest.raises(UsageError, match="chosen"):
        yolo.write(data.choose(["cat"]), tmp_path / "other")


def test_turned_boxes_alone_are_written_as_such(tmp_path):
    turned = Box("cat", ((4, 1), (7, 4), (4, 7), (1, 4)))
    data = data_set(tmp_path / "photos", [Boxes((turned, Box.upright("dog", 1, 2, 3, 4)), ALL)])
    assert close(written_and_read(yolo, data).photos[0].labels, data.photos[0].labels, 1e-6)


def test_promises_that_reading_would_make_are_said(tmp_path):
    data = data_set(tmp_path / "photos", [Boxes((Box.upright("cat", 1, 1, 4, 4),))])
    assert any("unmarked" in s for s in yolo.write(data, tmp_path / "set").left_out)
    names = Classes(("cat", "dog"))
    data = data_set(tmp_path / "more", [Boxes((Box.upright("cat", 1, 1, 4, 4),), ALL)], classes=names)
    assert any("background" in s for s in yolo.write(data, tmp_path / "two").left_out)


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    root = make_yolo(tmp_path_factory.mktemp("yolo"))
    file = root / data.draw(st.sampled_from(["data.yaml", "labels/train/a.txt", "labels/val/a.txt"]))
    file.write_bytes(damaged(file.read_bytes(), data.draw))
    reads_or_refuses(root)
