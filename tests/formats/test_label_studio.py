"""Label Studio's exports: percent coordinates, rotations, brush strokes, names of uploads, several annotations."""

import json
from pathlib import Path

import numpy as np
import pytest
from formats.contracts_reader import damaged, reads_or_refuses, writer_contract
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import DataError, UsageError
from labels2masks.formats import label_studio
from labels2masks.formats.brush_rle import decoded, encoded
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.formats.open import open_dataset
from labels2masks.labels import Box, Boxes, Mask, Point, Points, Region, Regions, Scribbles, Stroke, Tags

H, W = 40, 80


def photo(path: Path, height: int = H, width: int = W, orientation: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", (width, height), (90, 120, 60)).save(path, exif=exif.tobytes())
    return path


def result(kind: str, name: str, turned: int = 0, size=(H, W), **value):
    return {
        "id": f"{kind}{name}",
        "type": f"{kind}labels",
        "original_height": size[0],
        "original_width": size[1],
        "image_rotation": turned,
        "value": {**value, f"{kind}labels": [name]},
    }


def task(image: str, *results, **annotation):
    return {"id": 1, "data": {"image": image}, "annotations": [{"result": list(results), **annotation}]}


def export(folder: Path, *tasks, name: str = "export.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(json.dumps(list(tasks)))
    return file


def one(tmp_path: Path, *results, **annotation):
    """The labels of one photo with these results, and the notes."""
    photo(tmp_path / "images" / "a.jpg")
    data = open_dataset(export(tmp_path, task("images/a.jpg", *results, **annotation)))
    return data.photos[0].labels, " ".join(data.notes)


def tags(*names: str, seconds: float | None = None) -> Tags:
    return Tags(frozenset(names), complete=frozenset(names), seconds=seconds)


BOX = result("rectangle", "cat", x=25, y=25, width=50, height=50, rotation=0)


def make_label_studio(root: Path) -> Path:
    for name in "abc":
        photo(root / "images" / f"{name}.jpg")
    painted_HW = np.zeros((H, W), bool)
    painted_HW[4:9, 7:30] = True
    painted_HW[6, 10] = False
    export(
        root,
        task("/data/upload/1/0a1b2c3d-a.jpg", BOX, result("keypoint", "dog", x=10, y=10, width=0.4)),
        task("/data/local-files/?d=images/b.jpg", result("brush", "dog", format="rle", rle=encoded(painted_HW))),
        task("s3://bucket/c.jpg", {"id": "t", "type": "choices", "value": {"choices": ["cat"]}}),
    )
    return root


def test_percent_coordinates_of_a_photo_that_is_not_square(tmp_path):
    labels, notes = one(
        tmp_path,
        BOX,
        result("rectangle", "dog", x=50, y=50, width=10, height=10, rotation=90),
        result("rectangle", "dog", x=25, y=25, width=25, height=25, rotation=30),
    )
    (boxes,) = labels
    straight, quarter, turned = boxes.marks
    assert straight == Box.upright("cat", 20, 10, 60, 30)
    # 8 px wide and 4 px high about (40, 20): clockwise, so that it now reaches left and down.
    assert quarter == Box.upright("dog", 36, 20, 40, 28)
    corners = np.array(turned.corners)
    sides = np.roll(corners, -1, axis=0) - corners
    np.testing.assert_allclose(corners[0], (20, 10))
    np.testing.assert_allclose(np.hypot(*sides.T), (20, 10, 20, 10))
    np.testing.assert_allclose(sides[0], (20 * np.cos(np.pi / 6), 10), atol=1e-9)
    assert abs(sides[0] @ sides[1]) < 1e-9, "rotated in percent the rectangle is sheared"
    assert boxes.complete == {"cat", "dog"} and not notes


def test_outlines(tmp_path):
    painted_HW = np.zeros((H, W), bool)
    painted_HW[2:8, 3:9] = True
    painted_HW[4, 5] = False
    labels, notes = one(
        tmp_path,
        result("polygon", "cat", points=[[0, 0], [50, 0], [50, 100]], closed=True),
        result("ellipse", "dog", x=50, y=50, radiusX=25, radiusY=10, rotation=90),
        result("brush", "cat", format="rle", rle=encoded(painted_HW)),
        result("polygon", "dog", points=[[0, 0], [50, 0]]),
        result("polygon", "cow", points=[[0, 0], [50, 0], [9, 9]], closed=False),
    )
    (regions,) = labels
    polygon, ellipse, brush = regions.marks
    np.testing.assert_array_equal(polygon.polygons[0][0], [(0, 0), (40, 0), (40, 40)])
    # Radii of 20 and 4 px, turned a quarter about (40, 20).
    np.testing.assert_allclose(ellipse.bounds, (36, 0, 44, 40), atol=0.2)
    assert [len(rings) for rings in brush.polygons] == [2] and brush.bounds == (3, 2, 9, 8)
    assert regions.complete == {"cat"} and "not closed" in notes


def test_both_boxes_and_outlines_promise_only_what_they_are_used_for(tmp_path):
    labels, _ = one(tmp_path, BOX, result("polygon", "dog", points=[[0, 0], [50, 0], [50, 100]]))
    boxes, regions = labels
    assert boxes.complete == {"cat"} and regions.complete == {"dog"}


def test_a_turned_view_leaves_coordinates_alone(tmp_path):
    """Label Studio turns the view, and writes percent of the picture as it was loaded."""
    labels, notes = one(tmp_path, result("rectangle", "cat", turned=90, x=25, y=25, width=50, height=50, rotation=0))
    assert labels[0].marks == (Box.upright("cat", 20, 10, 60, 30),) and not notes


def test_points_and_choices(tmp_path):
    choices = {"id": "c", "type": "choices", "value": {"choices": ["cat", "dog"]}}
    labels, _ = one(tmp_path, choices, result("keypoint", "cow", x=50, y=25, width=0.3))
    assert labels == (tags("cat", "dog"), Points((Point("cow", 40, 10),)))


@pytest.mark.parametrize(
    "text",
    [
        "/data/upload/1/ab12cd34-ph%20oto.jpg",
        "/data/upload/1/ph oto.jpg",
        "/data/local-files/?d=folder/ph%20oto.jpg",
        "/data/local-files/?d=folder%2Fph%20oto.jpg&x=1",
        "s3://bucket/folder/ph oto.jpg",
        "https://example.org/x/folder/ph%20oto.jpg?signed=1",
        "C:\\Users\\me\\folder\\ab12cd34-ph oto.jpg",
        "/etc/../../folder/ph oto.jpg",
        "gs://[broken/ph oto.jpg",
    ],
)
def test_names_of_photos(tmp_path, text):
    photo(tmp_path / "folder" / "ph oto.jpg")
    data = open_dataset(export(tmp_path, task(text, BOX)))
    assert [p.image for p in data] == [tmp_path / "folder" / "ph oto.jpg"]


def test_photos_that_are_not_there_or_twice(tmp_path):
    photo(tmp_path / "x" / "a.jpg"), photo(tmp_path / "y" / "a.jpg"), photo(tmp_path / "z" / "b.jpg")
    (tmp_path.parent / "secret.jpg").write_bytes((tmp_path / "x" / "a.jpg").read_bytes())
    file = export(tmp_path, *(task(t, BOX) for t in ("a.jpg", "x/a.jpg", "../secret.jpg", "b.jpg", "gone.jpg")))
    data = open_dataset(file)
    assert [p.name for p in data] == ["x/a", "z/b"] and "3 times" in data.notes[0]
    with pytest.raises(DataError, match=r"none of its photos.*gone\.jpg"):
        open_dataset(export(tmp_path, task("gone.jpg", BOX)))


def test_which_annotation_counts(tmp_path):
    photo(tmp_path / "a.jpg"), photo(tmp_path / "b.jpg"), photo(tmp_path / "c.jpg")
    choice = [{"id": str(i), "type": "choices", "value": {"choices": [n]}} for i, n in enumerate("xyz")]
    both = {
        "data": {"image": "a.jpg"},
        "predictions": [{"result": [BOX]}],
        "drafts": [{"result": [BOX]}],
        "annotations": [
            {"result": [choice[0]], "updated_at": "2026-01-02T00:00:00Z", "lead_time": 7.5},
            {"result": [choice[1]], "updated_at": "2026-01-01T00:00:00Z"},
            {"result": [choice[2]], "updated_at": "2026-01-03T00:00:00Z", "was_cancelled": True},
        ],
    }
    skipped = task("b.jpg", BOX, was_cancelled=True)
    untouched = {"data": {"image": "c.jpg"}, "predictions": [{"result": [BOX]}], "annotations": []}
    data = open_dataset(export(tmp_path, both, skipped, untouched))
    assert [p.labels for p in data] == [(tags("x", seconds=7.5),), (), ()]
    older = task("a.jpg", choice[2], updated_at="2025-01-01T00:00:00Z")
    data = open_dataset(export(tmp_path, both, older))
    assert len(data) == 1 and data.photos[0].labels[0].present == {"x"} and "several tasks" in data.notes[0]


def test_an_empty_annotation_says_that_nothing_is_there(tmp_path):
    photo(tmp_path / "a.jpg"), photo(tmp_path / "b.jpg")
    data = open_dataset(export(tmp_path, task("a.jpg", BOX), task("b.jpg", lead_time=3)))
    assert data.photos[1].labels == (Boxes((), frozenset({"cat"}), 3.0),)
    assert data.photos[1].candidates(H, W).decided() == 1


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        ("rectangle", {"x": float("nan"), "y": 1, "width": 3, "height": 3}, "not finite"),
        ("rectangle", {"x": 1, "y": 1, "width": 3}, "outside|not finite"),
        ("rectangle", {"x": 1, "y": 1, "width": 0, "height": 3}, "without area"),
        ("rectangle", {"x": 1, "y": 1, "width": "3", "height": 3}, "not finite"),
        ("polygon", {"points": [[1, 1], [2, 2], [3, None]]}, "not finite"),
        ("polygon", {"points": [[1, 1], [2, 2], [3, 3]]}, "without area"),
        ("keypoint", {"x": 101, "y": 1, "width": 1}, "outside"),
        ("brush", {"format": "rle", "rle": [0, 0]}, "ends too early"),
        ("brush", {"format": "rle", "rle": ["a"]}, "whole numbers"),
        ("brush", {"format": "rle", "rle": [300]}, "damaged"),
        ("brush", {"format": "rle", "rle": encoded(np.zeros((H, W), bool))}, "without area"),
        ("brush", {"format": "rle", "rle": encoded(np.ones((H, W + 1), bool))}, "4 a pixel"),
    ],
)
def test_damaged_marks_are_left_out_and_their_class_is_not_complete(tmp_path, kind, value, says):
    labels, notes = one(tmp_path, BOX, result(kind, "dog", **value))
    if says != "outside|not finite":  # without a height it is a point, and a good one
        assert labels == (Boxes(BOXES, frozenset({"cat"})),), notes
        assert says in notes


