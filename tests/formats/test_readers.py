"""Every reader meets the contract, on three-photo data sets of its own layout; broken ones fail in one line."""

from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_dataset
from formats.contracts_reader import layout_contract
from formats.mask_layouts import make_ade20k, make_cityscapes, make_sbd
from formats.test_coco import make_coco, make_panoptic
from formats.test_csv import make_csv
from formats.test_cvat import make_cvat
from formats.test_label_studio import make_label_studio
from formats.test_labelme import make_labelme
from formats.test_scribblesup import make_scribblesup
from formats.test_yolo import make_yolo
from PIL import Image

from labels2masks.errors import DataError
from labels2masks.formats import (
    ade20k,
    camvid,
    cityscapes,
    coco,
    coco_panoptic,
    csv,
    cvat,
    folder,
    jsonl,
    label_studio,
    labelme,
    sbd,
    scribblesup,
    voc,
    yolo,
)
from labels2masks.formats.convert import keep_kinds
from labels2masks.formats.open import READERS, open_dataset
from labels2masks.labels import Boxes, Mask, Tags

PHOTO = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
IDS = np.zeros((12, 16), np.uint8)
IDS[2:6, 3:9] = 1
IDS[8:, :4] = 255

XML = """<annotation><object><name>cat</name><difficult>1</difficult>
<bndbox><xmin>4</xmin><ymin>3</ymin><xmax>9</xmax><ymax>6</ymax></bndbox>
<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
</object></annotation>"""


def save(path: Path, pixels: np.ndarray = PHOTO) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def make_folder(root: Path) -> Path:
    for name in ("a", "b", "sub/c"):
        save(root / "images" / f"{name}.jpg")
        save(root / "masks" / f"{name}.png", IDS)
    text(root / "classes.txt", "background\nthing\n")
    text(root / "splits" / "train.txt", "a\nimages/b.jpg masks/b.png\n")
    text(root / "splits" / "val.txt", "c\n")
    return root


def make_camvid(root: Path) -> Path:
    for split, names in {"train": "ab", "val": "c"}.items():
        for name in names:
            save(root / split / f"{name}.png")
            save(root / f"{split}annot" / f"{name}.png", np.where(IDS == 255, 11, IDS).astype(np.uint8))
    return root


def make_voc(root: Path) -> Path:
    for name in ("a", "b", "c"):
        save(root / "JPEGImages" / f"{name}.jpg")
    save(root / "SegmentationClass" / "a.png", np.where(IDS == 1, 8, IDS).astype(np.uint8))
    text(root / "Annotations" / "b.xml", XML)
    text(root / "ImageSets" / "Segmentation" / "train.txt", "a\n")
    text(root / "ImageSets" / "Main" / "train.txt", "a\nb\n")
    text(root / "ImageSets" / "Main" / "cat_train.txt", "a  1\nb  0\nc -1\n")
    return root


def make_jsonl(root: Path) -> Path:
    jsonl.write(open_dataset(make_folder(root / "data")), root / "set")
    return root / "set"


MAKERS = {
    jsonl: make_jsonl,
    coco: make_coco,
    coco_panoptic: make_panoptic,
    label_studio: make_label_studio,
    labelme: make_labelme,
    cvat: make_cvat,
    yolo: make_yolo,
    scribblesup: make_scribblesup,
    voc: make_voc,
    sbd: make_sbd,
    cityscapes: make_cityscapes,
    ade20k: make_ade20k,
    camvid: make_camvid,
    csv: make_csv,
    folder: make_folder,
}


@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.__name__.rsplit(".", 1)[-1])
def test_contract(reader, tmp_path):
    (tmp_path / "empty").mkdir()
    layout_contract(reader, MAKERS[reader](tmp_path / "set"), tmp_path / "empty")


def test_voc_labels(tmp_path):
    data = open_dataset(make_voc(tmp_path))
    a, b, c = data.photos
    assert data.splits == {"train": ("a",), "Main/train": ("a", "b")}
    assert a.has_mask and not b.has_mask
    (boxes,) = (x for x in b.labels if isinstance(x, Boxes))
    assert [m.bounds for m in boxes.marks] == [(3, 2, 9, 6)] and len(boxes.complete) == 20
    assert b.labels[0] == Tags(frozenset({"cat"}), complete=frozenset({"cat"}))
    assert c.labels == (Tags(absent=frozenset({"cat"}), complete=frozenset({"cat"})),)
    assert data.classes.colours[:3] == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    assert all(not p.has_mask for p in keep_kinds(data, ["tags"]))


