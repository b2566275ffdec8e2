"""Runs beside each other: the right differences, honest bands, and a clear line where runs can not be compared."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import labels2masks as l2m
from labels2masks import cli
from labels2masks.classes import Classes
from labels2masks.errors import DataError, UsageError
from labels2masks.evaluation import PerPhoto
from labels2masks.report.compare import compare, compare_text

CLASSES = Classes(("ground", "<cat>", "dog"))


def truths(photos: int = 40, seed: int = 0) -> dict[str, np.ndarray]:
    """Photos of 10x10: cats in all, a dog in two."""
    made = {}
    for i in range(photos):
        truth_HW = np.zeros((10, 10), int)
        truth_HW[: 2 + i % 5] = 1
        truth_HW[9, :3] = 2 if i < 2 else 0
        truth_HW[5, 0] = -1
        made[f"photo {i}"] = truth_HW
    return made


def run(folder: Path, wrong: float, truth: dict[str, np.ndarray], classes: Classes = CLASSES, seed: int = 0) -> Path:
    """A run folder with what compare reads; a share of the cats' pixels is called ground."""
    draw = np.random.default_rng(seed)
    scored = PerPhoto(classes)
    for name, truth_HW in truth.items():
        lost_HW = (truth_HW == 1) & (draw.random((10, 10)) < wrong)
        scored.add(name, np.where(lost_HW, 0, np.maximum(truth_HW, 0)), np.full((10, 10), 0.9), truth_HW)
    folder.mkdir(parents=True)
    scored.save(folder / "confusions.npz")
    settings = {"network": "tiny", "encoder": None}
    (folder / "plan.json").write_text(json.dumps({"settings": settings, "labelling_seconds": 7200}))
    (folder / "metrics.json").write_text(json.dumps({"minutes": 3.0, "miou": scored.confusion.miou}))
    return folder


@pytest.fixture
def pair(tmp_path):
    return run(tmp_path / "a", 0.4, truths()), run(tmp_path / "b", 0.2, truths(), seed=1)


def test_differences_and_bands(pair, tmp_path):
    found = compare(pair, tmp_path / "out", resamples=2000)
    first, second = found["runs"]
    for folder, row in zip(pair, found["runs"], strict=True):
        assert row["miou"] == pytest.approx(json.loads((folder / "metrics.json").read_text())["miou"])
        assert row["band"][0] < row["miou"] < row["band"][1]
    assert first["difference"] is first["difference_band"] is None
    assert second["difference"] == pytest.approx(second["miou"] - first["miou"])
    low, high = second["difference_band"]
    assert 0 < low < second["difference"] < high
    assert high - low < second["band"][1] - second["band"][0] + first["band"][1] - first["band"][0]
    cat, dog = found["classes"][1:]
    assert cat["photos"] == 40 and cat["difference"][0] > 0.15 and cat["difference_band"][0][0] > 0
    assert dog["photos"] == 2 and dog["difference"] == [0] and dog["difference_band"] == [None]
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == json.loads(json.dumps(found))
    assert compare(pair, resamples=2000) == {**found, "picture": None}


def test_the_order_of_the_photos_does_not_matter(tmp_path):
    turned = dict(reversed(list(truths().items())))
    a, b = run(tmp_path / "a", 0, truths()), run(tmp_path / "b", 0, turned)
    found = compare([a, b], resamples=100)["runs"][1]
    assert found["difference"] == 0 and found["difference_band"] == (0, 0)


def test_the_picture_is_drawn_and_escaped(pair, tmp_path):
    third = run(tmp_path / "c & d", 0.6, truths(), seed=2)
    found = compare([*pair, third], tmp_path / "out", resamples=50)
    root = ElementTree.parse(found["picture"]).getroot()
    said = "".join(root.itertext())
    assert "<cat>" in said and "c & d" in said and "mIoU: +" in said
    assert {e.tag.split("}")[1] for e in root.iter()} <= {"svg", "title", "style", "rect", "line", "text", "circle"}


def test_the_text_says_who_is_better_and_what_it_rests_on(pair, tmp_path):
    text = compare_text(compare(pair, resamples=500))
    assert "b is better than a" in text and "500 resamples of the 40 photos" in text and "seed 0" in text
    assert "2.0 h" in text and "fewer than 5 photos" in text
    again = run(tmp_path / "again", 0.4, truths(), seed=5)
    assert "can not tell which is better" in compare_text(compare([pair[0], again], resamples=500))
    few = [run(tmp_path / f"few{i}", i / 2, truths(6)) for i in range(2)]
    assert "too narrow" in compare_text(compare(few, resamples=50)) and "few1 is worse" in compare_text(compare(few))


def test_runs_that_can_not_be_compared_are_refused(pair, tmp_path):
    other = truths()
    other["photo 3"] = np.where(other["photo 3"] == 1, 0, other["photo 3"])
    refused = {
        "two runs or more, got 1": [pair[0]],
        "named twice": [pair[0], pair[0]],
        "other photos than .* 5 are in one only, such as 'photo 35'": [pair[0], run(tmp_path / "p", 0, truths(35))],
        "'photo 3' has another truth": [pair[0], run(tmp_path / "t", 0, other)],
        "in the classes": [pair[0], run(tmp_path / "k", 0, truths(), Classes(("ground", "cat", "dog")))],
        "no finished run": [pair[0], tmp_path / "nowhere"],
    }
    for words, runs in refused.items():
        with pytest.raises(UsageError, match=words) as caught:
            compare(runs)
        assert "\n" not in str(caught.value)
    (pair[1] / "metrics.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        compare(pair)


def test_the_command(pair, tmp_path, capsys):
    words = ["compare", str(pair[0]), str(pair[1]), "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0 and "b is better than a" in capsys.readouterr().out
    assert cli.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["picture"] == str(tmp_path / "out" / "comparison.svg")
    assert cli.main(words[:2]) == 2 and "two runs" in capsys.readouterr().err
    assert l2m.compare is compare