BOXES = (Box.upright("cat", 20, 10, 60, 30),)


def test_far_coordinates_are_cut(tmp_path):
    labels, notes = one(tmp_path, result("polygon", "cat", points=[[0, 0], [1e9, 0], [1e9, 1e9], [0, 1e9]]))
    assert labels[0].marks[0].bounds == (0, 0, W, H) and "cut at its border" in notes


def test_sizes_that_no_photo_has_take_no_memory(tmp_path):
    bomb = (400_000_000_00).to_bytes(8, "big")
    huge = result("brush", "dog", size=(100_000, 100_000), format="rle", rle=list(bomb))
    labels, notes = one(tmp_path, huge, BOX)
    assert labels == () and "another size" in notes
    with pytest.raises(ValueError, match="4 a pixel"):
        decoded([255, 255, 255, 255, *([255] * 20)], H, W)


def test_photos_that_exif_turns(tmp_path):
    """The page shows them upright, and percent of that is written; other tools count on the stored picture."""
    photo(tmp_path / "a.jpg", H, W, orientation=6), photo(tmp_path / "b.jpg", H, W, orientation=6)
    shown = result("rectangle", "cat", size=(W, H), x=0, y=0, width=50, height=25, rotation=0)
    stored = result("rectangle", "cat", size=(H, W), x=0, y=0, width=50, height=25, rotation=0)
    data = open_dataset(export(tmp_path, task("a.jpg", shown), task("b.jpg", stored)))
    assert data.photos[0].labels[0].marks == (Box.upright("cat", 0, 0, 20, 20),)
    assert data.photos[1].labels[0].marks[0].bounds == (30, 0, 40, 40)


