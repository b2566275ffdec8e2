"""The verb `crf tune`: what it returns, writes and draws."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import write_tiny_dataset
from prediction.colour_net import colour_model

import labels2masks as l2m
from labels2masks.classes import Classes
from labels2masks.errors import DataError, UsageError
from labels2masks.kernels.dense_crf import CRFParameters
from labels2masks.prediction.crf import crf_parameters
from labels2masks.report.crf_tuned import tuned_text

DISC_GROUND_BOX = Classes(("disc", "background", "box"), background="background")
"""What red, green and blue mean in the tiny data set."""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    write_tiny_dataset(folder / "tiny")
    return folder


@pytest.fixture(scope="module")
def model(place):
    return colour_model(place / "run", DISC_GROUND_BOX)


@pytest.fixture(scope="module")
def result(place, model):
    (place / "run" / "split.json").write_text(json.dumps({"train": ["photo09"], "val": []}))
    return l2m.crf_tune(place / "tiny", model, folds=2, evaluations=6, threads=1)


def test_scores_are_those_of_evaluate_and_the_file_is_what_predict_takes(result, place, model):
    assert result["split"] == "split 'val' of the data set" and result["photos"] == 4
    assert result["without"] == pytest.approx(l2m.evaluate(model, place / "tiny")["miou"], abs=1e-6)
    assert result["seen_in_training"] == 1 and result["evaluations"] == 6 and not result["complete"]
    assert result["file"] == str(place / "run" / "crf.json")
    assert crf_parameters(result["file"]) == CRFParameters(**result["parameters"])
    masks = place / "masks"
    l2m.predict(model, place / "tiny" / "images", masks, crf=result["file"])
    scored = l2m.evaluate(masks, place / "tiny", "val")
    assert result["chosen_on"] == pytest.approx(scored["miou"], abs=1e-6)
    assert scored["protocol"]["crf"].endswith("; tuned on 4 photos of tiny, split 'val' of the data set")
    assert result["gain"] == pytest.approx(result["held_out"] - result["without"], abs=2e-6)
    kept = json.loads(Path(result["file"]).read_text())
    assert len(kept["tried"]) == 6 and len(kept["folds"]) == 2 and kept["data"] == "tiny"
    assert kept["tried"][0]["miou"] == result["start"]


def test_the_plot_has_every_evaluation_and_a_line_for_each_parameter(result):
    root = ElementTree.fromstring(Path(result["plot"]).read_text(encoding="utf-8"))
    svg = "{http://www.w3.org/2000/svg}"
    text = " ".join(t.text or "" for t in root.iter(f"{svg}text"))
    assert all(name in text for name in ("bilateral weight", "bilateral, levels", "Gaussian, pixels", "held out"))
    marks = [c.get("class") for c in root.iter(f"{svg}circle")]
    assert marks.count("ring") == 1 + 5 and marks.count("dot") >= 6


def test_the_text_says_what_to_do(result):
    text = tuned_text(result)
    assert "held out" in text and result["file"] in text and "budget of 6 evaluations" in text
    assert "learnt from 1 of these" in text
    worse = {**result, "gain": -0.01, "seen_in_training": 0, "complete": True}
    assert "leave the CRF out" in tuned_text(worse) and "budget" not in tuned_text(worse)
    below = {**result, "gain": 0.01, "held_out": 0.5, "start": 0.6}
    assert "take that one" in tuned_text(below)


def test_a_broken_photo_is_left_out(tmp_path):
    root = write_tiny_dataset(tmp_path / "tiny")
    (root / "masks" / "photo10.png").write_bytes(b"no mask")
    model = colour_model(tmp_path / "run", DISC_GROUND_BOX)
    result = l2m.crf_tune(root, model, split="val", folds=2, evaluations=1, out=tmp_path / "x.json")
    assert result["photos"] == 3 and [s["image"] for s in result["skipped"]] == ["photo10"]
    assert "photos left out; the first: " in tuned_text(result)
    result = l2m.crf_tune(root, model, split="val", folds=2, minutes=1e-6, out=tmp_path / "x.json")
    assert result["evaluations"] == 1, "the time was over after predicting"


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"folds": 1}, UsageError, "2 folds or more"),
        ({"evaluations": 0}, UsageError, "1 evaluation"),
        ({"minutes": 0}, UsageError, "above 0"),
        ({"folds": 5}, DataError, "4 photos with masks"),
        ({"start": CRFParameters(0, 1, 1, 3, 3)}, UsageError, "can not start from a weight of 0"),
        ({"out": "crf.txt"}, UsageError, ".json"),
        ({"split": "vall"}, UsageError, "did you mean 'val'"),
    ],
)
def test_wrong_calls(options, error, says, place, model):
    with pytest.raises(error) as caught:
        l2m.crf_tune(place / "tiny", model, **options)
    assert says in str(caught.value)
