"""The dense CRF at its edges: sizes, constant images, label counts, sigmas, layouts, threads, and code without AVX2."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from labels2masks.errors import UsageError
from labels2masks.kernels import extension
from labels2masks.kernels.dense_crf import PRESETS, CRFParameters, dense_crf, dense_crf_batch

SMALL = CRFParameters(4, 20, 10, 3, 3)


def scene(labels: int, height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(image_HW3 of noisy stripes, probabilities_LHW that are random)."""
    rng = np.random.default_rng(seed)
    image_HW3 = rng.integers(0, 30, (height, width, 3), dtype=np.uint8) + np.uint8(90) * (np.arange(width) // 9 % 3)[
        :, None
    ].astype(np.uint8)
    probabilities_LHW = rng.random((labels, height, width), np.float32) + np.float32(0.05)
    return image_HW3, probabilities_LHW / probabilities_LHW.sum(axis=0)


def test_4000x3000_is_at_its_far_corner_what_the_corner_alone_is():
    """Where 32 bits overflow it would be there. About 5 s of processor time and 1 GB."""
    height, width, margin, inside = 3000, 4000, 120, 200
    y_H1, x_W = np.arange(height)[:, None], np.arange(width)
    image_HW3 = np.empty((height, width, 3), np.uint8)
    for channel, level_HW in enumerate((x_W // 16 + 0 * y_H1, y_H1 // 12 + 0 * x_W, (x_W + y_H1) // 28)):
        image_HW3[..., channel] = level_HW * 37
    first_HW = ((x_W * 7919 + y_H1 * 104729) % 101 / 100 * 0.8 + 0.1).astype(np.float32)
    probabilities_LHW = np.stack([first_HW, 1 - first_HW])
    once = CRFParameters(4, 20, 10, 3, 3, iterations=1)
    mask_HW = dense_crf(image_HW3, probabilities_LHW, once, mask=True)
    corner = np.s_[height - margin - inside :, width - margin - inside :]
    corner_HW = dense_crf(image_HW3[corner], probabilities_LHW[:, *corner], once, mask=True, source_stride=2)
    assert 0.2 < corner_HW.mean() < 0.8
    assert (mask_HW[corner] == corner_HW)[margin:, margin:].mean() > 0.98


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 4000), (4000, 1), (31, 33), (32, 32), (33, 65), (3, 700)])
@pytest.mark.parametrize("stride", [1, 2, 5])
def test_every_size_and_stride(size, stride):
    image_HW3, probabilities_LHW = scene(3, *size)
    marginals_LHW = dense_crf(image_HW3, probabilities_LHW, source_stride=stride)
    assert marginals_LHW.shape == (3, *size) and marginals_LHW.min() >= 0
    np.testing.assert_allclose(marginals_LHW.sum(axis=0), 1, atol=1e-5)
    mask_HW = dense_crf(image_HW3, probabilities_LHW, source_stride=stride, mask=True)
    np.testing.assert_array_equal(mask_HW, marginals_LHW.argmax(axis=0))


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_constant_image(level, preset):
    image_HW3 = np.full((40, 50, 3), level, np.uint8)
    alike_LHW = dense_crf(image_HW3, np.full((5, 40, 50), 0.2), preset)
    np.testing.assert_allclose(alike_LHW, 0.2, rtol=1e-5)
    # No colour to hold on to: the larger side takes the pixels of the smaller that are near it and unsure.
    sure_LHW = np.full((2, 40, 50), 0.9, np.float32)
    sure_LHW[1] = 0.1
    assert (dense_crf(image_HW3, sure_LHW, preset)[0] > 0.99).all()


@pytest.mark.parametrize("at", [(0, 0, 0), (2, 6, 8), (1, 3, 5), (0, 5, 7)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.1, 1.2])
@pytest.mark.parametrize("options", [{}, {"prune": 0}, {"source_stride": 2}, {"compatible": True}])
def test_one_bad_value_anywhere_is_refused(at, value, options):
    """Also at a pixel that sends no message, and in a label that is improbable everywhere else."""
    image_HW3, probabilities_LHW = scene(3, 7, 9)
    probabilities_LHW[at[0]] = 1e-6
    probabilities_LHW[at] = value
    if value < 0 and options.get("prune", 1e-3) and not options.get("compatible"):
        # A label that is nowhere probable is not read, so that -0.1 there changes nothing.
        dense_crf(image_HW3, probabilities_LHW, **options)
    else:
        with pytest.raises(UsageError, match="NaN or values beyond 0..1"):
            dense_crf(image_HW3, probabilities_LHW, **options)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_bad_score_is_refused(value):
    image_HW3, scores_LHW = scene(3, 7, 9)
    scores_LHW[1, 6, 8] = value
    with pytest.raises(UsageError, match=r"without NaN and \+inf"):
        dense_crf(image_HW3, scores_Lhw=scores_LHW)


