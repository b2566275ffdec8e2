"""PASCAL VOC: boxes, tags and lists, there and back; what is damaged is left out and named."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from formats.contracts_reader import damaged, reads_or_refuses, writer_contract
from formats.mask_layouts import PHOTO, save, text
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import DataError
from labels2masks.formats import voc
from labels2masks.formats.convert import convert
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.formats.open import open_dataset
from labels2masks.labels import Box, Boxes, Mask, Points, Tags

CLASSES = Classes(("background", "train", "train_set", "pole & <wire>"), background="background")
EVERY = frozenset(CLASSES.foreground)


def xml(*boxes: tuple, size: str = "") -> str:
    sides = ("xmin", "ymin", "xmax", "ymax")
    objects = (
        "".join(f"<{side}>{value}</{side}>" for side, value in zip(sides, corners, strict=False))
        for _, *corners in boxes
    )
    named = (f"<object><name>{b[0]}</name><bndbox>{o}</bndbox></object>" for b, o in zip(boxes, objects, strict=True))
    return f"<annotation>{size}{''.join(named)}</annotation>"


def boxes_of(photo: Photo) -> Boxes:
    (label,) = (x for x in photo.labels if isinstance(x, Boxes))
    return label


def drawn_photo(draw, name: str, image: Path) -> Photo:
    labels: list = []
    if said := draw(st.dictionaries(st.sampled_from(sorted(EVERY)), st.booleans())):
        there = frozenset(n for n, is_there in said.items() if is_there)
        labels.append(Tags(there, frozenset(said) - there, frozenset(said)))
    if draw(st.booleans()):
        side = st.tuples(st.integers(0, 11_000), st.integers(1, 900)).map(lambda p: (p[0] / 1000, sum(p) / 1000))
        marks = draw(st.lists(st.tuples(st.sampled_from(sorted(EVERY)), side, side), max_size=3))
        labels.append(Boxes(tuple(Box.upright(n, x[0], y[0], x[1], y[1]) for n, x, y in marks), EVERY))
    if draw(st.booleans()):
        labels.append(
            Mask(ids_HW=np.array(draw(st.lists(st.integers(0, 3), min_size=192, max_size=192))).reshape(12, 16))
        )
    return Photo(name, image, tuple(labels), Vocabulary.same(CLASSES))


@settings(max_examples=12, phases=[Phase.generate])  # to shrink an example writes hundreds of data sets
@given(st.data())
def test_round_trip(data):
    with TemporaryDirectory() as folder:
        root = Path(folder)
        image = save(root / "a.jpg")
        names = ("a b", "sub/c", "1")
        before = Dataset(
            CLASSES,
            tuple(drawn_photo(data.draw, n, image) for n in names),
            {"train_set": names[:1], "val": names, "Main/val": names[1:]},
        )
        after = writer_contract(voc, before, root / "set")
        assert after.classes.names == CLASSES.names and not after.notes
        assert after.splits == before.splits
        assert not convert(before, root / "again", to="voc").left_out
        for photo in before:
            again = next(p for p in after if p.name == photo.name)
            assert len(photo.labels) == len(again.labels)
            for label, other in zip(photo.labels_loaded(), again.labels_loaded(), strict=True):
                if isinstance(label, Mask):
                    assert np.array_equal(label.ids_HW, other.ids_HW)
                elif isinstance(label, Boxes):
                    assert label.complete == other.complete
                    assert [m.name for m in label.marks] == [m.name for m in other.marks]
                    bounds = [np.array([m.bounds for m in x.marks]) for x in (label, other)]
                    assert np.abs(bounds[0] - bounds[1]).max(initial=0) < 6e-4
                else:
                    assert label == other


def test_what_voc_can_not_say_is_listed(tmp_path):
    classes = Classes(("background", "cat"), background="background", groups={"beast": ("cat",)})
    turned = Box("cat", ((5.0, 0.0), (10.0, 5.0), (5.0, 10.0), (0.0, 5.0)))
    clicked = Box("cat", Box.upright("cat", 0.5, 1, 3, 4).corners, extremes=((1.0, 1.0),))
    labels = (
        Boxes((turned, clicked, Box.upright("beast", 0, 0, 2, 2)), seconds=3.0),
        Points(()),
        Tags(frozenset({"background", "cat"})),
    )
    image = save(tmp_path / "a.png")
    data = Dataset(classes, (Photo("a", image, labels, Vocabulary.same(classes)),), {"none": ()})
    said = "\n".join(convert(data, tmp_path / "set", to="voc").left_out)
    for words in (
        "points, which voc", "seconds that labelling", "rotation of boxes", "extreme clicks", "boxes of groups",
        "not of all objects", "no JPEG", "tags of background", "empty splits",
    ):  # fmt: skip
        assert words in said
    again = open_dataset(tmp_path / "set")
    assert [m.bounds for m in boxes_of(again.photos[0]).marks] == [(0, 0, 10, 10), (0.5, 1, 3, 4)]
    assert again.photos[0].image.suffix == ".png"
    written = (tmp_path / "set" / "Annotations" / "a.xml").read_text()
    assert "<xmin>1.5</xmin>" in written and "<ymin>2</ymin>" in written and "<width>16</width>" in written
    with Image.open(
        convert(with_mask(tmp_path), tmp_path / "m", to="voc").path / "SegmentationClass" / "a.png"
    ) as mask:
        assert mask.mode == "P" and mask.getpalette()[3 * 8 : 3 * 8 + 3] == [64, 0, 0] and mask.getpixel((0, 0)) == 255
        assert tuple(mask.getpalette()[-3:]) == (224, 224, 192)


def with_mask(root: Path) -> Dataset:
    ids_HW = np.full((12, 16), 8, np.int32)
    ids_HW[0] = -1
    photo = Photo("a", save(root / "a.jpg"), (Mask(ids_HW=ids_HW),), Vocabulary.same(voc.CLASSES))
    return Dataset(voc.CLASSES, (photo,))


@pytest.mark.parametrize(
    ("boxes", "kept", "complete", "note"),
    [
        ([("cat", 3, 3, "nan", 6)], [], False, "no finite numbers"),
        ([("cat", 3, 3, 6)], [], False, "four numbers"),
        ([("cat", 6, 3, 3, 6), ("dog", 1, 1, 2, 2)], [(0, 0, 2, 2)], False, "without area"),
        ([("cat", "-1e9", 3, "1e9", 6)], [(0, 2, 16, 6)], True, "cut at its border"),
        ([("cat", "1e9", 3, "2e9", 6)], [], False, "without area"),
        ([("cat", "1e400", 3, "2e9", 6)], [], False, "no finite numbers"),
        ([("cat", 0, 0, 16, 12)], [(0, 0, 16, 12)], True, ""),
        ([("", 1, 1, 2, 2)], [], False, "without a class name"),
        ([("cat", 3.5, 3, 3, 6)], [(2.5, 2, 3, 6)], True, ""),
        ([("ignore", 3, 3, 6, 6)], [], True, "areas to ignore"),
    ],
)
def test_damaged_boxes_are_left_out_and_said(tmp_path, boxes, kept, complete, note):
    save(tmp_path / "JPEGImages" / "a.jpg")
    text(tmp_path / "Annotations" / "a.xml", xml(*boxes))
    data = open_dataset(tmp_path)
    found = boxes_of(data.photos[0])
    assert [m.bounds for m in found.marks] == kept
    assert ("cat" in found.complete) == complete
    assert note in " ".join(data.notes) and (note or not data.notes)


def test_boxes_on_photos_that_exif_turns(tmp_path):
    """Stored as 16 x 12 and turned by 90 degrees, the photo is 12 x 16: boxes of either picture land on the object."""
    (tmp_path / "JPEGImages").mkdir()
    exif = Image.Exif()
    exif[274] = 6
    for name in "abc":
        Image.fromarray(PHOTO).save(tmp_path / "JPEGImages" / f"{name}.jpg", exif=exif)
    size = "<size><width>{}</width><height>{}</height><depth>3</depth></size>"
    text(tmp_path / "Annotations" / "a.xml", xml(("cat", 1, 1, 4, 2), size=size.format(16, 12)))
    text(tmp_path / "Annotations" / "b.xml", xml(("cat", 11, 1, 12, 4), size=size.format(12, 16)))
    text(tmp_path / "Annotations" / "c.xml", xml(("cat", 1, 1, 4, 2), size=size.format(500, 400)))
    data = open_dataset(tmp_path)
    a, b, c = data.photos
    assert boxes_of(a).marks[0].bounds == boxes_of(b).marks[0].bounds == (10, 0, 12, 4)
    assert not c.labels and len(data.notes) == 2
    again = open_dataset(convert(data, tmp_path / "out", to="voc").path)
    assert boxes_of(again.photos[0]).marks[0].bounds == (10, 0, 12, 4)
    assert again.photos[0].loaded()[0].shape == (16, 12, 3)


def test_an_xml_bomb_is_a_sentence(tmp_path):
    save(tmp_path / "JPEGImages" / "a.jpg")
    entities = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(9))
    text(tmp_path / "Annotations" / "a.xml", f'<!DOCTYPE x [<!ENTITY a0 "ha">{entities}]><annotation>&a9;</annotation>')
    with pytest.raises(DataError, match=r"a\.xml: not a readable VOC annotation"):
        open_dataset(tmp_path)


def test_lists_of_main(tmp_path):
    """The class train_set is not train, train_aug is no class, and a list of tags of another class list is no split."""
    for name in ("a", "b"):
        save(tmp_path / "JPEGImages" / f"{name}.jpg")
    main = tmp_path / "ImageSets" / "Main"
    text(tmp_path / "classes.txt", "background\ntrain\ntrain_set\n")
    text(main / "train_set_val.txt", "a  1\nb -1\n")
    text(main / "train_val.txt", "a -1\nb  0\n")
    text(main / "train_aug.txt", "a\nb\n")
    text(main / "zebra_val.txt", "a  1\nb -1\n")
    data = open_dataset(tmp_path)
    assert data.splits == {"train_aug": ("a", "b")}
    both = frozenset({"train", "train_set"})
    assert data.photos[0].labels == (Tags(frozenset({"train_set"}), frozenset({"train"}), both),)
    assert data.photos[1].labels == (Tags(frozenset({"train"}), frozenset({"train_set"}), both),)
    text(main / "train_val.txt", "a -1\nb  yes\n")
    with pytest.raises(DataError, match=r"train_val\.txt, line 2"):
        open_dataset(tmp_path)
    text(main / "train_val.txt", "../../etc/passwd -1\n")
    text(tmp_path / "ImageSets" / "Segmentation" / "val.txt", "../../etc/passwd\n")
    with pytest.raises(DataError, match=r"val\.txt, line 1: no photo"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("file", ["Annotations/a.xml", "ImageSets/Main/cat_val.txt", "ImageSets/Segmentation/val.txt"])
def test_fuzz(file, tmp_path):
    save(tmp_path / "JPEGImages" / "a.jpg"), save(tmp_path / "JPEGImages" / "b.jpg")
    size = "<size><width>16</width><height>12</height></size>"
    text(tmp_path / "Annotations/a.xml", xml(("cat", 2, 3, 7, 9), ("dog", 1, 1, 5, 5), size=size))
    text(tmp_path / "ImageSets/Main/cat_val.txt", "a  1\nb -1\n")
    text(tmp_path / "ImageSets/Segmentation/val.txt", "a\nb\n")
    whole = (tmp_path / file).read_bytes()

    @given(st.data())
    def fuzzed(data):
        (tmp_path / file).write_bytes(damaged(whole, data.draw))
        reads_or_refuses(tmp_path)

    fuzzed()
