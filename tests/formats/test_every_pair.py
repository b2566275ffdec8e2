"""From every format to every format: what both hold comes through, what the second can not hold is said."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from formats.mask_layouts import PHOTO, save

import labels2masks as l2m
from labels2masks import cli
from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import UsageError
from labels2masks.formats import jsonl
from labels2masks.formats.convert import WRITERS
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.formats.open import READERS
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
    rasterise,
)

HOLDS = {reader.__name__.rsplit(".", 1)[-1]: reader.HOLDS for reader in READERS}
PAINTS = {"voc", "scribblesup", "sbd", "cityscapes", "ade20k", "camvid", "folder"}
"""Formats whose writers hold pixels, and outlines only where those leave nothing out."""
OWN_LISTS = {"cityscapes", "ade20k", "camvid"}
"""Formats that hold the classes of one list, whatever a data set has."""
CLASSES = Classes(("background", "car", "road"), background="background")
EVERY = frozenset({"car", "road"})


def ring(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """Every kind of label, in five photos; names of classes that Cityscapes, ADE20K and CamVid have, too."""
    folder = tmp_path_factory.mktemp("mixed")
    ids_HW = np.zeros((12, 16), np.int32)
    ids_HW[2:6, 3:9], ids_HW[8:, :4], ids_HW[:, 15] = 1, 2, -1
    outlines = Region("car", ((ring(2, 1, 9, 7), ring(4, 3, 6, 5)),)), Region("road", ((ring(0, 7, 16, 12),),))
    labels = {
        "p_1": (Mask(ids_HW=ids_HW), Tags(EVERY, complete=EVERY)),
        "p_2": (
            Tags(frozenset({"car"}), complete=EVERY),
            Boxes((Box.upright("car", 2, 2, 6, 6), Box.upright("car", 8, 1, 15.5, 11)), EVERY),
        ),
        "p_3": (
            Points((Point("car", 3.5, 4.5), Point("road", 9.25, 10.5))),
            Scribbles((Stroke("road", ((1.5, 10.5), (14.5, 10.5)), 3.0),)),
            AreaShares({"car": 0.25}),
        ),
        "p_4": (Regions(outlines, EVERY),),
        "p_5": (),
    }
    image = save(folder / "photo.png", PHOTO)
    photos = tuple(Photo(n, image, made, Vocabulary.same(CLASSES)) for n, made in labels.items())
    return jsonl.write(Dataset(CLASSES, photos, {"train": ("p_1", "p_2"), "val": ("p_3", "p_4")}), folder).path


@pytest.fixture(scope="module")
def in_format(mixed, tmp_path_factory):
    """Format -> the mixed data set in it, and what was left out."""
    made: dict[str, l2m.Dataset] = {}

    def of(name: str) -> Dataset:
        if name not in made:
            made[name] = l2m.open(l2m.convert(mixed, tmp_path_factory.mktemp(name) / "set", to=name).path)
        return made[name]

    return of


def said(photo: Photo, kind: str) -> object:
    """What the labels of one kind say, in numbers that every format can hold; None: nothing."""
    labels = [x for x in photo.labels if kind_name(x) == kind]
    if kind == "tags":
        return frozenset().union(*(x.present for x in labels)) or None
    if kind == "shares":
        return {n: round(s, 4) for x in labels for n, s in x.shares.items() if s} or None
    marks = [m for x in labels for m in x.marks]
    if kind == "boxes":
        return Counter((m.name, *(round(float(v), 2) for v in m.bounds)) for m in marks) or None
    if kind == "points":
        return Counter((m.name, round(m.x, 2), round(m.y, 2)) for m in marks) or None
    return Counter((m.name, tuple((int(x), int(y)) for x, y in m.xy)) for m in marks) or None


def foreground(photo: Photo, masks_only: bool) -> np.ndarray:
    """The class of every pixel that a mask or an outline gives one but background, else ''."""
    labels = [x for x in photo.labels_loaded() if isinstance(x, Mask if masks_only else Mask | Regions)]
    made = rasterise(labels, photo.vocabulary, *PHOTO.shape[:2])
    names = np.array([*photo.vocabulary.target.names, ""])
    one_K = made.sets_KC.sum(axis=1) == 1
    of_row = names[np.where(one_K, made.sets_KC.argmax(axis=1), len(names) - 1)]
    return np.where(np.isin(of_row, sorted(EVERY)), of_row, "")[made.index_HW]


@pytest.mark.parametrize("source", WRITERS)
@pytest.mark.parametrize("target", WRITERS)
def test_pair(source, target, in_format, tmp_path):
    before = in_format(source)
    if {source, target} <= OWN_LISTS and source != target:
        with pytest.raises(UsageError, match=f"{target} has no class"):
            l2m.convert(before, tmp_path / "set", to=target)
        before = before.choose(sorted(EVERY))
    if (source, target) == ("ade20k", "csv"):
        with pytest.raises(UsageError, match="column 'path'"):
            l2m.convert(before, tmp_path / "set", to=target)
        return
    written = l2m.convert(before, tmp_path / "set", to=target)
    after = l2m.open(written.path)
    scribbled = any(kind_name(x) == "scribbles" for photo in before for x in photo.labels)
    assert after.format == ("voc" if target == "scribblesup" and not scribbled else target)
    assert not after.notes
    assert {p.name for p in after} == {p.name for p in before}
    left_out = "\n".join(written.left_out)
    for photo in before:
        again = next(p for p in after if p.name == photo.name)
        for kind in {kind_name(x) for x in photo.labels} - {"mask", "regions"}:
            if kind in HOLDS[target]:
                assert said(again, kind) == said(photo, kind), kind
            else:
                assert kind in left_out, f"{kind} are dropped in silence"
        if HOLDS[target] & {"mask", "regions"}:
            assert (foreground(again, False) == foreground(photo, target in PAINTS)).all()
        elif photo.has_mask:
            assert "mask" in left_out or "regions" in left_out


def test_the_mixed_set_itself_comes_through(mixed, in_format):
    """Every kind that a format holds is there after the first conversion, so that the pairs have something to lose."""
    data = l2m.open(mixed)
    for name in WRITERS:
        there = {kind_name(x) for photo in in_format(name) for x in photo.labels}
        pixels = {"mask", "regions"} & there if HOLDS[name] & {"mask", "regions"} else set()
        assert there - pixels == {kind_name(x) for p in data for x in p.labels} & HOLDS[name] - {"mask", "regions"}
        assert bool(pixels) == bool(HOLDS[name] & {"mask", "regions"})


def test_the_command(mixed, tmp_path, capsys):
    assert cli.main(["convert", str(mixed), str(tmp_path / "voc"), "--to", "voc"]) == 0
    shown = capsys.readouterr().out.strip().split("\n")
    assert shown[-1] == f"written: {tmp_path / 'voc'}"
    assert len(shown) > 3 and all(line.startswith("left out: ") for line in shown[:-1])
    assert any("points, which voc has no place for: once, in photo 'p_3'" in line for line in shown)
    assert cli.main(["convert", str(tmp_path / "voc"), str(tmp_path / "sbd"), "--to", "sbd", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["written"] == str(tmp_path / "sbd") and any("boxes, which sbd" in s for s in told["left_out"])
    assert l2m.open(tmp_path / "sbd").splits == {"train": ("p_1", "p_2"), "val": ("p_3", "p_4")}
    assert cli.main(["convert", str(mixed), str(tmp_path / "voc"), "--to", "voc"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert cli.main(["convert", str(mixed), str(tmp_path / "x"), "--to", "citscapes"]) == 2
    assert "did you mean 'cityscapes'" in capsys.readouterr().err
