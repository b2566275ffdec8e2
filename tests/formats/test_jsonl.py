"""Our label file keeps everything: whatever is written comes back equal."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from formats.contracts_reader import damaged, reads_or_refuses
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import DataError, UsageError
from labels2masks.formats import jsonl
from labels2masks.formats.convert import convert
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.formats.label_json import FIELDS, Field, label_from_json, label_to_json
from labels2masks.formats.open import open_dataset
from labels2masks.labels import (
    AreaShares,
    Box,
    Boxes,
    Mask,
    Point,
    Points,
    Region,
    Regions,
    Scribbles,
    Stroke,
    Tags,
    kind_name,
)

SCHEMA = json.loads(files("labels2masks.formats").joinpath("labels.schema.json").read_text())
CLASSES = Classes(("background", "cat", "Hündin"), background="background", groups={"animal": ("cat", "Hündin")})

names = st.sampled_from([*CLASSES.names, "animal"])
sets = st.frozensets(names, max_size=3)
numbers = st.floats(-1e6, 1e6)
xys = st.tuples(numbers, numbers)
seconds = st.none() | st.floats(0, 1e5)
flags = st.booleans()
boxes = st.builds(Box, names, st.tuples(xys, xys, xys, xys), st.lists(xys, max_size=4).map(tuple)) | st.builds(
    lambda name, a, b: Box.upright(name, *np.minimum(a, b).tolist(), *np.maximum(a, b).tolist()), names, xys, xys
)
rings = st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2), min_size=3, max_size=5).map(
    lambda xy: np.array(xy, np.float32)
)
polygons = st.lists(rings, min_size=1, max_size=2).map(tuple)
regions = st.builds(Region, names, st.lists(polygons, max_size=2).map(tuple), flags)
labels = st.one_of(
    st.builds(Tags, sets, sets, sets, seconds),
    st.builds(Points, st.lists(st.builds(Point, names, numbers, numbers, flags), max_size=3).map(tuple), sets, seconds),
    st.builds(
        Scribbles,
        st.lists(
            st.builds(Stroke, names, st.lists(xys, min_size=1, max_size=3).map(tuple), st.floats(0.1, 90), flags),
            max_size=3,
        ).map(tuple),
        sets,
        seconds,
    ),
    st.builds(Boxes, st.lists(boxes, max_size=3).map(tuple), sets, seconds),
    st.builds(Regions, st.lists(regions, max_size=3).map(tuple), sets, seconds),
    st.builds(AreaShares, st.dictionaries(names, st.floats(0, 1), max_size=3), sets, seconds),
    st.builds(
        Mask,
        st.just(Path("/data/masks/a.png")),
        st.none(),
        seconds,
        st.none() | st.dictionaries(st.integers(0, 2**24 - 1), st.integers(0, 65535), max_size=2),
        st.none() | st.dictionaries(st.integers(0, 65535), st.frozensets(names, min_size=1), max_size=2),
    ),
)  # fmt: skip


@settings(max_examples=12)
@given(st.lists(st.lists(labels, max_size=4), min_size=1, max_size=3), st.booleans())
def test_round_trip(tmp_path_factory, label_lists, joined):
    root = tmp_path_factory.mktemp("jsonl")
    same = Vocabulary.same(CLASSES)
    photos = tuple(
        Photo(f"sub/{i}", Path(f"/data/images/{i}.jpg"), tuple(found), same) for i, found in enumerate(label_lists)
    )
    data = Dataset(CLASSES, photos, {"train": tuple(p.name for p in photos[:1])})
    if joined:
        other = Classes(("bg", "horse"), background="bg")
        data = data + Dataset(other, (Photo("x", Path("/data/x.png"), (), Vocabulary.same(other)),))
    file = jsonl.write(data, root / "set").path
    for line in file.read_text(encoding="utf-8").splitlines():
        jsonschema.validate(json.loads(line), SCHEMA)
    again = open_dataset(root / "set")
    assert again.classes == data.classes and again.photos == data.photos and again.splits == data.splits


def test_schema_has_an_example_of_every_kind():
    for kind in FIELDS:
        (example,) = SCHEMA["$defs"][kind]["examples"]
        jsonschema.validate(example, {**SCHEMA, "oneOf": [{"$ref": "#/$defs/label"}]})
        classes = Classes(("background", "cat", "dog"))
        label = label_from_json(Field(example, "example"), classes, lambda f: Path(f.text()))
        assert kind_name(label) == kind
        assert label_from_json(Field(label_to_json(label, str), "again"), classes, lambda f: Path(f.text())) == label
    for example in SCHEMA["examples"]:
        jsonschema.validate(example, SCHEMA)


def test_masks_in_memory_are_written(tmp_path):
    ids_HW = np.array([[0, 1], [2, -1]], np.int32)
    Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "a.png")
    data = Dataset(CLASSES, (Photo("a", tmp_path / "a.png", (Mask(ids_HW=ids_HW),), Vocabulary.same(CLASSES)),))
    jsonl.write(data, tmp_path / "labels.jsonl")
    (label,) = open_dataset(tmp_path / "labels.jsonl").photos[0].labels_loaded()
    assert label.ids_HW.tolist() == [[0, 1], [2, 255]]
    with pytest.raises(UsageError, match="exists"):
        jsonl.write(data, tmp_path)


def test_contract_of_readers_that_write(tmp_path):
    from conftest import write_tiny_dataset
    from contracts import reader_contract

    data = open_dataset(write_tiny_dataset(tmp_path / "tiny", photos=3))
    reader_contract(jsonl.read, jsonl.write, data, tmp_path / "set")


HEADER = {"format": "labels2masks", "version": 1, "classes": {"names": ["cat", "dog"]}}
LINE = {"name": "a", "image": "a.jpg", "labels": []}


@pytest.mark.parametrize(
    ("header", "line", "says"),
    [
        (HEADER | {"version": 2}, LINE, "version"),
        (HEADER | {"clases": 1}, LINE, "classes"),
        (HEADER | {"splits": {"val": ["b"]}}, LINE, "no photo 'b'"),
        (HEADER | {"splits": {"val": []}}, LINE, "at least one"),
        (HEADER | {"root": "/etc"}, LINE, "relative"),
        (HEADER, LINE | {"image": "/etc/passwd"}, "root"),
        (HEADER, LINE | {"image": "x/../../a.jpg"}, "root"),
        (HEADER, LINE | {"labels": [{"kind": "tagz"}]}, "did you mean 'tags'"),
        (HEADER, LINE | {"labels": [{"kind": "tags", "present": ["cot"]}]}, "did you mean 'cat'"),
        (HEADER, LINE | {"labels": [{"kind": "tags", "complet": ["cat"]}]}, "did you mean 'complete'"),
        (HEADER, LINE | {"labels": [{"kind": "points", "marks": [{"name": "cat", "x": "1", "y": 2}]}]}, "a number"),
        (HEADER, LINE | {"name": "../a"}, "name: '../a'; expected a name such as 'a'"),
        (HEADER, LINE | {"name": "/etc/a"}, "without '..'"),
        (
            HEADER,
            LINE | {"labels": [{"kind": "boxes", "marks": [{"name": "cat", "bounds": [5, 0, 1, 1]}]}]},
            "x0 <= x1",
        ),
        (HEADER, LINE | {"labels": [{"kind": "shares", "shares": {"cat": 2}}]}, "0..1"),
        (HEADER, LINE | {"vocabulary": 3}, "vocabulary 3"),
        (HEADER, [1], "an object"),
    ],
)
def test_mistakes_name_line_and_field(tmp_path, header, line, says):
    path = tmp_path / "labels.jsonl"
    path.write_text(json.dumps(header) + "\n" + json.dumps(line) + "\n")
    with pytest.raises(DataError) as caught:
        open_dataset(path)
    assert says in str(caught.value) and "line " in str(caught.value) and "\n" not in str(caught.value)


def test_not_a_number_and_repeated_names_are_refused(tmp_path):
    path = tmp_path / "labels.jsonl"
    for lines, says in (([LINE, LINE], "second photo"), ([float("nan")], "not valid JSON")):
        path.write_text("\n".join(json.dumps(x) for x in (HEADER, *lines)))
        with pytest.raises(DataError, match=says):
            open_dataset(path)


def test_confined_files_stay_below_their_folder(tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "labels.jsonl"
    path.write_text(json.dumps(HEADER | {"root": ".."}) + "\n" + json.dumps(LINE) + "\n")
    assert jsonl.read(path).photos[0].image == tmp_path / "a.jpg"
    with pytest.raises(DataError, match="outside"):
        jsonl.read(path, confined=True)


def test_json_of_voc_animals_converts(tmp_path, data_root):
    voc = data_root / "voc_animals"
    names = ["points_human.json", "boxes_animalpose.json", "tags.json"]
    file = convert(voc, tmp_path / "animals.jsonl", labels=names, kinds={"train": ["tags", "boxes", "points"]}).path
    data = open_dataset(file)
    clicks, tags, boxes = (json.loads((voc / n).read_text()) for n in (names[0], names[2], names[1]))
    photo = data.split("train").photos[0]
    by_kind = {kind_name(x): x for x in photo.labels}
    assert set(by_kind) == {"tags", "boxes", "points"}
    assert by_kind["tags"].present == set(tags[photo.name]) and len(by_kind["tags"].complete) == 20
    assert len(by_kind["points"].marks) == len(clicks[photo.name]["fg"]) + len(clicks[photo.name]["bg"])
    x0, y0, x1, y1 = boxes[photo.name][0]["box_xyxy"]
    assert by_kind["boxes"].marks[0].bounds == (x0 - 1, y0 - 1, x1, y1)
    assert by_kind["boxes"].complete == {"cat", "cow", "dog", "horse", "sheep"}
    assert all(p.has_mask for p in data.split("val_dev"))
    photo = replace(photo, labels=photo.labels)
    assert photo.loaded()[0].ndim == 3


@pytest.mark.filterwarnings("error")
def test_fuzz(tmp_path):
    folder = tmp_path / "set"
    Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(tmp_path / "a.png")
    examples = [SCHEMA["$defs"][kind]["examples"][0] for kind in FIELDS if kind != "mask"]
    classes = Classes(("background", "cat", "dog"), background="background")
    read = tuple(label_from_json(Field(e, "example"), classes, lambda f: Path(f.text())) for e in examples)
    file = jsonl.write(Dataset(classes, (Photo("a", tmp_path / "a.png", read, Vocabulary.same(classes)),)), folder).path
    whole = file.read_bytes()
    assert reads_or_refuses(folder) is not None

    @given(st.data())
    def fuzzed(data):
        file.write_bytes(damaged(whole, data.draw))
        reads_or_refuses(folder)

    fuzzed()