def test_json_min(tmp_path):
    photo(tmp_path / "a.jpg")
    size = {"original_width": W, "original_height": H}
    file = export(
        tmp_path,
        {
            "image": "/data/upload/1/ab12cd34-a.jpg",
            "id": 1,
            "label": [{"x": 25, "y": 25, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["cat"], **size}],
            "kinds": {"choices": ["cat", "dog"]},
            "annotator": 1,
            "annotation_id": 3,
            "created_at": "2026-01-02T00:00:00Z",
            "lead_time": 5,
        },
    )
    (found,) = open_dataset(file)
    assert found.labels[0].present == {"cat", "dog"} and found.labels[1].marks == BOXES


def test_several_exports_are_splits(tmp_path):
    photo(tmp_path / "a.jpg"), photo(tmp_path / "b.jpg")
    export(tmp_path, task("a.jpg", BOX), name="train.json"), export(tmp_path, task("b.jpg", BOX), name="val.json")
    data = open_dataset(tmp_path)
    assert data.splits == {"train": ("a",), "val": ("b",)}


def test_labels_that_are_not_read_are_named(tmp_path):
    text = {"id": "t", "type": "textarea", "value": {"text": ["x"]}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b"}
    bare = {"id": "s", "type": "rectangle", "value": {"x": 1, "y": 1, "width": 9, "height": 9}}
    named = {"id": "s", "type": "labels", "value": {"x": 1, "y": 1, "width": 9, "height": 9, "labels": ["cat", "dog"]}}
    labels, notes = one(tmp_path, text, relation, bare, named, BOX | {"item_index": 2})
    assert [m.name for m in labels[0].marks] == ["cat", "dog"]
    assert "neither a choice" in notes and "2 times" in notes and "further pictures" in notes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"annotations": [], "data": {}}', "not valid JSON"),
        ('[{"annotations": [], "data": 3}]', "an object"),
        ('[{"annotations": [], "data": {"image": "a.jpg"}}, 3]', "no task"),
        ('[{"annotations": [3], "data": {"image": "a.jpg"}}]', "an object"),
        ('[{"annotations": [{"result": 3}], "data": {"image": "a.jpg"}}]', "a list"),
        ('[{"annotations": [{"result": [3]}], "data": {"image": "a.jpg"}}]', "an object"),
        ('[{"annotations": [], "data": {"n": 3}}]', "no task with a photo"),
    ],
)
def test_broken_files_fail_in_one_line(tmp_path, text, says):
    photo(tmp_path / "a.jpg")
    (tmp_path / "export.json").write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        open_dataset(tmp_path / "export.json")
    assert "\n" not in str(caught.value)


