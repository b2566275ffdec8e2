"""COCO's JSON: what each kind of annotation means, what is damaged, and what comes back of what is written."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_dataset
from formats.contracts_reader import damaged, reads_or_refuses, writer_contract
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import DataError, UsageError
from labels2masks.formats import coco, coco_panoptic, streamed_json
from labels2masks.formats.convert import convert
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.formats.open import open_dataset
from labels2masks.labels import Box, Boxes, Mask, Point, Points, Region, Regions, rasterise
from labels2masks.labels.outlines import filled, run_lengths
from labels2masks.labels.outlines import regions as outlined
from labels2masks.prediction.write import write_coco

HEIGHT, WIDTH = 12, 16
SQUARE = [2, 2, 8, 2, 8, 7, 2, 7]
CATEGORIES = [{"id": 3, "name": "cat", "supercategory": "animal"}, {"id": 90, "name": "cup", "supercategory": "none"}]


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def coco_json(*annotations: dict, **changes) -> dict:
    """Three images a, b, c; `annotations` are of image 1 and of class cat where they do not say else."""
    images = [{"id": i, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for i, n in enumerate("abc", 1)]
    marks = [{"id": i, "image_id": 1, "category_id": 3, **a} for i, a in enumerate(annotations, 1)]
    return {"info": {}, "images": images, "annotations": marks, "categories": CATEGORIES} | changes


def made(root: Path, value: object, name: str = "annotations/instances_train2017.json") -> Path:
    for photo in "abc":
        save(root / "images" / f"{photo}.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    text(root / name, value if isinstance(value, str) else json.dumps(value))
    return root


def make_coco(root: Path) -> Path:
    pixels_HW = np.zeros((HEIGHT, WIDTH), bool)
    pixels_HW[3:6, 10:13] = True
    rle = {"size": [HEIGHT, WIDTH], "counts": run_lengths(pixels_HW)}
    made(root, coco_json({"segmentation": [SQUARE]}, {"segmentation": rle, "category_id": 90}))
    second = coco_json({"bbox": [1, 2, 5, 4], "image_id": 2}, {"segmentation": rle, "iscrowd": 1, "image_id": 2})
    return made(root, second | {"images": second["images"][1:]}, "annotations/instances_val2017.json")


def first(root: Path, *annotations: dict, **changes) -> tuple[Photo, str]:
    """(the photo a, all notes) of a file with these annotations."""
    data = open_dataset(made(root, coco_json(*annotations, **changes)))
    assert data.format == "coco"
    return data.photos[0], " ".join(data.notes)


def kind(photo: Photo, wanted: type):
    found = [x for x in photo.labels if isinstance(x, wanted)]
    assert len(found) < 2
    return found[0] if found else wanted(())


def ids(photo: Photo) -> np.ndarray:
    (mask,) = (x for x in photo.labels_loaded() if isinstance(x, Mask))
    return mask.ids_HW


def test_splits_classes_and_names(tmp_path):
    data = open_dataset(make_coco(tmp_path))
    assert data.splits == {"train": ("a", "b", "c"), "val": ("b", "c")}
    assert data.classes.names == ("background", "cat", "cup") and data.classes.file_ids == (0, 3, 90)
    assert data.classes.groups == {"animal": ("cat",)}
    a, b, c = data.photos
    assert a.has_mask and not b.has_mask and c.labels == ()
    assert (ids(a)[2:7, 2:8] == 3).all() and (ids(a)[3:6, 10:13] == 90).all() and (ids(a) != 0).sum() == 39
    assert kind(b, Boxes).marks == (Box.upright("cat", 1, 2, 6, 6),)
    assert [m.crowd for m in kind(b, Regions).marks] == [True]
    alone = open_dataset(tmp_path / "annotations" / "instances_val2017.json")
    assert [p.name for p in alone] == ["b", "c"] and not alone.splits


def test_what_a_crowd_covers_is_void(tmp_path):
    photo, _ = first(tmp_path, {"segmentation": [SQUARE], "iscrowd": 1}, {"bbox": [9, 0, 3, 3], "iscrowd": 1})
    assert (ids(photo) == -1).sum() == 30 + 9 and set(np.unique(ids(photo))) == {-1, 0}


def test_a_class_with_boxes_and_outlines_is_denied_by_neither(tmp_path):
    photo, _ = first(
        tmp_path,
        {"segmentation": [SQUARE], "bbox": [2, 2, 6, 5]},
        {"bbox": [10, 8, 4, 3], "segmentation": []},
        {"bbox": [0, 0, 2, 2], "category_id": 90},
    )
    assert kind(photo, Regions).complete == frozenset() and kind(photo, Boxes).complete == {"cup"}
    made_of = rasterise(photo.labels, photo.vocabulary, HEIGHT, WIDTH)
    cat = made_of.sets_KC[made_of.index_HW][..., 1]
    assert cat[9, 11] and cat[4, 4] and cat.all() and made_of.conflicts == 0
    assert not made_of.sets_KC[made_of.index_HW][9, 11, 2]


def test_keypoints_lie_on_the_object_where_they_are_visible(tmp_path):
    keypoints = [3, 4, 2, 5, 5, 1, 0, 0, 0, 15, 11, 2, 99, 4, 2]
    photo, notes = first(tmp_path, {"segmentation": [SQUARE], "keypoints": keypoints})
    assert kind(photo, Points).marks == (Point("cat", 3.5, 4.5), Point("cat", 15.5, 11.5))
    assert kind(photo, Regions).complete == {"cat", "cup"} and "clicks outside" in notes
    photo, _ = first(tmp_path, {"keypoints": [3, 4, 2]}, {"bbox": [1, 1, 2, 2], "category_id": 90})
    assert kind(photo, Boxes).complete == {"cup"}, "the cat has no box"
    photo, notes = first(tmp_path, {"keypoints": [3, 4]}, {"keypoints": [0, 0, 0]})
    assert photo.labels == () and "visibility" in notes and "without outline" in notes


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        ([[2, 2, 8, 2]], "three or more"),
        ([[2, 2, 8, 2, 8, 7, 2]], "three or more"),
        ([[2, 2, 8, 2, 8, None]], "three or more"),
        ([[2, 2, 8, 2, 8, {}]], "three or more"),
        ([[]], "three or more"),
        ([[[2, 2], [8], [8, 7]]], "three or more"),
        ([[2, 2, 5, 2, 8, 2]], "without area"),
        ([[20, 2, 28, 2, 28, 9]], "without area"),
        ("abc", "neither polygons"),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 6]}, "do not fit"),
        ({"size": [HEIGHT, WIDTH], "counts": [10**30]}, "do not fit"),
        ({"size": [HEIGHT, WIDTH], "counts": [-4, 196]}, "do not fit"),
        ({"size": [HEIGHT, WIDTH], "counts": [0.5, 191.5]}, "do not fit"),
        ({"size": [HEIGHT, WIDTH], "counts": "\u00e4"}, "do not fit"),
        ({"size": [HEIGHT, WIDTH], "counts": "ooooooooooooooo"}, "do not fit"),
        ({"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]}, "do not fit"),
        ({"size": [10**5, 10**5], "counts": [0, 10**10]}, "do not fit"),
        ({"size": "large", "counts": None}, "do not fit"),
        ({"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}, "no pixel"),
    ],
)
def test_damaged_outlines_are_left_out(tmp_path, segmentation, says):
    photo, notes = first(tmp_path, {"segmentation": segmentation}, {"segmentation": [SQUARE], "category_id": 90})
    assert [m.name for m in kind(photo, Regions).marks] == ["cup"]
    assert kind(photo, Regions).complete == {"cup"} and says in notes
    if "area" not in says:
        photo, _ = first(tmp_path, {"segmentation": segmentation, "bbox": [1, 1, 4, 4]})
        assert [m.bounds for m in kind(photo, Boxes).marks] == [(1, 1, 5, 5)], "the box is still good"


@pytest.mark.parametrize("bbox", [[1, 2, -3, 4], [1, 2, 0, 4], [1, 2, 3], [1, 2, 3, "x"], [90, 2, 3, 4], "x", {"x": 1}])
def test_damaged_boxes_are_left_out(tmp_path, bbox):
    photo, notes = first(tmp_path, {"bbox": bbox}, {"bbox": [1, 1, 4, 4], "category_id": 90})
    assert [m.name for m in kind(photo, Boxes).marks] == ["cup"] and kind(photo, Boxes).complete == {"cup"} and notes


def test_an_rle_as_large_as_its_lie_about_the_photo(tmp_path):
    lie = coco_json()["images"][0] | {"height": 10**5, "width": 10**5}
    rle = {"size": [10**5, 10**5], "counts": [0, 10**10]}
    photo, notes = first(tmp_path, {"segmentation": rle}, {"segmentation": [SQUARE]}, images=[lie])
    assert photo.labels == () and "another size" in notes


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000])
def test_what_python_writes_and_json_does_not_know(tmp_path, literal):
    content = json.dumps(coco_json({"bbox": [1, 2, 777, 4]}, {"segmentation": [[777, *SQUARE[1:]]]}))
    made(tmp_path, content.replace("777", literal))
    if len(literal) > 1000:
        with pytest.raises(DataError, match="sane size"):
            open_dataset(tmp_path)
    else:
        data = open_dataset(tmp_path)
        assert data.photos[0].labels == () and len(data.notes) == 2


def test_coordinates_far_outside_are_cut_at_the_border(tmp_path):
    far = [-1e9, -1e9, 8, -1e9, 8, 1e9, -1e9, 1e9]
    photo, notes = first(tmp_path, {"segmentation": [far]}, {"bbox": [-1e9, 3, 2e9, 1e300], "category_id": 90})
    assert kind(photo, Regions).marks[0].bounds == (0, 0, 8, HEIGHT) and "cut at its border" in notes
    assert kind(photo, Boxes).marks[0].bounds == (0, 3, WIDTH, HEIGHT)


def test_lists_in_lists_in_lists(tmp_path):
    pairs = [[2, 2], [8, 2], [8, 7], [2, 7]]
    for segmentation in (SQUARE, [SQUARE], [[SQUARE]], [pairs]):
        photo, _ = first(tmp_path, {"segmentation": segmentation})
        assert kind(photo, Regions).marks == (Region("cat", ((np.array(pairs, np.float32),),)),)


def test_ids_of_any_kind(tmp_path):
    value = coco_json({"segmentation": [SQUARE], "image_id": "1", "id": 7}, {"bbox": [9, 1, 2, 2], "id": 7})
    value["images"][0]["id"] = 1.0
    value["categories"] = [
        {"id": "3", "name": "cat"},
        {"id": 10**6, "name": "far"},
        {"id": -1, "name": "under"},
        {"id": 4, "name": "cat"},
        {"id": 0, "name": "zero"},
    ]
    data = open_dataset(made(tmp_path, value))
    assert data.classes.names == ("background", "cat", "far", "under", "zero")
    assert data.classes.file_ids == (1, 3, 2, 4, 0)
    assert kind(data.photos[0], Regions).marks and kind(data.photos[0], Boxes).marks, "one annotation id, two objects"


def test_unknown_classes_and_images(tmp_path):
    photo, notes = first(
        tmp_path,
        {"segmentation": [SQUARE]},
        {"bbox": [1, 2, 3, 4], "category_id": 4},
        {"bbox": [1, 2, 3, 4], "image_id": 44},
        {"bbox": [1, 2, 3, 4], "image_id": None},
        {"bbox": [1, 2, 3, 4], "image_id": [1]},
    )
    assert kind(photo, Regions).complete == frozenset(), "it may be one of any class"
    assert "categories that are not listed" in notes and "images that are not listed are left out: 3 times" in notes


def test_images_listed_twice(tmp_path):
    value = coco_json({"segmentation": [SQUARE]}, {"segmentation": [SQUARE], "image_id": 9, "category_id": 90})
    value["images"] += [value["images"][0] | {"id": 9}, {"id": 2, "file_name": "c.png"}, {"id": 5}, {"file_name": "x"}]
    value["images"] += [{"id": 6, "file_name": "gone.png"}]
    value["annotations"] += [{"image_id": i, "category_id": 3, "bbox": [1, 1, 2, 2]} for i in (2, 6)]
    data = open_dataset(made(tmp_path, value))
    assert [p.name for p in data] == ["a", "c"]
    assert [m.name for m in kind(data.photos[0], Regions).marks] == ["cat", "cup"] and not data.photos[1].labels
    notes = " ".join(data.notes)
    assert "ids of two images" in notes and "photo is not there, or" in notes and "without an id" in notes


def test_background_and_void_as_categories(tmp_path):
    categories = [{"id": 0, "name": "Background"}, {"id": 3, "name": "cat"}, {"id": 4, "name": "void"}]
    photo, _ = first(
        tmp_path, {"segmentation": [SQUARE]}, {"bbox": [9, 1, 3, 3], "category_id": 4}, categories=categories
    )
    assert photo.vocabulary.source.background == "Background" and photo.vocabulary.source.file_ids == (0, 3)
    assert (ids(photo)[1:4, 9:12] == -1).all() and (ids(photo) == 3).sum() == 30


def test_who_searched_for_some_classes_only(tmp_path):
    images = coco_json()["images"]
    images[0] |= {"neg_category_ids": [90], "not_exhaustive_category_ids": []}
    images[1] |= {"neg_category_ids": [], "not_exhaustive_category_ids": [3]}
    for image in images:
        image["coco_url"] = f"https://example.org/train2017/{image.pop('file_name')}"
    value = coco_json({"segmentation": [SQUARE]}, {"segmentation": [SQUARE], "image_id": 2}, images=images)
    a, b, _ = open_dataset(made(tmp_path, value, "lvis_v1_train.json")).photos
    assert kind(a, Regions).complete == {"cat", "cup"} and kind(b, Regions).complete == frozenset()


def test_any_order_of_keys(tmp_path):
    value = coco_json({"segmentation": [SQUARE]})
    expected = open_dataset(made(tmp_path, value)).photos
    for keys in (("annotations", "categories", "images"), ("categories", "annotations", "images", "info")):
        assert open_dataset(made(tmp_path, {k: value[k] for k in keys})).photos == expected


def test_photos_are_found_by_name_and_split_and_nowhere_else(tmp_path):
    for split in ("train", "valid"):
        save(tmp_path / split / "a.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
        names = ("a.png", "../../etc/passwd", "/etc/hostname", "..\\..\\x.png", "https://example.org/x.png")
        images = [{"id": i, "file_name": n} for i, n in enumerate(names, 1)]
        value = coco_json({"bbox": [1, 1, 2, 2]}, images=images)
        text(tmp_path / split / "_annotations.coco.json", json.dumps(value))
    data = open_dataset(tmp_path)
    assert data.splits == {"train": ("train/a",), "val": ("valid/a",)} and len(data) == 2
    images = [{"id": 1, "file_name": "D:\\work\\train\\a.png"}]
    text(tmp_path / "all.json", json.dumps(coco_json({"bbox": [1, 1, 2, 2]}, images=images)))
    assert [p.name for p in open_dataset(tmp_path / "all.json")] == ["train/a"]


def test_captions_and_second_files_of_a_split_are_passed_over(tmp_path):
    root = make_coco(tmp_path)
    caption = {"images": coco_json()["images"], "annotations": [{"id": 1, "image_id": 1, "caption": "a cat"}]}
    text(root / "annotations" / "captions_train2017.json", json.dumps(caption))
    text(root / "annotations" / "stuff_train2017.json", json.dumps(coco_json()))
    data = open_dataset(root)
    assert set(data.splits) == {"train", "val"} and "open them by themselves" in " ".join(data.notes)
    with pytest.raises(DataError):
        open_dataset(root / "annotations" / "captions_train2017.json")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (coco_json(images=[]), "no images listed"),
        (coco_json(categories=[]), "no categories listed"),
        (coco_json(categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]), r"categories\[1\].*id '1'"),
        (coco_json(categories=[{"id": 1}]), r"categories\[0\].*name"),
        (coco_json(categories={"1": "cat"}), "list of objects"),
        (coco_json(annotations={"1": []}), "annotations: expected a list"),
        (coco_json(images=[{"id": 1, "file_name": "gone.png"}]), "none of the listed images"),
        (json.dumps(coco_json())[:-9], "character"),
        (json.dumps(coco_json()) + "x", "end of the file"),
        (json.dumps(coco_json({"bbox": "deep"})).replace('"deep"', "[" * 10**5), "sane size"),
        (json.dumps(coco_json()).replace('"info"', "info"), "key"),
    ],
)
def test_broken_files_fail_in_one_line(tmp_path, value, says):
    with pytest.raises(DataError, match=says) as caught:
        open_dataset(made(tmp_path, value))
    assert "\n" not in str(caught.value) and "instances_train2017.json" in str(caught.value).replace(
        str(tmp_path), "instances_train2017.json"
    )


def test_labels_turn_with_a_photo_that_exif_turns(tmp_path):
    made(tmp_path, coco_json({"segmentation": [SQUARE]}, {"bbox": [0, 0, 4, 2], "category_id": 90}))
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images" / "a.png", exif=exif)
    data = open_dataset(tmp_path)
    assert kind(data.photos[0], Regions).marks[0].bounds == (5, 2, 10, 8)
    assert kind(data.photos[0], Boxes).marks[0].bounds == (10, 0, 12, 4)
    assert "EXIF" in " ".join(data.notes)


@pytest.mark.parametrize("background", ["ground", None])
def test_predicted_masks_come_back(tmp_path, background):
    classes = Classes(("ground", "cat", "cup"), background=background, file_ids=(0, 4, 2))
    masks = np.random.default_rng(0).integers(0, 3, (3, HEIGHT, WIDTH))
    masks[2] = 0  # background alone, which has no annotation
    made(tmp_path, coco_json())
    named = [(n, f"{n}.png", mask) for n, mask in zip("abc", masks, strict=True)]
    write_coco(tmp_path / "annotations" / "instances_train2017.json", named, classes)
    data = open_dataset(tmp_path)
    assert data.classes.background == background and set(data.classes.names) == set(classes.names)
    name_of = dict(zip(data.classes.file_ids, data.classes.names, strict=True))
    for photo, mask in zip(data.photos, masks, strict=True):
        assert [name_of[i] for i in ids(photo).ravel()] == [classes.names[i] for i in mask.ravel()]


CLASSES = Classes(("background", "cat", "cup"), background="background", groups={"animal": ("cat",)})
FOREGROUND = frozenset(CLASSES.foreground)
quarters = st.integers(0, 4 * 12).map(lambda v: v / 4)
names = st.sampled_from(CLASSES.foreground)


@st.composite
def a_region(draw):
    x, y, width, height = draw(quarters) * 0.5, draw(quarters) * 0.5, draw(quarters) / 4 + 1, draw(quarters) / 4 + 1
    rings = [np.array([(x, y), (x + width, y), (x + width / 3, y + height)], np.float32)]
    return Region(draw(names), tuple((ring,) for ring in rings * draw(st.integers(1, 2))))


@st.composite
def some_labels(draw):
    """Labels as COCO can tell them: complete where it takes them for it."""
    regions = draw(st.lists(a_region(), max_size=3))
    bounds = draw(st.lists(st.tuples(quarters, quarters), max_size=2))
    boxes = [Box.upright(draw(names), x, y, x + 1.25, y + 0.5) for x, y in bounds if x < 14 and y < 11]
    points = [Point(draw(names), x, y) for x, y in draw(st.lists(st.tuples(quarters, quarters), max_size=2)) if y < 12]
    outlined, boxed = {m.name for m in regions}, {m.name for m in boxes}
    unsure = {m.name for m in points} | (outlined & boxed)
    labels = []
    if regions:
        labels.append(Regions(tuple(regions), FOREGROUND - boxed - unsure))
    if boxes:
        labels.append(Boxes(tuple(boxes), FOREGROUND - outlined - unsure))
    return (*labels, Points(tuple(points))) if points else tuple(labels)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    return [save(folder / f"{n}.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8)) for n in "ab"]


@settings(max_examples=25)
@given(st.lists(some_labels(), min_size=2, max_size=2), st.booleans())
def test_round_trip(tmp_path_factory, photos, label_lists, with_splits):
    root = tmp_path_factory.mktemp("coco") / "set"
    same = Vocabulary.same(CLASSES)
    made_of = tuple(Photo(f"sub/{p.stem}", p, x, same) for p, x in zip(photos, label_lists, strict=True))
    data = Dataset(CLASSES, made_of, {"train": ("sub/a",), "both": ("sub/a", "sub/b")} if with_splits else {})
    coco.write(data, root)
    again = open_dataset(root)
    assert again.classes == replace(CLASSES, colours=again.classes.colours) and again.splits == data.splits
    for before, after in zip(data.photos, sorted(again.photos, key=lambda p: p.name), strict=True):
        assert before.name == after.name
        assert [type(x) for x in before.labels] == [type(x) for x in after.labels]
        for old, new in zip(before.labels, after.labels, strict=True):
            # A photo in two files is told twice and read once, so what is equal counts once.
            assert tuple(dict.fromkeys(old.marks)) == tuple(dict.fromkeys(new.marks))
            assert old.complete == new.complete


def everything(tmp_path: Path) -> Dataset:
    """A photo with what COCO can not hold, one with a mask, one without a label."""
    ring = np.array([(1, 1), (11, 1), (11, 11), (1, 11)], np.float32)
    hole = np.array([(4, 4), (8, 4), (8, 8), (4, 8)], np.float32)
    rotated = Box("cup", ((5, 0), (10, 5), (5, 10), (0, 5)), extremes=((5, 1),))
    labels = (
        Regions((Region("cat", ((ring, hole),)), Region("animal", ((ring,),)), Region("cup", ((hole,),), True))),
        Boxes((rotated,), frozenset({"cup"}), seconds=3.0),
        Points((Point("cat", 2, 2, negative=True),), FOREGROUND),
    )
    ids_HW = np.zeros((HEIGHT, WIDTH), np.int32)
    ids_HW[2:6, 3:9], ids_HW[8:, :4] = 1, 255
    same = Vocabulary.same(CLASSES)
    files = [save(tmp_path / "in" / f"{n}.png", np.zeros((HEIGHT, WIDTH, 3), np.uint8)) for n in "abc"]
    mask = Mask(ids_HW=ids_HW)
    shown = zip("abc", files, (labels, (mask,), ()), strict=True)
    return Dataset(CLASSES, tuple(Photo(n, f, x, same) for n, f, x in shown), {"train": ("a",), "x/y": ("b",)})


def test_what_is_written_opens_again_and_what_is_left_out_is_said(tmp_path):
    data = everything(tmp_path)
    again = writer_contract(coco, data, tmp_path / "out")
    said = " ".join(coco.write(data, tmp_path / "again").left_out)
    for word in ("seconds", "rotation", "extreme", "not this", "group", "every class", "void pixels", "split names"):
        assert word in said, word
    a, b, _ = (next(p for p in again if p.name == n) for n in "abc")
    hole_HW = rasterise(a.labels, a.vocabulary, HEIGHT, WIDTH).index_HW
    assert (hole_HW[1:4, 1:11] == hole_HW[1, 1]).all() and hole_HW[5, 5] != hole_HW[1, 1]
    assert (ids(b) == 1).sum() == 24 and set(again.splits) == {"train", "x__y"}
    with pytest.raises(UsageError, match="folder"):
        coco.write(data, tmp_path / "x.json")


def test_panoptic_holds_masks_with_their_void_bit_for_bit(tmp_path):
    data = everything(tmp_path)
    again = writer_contract(coco_panoptic, data, tmp_path / "out")
    assert again.classes == data.classes and again.splits == {"train": ("a",), "x__y": ("b",)}
    a, b, c = (next(p for p in again if p.name == n) for n in "abc")
    mask = data.photos[1].labels[0].ids_HW
    assert (ids(b) == np.where(mask == 255, -1, mask)).all() and not c.labels
    assert (ids(a)[1:4, 1:11] == 1).all() and (ids(a)[5:8, 5:8] == -1).all() and ids(a)[0, 0] == -1


def make_panoptic(root: Path) -> Path:
    ids_HW = np.zeros((HEIGHT, WIDTH), int)
    ids_HW[2:5, 3:9], ids_HW[6:, :4], ids_HW[6:, 10:] = 70000, 3, 4
    png = (ids_HW[..., None] >> np.array([0, 8, 16]) & 255).astype(np.uint8)
    segments = [{"id": 70000, "category_id": 3}, {"id": 3, "category_id": 90}]
    segments.append({"id": 4, "category_id": 90, "iscrowd": 1})
    annotations = [{"image_id": i, "file_name": f"{n}.png", "segments_info": segments} for i, n in enumerate("ab", 1)]
    for n in "ab":
        save(root / "annotations" / "panoptic_val2017" / f"{n}.png", png)
    value = coco_json(annotations=annotations)
    return made(root, value, "annotations/panoptic_val2017.json")


def test_panoptic_segments(tmp_path):
    data = open_dataset(make_panoptic(tmp_path))
    assert (
        data.format == "coco_panoptic" and data.classes.names == ("cat", "cup") and data.splits["val"] == tuple("abc")
    )
    assert (ids(data.photos[0])[2:5, 3:9] == 3).all() and (ids(data.photos[0])[6:, :4] == 90).all()
    assert (ids(data.photos[0]) == -1).sum() == HEIGHT * WIDTH - 18 - 24 and not data.photos[2].labels


def test_panoptic_png_that_is_damaged_or_of_another_size(tmp_path):
    folder = make_panoptic(tmp_path) / "annotations" / "panoptic_val2017"
    (folder / "a.png").write_bytes(b"no picture")
    save(folder / "b.png", np.zeros((HEIGHT, WIDTH - 1, 3), np.uint8))
    data = open_dataset(tmp_path)
    assert all(not p.labels for p in data) and len(data.notes) == 2


@settings(max_examples=10)
@given(st.integers(0, 2**30), st.sampled_from([None, "background"]))
def test_panoptic_round_trip(tmp_path_factory, photos, seed, background):
    classes = Classes(("background", "cat", "cup"), background=background, file_ids=(7, 300, 0))
    rng = np.random.default_rng(seed)
    masks = [Mask(ids_HW=rng.choice([7, 300, 0, 255, -1], (HEIGHT, WIDTH)).astype(np.int32)) for _ in photos]
    same = Vocabulary.same(classes)
    shown = tuple(Photo(p.stem, p, (m,), same) for p, m in zip(photos, masks, strict=True))
    root = tmp_path_factory.mktemp("panoptic") / "set"
    again = open_dataset(coco_panoptic.write(Dataset(classes, shown), root).path)
    assert again.classes.file_ids == classes.file_ids
    for photo, mask in zip(again, masks, strict=True):
        assert (ids(photo) == np.where(mask.ids_HW == 255, -1, mask.ids_HW)).all()


@pytest.mark.parametrize("maker", [make_coco, make_panoptic])
@settings(max_examples=60)
@given(st.data())
def test_fuzz(tmp_path_factory, maker, data):
    root = maker(tmp_path_factory.mktemp("fuzz"))
    file = sorted((root / "annotations").glob("*.json"))[0]
    file.write_bytes(damaged(file.read_bytes(), data.draw))
    reads_or_refuses(root)


NASTY = (
    None,
    True,
    -1,
    0,
    3,
    1e9,
    1e300,
    float("nan"),
    10**40,
    "",
    "3",
    "\ud800",
    "../x",
    [],
    [[]],
    {},
    [3, "x"],
    {"id": 3},
)


def somewhere(value: object, draw) -> object:
    """The value with one part of it, at any depth, replaced, doubled or gone."""
    if isinstance(value, list | dict) and value and draw(st.integers(0, 5)):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = draw(st.sampled_from(keys))
        copy = value.copy()
        if draw(st.integers(0, 9)):
            copy[key] = somewhere(value[key], draw)
        elif isinstance(copy, list):
            copy.append(copy[key])
        else:
            del copy[key]
        return copy
    return draw(st.sampled_from(NASTY))


@pytest.mark.parametrize("maker", [make_coco, make_panoptic])
@settings(max_examples=60)
@given(st.data())
def test_fuzz_of_values(tmp_path_factory, maker, data):
    root = maker(tmp_path_factory.mktemp("fuzz"))
    file = sorted((root / "annotations").glob("*.json"))[0]
    value = json.loads(file.read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        value = somewhere(value, data.draw)
    file.write_text(json.dumps(value))
    reads_or_refuses(root)


def test_no_split_is_lost_whatever_it_is_called(tmp_path):
    data = everything(tmp_path)
    splits = {"val": ("a",), "valid": ("b",), "val2017": ("c",), "instances": ("a", "c"), "Main/train": ("b",)}
    again = open_dataset(coco.write(replace(data, splits=splits), tmp_path / "out").path)
    assert sorted(again.splits.values()) == sorted(splits.values())
    assert {"val", "instances", "Main__train"} <= set(again.splits)


def test_memory_is_that_of_the_labels_that_are_kept(tmp_path, monkeypatch):
    """The file as Python's objects takes several times its size, the labels less than it."""
    monkeypatch.setattr(streamed_json, "CHUNK", 2**13)
    images = [{"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in range(40)]
    for image in images:
        save(tmp_path / "images" / image["file_name"], np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    rng = np.random.default_rng(0)
    marks = [{"segmentation": [np.round(rng.uniform(0, 12, 160), 3).tolist()], "image_id": i % 40} for i in range(300)]
    file = made(tmp_path, coco_json(*marks, images=images)) / "annotations" / "instances_train2017.json"
    open_dataset(file)
    tracemalloc.start()
    data = open_dataset(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    value = json.loads(file.read_bytes())
    at_once = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(value["annotations"]) == sum(len(kind(p, Regions).marks) for p in data) == 300
    size = file.stat().st_size
    assert size > 3e5 and peak < 1.2 * size and at_once > 3 * size


def test_masks_of_a_folder_through_coco_and_back(tmp_path):
    data = open_dataset(write_tiny_dataset(tmp_path / "tiny", photos=3))
    for to in ("coco", "coco_panoptic"):
        again = open_dataset(convert(data, tmp_path / to, to).path)
        assert {s: set(n) for s, n in again.splits.items()} == {s: set(n) for s, n in data.splits.items()}
        for photo in again:
            before = next(p for p in data if p.name == photo.name)
            known_HW = ids(before) != 255
            assert (ids(photo)[known_HW] == ids(before)[known_HW]).all()
            assert (ids(photo)[~known_HW] == (-1 if to == "coco_panoptic" else 0)).all()


def test_real_instances_through_coco_and_back(tmp_path, data_root):
    """MSRC-21: the pixels of every object, and the class of every pixel in one, are the same bit for bit."""
    data = open_dataset(data_root / "msrc21")
    photos, masks, objects = [], [], []
    for photo in data.photos[:40:8]:
        with Image.open(data_root / "msrc21" / "instances" / f"{photo.name}.png") as file:
            instance_HW = np.array(file)
        ids_HW, marks, mask_HW = ids(photo), [], np.zeros(instance_HW.shape, int)
        for instance in sorted(set(np.unique(instance_HW)) - {0}):
            of_object_HW = instance_HW == instance
            (class_id,) = set(np.unique(ids_HW[of_object_HW])) - {255}
            polygons = [[np.array(r[:-1], np.float32) for r in rings] for rings, _ in outlined(of_object_HW)]
            name = data.classes.names[data.classes.file_ids.index(class_id)]
            marks.append(Region(name, tuple(map(tuple, polygons))))
            mask_HW[of_object_HW] = class_id
            objects.append(of_object_HW)
        masks.append(mask_HW)
        complete = frozenset(data.classes.foreground)
        photos.append(replace(photo, labels=(Regions(tuple(marks), complete),)))
    again = open_dataset(coco.write(replace(data, photos=tuple(photos), splits={}), tmp_path / "coco").path)
    found = [m for p in again for m in kind(p, Regions).marks]
    assert len(found) == len(objects) > len(photos)
    for mark, of_object_HW in zip(found, objects, strict=True):
        assert sum(filled(p, *of_object_HW.shape).astype(int) for p in mark.polygons).tolist() == of_object_HW.tolist()
    for photo, mask_HW in zip(again, masks, strict=True):
        assert (ids(photo) == mask_HW).all()


def test_a_click_on_background_comes_back(tmp_path):
    """Background is a category only where somebody clicked it, which is known when the annotations are written."""
    image = tmp_path / "a.png"
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(image)
    classes = Classes(("background", "cat"), background="background")
    clicks = Points((Point("background", 1.5, 2.5), Point("cat", 4.5, 5.5)))
    data = Dataset(classes, (Photo("a", image, (clicks,), Vocabulary.same(classes)),))
    again = open_dataset(coco.write(data, tmp_path / "out").path)
    assert not again.notes and again.photos[0].labels == (clicks,)
