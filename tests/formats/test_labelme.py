"""LabelMe's JSON: every kind of shape, groups, flags, photos that are elsewhere, and files of doubtful origin."""

import base64
import io
import json
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
    points,
    strokes,
    written_and_read,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labels2masks.errors import DataError, UsageError
from labels2masks.formats import labelme
from labels2masks.formats.open import open_dataset
from labels2masks.labels import Box, Boxes, Point, Points, Region, Regions, Scribbles, Stroke, Tags

TRIANGLE = [[1, 1], [9, 1], [1, 9]]


def shape(label: str, xy, kind: str = "polygon", **more):
    return {"label": label, "points": xy, "group_id": None, "shape_type": kind, "flags": {}, **more}


def text_of(*shapes, image: str = "a.jpg", **more) -> str:
    content = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": image, "imageData": None}
    return json.dumps(content | {"imageHeight": H, "imageWidth": W} | more)


def make_labelme(root: Path) -> Path:
    for name in ("a", "b", "sub/c"):
        photo(root / f"{name}.jpg")
    (root / "a.json").write_text(text_of(shape("cat", TRIANGLE), shape("dog", [[2, 3], [8, 9]], "rectangle")))
    (root / "b.json").write_text(text_of(shape("dog", [[4, 4]], "point"), image="b.jpg", flags={"cat": True}))
    (root / "sub" / "c.json").write_text(text_of(image="c.jpg"))
    return root


def one(root: Path, *shapes, orientation: int = 1, **more):
    """The labels of one photo with these shapes, and the notes."""
    photo(root / "a.jpg", orientation)
    (root / "a.json").write_text(text_of(*shapes, **more))
    data = open_dataset(root)
    assert data.format == "labelme"
    return data.photos[0].labels, " ".join(data.notes)


def ring(*xy) -> np.ndarray:
    return np.array(xy, np.float32)


def test_kinds_of_shapes_and_what_they_promise(tmp_path):
    data = open_dataset(make_labelme(tmp_path))
    a, b, c = data.photos
    assert [p.name for p in data] == ["a", "b", "sub/c"] and data.classes == CLASSES
    assert a.labels == (
        Boxes((Box.upright("dog", 2, 3, 8, 9),), frozenset({"dog"})),
        Regions((Region("cat", ((ring(*TRIANGLE),),)),), frozenset({"cat"})),
    )
    assert b.labels == (Tags(frozenset({"cat"}), complete=frozenset({"cat"})), Points((Point("dog", 4, 4),)))
    assert c.labels == (Regions((), ALL),)  # saved without anything: nothing is there


def test_lines_rectangles_by_any_corners_and_turned_ones(tmp_path):
    labels, _ = one(
        tmp_path,
        shape("cat", [[1, 1], [5, 5], [9, 1]], "linestrip"),
        shape("cat", [[2, 2], [2, 7]], "line"),
        shape("dog", [[8, 9], [2, 3]], "rectangle"),
        shape("dog", [[2, 3], [8, 3], [8, 9], [2, 9]], "rectangle"),
        shape("dog", [[4, 1], [7, 4], [4, 7], [1, 4]], "rotation"),
    )
    turned = Box("dog", ((4, 1), (7, 4), (4, 7), (1, 4)))
    assert labels == (
        Scribbles((Stroke("cat", ((1, 1), (5, 5), (9, 1))), Stroke("cat", ((2, 2), (2, 7))))),
        Boxes((Box.upright("dog", 2, 3, 8, 9), Box.upright("dog", 2, 3, 8, 9), turned), frozenset({"dog"})),
    )


@pytest.mark.parametrize("radius", [1.0, 5.0, 400.0])
def test_circles_are_outlined_to_a_tenth_of_a_pixel(tmp_path, radius):
    photo(tmp_path / "a.jpg", height=900, width=1000)
    circle = shape("cat", [[450, 450], [450 + radius * 0.6, 450 - radius * 0.8]], "circle")
    (tmp_path / "a.json").write_text(text_of(circle, imageHeight=900, imageWidth=1000))
    ((regions,), *_) = (p.labels for p in open_dataset(tmp_path))
    xy_N2 = regions.marks[0].polygons[0][0].astype(np.float64) - 450
    middle_N2 = (xy_N2 + np.roll(xy_N2, 1, axis=0)) / 2
    assert np.abs(np.hypot(*xy_N2.T) - radius).max() < 1e-3
    assert 0 <= (radius - np.hypot(*middle_N2.T)).max() < 0.1


