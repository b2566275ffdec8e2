"""The fused mean field against numpy, against pydensecrf, and against the CRF over all pairs of pixels.

`python tests/kernels/test_dense_crf.py` records pydensecrf.npz again; it needs the package pydensecrf2.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data, filters, transform

import labels2masks as l2m
from labels2masks.errors import UsageError
from labels2masks.grid import Grid
from labels2masks.kernels.dense_crf import (
    PRESETS,
    CRFParameters,
    dense_crf,
    dense_crf_batch,
    mean_field_reference,
    probabilities_from_labels,
    probabilities_from_scores,
)

RECORDED = Path(__file__).parent / "pydensecrf.npz"


def photo(name: str, height: int, width: int) -> np.ndarray:
    image = transform.resize(getattr(data, name)(), (height, width), anti_aliasing=True)
    return (image * 255).astype(np.uint8)


def network_like(labels: int, image_HW3: np.ndarray, seed: int = 0) -> np.ndarray:
    """probabilities_LHW as networks give them: coarse, nearly right, in large areas (here: of similar brightness)."""
    height, width = image_HW3.shape[:2]
    grey_HW = filters.gaussian(image_HW3.mean(axis=2), min(height, width) / 20, mode="nearest")
    area_HW = (grey_HW // 52).astype(int) % labels
    grid = Grid.square(6, 3)
    y_h, x_w = np.arange(3, height + 3, 6).clip(max=height - 1), np.arange(3, width + 3, 6).clip(max=width - 1)
    scores_Lhw = 6.0 * (np.arange(labels)[:, None, None] == area_HW[np.ix_(y_h, x_w)])
    scores_Lhw += np.random.default_rng(seed).normal(0, 1, scores_Lhw.shape)
    return probabilities_from_scores(scores_Lhw, grid, height, width)


def drawn(height: int = 30, width: int = 41) -> tuple[np.ndarray, np.ndarray]:
    """(image_HW3, probabilities_LHW of 3 labels): a disc on a ramp, noise, and a score map that is off by 4 pixels.

    In whole numbers as far as it decides anything, so that it is the same on every machine.
    """
    y_HW, x_HW = np.indices((height, width))
    disc_HW = (y_HW - 15) ** 2 + (x_HW - 20) ** 2 < 90
    noise_HW3 = (y_HW * 7919 + x_HW * 104729)[..., None] * np.array([3, 5, 11]) % 23
    image_HW3 = np.stack([disc_HW * 150 + 40, 60 + 3 * x_HW, 200 - 4 * y_HW], axis=-1) + noise_HW3
    off_HW = (y_HW - 11) ** 2 + (x_HW - 23) ** 2 < 110
    label_HW = np.where(off_HW, 1, np.where(x_HW + noise_HW3[..., 0] // 6 > 30, 2, 0))
    return image_HW3.astype(np.uint8), probabilities_from_labels(label_HW, 3, 0.6)


def pydensecrf(image_HW3: np.ndarray, probabilities_LHW: np.ndarray, preset: CRFParameters) -> np.ndarray:
    densecrf = pytest.importorskip("pydensecrf.densecrf", reason="the peer: pip install pydensecrf2")
    labels, height, width = probabilities_LHW.shape
    crf = densecrf.DenseCRF2D(width, height, labels)
    energy_LN = -np.log(np.clip(probabilities_LHW, 1e-5, 1)).reshape(labels, -1).astype(np.float32)
    crf.setUnaryEnergy(np.ascontiguousarray(energy_LN))
    crf.addPairwiseGaussian(sxy=preset.gaussian_xy, compat=preset.gaussian_weight)
    xy, rgb = preset.bilateral_xy, preset.bilateral_rgb
    crf.addPairwiseBilateral(sxy=xy, srgb=rgb, rgbim=image_HW3.copy(), compat=preset.bilateral_weight)
    return np.array(crf.inference(preset.iterations), np.float32).reshape(labels, height, width)


def exact_mean_field(image_HW3: np.ndarray, probabilities_LHW: np.ndarray, preset: CRFParameters) -> np.ndarray:
    """Algorithm 1 of the paper with both kernels as whole matrices, j = i included."""
    labels, height, width = probabilities_LHW.shape
    kernels = []
    for weight, sigma_xy, sigma_rgb in preset.kernels(height, width):
        y_HW, x_HW = np.indices((height, width)) / sigma_xy
        planes = [x_HW, y_HW, *(np.moveaxis(image_HW3 / sigma_rgb, -1, 0) if sigma_rgb else ())]
        f_ND = np.stack(planes, axis=-1).reshape(height * width, -1).astype(np.float32)
        square_N = (f_ND**2).sum(axis=1)
        k_NN = np.exp(np.minimum(f_ND @ f_ND.T - square_N[:, None] / 2 - square_N / 2, 0))
        n_N = k_NN.sum(axis=1) ** -0.5
        kernels.append(weight * n_N[:, None] * k_NN * n_N)
    unary_NL = np.log(np.maximum(probabilities_LHW, 1e-5)).reshape(labels, -1).T
    q_NL = np.exp(unary_NL)
    for _ in range(preset.iterations):
        q_NL /= q_NL.sum(axis=1, keepdims=True)
        logits_NL = unary_NL + sum(k_NN @ q_NL for k_NN in kernels)
        q_NL = np.exp(logits_NL - logits_NL.max(axis=1, keepdims=True))
    return (q_NL / q_NL.sum(axis=1, keepdims=True)).T.reshape(labels, height, width)


@st.composite
def cases(draw):
    """(image_HW3, probabilities_LHW, parameters, source_stride), down to 1x1 and one label."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.sampled_from([(1, 1), (1, 40), (33, 1), (7, 9), (34, 37), (20, 65)]))
    labels = draw(st.sampled_from([1, 2, 8, 9, 21, 32, 40]))
    image_HW3 = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    image_HW3 = image_HW3 // draw(st.sampled_from([1, 64, 255])) * draw(st.sampled_from([1, 64]))
    probabilities_LHW = rng.dirichlet(np.full(labels, 0.4), (height, width)).transpose(2, 0, 1).astype(np.float32)
    preset = PRESETS[draw(st.sampled_from(sorted(PRESETS)))]
    if draw(st.booleans()):
        preset = replace(preset, bilateral_weight=draw(st.sampled_from([0, 300])), gaussian_xy=0.001)
    return image_HW3, probabilities_LHW, replace(preset, iterations=draw(st.integers(0, 3))), draw(st.integers(1, 3))


