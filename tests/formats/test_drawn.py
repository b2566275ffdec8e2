"""Foreign names of photos find files below the folder and nothing else; labels follow a photo that EXIF turns."""

import numpy as np
import pytest
from PIL import Image

from labels2masks.formats.drawn import PhotoFiles, on_upright, photos_near
from labels2masks.formats.image import read_image, read_segments
from labels2masks.formats.notes import Notes
from labels2masks.labels import Box, Boxes, Mask, Point, Points

H, W = 6, 10


def photo(path, orientation=1, pixels_HW3=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.zeros((H, W, 3), np.uint8) if pixels_HW3 is None else pixels_HW3).save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    "text, name",
    [
        ("b/one.png", "b/one"),
        ("C:\\Users\\me\\b\\one.png", "b/one"),
        ("/data/somewhere/b/one.png", "b/one"),
        ("https://example.org/b/one.png?token=3", "b/one"),
        ("../../a/one.png", "a/one"),
        ("only%20here.png", "only here"),
        ("two.png", "two.png"),
        ("two.bmp", "two.bmp"),
        ("one.png", None),
        ("../../../etc/passwd", None),
        ("", None),
        ("..", None),
    ],
)
def test_a_name_is_looked_up_among_the_photos_only(tmp_path, text, name):
    for path in ("a/one.png", "b/one.png", "only here.png", "two.png", "two.bmp"):
        photo(tmp_path / "photos" / path)
    photo(tmp_path / "secret.png")
    found = PhotoFiles.below(tmp_path / "photos").find(text)
    assert (found and found[0]) == name
    if found:
        assert found[1].resolve().is_relative_to((tmp_path / "photos").resolve())


def test_photos_are_looked_for_beside_the_annotations_or_above(tmp_path):
    file = tmp_path / "annotations" / "instances.json"
    photo(tmp_path / "images" / "a.png")
    assert photos_near(file) == tmp_path
    photo(tmp_path / "annotations" / "b.png")
    assert photos_near(file) == tmp_path / "annotations"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_are_turned_with_the_photo(tmp_path, orientation):
    """A white pixel of the stored picture, marked there, is marked upright."""
    stored_HW3 = np.zeros((H, W, 3), np.uint8)
    stored_HW3[1, 7] = 255
    path = photo(tmp_path / "a.png", orientation, stored_HW3)
    upright_HW3 = read_image(path)
    notes = Notes()
    labels = (Points((Point("cat", 7.5, 1.5),)), Boxes((Box.upright("cat", 7, 1, 8, 2),)))
    turned = on_upright(labels, path, (H, W), notes, "a.json")
    if orientation < 5:  # the size does not tell: tools that show such a photo upright are the rule
        assert turned == labels and not notes.lines()
        return
    click, box = turned[0].marks[0], turned[1].marks[0].bounds
    assert upright_HW3[int(click.y), int(click.x)].all() and len(notes.lines()) == 1
    assert upright_HW3[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])].all() and box[2] - box[0] == 1
    assert on_upright(labels, path, (W, H), notes, "a.json") == labels


def test_labels_of_another_size_are_left_out_with_a_note(tmp_path):
    notes = Notes()
    path = photo(tmp_path / "a.png")
    labels = (Points((Point("cat", 1, 1),)),)
    assert on_upright(labels, path, (2 * H, 2 * W), notes, "a.json") == () and "another size" in notes.lines()[0]
    assert on_upright(labels, path, None, notes, "a.json") == labels
    assert on_upright(labels, tmp_path / "none.png", (H, W), notes, "a.json") == labels
    turned = photo(tmp_path / "b.png", 6)
    assert on_upright((Mask(path), *labels), turned, (H, W), notes, "b.json")[0] != Mask(path)


def test_notes_are_counted():
    notes = Notes()
    notes.add("a box without area is left out", "photo 'a'")
    notes.add("a box without area is left out", "photo 'b'", 2)
    assert notes.lines() == ("a box without area is left out: 3 times, first in photo 'a'",)


def test_a_panoptic_png_is_read_by_its_segments(tmp_path):
    rgb_HW3 = np.array([[(1, 0, 0), (0, 1, 0)], [(0, 0, 1), (9, 9, 9)]], np.uint8)
    Image.fromarray(rgb_HW3).save(tmp_path / "p.png")
    assert read_segments(tmp_path / "p.png", {1: 5, 256: 6, 65536: 7}).tolist() == [[5, 6], [7, -1]]