def test_voc_with_other_classes_and_hostile_xml(tmp_path):
    root = make_voc(tmp_path)
    text(root / "Annotations" / "c.xml", XML.replace("cat", "zebra"))
    with pytest.raises(DataError, match=r"zebra.*classes\.txt"):
        open_dataset(root)
    text(root / "Annotations" / "c.xml", '<!DOCTYPE x [<!ENTITY a "b">]>' + XML.replace("cat", "&a;"))
    with pytest.raises(DataError, match=r"c\.xml"):
        open_dataset(root)


def test_folder_layouts(tmp_path):
    beside = tmp_path / "beside"
    save(beside / "a.jpg"), save(beside / "a.png", IDS), save(beside / "b.png"), save(beside / "b_mask.png", IDS)
    data = open_dataset(beside)
    assert [p.name for p in data] == ["a", "b"] and all(p.has_mask for p in data)
    assert data.classes.names == ("background", "object") and data.classes.background == "background"
    parts = tmp_path / "parts"
    for split in ("train", "val"):
        save(parts / split / "images" / "a.jpg"), save(parts / split / "masks" / "a.png", IDS + 2)
    data = open_dataset(parts)
    assert data.splits == {"train": ("train/a",), "val": ("val/a",)}
    assert data.classes.names == ("class_1", "class_2", "class_3")
    only = tmp_path / "only"
    save(only / "x.jpg")
    assert [p.labels for p in open_dataset(only)] == [()]


def test_binary_masks_of_0_and_255(tmp_path):
    save(tmp_path / "images" / "a.jpg"), save(tmp_path / "masks" / "a.png", np.where(IDS == 1, 255, 0).astype(np.uint8))
    data = open_dataset(tmp_path)
    assert data.classes.file_ids == (0, 255) and data.classes.names[1] == "object" and not data.classes.void_ids


def test_masks_in_the_colours_of_the_classes(tmp_path):
    root = make_voc(tmp_path)
    colour = np.zeros((12, 16, 3), np.uint8)
    colour[2:4], colour[5] = (64, 0, 0), (224, 224, 192)
    save(root / "SegmentationClass" / "a.png", colour)
    (mask,) = (x for x in open_dataset(root).photos[0].labels_loaded() if isinstance(x, Mask))
    assert set(np.unique(mask.ids_HW)) == {0, 8, 255}


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda r: text(r / "splits" / "val.txt", "c\nnowhere\n"), r"val\.txt, line 2: no photo 'nowhere'"),
        (lambda r: text(r / "splits" / "val.txt", "\n"), "empty list"),
        (lambda r: text(r / "splits" / "val.txt", "c\nc\n"), "already in line 1"),
        (lambda r: save(r / "images" / "a.png"), "same name"),
        (lambda r: save(r / "masks" / "z.png", IDS), "without a photo"),
        (lambda r: text(r / "classes.txt", "# nothing\n"), "no class names"),
        (lambda r: text(r / "classes.json", "{"), "not valid JSON"),
        (lambda r: text(r / "classes.json", '{"names": ["a", "a"]}'), "distinct"),
        (lambda r: (r / "classes.txt").write_bytes(b"\xff\xfe\x00"), "UTF-8"),
    ],
)
def test_broken_folders_fail_in_one_line(tmp_path, break_it, says):
    root = make_folder(tmp_path)
    break_it(root)
    with pytest.raises(DataError, match=says) as caught:
        open_dataset(root)
    assert "\n" not in str(caught.value)


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        open_dataset(tmp_path / "gone")
    with pytest.raises(DataError, match="JPEGImages"):
        open_dataset(tmp_path)


def test_choosing_while_opening(tmp_path):
    data = open_dataset(write_tiny_dataset(tmp_path / "t", photos=3), classes=["disc"], others="background")
    assert data.classes.names == ("background", "disc")


def test_deep_photos_open_with_levels(tmp_path):
    save(tmp_path / "a.png", np.array([[0, 500], [1000, 4000]], np.uint16))
    with pytest.raises(DataError, match="--levels"):
        open_dataset(tmp_path).photos[0].loaded()
    image_HW3, _ = open_dataset(tmp_path, levels=(0, 1000)).photos[0].loaded()
    assert image_HW3[..., 0].tolist() == [[0, 128], [255, 255]]


@pytest.mark.parametrize(
    ("name", "count", "splits"),
    [
        ("camvid", 468, {"train": 367, "val": 101}),
        ("voc_animals", 1258, {"train": 437, "train_aug600": 600, "val_dev": 221}),
    ],
)
def test_real_data(data_root, name, count, splits):
    data = open_dataset(data_root / name)
    assert len(data) == count and {s: len(n) for s, n in data.splits.items()} == splits
    photo = data.split("train").photos[0]
    image_HW3, (mask,) = photo.loaded()
    assert mask.ids_HW.shape == image_HW3.shape[:2]
    assert photo.candidates(*mask.ids_HW.shape).decided() == 1.0
