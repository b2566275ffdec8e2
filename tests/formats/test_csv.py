"""Tables of tags and area shares, in the layouts that people have."""

from pathlib import Path

import numpy as np
import pytest
from formats.contracts_reader import damaged, reads_or_refuses, writer_contract
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import DataError, UsageError
from labels2masks.formats import csv, folder
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.formats.open import open_dataset
from labels2masks.labels import AreaShares, Box, Boxes, Tags
from labels2masks.prediction.write import write_shares


def photos(root: Path, *names: str) -> Path:
    for name in names:
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (90, 120, 60)).save(path)
    return root


def table(root: Path, text: str, name: str = "tags.csv", encoding: str = "utf-8") -> Path:
    path = photos(root, "a.jpg", "b.jpg", "c.JPG") / name
    path.write_text(text, encoding=encoding)
    return path


def make_csv(root: Path) -> Path:
    table(root, "image,split,cat,dog\nimages/a.jpg,train,1,0\nb,train,,1\nc,val,,\n")
    return root


def tags(*present: str, absent: tuple[str, ...] = ()) -> Tags:
    return Tags(frozenset(present), frozenset(absent), frozenset({*present, *absent}))


@pytest.mark.parametrize(
    "text",
    [
        "image,tags\na.jpg,cat;dog\nb.jpg,\nc.JPG,dog\n",
        "Image ; Tags\nimages/a.jpg ; cat|dog\nb;\nc;dog\n",
        "\ufeffFILENAME\tLabels\nC:\\photos\\a.jpg\tcat | dog\nhttps://x.org/b.jpg\t\nc\tdog\n",
        'image_id,label\n"a","cat"\na,dog\n\nb,\nc,dog\n',
    ],
)
def test_columns_of_tags(tmp_path, text):
    data = open_dataset(table(tmp_path, text))
    assert data.format == "csv" and not data.notes
    assert [p.name for p in data] == ["a", "b", "c"]
    assert [p.labels for p in data] == [(tags("cat", "dog"),), (), (tags("dog"),)]
    assert data.classes.names == ("background", "cat", "dog") and data.classes.background == "background"


def test_a_row_for_each_tag_as_in_open_images(tmp_path):
    rows = ["a,v,/m/01yrx,1", "a,v,/m/0bt9lr,0", "b,v,/m/01yrx,0.7", "c,v,/m/01yrx,1", "c,v,/m/01yrx,0"]
    data = open_dataset(table(tmp_path, "\n".join(["ImageID,Source,LabelName,Confidence", *rows])))
    assert [p.labels for p in data] == [(tags("/m/01yrx", absent=("/m/0bt9lr",)),), (), ()]
    said = " ".join(data.notes)
    assert "confidence other than" in said and "Source" in said and "both present and absent" in said


def test_a_column_a_class(tmp_path):
    data = open_dataset(table(tmp_path, "image,cat,dog,cow\na,1,0,\nb,Yes,NO,x\nc.JPG,,,\n"))
    assert [p.labels for p in data] == [(tags("cat", absent=("dog",)),), (tags("cat", "cow", absent=("dog",)),), ()]
    data = open_dataset(table(tmp_path, "image,cat,dog\na,1,-1\nb,-1,1.0\n"))
    assert [p.labels for p in data] == [(tags("cat", absent=("dog",)),), (tags("dog", absent=("cat",)),)]
    data = open_dataset(table(tmp_path, "image,cat,dog,width\na,1,-1,640\nb,0,1,480\n"))
    assert [p.labels for p in data] == [(tags("cat"),), (tags("dog", absent=("cat",)),)]
    assert "unsure" in data.notes[1] and "width" in data.notes[0]


def test_shares_as_predict_writes_them(tmp_path):
    classes = Classes(("background", "cat", "dog"), background="background")
    masks = [("a", np.zeros((4, 4), int)), ("b", np.repeat([[0], [1], [1], [2]], 4, axis=1))]
    table(tmp_path, "")
    write_shares(tmp_path / "shares.csv", masks, classes)
    data = open_dataset(tmp_path / "shares.csv")
    everything = frozenset(classes.names)
    assert data.photos[1].labels == (AreaShares({"background": 0.25, "cat": 0.5, "dog": 0.25}, everything),)
    write_shares(tmp_path / "shares.csv", masks[:1], classes)  # nothing between 0 and 1: still shares
    assert open_dataset(tmp_path / "shares.csv").photos[0].labels[0].shares == {"background": 1, "cat": 0, "dog": 0}
    with pytest.raises(DataError, match=r"make 1\.6; expected shares"):
        open_dataset(table(tmp_path, "image,cat,dog\na,0.9,0.7\n"))


def test_splits_by_column_and_by_file(tmp_path):
    assert open_dataset(make_csv(tmp_path / "column")).splits == {
        "train": ("a", "b"),
        "val": ("c",),
    }
    table(tmp_path / "files", "image,tags\na,cat\n", "train.csv")
    table(tmp_path / "files", "image,tags\nb,dog\n", "val.csv")
    data = open_dataset(tmp_path / "files")
    assert data.splits == {"train": ("a",), "val": ("b",)} and len(data) == 2