def png(mask_HW: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask_HW).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_masks_lie_at_their_place_and_hostile_ones_are_left_out(tmp_path):
    mask_HW = np.ones((4, 5), bool)
    mask_HW[1, 2] = False
    (regions,), _ = one(tmp_path / "a", shape("cat", [[3, 2], [7, 5]], "mask", mask=png(mask_HW)))
    (found,) = open_dataset(tmp_path / "a").photos[0].labels_loaded()
    assert len(regions.marks) == 1 and found.ids_HW.sum() == 19 and not found.ids_HW[3, 5]
    assert found.ids_HW[2:6, 3:8].sum() == 19
    for mask in (png(np.ones((4, 50), bool)), png(mask_HW)[:40], "no base64", None, 5, png(np.zeros((4, 5), bool))):
        labels, said = one(tmp_path / "b", shape("cat", [[3, 2], [7, 5]], "mask", mask=mask), shape("dog", TRIANGLE))
        assert "mask" in said and labels[0].complete == {"dog"} and len(labels[0].marks) == 1


def test_a_mask_that_claims_to_be_vast_is_never_decoded(tmp_path):
    body = bytearray(base64.b64decode(png(np.ones((4, 5), bool))))
    body[16:24] = (100_000).to_bytes(4, "big") * 2
    mask = base64.b64encode(bytes(body)).decode()
    _, said = one(tmp_path, shape("cat", [[3, 2], [7, 5]], "mask", mask=mask), shape("dog", TRIANGLE))
    assert "mask" in said


def test_groups_are_one_object_in_its_place(tmp_path):
    far = [[12, 8], [15, 8], [12, 11]]
    (regions,), _ = one(
        tmp_path / "a", shape("cat", TRIANGLE, group_id=1), shape("dog", TRIANGLE), shape("cat", far, group_id=1)
    )
    assert regions.marks == (Region("cat", ((ring(*TRIANGLE),), (ring(*far),))), Region("dog", ((ring(*TRIANGLE),),)))
    (regions,), said = one(
        tmp_path / "b", shape("cat", TRIANGLE, group_id=1), shape("dog", TRIANGLE), shape("cat", TRIANGLE, group_id=1)
    )
    assert [m.name for m in regions.marks] == ["cat", "dog", "cat"] and "stay apart" in said  # the last lies on top


def test_void_and_background(tmp_path):
    low = [[0, 6], [16, 6], [16, 12], [0, 12]]
    one(tmp_path, shape("cat", low), shape("_background_", TRIANGLE), shape("__ignore__", [[12, 0], [16, 0], [16, 4]]))
    data = open_dataset(tmp_path)
    assert data.classes.background == "_background_" and data.classes.names == ("_background_", "cat")
    (p,) = data
    index_HW, allowed_CHW = p.candidates(H, W).index_HW, p.candidates(H, W).allowed()
    assert index_HW[0, 15] == 0 and index_HW[0, 0] != 0  # void is row 0
    assert allowed_CHW[:, 11, 10].tolist() == [False, True] and allowed_CHW[:, 6, 2].tolist() == [True, False]


def test_flags_are_tags_where_they_are_classes(tmp_path):
    labels, said = one(tmp_path / "a", shape("cat", TRIANGLE), flags={"cat": True, "dog": False, "blurry": True})
    assert labels[0] == Tags(frozenset({"cat"}), complete=frozenset({"cat"})) and "flags" in said
    (tags,), _ = one(tmp_path / "b", flags={"cat": True, "dog": False})
    assert tags == Tags(frozenset({"cat"}), frozenset({"dog"}), ALL)
    photo(tmp_path / "b" / "c.jpg")
    (tmp_path / "b" / "c.json").write_text(text_of(image="c.jpg", flags={"cat": False, "dog": False}))
    assert open_dataset(tmp_path / "b").photos[1].labels == ()  # nobody ticked anything


