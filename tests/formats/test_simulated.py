"""A data set whose masks become cheaper labels: on the command line, opened again, and what it costs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import labels2masks as l2m
from labels2masks import cli
from labels2masks.errors import DataError, UsageError
from labels2masks.labels import Mask, Region, Regions, kind_name
from labels2masks.labels.seconds import TABLES, read_seconds
from labels2masks.labels.simulate import KINDS


def told(capsys, *words: object) -> tuple[int, str, str]:
    code = cli.main([str(w) for w in words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.mark.parametrize("kind", KINDS)
def test_command_line_end_to_end(kind, tiny_dataset, tmp_path, capsys):
    code, out, _ = told(
        capsys, "simulate", tiny_dataset, tmp_path / "cheap", "--kind", kind, "--split", "train", "--json"
    )
    result = json.loads(out.strip().split("\n")[-1])
    assert code == 0 and result["photos"] == 8 and result["left_as_they_were"] == []
    assert 0 < result["seconds"]["2016"] < result["mask_seconds"]["2016"]
    before, after = l2m.open(tiny_dataset), l2m.open(result["path"])
    assert after.splits == before.splits and after.classes == before.classes
    expected = {"extreme": "boxes", "block": "mask"}.get(kind, kind)
    assert {kind_name(x) for p in after.split("train") for x in p.labels} == {expected}
    for old, new in zip(before.split("val"), after.split("val"), strict=True):
        assert new.image.samefile(old.image) and new.labels[0].path.samefile(old.labels[0].path)
    for old, new in zip(before.split("train"), after.split("train"), strict=True):
        truth_HW = old.labels_loaded()[0].ids_HW
        allowed_CHW = new.candidates(*truth_HW.shape).allowed()
        known_HW = (truth_HW < 255) & allowed_CHW.any(axis=0)
        chosen_HW = np.take_along_axis(allowed_CHW, np.where(truth_HW < 255, truth_HW, 0)[None], axis=0)[0]
        assert chosen_HW[known_HW].all()
    sizes = [np.mean(p.labels_loaded()[0].ids_HW != 255) for p in after.split("train")] if kind == "block" else []
    assert all(size <= 1 / 16 for size in sizes)


def test_a_label_depends_on_the_seed_and_the_photos_name_alone(tiny_dataset, tmp_path):
    data = l2m.open(tiny_dataset)
    some = data.subset([p.name for p in data][3:6])

    def labels(of, name, **options):
        made = l2m.simulate(of, tmp_path / f"{name}.jsonl", "scribbles", noise=True, **options)
        return {p.name: p.labels for p in l2m.open(made.path)}

    first, again, part, other = labels(data, "a"), labels(data, "b"), labels(some, "c"), labels(data, "d", seed=1)
    assert first == again and first != other
    assert part == {name: first[name] for name in part} and len(part) == 3


def test_what_it_costs_by_each_table_and_by_your_own(tiny_dataset, tmp_path, capsys):
    mine = tmp_path / "mine.json"
    mine.write_text('{"boxes": 9.5}')
    words = ("simulate", tiny_dataset, tmp_path / "boxed", "--kind", "boxes", "--seconds", mine)
    code, out, _ = told(capsys, *words)
    assert code == 0 and all(f"at the seconds of {name}" in out for name in ("2016", "today", "mine.json"))
    for photo in l2m.open(tmp_path / "boxed"):
        assert photo.labels[0].seconds == 9.5 * len(photo.labels[0].marks) + 2 - len(
            {m.name for m in photo.labels[0].marks}
        )
    table = read_seconds(mine)
    assert table.per_mark["mask"] == 79 and table.source["boxes"] == "mine.json"
    assert all(t.per_mark.keys() == t.source.keys() for t in TABLES.values())
    assert read_seconds("today").per_mark["boxes"] == 7
    for text, words in (('{"box": 1}', "did you mean 'boxes'"), ('{"boxes": -1}', "0 or more"), ("[1]", "an object")):
        mine.write_text(text)
        with pytest.raises(DataError, match=words):
            read_seconds(mine)
    with pytest.raises(UsageError, match="2016, today"):
        read_seconds("2015")


def test_photos_without_masks_and_existing_files_are_left_alone(tiny_dataset, tmp_path, capsys):
    data = l2m.open(tiny_dataset)
    bare = replace(data, photos=(replace(data.photos[0], labels=()), *data.photos[1:]))
    made = l2m.simulate(bare, tmp_path / "cheap.jsonl", "points")
    assert made.photos == 11 and made.left_as_they_were == (data.photos[0].name,)
    code, _, err = told(capsys, "simulate", tiny_dataset, tmp_path / "cheap.jsonl", "--kind", "points")
    assert code == 2 and "exists already" in err
    with pytest.raises(UsageError, match="no photo has a full mask"):
        l2m.simulate(replace(data, photos=bare.photos[:1]), tmp_path / "none.jsonl", "points")
    code, _, err = told(capsys, "simulate", tiny_dataset, tmp_path / "x", "--kind", "points", "--split", "trian")
    assert code == 2 and "did you mean 'train'" in err


def test_outlined_objects_that_touch_get_a_box_each(tiny_dataset, tmp_path):
    data = l2m.open(tiny_dataset)
    photo = data.photos[0]
    ids_HW = np.zeros((48, 64), np.int32)
    ids_HW[10:30, 10:40] = 1
    rings = [np.array([[x, 10], [x + 15, 10], [x + 15, 30], [x, 30]], np.float32) for x in (10, 25)]
    outlines = Regions(tuple(Region("disc", ((ring,),)) for ring in rings))
    known = replace(data, photos=(replace(photo, labels=(Mask(ids_HW=ids_HW), outlines)),), splits={})
    made = l2m.simulate(known, tmp_path / "boxes.jsonl", "boxes")
    (opened,) = l2m.open(made.path)
    assert [b.bounds for b in opened.labels[0].marks] == [(10, 10, 25, 30), (25, 10, 40, 30)]
    assert len(opened.labels) == 1
