"""The verb `crf`: what a file of scores is taken for, the masks step by step, and what the picture shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prediction.colour_net import colour_model

import labels2masks as l2m
from labels2masks.classes import Classes
from labels2masks.errors import DataError, UsageError
from labels2masks.formats.image import read_mask
from labels2masks.kernels.dense_crf import PRESETS, dense_crf
from labels2masks.prediction.saved_scores import read_scores
from labels2masks.report.crf_steps import GAP, SMALLEST, crf_steps, steps_picture
from labels2masks.report.pictures import HEAD

H, W = 30, 40


def scene() -> tuple[np.ndarray, np.ndarray]:
    """(image_HW3, scores_LHW): a bright square; scores that are noisy and off by 3 pixels."""
    rng = np.random.default_rng(0)
    image_HW3 = np.full((H, W, 3), 60, np.uint8)
    image_HW3[8:22, 10:28] = (200, 80, 60)
    scores_LHW = rng.normal(0, 1, (3, H, W)).astype(np.float32)
    scores_LHW[0] += 2
    scores_LHW[1, 11:25, 13:31] += 4
    return image_HW3 + rng.integers(0, 12, image_HW3.shape, np.uint8), scores_LHW


def softmax(scores_LHW: np.ndarray) -> np.ndarray:
    relative_LHW = np.exp(scores_LHW - scores_LHW.max(axis=0))
    return relative_LHW / relative_LHW.sum(axis=0)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(scene()[0]).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_steps_are_those_of_the_crf():
    image_HW3, scores_LHW = scene()
    probabilities_LHW, preset = softmax(scores_LHW), PRESETS["krahenbuhl"]
    masks = crf_steps(image_HW3, probabilities_LHW, preset)
    assert list(masks) == [0, 1, 2, 5, 10]
    np.testing.assert_array_equal(masks[0], scores_LHW.argmax(axis=0))
    np.testing.assert_array_equal(masks[10], dense_crf(image_HW3, probabilities_LHW, preset, mask=True))
    square_HW = np.zeros((H, W), bool)
    square_HW[8:22, 10:28] = True
    wrong = [((mask_HW == 1) != square_HW).sum() for mask_HW in masks.values()]
    assert wrong[-1] < wrong[1] < wrong[0], "every step mends something"
    assert list(crf_steps(image_HW3, probabilities_LHW, replace(preset, iterations=3))) == [0, 1, 2, 3]
    assert list(crf_steps(image_HW3, probabilities_LHW, replace(preset, iterations=0))) == [0]


def test_the_picture_shows_what_changed():
    image_HW3 = np.full((H, W, 3), 100, np.uint8)
    classes = Classes(("ground", "thing"), ((0, 0, 0), (255, 0, 0)), "ground")
    before_HW, after_HW = np.zeros((H, W), np.int32), np.zeros((H, W), np.int32)
    after_HW[:, W // 2 :] = 1
    picture = steps_picture(image_HW3, {0: before_HW, 10: after_HW}, classes)
    # Photo, scores, ten steps, changes; then the classes in a second row.
    panel_w, panel_h = SMALLEST, round(H * SMALLEST / W)
    assert picture.shape == (2 * (HEAD + panel_h + GAP) + GAP, 4 * (panel_w + GAP) + GAP, 3)
    changes = picture[HEAD : HEAD + panel_h, GAP + 3 * (panel_w + GAP) :][:, :panel_w]
    assert (changes[:, panel_w // 2 + 1 :] == (255, 0, 0)).all()
    grey = changes[:, : panel_w // 2 - 1]
    assert (grey == grey[..., :1]).all() and grey.min() > 150
    tall = steps_picture(np.zeros((3000, 1, 3), np.uint8), {0: np.zeros((3000, 1), np.int32)}, classes)
    assert tall.size < 10_000_000


def test_a_file_of_scores_becomes_a_mask_and_a_picture(photo, tmp_path):
    image_HW3, scores_LHW = scene()
    np.save(tmp_path / "scores.npy", scores_LHW)
    result = l2m.crf(photo, tmp_path / "scores.npy", preset="krahenbuhl", out=tmp_path / "out")
    mask_HW = read_mask(result["mask"])
    np.testing.assert_array_equal(mask_HW, dense_crf(image_HW3, softmax(scores_LHW), "krahenbuhl", mask=True))
    assert result["changed"] == (mask_HW != scores_LHW.argmax(axis=0)).sum() > 50
    assert result["read_as"] == "scores" and result["crf"].startswith("bilateral 10 (80 px, 13 levels)")
    first = Path(result["picture"]).read_bytes()
    assert Image.open(result["picture"]).width > 4 * SMALLEST
    l2m.crf(photo, tmp_path / "scores.npy", preset="krahenbuhl", out=tmp_path / "out")
    assert Path(result["picture"]).read_bytes() == first


def test_a_model_predicts_the_scores(photo, tmp_path):
    model = colour_model(tmp_path / "run")
    result = l2m.crf(photo, run=model, preset="krahenbuhl", out=tmp_path / "out")
    said = model.predict_scores(scene()[0])
    expected_HW = dense_crf(scene()[0], said, "krahenbuhl", mask=True)
    np.testing.assert_array_equal(read_mask(result["mask"]), np.array(model.classes.file_ids)[expected_HW])
    with pytest.raises(UsageError, match="--model RUN"):
        l2m.crf(photo, out=tmp_path)
    with pytest.raises(UsageError, match="--model RUN"):
        l2m.crf(photo, tmp_path / "scores.npy", run=model, out=tmp_path)


def test_scores_and_probabilities_are_told_apart(tmp_path):
    _, scores_LHW = scene()
    probabilities_LHW = softmax(scores_LHW)
    np.save(tmp_path / "scores.npy", scores_LHW)
    np.save(tmp_path / "probabilities.npy", probabilities_LHW.astype(np.float16))
    names = np.array(["ground", "square", "other"])
    np.savez(tmp_path / "named.npz", probabilities_CHW=probabilities_LHW, classes=names)
    for name, read_as in (("scores.npy", "scores"), ("probabilities.npy", "probabilities"), ("named.npz",) * 2):
        said = read_scores(tmp_path / name, H, W)
        assert said.read_as == read_as.replace("named.npz", "probabilities")
        np.testing.assert_allclose(said.probabilities_LHW, probabilities_LHW, atol=1e-3)
        np.testing.assert_array_equal(said.mask_HW, said.probabilities_LHW.argmax(axis=0))
    assert said.classes.names == tuple(names)


def test_coarse_cells_lie_evenly_over_the_photo(tmp_path):
    """A ramp is a ramp at every size: cell i of 10 across 40 pixels is centred at pixel 4 i + 2."""
    ramp_w = np.arange(10, dtype=np.float32)
    np.save(tmp_path / "ramp.npy", np.stack([np.zeros((8, 10), np.float32), np.tile(ramp_w, (8, 1))]))
    probabilities_LHW = read_scores(tmp_path / "ramp.npy", H, W).probabilities_LHW
    logit_HW = np.log(probabilities_LHW[1] / probabilities_LHW[0])
    expected_W = ((np.arange(W) + 0.5 - 2) / 4).clip(0, 9)
    np.testing.assert_allclose(logit_HW, np.tile(expected_W, (H, 1)), atol=1e-3)


def test_hard_labels_keep_their_ids_and_255_is_unsure(photo, tmp_path):
    ids_HW = np.zeros((H, W), np.uint8)
    ids_HW[8:22, 10:28] = 12
    ids_HW[:, 28:34] = 255
    Image.fromarray(ids_HW).save(tmp_path / "labels.png")
    said = read_scores(tmp_path / "labels.png", H, W)
    assert said.read_as == "labels" and said.classes.file_ids == (0, 12)
    np.testing.assert_allclose(said.probabilities_LHW[:, 10, [0, 12, 30]], [[0.7, 0.3, 0.5], [0.3, 0.7, 0.5]])
    assert (said.mask_HW[:, 28:34] == -1).all()
    result = l2m.crf(photo, tmp_path / "labels.png", out=tmp_path / "out")
    mask_HW = read_mask(result["mask"])
    assert set(np.unique(mask_HW)) == {0, 12} and (mask_HW[:8, 28:34] == 0).all()
    assert "bilateral 10 (50 px" in result["crf"], "the preset for hard labels"
    assert result["changed"] >= (ids_HW == 255).sum()


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((3, W, H), np.float32), "expected (labels, h, w)"),
        (np.zeros((H, W, 3), np.float32), "expected (labels, h, w)"),
        (np.zeros((3, 2 * H, 2 * W), np.float32), "expected (labels, h, w)"),
        (np.zeros((3, H, W), np.int64), "expected floats"),
        (np.zeros((H, W), np.float32), "expected floats"),
        (np.full((3, H, W), np.nan), "NaN"),
        (np.zeros((W, H), np.uint8), "must be equal"),
        (np.full((H, W), 255, np.uint8), "two or more"),
    ],
)
def test_what_does_not_fit_is_refused(array, says, tmp_path):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError) as caught:
        read_scores(tmp_path / "x.npy", H, W)
    assert says in str(caught.value) and "x.npy" in str(caught.value)


def test_files_that_are_none(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"no zip")
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    for name, says in (("x.npz", "no readable array"), ("y.npy", "no such file"), ("two.npz", "holds a, b")):
        with pytest.raises(DataError, match=says):
            read_scores(tmp_path / name, H, W)