@pytest.mark.parametrize(
    "image",
    ["..\\images\\b\\1.jpg", "../images/b/1.jpg", "C:\\work\\images\\b\\1.jpg", "/home/x/images/b/1.jpg"],
)
def test_the_photo_is_found_under_paths_of_other_machines(tmp_path, image):
    for name in ("a/1", "b/1"):
        photo(tmp_path / "images" / f"{name}.jpg")
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "x.json").write_text(text_of(shape("cat", TRIANGLE), image=image))
    assert {p.name for p in open_dataset(tmp_path) if p.labels} == {"b/1"}


def test_photos_of_the_same_name_and_paths_that_lead_out(tmp_path):
    for folder in ("a", "b"):
        photo(tmp_path / "in" / folder / "1.jpg")
        label = {"a": "cat", "b": "dog"}[folder]
        (tmp_path / "in" / folder / "1.json").write_text(text_of(shape(label, TRIANGLE), image="1.jpg"))
    photo(tmp_path / "secret.jpg")
    for i, image in enumerate(("../../secret.jpg", str(tmp_path / "secret.jpg"), "https://example.org/secret.jpg")):
        (tmp_path / "in" / "a" / f"bad{i}.json").write_text(text_of(shape("cat", TRIANGLE), image=image))
    data = open_dataset(tmp_path / "in")
    assert {p.name: p.labels[0].marks[0].name for p in data} == {"a/1": "cat", "b/1": "dog"}
    assert "3 times" in " ".join(data.notes)


def test_a_photo_that_is_only_inside_the_json(tmp_path):
    root = make_labelme(tmp_path / "above" / "set")
    (root / "z.json").write_text(text_of(shape("cat", TRIANGLE), image="gone.jpg", imageData="AAAA"))
    assert "save it beside" in " ".join(open_dataset(root).notes)
    for name in ("a", "b", "sub/c"):
        (root / f"{name}.jpg").unlink()
    with pytest.raises(DataError, match="none of the photos"):
        open_dataset(root)


def test_labels_drawn_without_exif_are_turned(tmp_path):
    rectangle = shape("cat", [[0, 0], [4, 2]], "rectangle")
    (boxed,), said = one(tmp_path, rectangle, orientation=6)  # stored 12 high and 16 wide, upright the other way round
    assert boxed.marks[0].bounds == (H - 2, 0, H, 4) and "EXIF" in said
    (boxed,), said = one(tmp_path, rectangle, orientation=6, imageHeight=W, imageWidth=H)
    assert boxed.marks[0].bounds == (0, 0, 4, 2) and not said
    labels, said = one(tmp_path, rectangle, imageHeight=H * 2, imageWidth=W * 2)
    assert labels == () and "another size" in said


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (shape("cat", [[1, float("nan")], [2, 3], [4, 5]]), "finite"),
        (shape("cat", [[1, 1], [2, 2], [3, 3]]), "area"),
        (shape("cat", [[1, 1], [2, 2]]), "too few"),
        (shape("cat", [[1, 1, 1]]), "points"),
        (shape("cat", None), "points"),
        (shape("cat", [[10**400, 1], [2, 2], [3, 1]]), "points"),
        (shape("cat", [[1e9, 1e9], [2e9, 1e9], [1e9, 2e9]]), "area"),
        (shape("cat", [[400, 4]], "point"), "outside"),
        (shape("cat", [[400, 4], [500, 4]], "line"), "outside"),
        (shape("cat", TRIANGLE, "cuboid"), "unknown kind"),
        (shape("", TRIANGLE), "without a label"),
        (5, "without a label"),
    ],
)
def test_damaged_shapes_are_left_out_and_promise_nothing(tmp_path, bad, says):
    (regions,), said = one(tmp_path, bad, shape("dog", TRIANGLE), shape("dog", TRIANGLE, "polygon"))
    assert says in said and {m.name for m in regions.marks} == {"dog"}
    assert regions.complete == (frozenset({"dog"}) if isinstance(bad, dict) and bad["label"] else frozenset())