def test_one_label_is_certain():
    image_HW3, _ = scene(1, 20, 30)
    np.testing.assert_allclose(dense_crf(image_HW3, np.full((1, 20, 30), 0.3)), 1, rtol=1e-6)
    assert not dense_crf(image_HW3, np.ones((1, 20, 30)), mask=True).any()


def test_255_labels_in_another_order_are_the_same_labels():
    image_HW3, probabilities_LHW = scene(255, 24, 40)
    marginals_LHW = dense_crf(image_HW3, probabilities_LHW, SMALL)
    order = np.random.default_rng(1).permutation(255)
    turned_LHW = dense_crf(image_HW3, probabilities_LHW[order], SMALL)
    np.testing.assert_allclose(turned_LHW, marginals_LHW[order], atol=1e-5)
    mask_HW = dense_crf(image_HW3, probabilities_LHW, SMALL, mask=True)
    np.testing.assert_array_equal(mask_HW, marginals_LHW.argmax(axis=0))
    assert len(np.unique(mask_HW)) > 20


@pytest.mark.skipif(extension() is None, reason="the limit of the compiled kernel")
def test_too_many_labels_are_refused():
    image_HW3, probabilities_LHW = scene(1025, 2, 2)
    with pytest.raises(UsageError, match="raise `prune`"):
        dense_crf(image_HW3, probabilities_LHW, prune=0)
    assert dense_crf(image_HW3, probabilities_LHW, prune=1.5 / 1025).shape == (1025, 2, 2)


@pytest.mark.parametrize("xy", [1e-30, 1e-3, 0.4, 1e4, 1e30])
@pytest.mark.parametrize("rgb", [1e-30, 0.1, 1e30])
@pytest.mark.parametrize("stride", [1, 2])
def test_sigmas_of_every_size_together(xy, rgb, stride):
    image_HW3, probabilities_LHW = scene(3, 33, 41)
    for preset in (CRFParameters(4, xy, rgb, 3, 3), CRFParameters(4, 20, rgb, 3, xy), CRFParameters(0, 1, 1, 3, xy)):
        marginals_LHW = dense_crf(image_HW3, probabilities_LHW, preset, source_stride=stride)
        assert np.isfinite(marginals_LHW).all()
        np.testing.assert_allclose(marginals_LHW.sum(axis=0), 1, atol=1e-5)