def test_the_code_by_hand():
    """Two pixels, length fields of 2, 3, 4 and 5 bits; a literal block over the border between them."""
    head = f"{8:032b}{7:05b}" + "".join(f"{n - 1:04b}" for n in (2, 3, 4, 5))
    first = "1" + "00" + f"{3 - 1:02b}" + f"{0:08b}"  # three zeros
    rest = "0" + "01" + f"{5 - 1:03b}" + "".join(f"{v:08b}" for v in (200, 0, 0, 0, 0))  # alpha 200, and a clear pixel
    bits = head + first + rest
    bits += "0" * (-len(bits) % 8)
    code = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert decoded(code, 1, 2).tolist() == [[True, False]]


@given(st.integers(1, 12), st.integers(1, 90), st.integers(0, 2**32))
def test_the_code_there_and_back(height, width, seed):
    rng = np.random.default_rng(seed)
    painted_HW = rng.random((height, width)) < rng.random()
    assert (decoded(encoded(painted_HW), height, width) == painted_HW).all()


def test_runs_longer_than_a_length_field():
    painted_HW = np.zeros((300, 300), bool)
    painted_HW[1:] = True
    assert (decoded(encoded(painted_HW), 300, 300) == painted_HW).all()


CLASSES = Classes(("background", "cat", "dog"), background="background")
coordinate = st.floats(0, 1, width=32)


