"""CVAT's XML for images: every shape, its place in z, subsets, run lengths, and files of doubtful origin."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

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

from labels2masks.errors import DataError, UsageError
from labels2masks.formats import cvat
from labels2masks.formats.open import open_dataset
from labels2masks.formats.shapes import pairs, turned_corners
from labels2masks.labels import Box, Boxes, Point, Points, Region, Regions, Scribbles, Stroke, Tags

LABELS = "".join(
    f"<label><name>{n}</name><color>#{c}</color><type>any</type><attributes></attributes></label>"
    for n, c in {"cat": "102030", "dog": "ff8000"}.items()
)
TRIANGLE = "1,1;9,1;1,9"
ATTRIBUTE = '<attribute name="truncated">1</attribute>'
BOX = f'<box label="dog" occluded="0" xtl="2.0" ytl="3.0" xbr="8.0" ybr="9.0" z_order="0">{ATTRIBUTE}</box>'


def polygon(label: str, points_: str = TRIANGLE, **more: object) -> str:
    extra = "".join(f" {k}={quoteattr(str(v))}" for k, v in more.items())
    return f'<polygon label="{label}" occluded="0" source="manual" points="{points_}"{extra}></polygon>'


def image(name: str, *shapes: str, width: int = W, height: int = H, subset: str = "") -> str:
    split = f' subset="{subset}"' if subset else ""
    return f'<image id="0" name="{name}"{split} width="{width}" height="{height}">{"".join(shapes)}</image>'


def xml(path: Path, *images: str, labels: str = LABELS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = f"<meta><task><id>1</id><mode>annotation</mode><labels>{labels}</labels></task></meta>"
    path.write_text(f'<?xml version="1.0"?><annotations><version>1.1</version>{meta}{"".join(images)}</annotations>')
    return path


def make_cvat(root: Path) -> Path:
    for name in ("a", "b", "sub/a"):
        photo(root / "images" / f"{name}.jpg")
    xml(
        root / "annotations.xml",
        image("a.jpg", polygon("cat"), BOX, '<tag label="cat"/>', subset="train"),
        image("b.jpg", subset="train"),
        image("sub/a.jpg", polygon("dog"), subset="val"),
    )
    return root


def one(root: Path, *shapes: str, orientation: int = 1, labels: str = LABELS, **more: int):
    """The labels of one photo with these shapes, and the notes."""
    photo(root / "images" / "a.jpg", orientation)
    xml(root / "annotations.xml", image("a.jpg", *shapes, **more), labels=labels)
    data = open_dataset(root)
    assert data.format == "cvat"
    return data.photos[0].labels, " ".join(data.notes)


def ring(*xy) -> np.ndarray:
    return np.array(xy, np.float32)


def test_shapes_subsets_and_names_that_occur_twice(tmp_path):
    data = open_dataset(make_cvat(tmp_path))
    a, b, c = data.photos
    assert [p.name for p in data] == ["a", "b", "sub/a"] and data.splits == {"train": ("a", "b"), "val": ("sub/a",)}
    assert data.classes.names == ("background", "cat", "dog")
    assert data.classes.colours == ((0, 0, 0), (16, 32, 48), (255, 128, 0))
    triangle = ((ring((1, 1), (9, 1), (1, 9)),),)
    assert a.labels == (
        Tags(frozenset({"cat"}), complete=frozenset({"cat"})),
        Boxes((Box.upright("dog", 2, 3, 8, 9),), frozenset({"dog"})),
        Regions((Region("cat", triangle),), frozenset({"cat"})),
    )
    assert b.labels == (Regions((), ALL),) and c.labels == (Regions((Region("dog", triangle),), ALL),)
    assert not data.notes and not any(p.labels for p in open_dataset(tmp_path / "annotations.xml") if p.name == "c")


def test_higher_z_order_lies_on_top_then_later_ones(tmp_path):
    one(tmp_path, polygon("cat", z_order=1), polygon("dog", z_order=0), polygon("dog", "1,1;9,1;1,4", z_order=1))
    (mask,) = open_dataset(tmp_path).photos[0].labels_loaded()
    assert mask.ids_HW[1, 1] == 2 and mask.ids_HW[5, 2] == 1


def test_rotated_boxes_polylines_points_and_skeletons(tmp_path):
    labels, said = one(
        tmp_path,
        '<box label="cat" xtl="4" ytl="4" xbr="10" ybr="6" rotation="90.0"/>',
        '<box label="cat" xtl="4" ytl="4" xbr="10" ybr="6" rotation="30"/>',
        '<polyline label="dog" points="1,1;2,3;4,4"/>',
        '<points label="dog" points="1,1;2,3"/>',
        '<skeleton label="dog"><points label="nose" outside="0" occluded="0" points="5,5"/>'
        '<points label="ear" outside="1" occluded="0" points="6,6"/>'
        '<points label="eye" outside="0" occluded="1" points="7,7"/></skeleton>',
    )
    clicked, drawn, boxed = labels
    assert clicked == Points((Point("dog", 1, 1), Point("dog", 2, 3), Point("dog", 5, 5)))
    assert drawn == Scribbles((Stroke("dog", ((1, 1), (2, 3), (4, 4))),)) and not said
    assert boxed.complete == {"cat"}  # of the dogs nobody knows whether all were clicked
    assert boxed.marks[0] == Box.upright("cat", 6, 2, 8, 8)  # a quarter turn leaves it upright
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    assert np.allclose(boxed.marks[1].corners[1], (7 + 3 * c + s, 5 + 3 * s - c))  # clockwise, as y points down


@pytest.mark.parametrize(("rx", "ry"), [(1.0, 1.0), (6.0, 3.0), (400.0, 90.0)])
def test_ellipses_are_outlined_to_a_tenth_of_a_pixel(tmp_path, rx, ry):
    photo(tmp_path / "images" / "a.jpg", height=900, width=1000)
    turned = f'<ellipse label="cat" cx="450" cy="450" rx="{rx}" ry="{ry}" rotation="90"/>'
    xml(tmp_path / "annotations.xml", image("a.jpg", turned, width=1000, height=900))
    ((regions,),) = (p.labels for p in open_dataset(tmp_path))
    y_N, x_N = (regions.marks[0].polygons[0][0].astype(np.float64) - 450).T
    assert np.abs(np.hypot(x_N / rx, y_N / ry) - 1).max() < 1e-4
    angle = np.linspace(0, 2 * np.pi, 20000)
    curve_N2 = np.stack([rx * np.cos(angle), ry * np.sin(angle)], axis=1)
    middle_N2 = (np.stack([x_N, y_N], 1) + np.roll(np.stack([x_N, y_N], 1), 1, axis=0)) / 2
    furthest = max(np.hypot(*(curve_N2 - xy).T).min() for xy in middle_N2)
    assert furthest < 0.1


def mask(rle: str, left: object = 3, top: object = 2, width: object = 5, height: object = 4) -> str:
    return f'<mask label="cat" rle="{rle}" left="{left}" top="{top}" width="{width}" height="{height}"/>'


def test_masks_by_run_lengths_along_the_rows(tmp_path):
    (regions,), _ = one(tmp_path, mask("0, 7, 1, 12"))
    (found,) = open_dataset(tmp_path).photos[0].labels_loaded()
    expected_HW = np.zeros((H, W), int)
    expected_HW[2:6, 3:8], expected_HW[3, 5] = 1, 0
    assert len(regions.marks) == 1 and np.array_equal(found.ids_HW, expected_HW)


@pytest.mark.parametrize(
    "bad",
    [
        mask("0, 7, 1, 13"),
        mask("0, 7, 1, 11"),
        mask("-1, 8, 1, 12"),
        mask("9223372036854775807, 9223372036854775807, 22"),
        mask("10000000000", 0, 0, 100_000, 100_000),
        mask("0, 20", left=14),
        mask("0, 20", left=-1),
        mask("0, 0", width=0, height=4),
        mask("0, 20", width="nan"),
        mask("0, 20", left="inf"),
        mask("20"),
        mask(""),
        mask("a, b"),
    ],
)
def test_masks_that_do_not_fit_are_left_out_before_memory_is_taken(tmp_path, bad):
    (regions,), said = one(tmp_path, bad, polygon("dog"))
    assert len(regions.marks) == 1 and regions.complete == {"dog"} and "left out" in said


def test_a_photo_that_claims_to_be_vast_has_no_labels(tmp_path):
    labels, said = one(tmp_path, mask("0, 10000000000", 0, 0, 100_000, 100_000), width=100_000, height=100_000)
    assert labels == () and "another size" in said


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (polygon("cat", "nan,1;2,3;4,1"), "finite"),
        (polygon("cat", "1e400,1;2,3;4,1"), "finite"),
        (polygon("cat", "1,1;2,3"), "number missing"),
        (polygon("cat", "1,1,1;2,3;4,1"), "number missing"),
        (polygon("cat", ""), "number missing"),
        (polygon("cat", "1,1;2,2;3,3"), "area"),
        (polygon("cat", "1e9,1e9;2e9,1e9;1e9,2e9"), "area"),
        ('<box label="cat" xtl="3" ytl="1" xbr="3" ybr="4"/>', "area"),
        ('<box label="cat" xtl="3" ytl="1" xbr="5"/>', "number missing"),
        ('<box label="cat" xtl="3" ytl="1" xbr="5" ybr="9" rotation="inf"/>', "finite"),
        ('<box label="cat" xtl="3" ytl="1" xbr="5e9" ybr="9e9" rotation="3"/>', "area"),
        ('<ellipse label="cat" cx="3" cy="1" rx="nan" ry="3"/>', "finite"),
        ('<ellipse label="cat" cx="3" cy="1" rx="0" ry="3"/>', "area"),
        ('<cuboid label="cat" xtl1="3"/>', "cuboids"),
        ('<points label="cat" points="400,3"/>', "outside"),
    ],
)
def test_damaged_shapes_are_left_out_and_promise_nothing(tmp_path, bad, says):
    (regions,), said = one(tmp_path, bad, polygon("dog"))
    assert says in said and [m.name for m in regions.marks] == ["dog"] and regions.complete == {"dog"}


def test_coordinates_of_a_thousand_millions_are_cut(tmp_path):
    (regions,), said = one(
        tmp_path, polygon("cat", "8,2;1e9,2;1e9,9;8,9"), '<ellipse label="cat" cx="3" cy="1" rx="1e9" ry="1e9"/>'
    )
    assert regions.marks[0].bounds == (8, 2, W, 9) and regions.marks[1].bounds == (0, 0, W, H) and "2 times" in said


def test_what_is_outside_of_a_frame_is_no_mark(tmp_path):
    (regions,), said = one(tmp_path, polygon("cat", outside=1), polygon("dog"))
    assert regions.complete == ALL and len(regions.marks) == 1 and not said


def test_areas_to_ignore_and_labels_that_are_not_listed(tmp_path):
    more = LABELS + "<label><name>Ignore</name></label><label><name>nose</name><parent>dog</parent></label>"
    _, said = one(tmp_path, polygon("Ignore"), polygon("horse", "10,1;15,1;15,9"), labels=more)
    data = open_dataset(tmp_path)
    assert data.classes.names == ("background", "cat", "dog", "horse") and "horse" in said
    index_HW = data.photos[0].candidates(H, W).index_HW
    assert index_HW[1, 1] == 0 and index_HW[11, 1] != 0  # void is row 0


HEAD = '<?xml version="1.0"?><!DOCTYPE a ['
BOMB = f"""{HEAD}<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;&x;&x;"><!ENTITY z "&y;&y;&y;&y;">]>
<annotations><version>&z;</version></annotations>"""
FILE = f"""{HEAD}<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations><version>&x;</version></annotations>"""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (BOMB, "EntitiesForbidden"),
        (FILE, "EntitiesForbidden"),
        ("<annotations><version>1.1</version><image", "ParseError"),
        ("<annotations><version>1.1</version></annotations>", "no image"),
        ('<annotations><track id="0" label="cat"/></annotations>', "no image"),
        ('<annotations><image name="a.jpg" width="x" height="3"/></annotations>', "expected pixels"),
        ('<annotations><image name="gone.jpg" width="3" height="3"/></annotations>', "gone.jpg"),
    ],
)
def test_broken_and_hostile_files_are_refused_in_one_line(tmp_path, content, says):
    photo(tmp_path / "set" / "images" / "a.jpg")
    (tmp_path / "set" / "annotations.xml").write_text(content)
    with pytest.raises(DataError, match=says) as caught:
        open_dataset(tmp_path / "set")
    assert "annotations.xml" in str(caught.value) or "no image" in says
    assert "\n" not in str(caught.value)


def test_paths_that_lead_out_and_paths_of_windows(tmp_path):
    photo(tmp_path / "secret.jpg")
    photo(tmp_path / "set" / "images" / "b" / "1.jpg")
    names = ["../secret.jpg", str(tmp_path / "secret.jpg"), "https://example.org/secret.jpg", "D:\\photos\\b\\1.jpg"]
    xml(tmp_path / "set" / "annotations.xml", *(image(n, polygon("cat")) for n in names))
    data = open_dataset(tmp_path / "set")
    assert [p.name for p in data] == ["b/1"] and data.photos[0].labels and "3 times" in " ".join(data.notes)


def test_labels_drawn_without_exif_are_turned(tmp_path):
    rectangle = '<box label="cat" xtl="0" ytl="0" xbr="4" ybr="2"/>'
    (boxed,), said = one(tmp_path, rectangle, orientation=6)
    assert boxed.marks[0].bounds == (H - 2, 0, H, 4) and "EXIF" in said
    (boxed,), said = one(tmp_path, rectangle, orientation=6, width=H, height=W)
    assert boxed.marks[0].bounds == (0, 0, 4, 2) and not said


def test_a_large_file_takes_the_memory_of_what_is_kept(tmp_path):
    photo(tmp_path / "images" / "a.jpg")
    gone = image("gone.jpg", *[polygon("cat")] * 20)
    xml(tmp_path / "annotations.xml", image("a.jpg", polygon("cat")), *[gone] * 2000)
    assert (tmp_path / "annotations.xml").stat().st_size > 3e6
    tracemalloc.start()
    data = open_dataset(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data) == 1 and peak < 500_000


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(*(st.lists(kind, max_size=2) for kind in (boxes, outlines, points, strokes))), min_size=1, max_size=2
    )
)
def test_round_trip(tmp_path_factory, drawn):
    labels = [
        [Points(tuple(clicked))] if clicked and not lines else [Scribbles(tuple(lines))] if lines else in_order(b, r)
        for b, r, clicked, lines in drawn
    ]
    data = data_set(tmp_path_factory.mktemp("photos"), *labels, [Tags(frozenset({"cat"}), complete=frozenset({"cat"}))])
    again = written_and_read(cvat, data)
    assert again.classes == CLASSES
    for found, meant in zip(again, by_name(data), strict=True):
        assert found.name == meant.name and close(found.labels, meant.labels, 0)


@given(st.floats(0.5, 6), st.floats(0.5, 5), st.floats(0, 359.9))
@settings(max_examples=15)
def test_turned_boxes_come_back(tmp_path_factory, width, height, degrees):
    corners = pairs(turned_corners(8 - width / 2, 6 - height / 2, 8 + width / 2, 6 + height / 2, degrees))
    data = data_set(tmp_path_factory.mktemp("photos"), [Boxes((Box("cat", corners),), ALL)])
    (before,), (after,) = data.photos[0].labels, written_and_read(cvat, data).photos[0].labels
    assert np.abs(np.array(before.marks[0].corners) - np.array(after.marks[0].corners)).max() < 1e-9 or (
        before.marks[0].is_upright and np.allclose(before.marks[0].bounds, after.marks[0].bounds)
    )


def test_what_cvat_can_not_hold_is_said(tmp_path):
    data = every_kind(tmp_path / "photos")
    written = cvat.write(data, tmp_path / "set")
    said = "\n".join(written.left_out)
    for words in ("not this class", "masks are outlined", "void pixels", "absent", "widths"):
        assert words in said
    found = open_dataset(tmp_path / "set")
    again = {p.name: p for p in found}
    assert found.splits == data.splits and again["g"].labels == () and again["f"].labels == (Regions((), ALL),)
    for name in ("c", "d"):  # holes and parts are masks, of the same pixels
        before = next(p for p in data if p.name == name).labels_loaded()[0]
        (after,) = again[name].labels_loaded()
        assert np.array_equal(np.maximum(before.ids_HW, 0), after.ids_HW)
    with pytest.raises(UsageError, match="chosen"):
        cvat.write(data.choose(["cat"]), tmp_path / "other")


def test_names_with_signs_of_xml_and_splits_that_share_photos(tmp_path):
    data = data_set(tmp_path / "photos", [Tags(frozenset({"cat"}), complete=frozenset({"cat"}))])
    odd = replace(data.photos[0], name="R&D 'x' <1>")
    data = replace(data, photos=(odd,), splits={"a": (odd.name,), "b&c": (odd.name,)})
    written = cvat.write(data, tmp_path / "set")
    again = open_dataset(written.path)
    assert again.photos[0].name == "R&D 'x' _1_" and again.splits == {"a": ("R&D 'x' _1_",)}
    assert "several splits" in " ".join(written.left_out) and "are changed" in " ".join(written.left_out)


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    root = make_cvat(tmp_path_factory.mktemp("cvat"))
    file = root / "annotations.xml"
    file.write_bytes(damaged(file.read_bytes(), data.draw))
    reads_or_refuses(root)