@settings(max_examples=30)
@given(case=cases())
def test_the_fused_kernel_is_the_numpy_mean_field(case):
    image_HW3, probabilities_LHW, preset, stride = case
    marginals_LHW = dense_crf(image_HW3, probabilities_LHW, preset, source_stride=stride, prune=0)
    kernels = preset.kernels(*image_HW3.shape[:2])
    given_LHW = np.maximum(probabilities_LHW, np.float32(1e-5))
    expected_LHW = mean_field_reference(image_HW3, given_LHW, kernels, preset.iterations, stride)
    assert marginals_LHW.dtype == np.float32
    np.testing.assert_allclose(marginals_LHW.sum(axis=0), 1, atol=1e-5)
    # exp(300 q) makes much of a rounding.
    np.testing.assert_allclose(marginals_LHW, expected_LHW, atol=2e-5 if preset.bilateral_weight < 300 else 1e-2)


@pytest.mark.parametrize("preset", ["krahenbuhl", "deeplab_v2"])
def test_compatible_is_what_pydensecrf_gave(preset):
    image_HW3, probabilities_LHW = drawn()
    with np.load(RECORDED) as recorded:
        np.testing.assert_array_equal(image_HW3, recorded["image_HW3"])
        expected_LHW = recorded[preset]
    marginals_LHW = dense_crf(image_HW3, probabilities_LHW, preset, compatible=True)
    assert np.abs(marginals_LHW - expected_LHW).max() <= 2e-4
    np.testing.assert_array_equal(marginals_LHW.argmax(axis=0), expected_LHW.argmax(axis=0))
    assert (probabilities_LHW.argmax(axis=0) != expected_LHW.argmax(axis=0)).mean() > 0.01, "the CRF did something"


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize(("name", "labels"), [("coffee", 21), ("astronaut", 2)])
def test_compatible_is_pydensecrf(preset, name, labels):
    image_HW3 = photo(name, 120, 160)
    probabilities_LHW = network_like(labels, image_HW3)
    expected_LHW = pydensecrf(image_HW3, probabilities_LHW, PRESETS[preset])
    marginals_LHW = dense_crf(image_HW3, probabilities_LHW, preset, compatible=True)
    assert np.abs(marginals_LHW - expected_LHW).max() <= 2e-4
    np.testing.assert_array_equal(marginals_LHW.argmax(axis=0), expected_LHW.argmax(axis=0))