def test_names_lead_nowhere_else(tmp_path):
    photos(tmp_path / "set" / "x", "a.jpg", "d.jpg"), photos(tmp_path, "secret.jpg")
    file = table(
        tmp_path / "set", "image,tags\n../images/secret.jpg,cat\n/etc/passwd,cat\na,cat\nx/images/a,dog\nd,cow\n"
    )
    data = open_dataset(file)
    assert [p.name for p in data] == ["x/images/a", "x/images/d"], "a is there twice"
    assert "3 times" in data.notes[0]
    with pytest.raises(DataError, match=r"none of its photos.*gone"):
        open_dataset(table(tmp_path / "other", "image,tags\ngone.jpg,cat\n"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("image,cat,cat\na,1,1\n", "two columns of one name"),
        ("image,cat\na,1\nb,house\n", "no column of a class"),
    ],
)
def test_broken_tables_fail_in_one_line(tmp_path, text, says):
    with pytest.raises(DataError, match=says) as caught:
        open_dataset(table(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_tables_of_other_things_are_not_taken(tmp_path):
    for text in ("epoch,loss\n1,0.5\n", "image,note\na,a fine day\n", "", "image\na\n", "\x00"):
        assert not csv.recognises(table(tmp_path, text))
    table(tmp_path, "image,tags\na,cat\n")
    assert csv.recognises(tmp_path)
    (tmp_path / "masks").mkdir()
    assert not csv.recognises(tmp_path), "a folder of masks that also holds a table"
    with pytest.raises(DataError, match="UTF-8"):
        csv.read(table(tmp_path, "image,tags\na,M\u00f6we\n", encoding="latin-1"))


CLASSES = Classes(("background", "cat", "dog"), background="background")
name = st.sampled_from(["cat", "dog"])


@st.composite
def labelled(draw):
    made = []
    present, absent = draw(st.frozensets(name)), draw(st.frozensets(name))
    if present or absent - present:
        made.append(tags(*present, absent=tuple(absent - present)))
    if draw(st.booleans()):
        shares = draw(st.dictionaries(name, st.floats(0, 0.5), min_size=1))
        made.append(AreaShares(shares, frozenset(shares)))
    return tuple(made)


@settings(max_examples=20)
@given(st.lists(labelled(), min_size=1, max_size=3))
def test_there_and_back(tmp_path_factory, all_labels):
    root = photos(tmp_path_factory.mktemp("there"), *(f"{i}.png" for i in range(len(all_labels) + 1)))
    # Somewhere in the table a number says that they are shares.
    all_labels = [(AreaShares({"cat": 0.5}, frozenset({"cat"})),), *all_labels]
    made = tuple(
        Photo(f"{i}", root / "images" / f"{i}.png", labels, Vocabulary.same(CLASSES))
        for i, labels in enumerate(all_labels)
    )
    data = Dataset(CLASSES, made, {"train": ("0",)})
    written = csv.write(data, root / "to")
    assert not written.left_out
    again = open_dataset(written.path)
    assert again.classes == CLASSES and again.splits == {"train": ("0",)} and not again.notes
    for before, after in zip(data, again, strict=True):
        old = {type(x): x for x in before.labels}
        assert {type(x) for x in after.labels} == set(old)
        for label in after.labels:
            assert label.complete == old[type(label)].complete
            if isinstance(label, Tags):
                assert label == old[Tags]
            else:
                assert label.shares.keys() == old[AreaShares].shares.keys()
                np.testing.assert_allclose(
                    [label.shares[n] for n in label.shares],
                    [old[AreaShares].shares[n] for n in label.shares],
                    atol=1e-6,
                )


def test_what_does_not_fit_is_said(tmp_path):
    photos(tmp_path, "a.jpg")
    labels = (
        Tags(frozenset({"cat"}), seconds=3),
        AreaShares({"cat": 0.4}),
        Boxes((Box.upright("cat", 1, 1, 3, 3),)),
    )
    data = Dataset(
        CLASSES,
        (Photo("a", tmp_path / "images" / "a.jpg", labels, Vocabulary.same(CLASSES)),),
        {"train": ("a",), "all": ("a",)},
    )
    said = " ".join(csv.write(data, tmp_path / "to").left_out)
    for word in ("boxes", "seconds", "further splits", "not complete"):
        assert word in said, word
    again = writer_contract(csv, data, tmp_path / "again")
    assert again.photos[0].labels[1].present == {"cat"}
    with pytest.raises(UsageError, match="'Label'"):
        csv.write(Dataset(Classes(("Label",)), ()), tmp_path / "third")
    with pytest.raises(UsageError, match="chosen"):
        csv.write(data.choose(["cat"]), tmp_path / "third")


@settings(max_examples=60)
@given(st.data())
def test_damaged_tables_are_read_or_refused(tmp_path_factory, data):
    root = make_csv(tmp_path_factory.mktemp("damaged"))
    file = root / "tags.csv"
    file.write_bytes(damaged(file.read_bytes(), data.draw))
    reads_or_refuses(root)
    assert folder.recognises(root)