def test_coordinates_of_a_thousand_millions_are_cut(tmp_path):
    labels, said = one(
        tmp_path, shape("cat", [[8, 2], [1e9, 2], [1e9, 9], [8, 9]]), shape("dog", [[4, -1e9], [4, 1e9]], "line")
    )
    strokes_, regions = labels
    assert regions.marks[0].bounds == (8, 2, W, 9) and "cut" in said
    assert strokes_.marks[0].xy == ((4, 0), (4, H))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"shapes": {}}', "a list"),
        ('{"version": "5", "shapes": [', "not valid JSON"),
        ('{"shapes": [], "imageHeight": "big", "imageWidth": 3}', "imageHeight"),
    ],
)
def test_broken_files_are_refused_in_one_line(tmp_path, content, says):
    photo(tmp_path / "a.jpg")
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=says) as caught:
        open_dataset(tmp_path)
    assert "a.json" in str(caught.value) and "\n" not in str(caught.value)


def test_class_list_and_splits(tmp_path):
    make_labelme(tmp_path)
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ndog\nbird\n")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "train.txt").write_text("a\nsub/c\n")
    data = open_dataset(tmp_path)
    assert data.classes.names == ("_background_", "dog", "bird", "cat") and "labels.txt" in " ".join(data.notes)
    assert data.splits == {"train": ("a", "sub/c")}
    assert [p.name for p in open_dataset(tmp_path / "b.json")] == ["b"]


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(*(st.lists(kind, max_size=2) for kind in (boxes, outlines, points, strokes)), st.booleans()),
        min_size=1,
        max_size=2,
    )
)
def test_round_trip(tmp_path_factory, drawn):
    labels = [
        [Points(tuple(clicked))] if clicked and not lines else [Scribbles(tuple(lines))] if lines else in_order(b, r)
        for b, r, clicked, lines, _ in drawn
    ]
    data = data_set(tmp_path_factory.mktemp("photos"), *labels, [Tags(frozenset({"cat"}), frozenset({"dog"}), ALL)])
    again = written_and_read(labelme, data)
    assert again.classes == CLASSES
    for found, meant in zip(again, by_name(data), strict=True):
        assert found.name == meant.name and close(found.labels, meant.labels, 0)


def test_what_labelme_can_not_hold_is_said(tmp_path):
    data = every_kind(tmp_path / "photos")
    written = labelme.write(data, tmp_path / "set")
    said = "\n".join(written.left_out)
    for words in ("not this class", "masks are outlined", "void pixels", "widths"):
        assert words in said
    found = open_dataset(tmp_path / "set")
    again = {p.name: p for p in found}
    assert found.splits == data.splits and again["g"].labels == () and again["f"].labels == (Regions((), ALL),)
    for name in ("c", "d"):
        before = next(p for p in data if p.name == name).labels_loaded()[0]
        (after,) = again[name].labels_loaded()
        assert np.array_equal(np.maximum(before.ids_HW, 0), after.ids_HW)
    turned = next(p for p in data if p.name == "sub/b").labels
    assert again["sub/b"].labels == turned
    with pytest.raises(UsageError, match="chosen"):
        labelme.write(data.choose(["cat"]), tmp_path / "other")


def test_crowds_become_areas_to_ignore(tmp_path):
    crowd = Region("dog", ((ring([0, 0], [4, 0], [4, 4]),),), crowd=True)
    data = data_set(tmp_path / "photos", [Regions((Region("cat", ((ring(*TRIANGLE),),)), crowd), ALL)])
    written = labelme.write(data, tmp_path / "set")
    assert "crowd" in " ".join(written.left_out)
    (before,), (after,) = data, open_dataset(written.path)
    assert np.array_equal(before.candidates(H, W).index_HW == 0, after.candidates(H, W).index_HW == 0)


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    root = make_labelme(tmp_path_factory.mktemp("labelme"))
    file = root / data.draw(st.sampled_from(["a.json", "b.json"]))
    file.write_bytes(damaged(file.read_bytes(), data.draw))
    reads_or_refuses(root)