@pytest.mark.parametrize("name", ["coffee", "astronaut"])
def test_near_the_exact_crf(name):
    image_HW3, preset = photo(name, 48, 64), PRESETS["krahenbuhl"]
    probabilities_LHW = network_like(21, image_HW3)
    exact_LHW = exact_mean_field(image_HW3, probabilities_LHW, preset)
    marginals_LHW = dense_crf(image_HW3, probabilities_LHW, preset, compatible=True)
    assert (marginals_LHW.argmax(axis=0) == exact_LHW.argmax(axis=0)).mean() >= 0.985
    assert np.abs(marginals_LHW - exact_LHW).mean() < 0.0015
    assert (probabilities_LHW.argmax(axis=0) != exact_LHW.argmax(axis=0)).mean() > 0.02


def test_the_default_leaves_out_sources_and_labels_and_hardly_changes_the_mask():
    image_HW3 = photo("coffee", 240, 320)
    probabilities_LHW = network_like(21, image_HW3)
    probabilities_LHW[5:] *= 1e-4
    probabilities_LHW /= probabilities_LHW.sum(axis=0)
    kept = probabilities_LHW.max(axis=(1, 2)) > 1e-3
    assert 5 <= kept.sum() < 21
    full_LHW = dense_crf(image_HW3, probabilities_LHW, "krahenbuhl", compatible=True)
    quick_LHW = dense_crf(image_HW3, probabilities_LHW, "krahenbuhl")
    assert (quick_LHW.argmax(axis=0) == full_LHW.argmax(axis=0)).mean() > 0.995
    assert not quick_LHW[~kept].any() and full_LHW[~kept].max() < 2e-3
    mask_HW = dense_crf(image_HW3, probabilities_LHW, "krahenbuhl", mask=True)
    assert mask_HW.dtype == np.int32
    np.testing.assert_array_equal(mask_HW, quick_LHW.argmax(axis=0))


@pytest.mark.parametrize("labels", [2, 21])
def test_pixels_that_hardly_move_may_stay_silent(labels):
    image_HW3 = photo("coffee", 120, 160)
    probabilities_LHW = network_like(labels, image_HW3)
    full_LHW = dense_crf(image_HW3, probabilities_LHW, "krahenbuhl", prune=0)
    differences = []
    for tolerance in (1e-7, 1e-3, 0.1):
        quick_LHW = dense_crf(image_HW3, probabilities_LHW, "krahenbuhl", prune=0, tolerance=tolerance)
        np.testing.assert_allclose(quick_LHW.sum(axis=0), 1, atol=1e-4)
        differences.append(np.abs(quick_LHW - full_LHW).mean())
    assert differences[0] < 1e-5 < differences[2] and differences[1] < 2e-3 and differences == sorted(differences)


def test_tiles_give_what_the_whole_image_gives():
    """Windows share the lattice of the whole; far pixels, beyond the margin, are what they do not see."""
    image_HW3 = photo("coffee", 150, 200)
    parameters = CRFParameters(5, 10, 8, 2, 3)
    grid = Grid.square(8, 4)
    scores_Lhw = np.random.default_rng(0).normal(0, 2, (5, 19, 25)).astype(np.float32)
    given = {"scores_Lhw": scores_Lhw, "grid": grid}
    for options in ({"source_stride": 1}, {"source_stride": 2}, {"compatible": True}):
        whole_LHW = dense_crf(image_HW3, None, parameters, **given, **options)
        tiled_LHW = dense_crf(image_HW3, None, parameters, tile=65, **given, **options)
        assert (whole_LHW.argmax(axis=0) == tiled_LHW.argmax(axis=0)).mean() > 0.995
        assert np.abs(whole_LHW - tiled_LHW).mean() < 3e-3
        mask_HW = dense_crf(image_HW3, None, parameters, tile=65, mask=True, **given, **options)
        np.testing.assert_array_equal(mask_HW, tiled_LHW.argmax(axis=0))
    np.testing.assert_array_equal(dense_crf(image_HW3, None, parameters, tile=200, **given, **options), whole_LHW)


