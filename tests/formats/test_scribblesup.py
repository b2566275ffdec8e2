"""ScribbleSup's scribbles, as XML and as PNG: ink, never a mask that voids the rest."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from formats.contracts_reader import damaged, reads_or_refuses, writer_contract
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import DataError
from labels2masks.formats import scribblesup, voc
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.formats.ink import BESIDE, strokes_of
from labels2masks.formats.open import open_dataset
from labels2masks.labels import INK, Box, Boxes, Mask, Scribbles, Stroke, rasterise

H, W = 40, 60


def photo(path: Path, orientation: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", (W, H), (90, 120, 60)).save(path, exif=exif.tobytes())
    return path


def png(path: Path, ids_HW: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids_HW.astype(np.uint8)).save(path)
    return path


def xml(path: Path, *polygons: tuple[str, list[tuple[object, object]]], size: tuple[int, int] = (H, W)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = "".join(
        f"<polygon><tag>{tag}</tag>{''.join(f'<point><X>{x}</X><Y>{y}</Y></point>' for x, y in line)}</polygon>"
        for tag, line in polygons
    )
    size_text = f"<size><height>{size[0]}</height><width>{size[1]}</width></size>"
    path.write_text(f"<annotation><filename>{path.stem}.jpg</filename>{size_text}{drawn}</annotation>")
    return path


def make_scribblesup(root: Path) -> Path:
    for name in "abc":
        photo(root / "JPEGImages" / f"{name}.jpg")
    xml(root / "pascal_2012" / "a.xml", ("plane", [(3, 4), (20, 9)]), ("background", [(30, 30)]))
    xml(root / "pascal_2012" / "b.xml", ("person", [(3, 4), (20, 9), (20, 30)]))
    return root


def test_scribbles_as_published(tmp_path):
    data = open_dataset(make_scribblesup(tmp_path))
    assert data.format == "scribblesup" and data.classes == voc.CLASSES and not data.notes
    a, b, c = data.photos
    (scribbles,) = a.labels
    assert scribbles.marks == (
        Stroke("aeroplane", ((3.5, 4.5), (20.5, 9.5)), 3.0),
        Stroke("background", ((30.5, 30.5),), 3.0),
    )
    assert scribbles.complete == set(voc.CLASSES.foreground), "every object had to be marked"
    assert c.labels == ()
    made = a.candidates(H, W)
    assert made.labels()[4, 3] == 1 and (made.source_K[made.index_HW] == INK).any()
    # A class without a scribble is not there; what the others are nobody said.
    assert set(np.flatnonzero(made.sets_KC[made.index_HW[35, 55]])) == {0, 1}


@pytest.mark.parametrize("place", ["scribble_annotation/pascal_2012", "ScribbleAnnotation/pascal_2012", "pascal_2007"])
def test_other_places(tmp_path, place):
    photo(tmp_path / "VOC2012" / "JPEGImages" / "a.jpg")
    xml(tmp_path / "VOC2012" / place / "a.xml", ("dog", [(3, 4), (20, 9)]))
    (tmp_path / "VOC2012" / "train.txt").write_text("JPEGImages/a.jpg pascal_2012_scribble/a.png\n")
    data = open_dataset(tmp_path)
    assert data.format == "scribblesup" and data.splits == {"train": ("a",)} and data.photos[0].labels


def test_with_what_else_voc_holds(tmp_path):
    root = make_scribblesup(tmp_path)
    png(root / "SegmentationClass" / "b.png", np.full((H, W), 15))
    data = open_dataset(root)
    assert [type(x) for x in data.photos[1].labels] == [Mask, Scribbles]


def test_a_picture_of_scribbles_is_ink_and_voids_nothing(tmp_path):
    photo(tmp_path / "JPEGImages" / "a.jpg")
    canvas = np.full((H, W), 255, np.uint8)
    cv2.line(canvas, (5, 5), (30, 20), 12, 3)
    cv2.line(canvas, (40, 35), (55, 35), 0, 3)
    png(tmp_path / "pascal_2012_scribble" / "a.png", canvas)
    data = open_dataset(tmp_path)
    (found,) = data
    (scribbles,) = found.labels
    assert not found.has_mask and sorted(s.name for s in scribbles.marks) == ["background", "dog"]
    made = found.candidates(H, W)
    assert (made.index_HW != 0).all(), "nothing is void"
    labels_HW = made.labels()
    drawn_HW = labels_HW >= 0
    assert (labels_HW[drawn_HW & (canvas != 255)] == canvas[drawn_HW & (canvas != 255)]).all()
    assert (drawn_HW & (canvas == 255)).sum() <= BESIDE * drawn_HW.sum()
    assert (drawn_HW & (canvas != 255)).sum() > 0.6 * (canvas != 255).sum()


@given(st.integers(0, 10_000), st.integers(3, 7), st.booleans())
def test_strokes_cover_most_of_the_ink_and_nothing_far_from_it(seed, width, closed):
    rng = np.random.default_rng(seed)
    line_N2 = (np.cumsum(rng.normal(0, 12, (rng.integers(2, 9), 2)), axis=0) + 60).clip(8, 112)
    ink_HW = np.zeros((120, 120), np.uint8)
    cv2.polylines(ink_HW, [np.rint(line_N2).astype(np.int32)], closed, 1, width)
    strokes = strokes_of(ink_HW > 0, "ink")
    names = Vocabulary.same(Classes(("ink", "paper")))
    drawn_HW = rasterise((Scribbles(tuple(strokes)),), names, 120, 120).labels() == 0
    near_HW = cv2.dilate(ink_HW, np.ones((3, 3), np.uint8)) > 0
    assert len(strokes) == 1 and not (drawn_HW & ~near_HW).any()
    assert (drawn_HW & (ink_HW == 0)).sum() <= BESIDE * drawn_HW.sum()
    length = np.hypot(*np.diff(line_N2, axis=0).T).sum()
    if length > 10 * width:  # a blot is covered along its middle only
        assert (drawn_HW & (ink_HW > 0)).sum() > 0.4 * ink_HW.sum()


def test_single_pixels_and_lines_of_one_pixel_are_exact():
    ink_HW = np.zeros((9, 20), bool)
    ink_HW[2, 3] = True
    ink_HW[6, 5:15] = True
    dot, line = strokes_of(ink_HW, "x")
    assert dot == Stroke("x", ((3.5, 2.5),), 1.0)
    assert line.width == 1 and {line.xy[0], line.xy[-1]} == {(5.5, 6.5), (14.5, 6.5)} and len(line.xy) == 2


def test_photos_that_exif_turns(tmp_path):
    """Drawn on the stored picture, 40 high and 60 wide; the photo is shown 60 high."""
    photo(tmp_path / "JPEGImages" / "a.jpg", orientation=6)
    xml(tmp_path / "pascal_2012" / "a.xml", ("dog", [(50, 10), (50, 20)]))
    data = open_dataset(tmp_path)
    assert data.photos[0].labels[0].marks[0].xy == ((29.5, 50.5), (19.5, 50.5))
    assert "EXIF" in data.notes[0]


def test_damaged_scribbles_are_left_out(tmp_path):
    root = make_scribblesup(tmp_path)
    xml(
        root / "pascal_2012" / "a.xml",
        ("cat", [("NaN", 4)]),
        ("cow", [(1, 2), ("", 4)]),
        ("dog", []),
        ("sheep", [(1e9, 1e9)]),
        ("horse", [(5, 5), (1e9, 5)]),
        ("unicorn", [(5, 5)]),
    )
    xml(root / "pascal_2012" / "c.xml", ("", [(1, 1)]), ("cat", [(1, 1)]))
    png(root / "SegmentationClass" / "b.png", np.full((H, W), 15))  # so the class list is VOC's
    data = open_dataset(root)
    (scribbles,) = data.photos[0].labels
    assert [(s.name, s.xy) for s in scribbles.marks] == [("horse", ((5.5, 5.5), (60.0, 5.5)))]
    assert set(voc.CLASSES.foreground) - scribbles.complete == {"cat", "cow", "dog", "sheep"}
    assert data.photos[2].labels[0].complete == frozenset(), "nobody knows what the scribble without a tag was"
    said = " ".join(data.notes)
    for word in ("finite", "without a class or a point", "outside", "cut at its border", "not in the class list"):
        assert word in said, word


def test_classes_that_only_scribbles_name(tmp_path):
    root = make_scribblesup(tmp_path)
    xml(root / "pascal_2012" / "c.xml", ("sky", [(1, 1), (9, 1)]))
    data = open_dataset(root)
    assert data.classes.names == (*voc.NAMES, "sky") and data.photos[2].labels[0].marks[0].name == "sky"


def test_hostile_and_broken_xml(tmp_path):
    root = make_scribblesup(tmp_path)
    file = root / "pascal_2012" / "a.xml"
    file.write_text('<!DOCTYPE x [<!ENTITY a "b">]><annotation><polygon><tag>&a;</tag></polygon></annotation>')
    with pytest.raises(DataError, match=r"a\.xml"):
        open_dataset(root)
    file.write_text("<annotation>")
    with pytest.raises(DataError, match=r"not readable scribbles"):
        open_dataset(root)
    for f in (root / "pascal_2012").iterdir():
        f.rename(f.with_stem(f"{f.stem}x"))
    with pytest.raises(DataError, match="none of the photos"):
        open_dataset(root)


name = st.sampled_from(["aeroplane", "background", "person"])
xy = st.tuples(st.integers(0, W - 1), st.integers(0, H - 1))
lines = st.lists(st.tuples(name, st.lists(xy, min_size=1, max_size=4, unique=True)), min_size=1, max_size=3)


@settings(max_examples=20)
@given(st.lists(lines, min_size=1, max_size=2))
def test_there_and_back(tmp_path_factory, drawn):
    root = tmp_path_factory.mktemp("there")
    everything = frozenset(voc.CLASSES.foreground)
    made = []
    for i, strokes in enumerate(drawn):
        marks = tuple(Stroke(n, tuple((x + 0.5, y + 0.5) for x, y in line), 3.0) for n, line in strokes)
        labels = (Boxes((Box.upright("person", 1, 2, 9, 9),), everything), Scribbles(marks, everything))
        made.append(Photo(f"p{i}", photo(root / f"p{i}.jpg"), labels, Vocabulary.same(voc.CLASSES)))
    data = Dataset(voc.CLASSES, tuple(made), {"train": ("p0",)})
    written = scribblesup.write(data, root / "to")
    assert not written.left_out
    again = open_dataset(written.path)
    assert [p.labels for p in again] == [p.labels for p in data] and again.splits == data.splits


def test_what_does_not_fit_is_said(tmp_path):
    classes = Classes(("background", "plane", "dog"), background="background")
    marks = (
        Stroke("plane", ((1.0, 1.0), (9.25, 9.0)), 7.0),
        Stroke("dog", ((3.5, 3.5),), 3.0, negative=True),
    )
    labels = (Scribbles(marks, seconds=4), Boxes((Box.upright("dog", 1, 1, 5, 5),)))
    data = Dataset(classes, (Photo("a", photo(tmp_path / "a.jpg"), labels, Vocabulary.same(classes)),))
    said = " ".join(scribblesup.write(data, tmp_path / "to").left_out)
    for word in ("seconds", "width", "fractions", "not this", "absent", "boxes are not of all objects"):
        assert word in said, word
    again = writer_contract(scribblesup, data, tmp_path / "again")
    assert again.classes.names == classes.names
    assert [s.name for x in again.photos[0].labels if isinstance(x, Scribbles) for s in x.marks] == ["plane"]


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    root = make_scribblesup(tmp_path_factory.mktemp("damaged"))
    file = root / "pascal_2012" / "b.xml"
    file.write_bytes(damaged(file.read_bytes(), data.draw))
    reads_or_refuses(root)


@settings(max_examples=20)
@given(st.data())
def test_damaged_pictures_are_read_or_refused(tmp_path_factory, data):
    root = make_scribblesup(tmp_path_factory.mktemp("damaged"))
    for f in (root / "pascal_2012").iterdir():
        f.unlink()
    (root / "pascal_2012").rmdir()
    file = png(root / "pascal_scribble" / "a.png", np.where(np.eye(H, W) > 0, 12, 255))
    file.write_bytes(damaged(file.read_bytes(), data.draw))
    reads_or_refuses(root)