def test_weights_of_every_size():
    image_HW3, probabilities_LHW = scene(3, 33, 41)
    probabilities_LHW[:, 0, 0] = 1, 0, 0
    for weight in (1e-30, 30, 1e4, 1e30):
        marginals_LHW = dense_crf(image_HW3, probabilities_LHW, CRFParameters(weight, 20, 10, weight, 3))
        np.testing.assert_allclose(marginals_LHW.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(
        dense_crf(image_HW3, probabilities_LHW, CRFParameters(0, 20, 10, 0, 3), mask=True), probabilities_LHW.argmax(0)
    )


def test_any_view_of_memory_gives_the_same():
    image_HW3, probabilities_LHW = scene(4, 30, 45)
    allowed_LHW = probabilities_LHW > 0.1
    expected_LHW = dense_crf(image_HW3, probabilities_LHW, SMALL, allowed_LHW=allowed_LHW)
    wide_HW6 = np.zeros((60, 90, 6), np.uint8)
    wide_HW6[1::2, ::2, 5:2:-1] = image_HW3
    planes_LHW = np.full((8, 30, 45), np.nan)
    planes_LHW[::-2] = probabilities_LHW
    views = (
        (wide_HW6[1::2, ::2, 5:2:-1], planes_LHW[::-2], np.asfortranarray(allowed_LHW)),
        (np.asfortranarray(image_HW3), np.asfortranarray(probabilities_LHW), allowed_LHW[:, ::-1][:, ::-1]),
        (image_HW3.astype(np.dtype("u1")), probabilities_LHW.astype(">f4"), allowed_LHW),
    )
    for image, probabilities, allowed in views:
        copies = image.copy(), probabilities.copy()
        np.testing.assert_array_equal(dense_crf(image, probabilities, SMALL, allowed_LHW=allowed), expected_LHW)
        np.testing.assert_array_equal(image, copies[0])  # nothing is written to what came in
        np.testing.assert_array_equal(probabilities, copies[1])


def test_more_threads_than_cores_on_the_same_arrays_give_what_one_gives():
    image_HW3, probabilities_LHW = scene(5, 60, 80)
    expected_LHW = dense_crf(image_HW3, probabilities_LHW)
    with ThreadPoolExecutor(16) as pool:
        for given_LHW in pool.map(lambda _: dense_crf(image_HW3, probabilities_LHW), range(32)):
            np.testing.assert_array_equal(given_LHW, expected_LHW)
    for given_LHW in dense_crf_batch([image_HW3] * 5, [probabilities_LHW] * 5, threads=40):
        np.testing.assert_array_equal(given_LHW, expected_LHW)


def test_a_bad_image_in_a_batch_is_named_and_the_batch_ends():
    image_HW3, probabilities_LHW = scene(2, 8, 9)
    given = dense_crf_batch([image_HW3, image_HW3 / 255, image_HW3], [probabilities_LHW] * 3, threads=2)
    assert next(given).shape == (2, 8, 9)
    with pytest.raises(UsageError, match="uint8 RGB"):
        next(given)


def test_the_portable_mean_field_gives_the_same(tmp_path):
    """Without AVX2 (arm64, MSVC, old processors), in a process of its own, since the choice is made once.

    Rows of 1 to 32 vectors, masks, and weights beyond the safe range of exp()."""
    code = """
import sys, numpy as np
from labels2masks.kernels.dense_crf import CRFParameters, dense_crf
rng = np.random.default_rng(0)
image_HW3 = rng.integers(0, 4, (33, 47, 3), dtype=np.uint8) * 60
found = []
for labels in (1, 7, 8, 9, 17, 33, 255):
    p_LHW = rng.dirichlet(np.full(labels, 0.4), (33, 47)).transpose(2, 0, 1).astype(np.float32)
    for preset in (CRFParameters(4, 20, 30, 3, 3), CRFParameters(15, 20, 30, 15, 3, iterations=2)):
        for stride in (1, 2):
            found.append(dense_crf(image_HW3, p_LHW, preset, source_stride=stride, prune=0))
    np.testing.assert_array_equal(dense_crf(image_HW3, p_LHW, preset, prune=0, source_stride=2, mask=True),
                                  found[-1].argmax(axis=0))
np.save(sys.argv[1], np.concatenate([a.ravel() for a in found]))
"""
    for variant in ("avx2", "baseline"):
        command = [sys.executable, "-c", code, str(tmp_path / f"{variant}.npy")]
        subprocess.run(command, check=True, env={**os.environ, "L2M_KERNELS": variant}, timeout=300)
    difference = np.abs(np.load(tmp_path / "avx2.npy") - np.load(tmp_path / "baseline.npy"))
    assert difference.max() < 1e-4 and difference.mean() < 1e-7


def test_a_pixel_that_hears_one_corner_by_rounding_stays_a_number():
    """Noise at a small sigma: many pixels share no simplex with a source, some only a corner of weight 1e-8."""
    rng = np.random.default_rng(0)
    for _ in range(12):
        image_HW3 = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)
        alike_LHW = np.full((2, 200, 200), 0.5, np.float32)
        marginals_LHW = dense_crf(image_HW3, alike_LHW, CRFParameters(4, 60, 2.5, 3, 3), source_stride=2)
        np.testing.assert_allclose(marginals_LHW, 0.5, atol=1e-3)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (5, 5), (5, 5, 4), (1, 5, 5, 3)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(UsageError, match="uint8 RGB"):
        dense_crf(np.zeros(shape, np.uint8), np.full((2, 5, 5), 0.5))