def test_a_disc_is_found_again():
    image_HW3, probabilities_LHW = drawn()
    y_HW, x_HW = np.indices(image_HW3.shape[:2])
    disc_HW = (y_HW - 15) ** 2 + (x_HW - 20) ** 2 < 90
    mask_HW = dense_crf(image_HW3, probabilities_LHW, "krahenbuhl", mask=True)
    before, after = ((m == 1) != disc_HW for m in (probabilities_LHW.argmax(axis=0), mask_HW))
    assert after.sum() < before.sum() / 2


def test_only_what_is_allowed():
    image_HW3, probabilities_LHW = drawn()
    allowed_LHW = np.ones(probabilities_LHW.shape, bool)
    allowed_LHW[1, :, :20] = False
    allowed_LHW[:, 0, 0] = False  # void: open
    marginals_LHW = dense_crf(image_HW3, probabilities_LHW, allowed_LHW=allowed_LHW)
    open_LHW = allowed_LHW | ~allowed_LHW.any(axis=0)
    assert not marginals_LHW[~open_LHW].any()
    np.testing.assert_allclose(marginals_LHW.sum(axis=0), 1, atol=1e-5)
    assert (marginals_LHW.argmax(axis=0)[:, 20:] == 1).any()
    with pytest.raises(UsageError, match="allowed_LHW of bool"):
        dense_crf(image_HW3, probabilities_LHW, allowed_LHW=allowed_LHW[:2])


def test_scores_on_a_grid_and_hard_labels():
    image_HW3 = photo("coffee", 40, 56)
    scores_Lhw = np.random.default_rng(0).normal(0, 3, (4, 5, 7)).astype(np.float32)
    probabilities_LHW = probabilities_from_scores(scores_Lhw, Grid.square(8, 4.5), 40, 56)
    np.testing.assert_allclose(probabilities_LHW.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities_LHW[:, 4::8, 4::8], probabilities_from_scores(scores_Lhw), atol=1e-6)
    np.testing.assert_array_equal(
        dense_crf(image_HW3, scores_Lhw=scores_Lhw, grid=Grid.square(8, 4.5)), dense_crf(image_HW3, probabilities_LHW)
    )
    hard_LHW = probabilities_from_labels(np.array([[0, 2, -1]]), 3, 0.7)
    np.testing.assert_allclose(hard_LHW[:, 0].T, [[0.7, 0.15, 0.15], [0.15, 0.15, 0.7], [1 / 3] * 3], rtol=1e-6)
    with pytest.raises(UsageError, match="either"):
        dense_crf(image_HW3, probabilities_LHW, scores_Lhw=scores_Lhw)


def test_memory_layout_does_not_matter():
    image_HW3 = photo("coffee", 50, 70)
    probabilities_LHW = network_like(9, image_HW3)
    expected_LHW = dense_crf(image_HW3, probabilities_LHW)
    turned = np.ascontiguousarray(image_HW3[::-1, ::-1])[::-1, ::-1]
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(probabilities_LHW, 0, -1)), -1, 0)
    np.testing.assert_array_equal(dense_crf(turned, last.astype(np.float64)), expected_LHW)
    image_HW3.flags.writeable = False
    np.testing.assert_array_equal(dense_crf(image_HW3, probabilities_LHW), expected_LHW)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_many_images_over_threads_give_what_one_gives(threads):
    images = [photo("coffee", 30 + i, 60) for i in range(7)]
    probabilities = [network_like(5, image_HW3, seed=i) for i, image_HW3 in enumerate(images)]
    expected = [dense_crf(*pair, "irn") for pair in zip(images, probabilities, strict=True)]
    results = dense_crf_batch(iter(images), iter(probabilities), "irn", threads=threads)
    for given_LHW, expected_LHW in zip(results, expected, strict=True):
        np.testing.assert_array_equal(given_LHW, expected_LHW)


def test_other_threads_run_meanwhile():
    image_HW3 = photo("coffee", 200, 300)
    probabilities_LHW = network_like(21, image_HW3)
    ticks = 0
    worker = threading.Thread(target=dense_crf, args=(image_HW3, probabilities_LHW), kwargs={"compatible": True})
    worker.start()
    while worker.is_alive():
        time.sleep(0.001)
        ticks += 1
    assert ticks >= 10


