"""Masks after a dense CRF: by name or file, what is applied is said, and folders are not mixed."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from conftest import write_tiny_dataset
from prediction.colour_net import colour_model

from labels2masks.classes import Classes
from labels2masks.errors import DataError, UsageError
from labels2masks.evaluation.evaluate import evaluate
from labels2masks.formats.image import read_image
from labels2masks.kernels.dense_crf import PRESETS, dense_crf
from labels2masks.prediction.crf import crf_parameters, in_words, write_crf
from labels2masks.prediction.predict import predict
from labels2masks.prediction.write import read_predicted

DISC_GROUND_BOX = Classes(("disc", "background", "box"), background="background")
"""What red, green and blue mean in the tiny data set."""


def test_masks_are_those_of_the_crf_and_the_card_says_so(tmp_path):
    root = write_tiny_dataset(tmp_path / "tiny", photos=3)
    model = colour_model(tmp_path / "run", DISC_GROUND_BOX)
    result = predict(model, root / "images", tmp_path / "out", crf="krahenbuhl", also="scores")
    words = "bilateral 10 (80 px, 13 levels), Gaussian 3 (3 px), 10 steps"
    assert result["crf"] == words and result["predicted"] == 3
    image_HW3 = read_image(root / "images" / "photo01.png")
    probabilities_CHW = model.predict_scores(image_HW3)
    mask_HW = read_predicted(tmp_path / "out" / "photo01.png", model.classes)
    np.testing.assert_array_equal(mask_HW, dense_crf(image_HW3, probabilities_CHW, "krahenbuhl", mask=True))
    assert (mask_HW != probabilities_CHW.argmax(axis=0)).any()
    with np.load(tmp_path / "out" / "scores" / "photo01.npz") as saved:
        np.testing.assert_allclose(saved["probabilities_CHW"], probabilities_CHW, atol=1e-3)
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["crf"] == words
    assert evaluate(tmp_path / "out", root)["protocol"]["crf"] == words
    assert predict(model, root / "images", tmp_path / "out", crf="krahenbuhl")["already_there"] == 3
    for other in (None, "deeplab"):
        with pytest.raises(UsageError, match="with another CRF"):
            predict(model, root / "images", tmp_path / "out", crf=other)
    assert predict(model, root / "images", tmp_path / "plain")["crf"] is None
    with pytest.raises(UsageError, match=r"another CRF \(none, not bilateral"):
        predict(model, root / "images", tmp_path / "plain", crf="deeplab")


def test_a_file_comes_back(tmp_path):
    parameters = replace(PRESETS["deeplab"], gaussian_weight=0.0, bilateral_xy=33.3, iterations=7)
    path = write_crf(tmp_path / "crf.json", parameters, {"gain": 0.01})
    assert crf_parameters(path) == crf_parameters(str(path)) == crf_parameters(parameters) == parameters
    assert json.loads(path.read_text())["gain"] == 0.01
    tuned = write_crf(tmp_path / "tuned.json", PRESETS["irn"], {"tuned_on": "4 photos of tiny"})
    assert in_words(tuned) == in_words("irn") + "; tuned on 4 photos of tiny" and in_words(path) == in_words(parameters)
    assert in_words(parameters) == "bilateral 4 (33.3 px, 5 levels), 7 steps"
    assert in_words(replace(parameters, bilateral_weight=0.0)) == in_words(replace(parameters, iterations=0)) == "none"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("[]", "no CRF parameters"),
        ("{}", "KeyError: 'parameters'"),
        ('{"parameters": {"bilateral_weight": 3}}', "expected bilateral_weight, bilateral_xy"),
        (json.dumps({"parameters": {**asdict(PRESETS["irn"]), "bilateral_xy": -1}}), "standard deviations > 0"),
        (json.dumps({"parameters": {**asdict(PRESETS["irn"]), "bilateral_xy": "wide"}}), "TypeError"),
    ],
)
def test_other_files_are_refused(text, says, tmp_path):
    (tmp_path / "crf.json").write_text(text)
    with pytest.raises(DataError) as caught:
        crf_parameters(tmp_path / "crf.json")
    assert says in str(caught.value) and "crf.json" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="did you mean 'krahenbuhl'"):
        crf_parameters("krahenbul")