@st.composite
def labelled(draw):
    """Labels as reading gives them: what of them is complete, too."""

    def name():
        return draw(st.sampled_from(["cat", "dog"]))

    def xy():
        return draw(coordinate) * W, draw(coordinate) * H

    present = draw(st.frozensets(st.sampled_from(["cat", "dog"])))
    points = tuple(Point(name(), *xy()) for _ in range(draw(st.integers(0, 2))))
    boxes, regions = [], []
    for _ in range(draw(st.integers(0, 2))):
        x, y = draw(st.integers(0, W - 2)), draw(st.integers(0, H - 2))
        boxes.append(Box.upright(name(), x, y, draw(st.integers(x + 1, W)), draw(st.integers(y + 1, H))))
    for _ in range(draw(st.integers(0, 2))):
        x, y = draw(st.integers(0, W - 9)), draw(st.integers(0, H - 9))
        outer = np.array([(x, y), (x + 9, y), (x + 9, y + 9), (x, y + 9)], np.float32)
        holes = (outer[::-1] / 3 + outer.mean(axis=0) * 2 / 3,) if draw(st.booleans()) else ()
        holes = tuple(np.rint(hole).astype(np.float32) for hole in holes)
        regions.append(Region(name(), ((outer, *holes),)))
    boxed, outlined = {b.name for b in boxes}, {r.name for r in regions}
    seen = {p.name for p in points} | (present - boxed - outlined)
    sure = frozenset({"cat", "dog"}) - seen - (boxed & outlined)
    made = [tags(*present)] if present else []
    made += [Points(points)] if points else []
    made += [Boxes(tuple(boxes), sure - outlined)] if boxes else []
    made += [Regions(tuple(regions), sure - boxed)] if regions else []
    if len(made) == 1:
        made = [type(made[0])(**{**vars(made[0]), "seconds": draw(st.none() | st.floats(0, 1000))})]
    return tuple(made)


@settings(max_examples=20)
@given(st.lists(labelled(), min_size=1, max_size=3))
def test_there_and_back(tmp_path_factory, all_labels):
    folder = tmp_path_factory.mktemp("there")
    every = (tags("cat", "dog"),)
    photos = [
        Photo(f"p{i}", photo(folder / "from" / f"p{i}.png"), labels, Vocabulary.same(CLASSES))
        for i, labels in enumerate([every, *all_labels])
    ]
    written = label_studio.write(Dataset(CLASSES, tuple(photos)), folder / "to")
    assert not written.left_out
    again = open_dataset(written.path)
    assert again.classes == CLASSES and not again.notes
    for before, after in zip(photos, again, strict=True):
        assert [type(x) for x in after.labels] == [type(x) for x in before.labels]
        for old, new in zip(before.labels, after.labels, strict=True):
            assert old.complete == new.complete and old.seconds == new.seconds
            if isinstance(old, Tags):
                assert old == new
            for a, b in zip(getattr(old, "marks", ()), getattr(new, "marks", ()), strict=True):
                assert a.name == b.name
                if isinstance(a, Point):
                    np.testing.assert_allclose((a.x, a.y), (b.x, b.y), atol=1e-9)
                else:
                    np.testing.assert_allclose(a.bounds, b.bounds, atol=1e-9)
        assert np.array_equal(before.candidates(H, W).allowed(), after.candidates(H, W).allowed()), (
            "the same candidates at every pixel"
        )


def test_what_does_not_fit_is_said(tmp_path):
    ids_HW = np.zeros((H, W), np.int32)
    ids_HW[4:9, 4:9] = 1
    ids_HW[20] = 255
    labels = (
        Mask(ids_HW=ids_HW),
        Boxes((Box("cat", ((1.0, 1), (9, 3), (9, 7), (0, 5))), Box.upright("dog", 1, 1, 3, 3))),
        Points((Point("cat", 3, 3, negative=True),), seconds=3),
        Scribbles((Stroke("cat", ((1.0, 1), (9, 9))),)),
        Tags(frozenset({"cat"}), frozenset({"dog"})),
    )
    image = photo(tmp_path / "a.jpg")
    data = Dataset(CLASSES, (Photo("a", image, labels, Vocabulary.same(CLASSES)),), {"train": ("a",)})
    said = " ".join(label_studio.write(data, tmp_path / "to").left_out)
    for word in ("void", "scribbles", "not this", "absent", "splits", "seconds", "masks are outlined", "right angles"):
        assert word in said, word
    writer_contract(label_studio, data, tmp_path / "again")


def test_chosen_classes_are_refused(tmp_path):
    data = open_dataset(make_label_studio(tmp_path / "set")).choose(["cat"])
    with pytest.raises(UsageError, match="chosen"):
        label_studio.write(data, tmp_path / "to")


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    root = make_label_studio(tmp_path_factory.mktemp("damaged"))
    file = root / "export.json"
    file.write_bytes(damaged(file.read_bytes(), data.draw))
    reads_or_refuses(file)