def test_255_labels():
    image_HW3 = photo("coffee", 20, 30)
    probabilities_LHW = network_like(255, image_HW3)
    marginals_LHW = dense_crf(image_HW3, probabilities_LHW, compatible=True)
    kernels = PRESETS["deeplab"].kernels(20, 30)
    expected_LHW = mean_field_reference(image_HW3, np.maximum(probabilities_LHW, np.float32(1e-5)), kernels, 10)
    np.testing.assert_allclose(marginals_LHW, expected_LHW, atol=2e-5)


@pytest.mark.parametrize("sigma", [1e-9, 1e-3, 1e9])
def test_tiny_and_huge_sigmas(sigma):
    image_HW3 = photo("coffee", 20, 30)
    probabilities_LHW = network_like(3, image_HW3)
    marginals_LHW = dense_crf(image_HW3, probabilities_LHW, CRFParameters(4, sigma, sigma, 3, sigma))
    np.testing.assert_allclose(marginals_LHW.sum(axis=0), 1, atol=1e-5)
    if sigma < 1:  # every pixel is alone and only grows surer of itself
        np.testing.assert_array_equal(marginals_LHW.argmax(axis=0), probabilities_LHW.argmax(axis=0))
    else:  # every pixel hears the same
        gain_LHW = marginals_LHW / np.maximum(probabilities_LHW, 1e-5)
        np.testing.assert_allclose(gain_LHW[1] / gain_LHW[0], gain_LHW[1, 0, 0] / gain_LHW[0, 0, 0], rtol=1e-3)


IMAGE, HALVES = np.zeros((2, 3, 3), np.uint8), np.full((2, 2, 3), 0.5, np.float32)


@pytest.mark.parametrize(
    ("image", "probabilities", "options", "message"),
    [
        (IMAGE.astype(np.float32), HALVES, {}, "mean-subtracted"),
        (IMAGE[..., :1], HALVES, {}, r"\(H, W, 3\)"),
        (IMAGE, HALVES[:, :, :2], {}, r"image of 2x3"),
        (IMAGE, HALVES * np.nan, {}, "NaN"),
        (IMAGE, HALVES * np.nan, {"prune": 0}, "NaN"),
        (IMAGE, HALVES * -1, {}, "hand over a softmax"),
        (IMAGE, HALVES * 8, {}, "scores_Lhw"),
        (IMAGE, HALVES * 0, {"least": 0.0}, "set `least` above 0"),
        (IMAGE, None, {"scores_Lhw": HALVES * np.nan}, "without NaN"),
        (IMAGE, HALVES, {"preset": "krahenbul"}, "did you mean 'krahenbuhl'"),
        (IMAGE, HALVES, {"compatible": True, "source_stride": 2}, "compatible=True"),
        (IMAGE, HALVES, {"source_stride": 0}, "1 or more"),
    ],
)
def test_what_can_not_be_used_is_refused(image, probabilities, options, message):
    with pytest.raises(UsageError, match=message):
        dense_crf(image, probabilities, **options)


def test_parameters_are_checked():
    for wrong in ({"bilateral_rgb": 0}, {"gaussian_weight": -1}, {"gaussian_xy": np.nan}, {"iterations": -1}):
        with pytest.raises(UsageError, match="standard deviations > 0"):
            replace(PRESETS["deeplab"], **wrong)


def test_numpy_is_all_it_needs_and_it_starts_at_once():
    """No other package of the environment is loaded, and less than a second of processor time goes by."""
    code = """
import sys, time, numpy as np, labels2masks
labels2masks.dense_crf(np.zeros((9, 9, 3), np.uint8), np.full((2, 9, 9), 0.5))
labels2masks.GaussianFilter(np.zeros((9, 2))).filter(np.zeros((9, 1)))
own = {"numpy", "labels2masks"}
foreign = {n.split(".")[0] for n, m in sys.modules.items() if "site-packages" in (getattr(m, "__file__", None) or "")}
print(time.process_time(), *sorted(foreign - own))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *foreign = done.stdout.split()
    assert float(seconds) < 1
    assert not {"torch", "torchvision", "cv2", "PIL", "skimage", "scipy", "pydantic", "timm"} & set(foreign)
    assert l2m.dense_crf is dense_crf


def record() -> None:
    image_HW3, probabilities_LHW = drawn()
    results = {name: pydensecrf(image_HW3, probabilities_LHW, PRESETS[name]) for name in ("krahenbuhl", "deeplab_v2")}
    np.savez_compressed(RECORDED, image_HW3=image_HW3, **results)


if __name__ == "__main__":
    record()
