"""The compiled lattice against the numpy one that defines it, both against the sum over all pairs of points."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import data, transform

from labels2masks.errors import UsageError
from labels2masks.grid import Grid
from labels2masks.kernels.dense_crf import probabilities_from_scores
from labels2masks.kernels.gaussian_filter import GaussianFilter, barycentric

NORMALISATIONS = st.sampled_from(["symmetric", "after", "before", None])


@st.composite
def cases(draw):
    """(features_PD, features_QD or None, values_PC, values_QC): scattered points, points on a grid, equal points."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dims, points, queries = draw(st.integers(1, 8)), draw(st.integers(1, 60)), draw(st.integers(1, 40))
    spread = draw(st.sampled_from([0.01, 1, 5, 3000]))
    features_PD = rng.normal(0, spread, (points, dims))
    kind = draw(st.sampled_from(["scattered", "grid", "equal"]))
    if kind == "grid":  # many points exactly between simplices
        features_PD = np.round(features_PD)
    if kind == "equal":
        features_PD[:] = features_PD[0]
    features_QD = rng.normal(0, spread, (queries, dims)) if draw(st.booleans()) else None
    channels = draw(st.sampled_from([1, 2, 7, 8, 9, 33, 40]))
    values_PC = rng.random((points, channels), np.float32)
    values_QC = rng.random((points if features_QD is None else queries, channels), np.float32)
    return features_PD, features_QD, values_PC, values_QC


@given(case=cases(), normalisation=NORMALISATIONS)
def test_compiled_lattice_is_the_numpy_lattice(case, normalisation):
    features_PD, features_QD, values_PC, values_QC = case
    compiled = GaussianFilter(features_PD, features_QD, "lattice", normalisation)
    reference = GaussianFilter(features_PD, features_QD, "reference", normalisation)
    scale = 1 if normalisation else max(len(values_PC), len(values_QC))
    for given_, expected in (
        (compiled.filter(values_PC), reference.filter(values_PC)),
        (compiled.transpose(values_QC), reference.transpose(values_QC)),
    ):
        assert given_.dtype == np.float32
        np.testing.assert_allclose(given_, expected, atol=1e-5 * scale, rtol=1e-5)


@pytest.mark.parametrize("backend", ["lattice", "exact"])
@given(case=cases(), normalisation=NORMALISATIONS)
def test_transpose_is_the_adjoint(backend, case, normalisation):
    features_PD, features_QD, values_PC, values_QC = case
    gaussian = GaussianFilter(features_PD, features_QD, backend, normalisation)
    there = np.vdot(values_QC.astype(float), gaussian.filter(values_PC))
    back = np.vdot(gaussian.transpose(values_QC).astype(float), values_PC)
    np.testing.assert_allclose(there, back, rtol=1e-4, atol=1e-20)


@given(case=cases())
def test_barycentric_weights_sum_to_one_and_are_not_negative(case):
    weight_Nv, vertex_NvD = barycentric(np.asarray(case[0], np.float32))
    np.testing.assert_allclose(weight_Nv.sum(axis=1), 1, atol=2e-3)
    assert weight_Nv.min() >= 0
    last_Nv = -vertex_NvD.sum(axis=2)  # the coordinate that is left out: all sum to zero
    dims = vertex_NvD.shape[2]
    np.testing.assert_array_equal(vertex_NvD % (dims + 1), (last_Nv % (dims + 1))[..., None].repeat(dims, axis=2))


def photo_features(name: str, height: int, width: int) -> np.ndarray:
    """features_PD of a small photo with the sigmas 80 (place) and 13 (colour) of a large one, scaled."""
    image_HW3 = transform.resize(getattr(data, name)(), (height, width), anti_aliasing=True) * 255
    y_HW, x_HW = np.indices((height, width)) / (80 * height / 375)
    return np.concatenate([x_HW[..., None], y_HW[..., None], image_HW3 / 13], axis=2).reshape(-1, 5)


@pytest.mark.parametrize("name", ["coffee", "astronaut"])
def test_lattice_is_near_the_exact_sum_on_photos(name):
    features_PD = photo_features(name, 60, 80)
    scores_Chw = np.random.default_rng(0).normal(0, 2.5, (21, 6, 8))
    values_PC = probabilities_from_scores(scores_Chw, Grid.square(10, 5), 60, 80).reshape(21, -1).T
    lattice, exact = (GaussianFilter(features_PD, None, b, "after").filter(values_PC) for b in ("lattice", "exact"))
    assert np.sqrt(np.mean((lattice - exact) ** 2)) < 0.0075
    lattice, exact = (GaussianFilter(features_PD, None, b, "symmetric") for b in ("lattice", "exact"))
    a, b = values_PC[:, :1], values_PC[:, 1:2]
    np.testing.assert_allclose(np.vdot(a, exact.filter(b)), np.vdot(exact.filter(a), b), rtol=1e-4)
    # Vertices that no point touches are missing, so the lattice is its own transpose only nearly.
    np.testing.assert_allclose(np.vdot(a, lattice.filter(b)), np.vdot(lattice.filter(a), b), rtol=2e-2)


def test_a_filtered_constant_is_that_constant_and_queries_at_the_sources_change_nothing():
    features_PD = photo_features("coffee", 15, 20)
    after = GaussianFilter(features_PD, None, "auto", "after")
    np.testing.assert_allclose(after.filter(np.full((300, 2), 3.0)), 3, rtol=1e-5)
    again = GaussianFilter(features_PD, features_PD, "auto", "after")
    values_PC = np.random.default_rng(0).random((300, 3), np.float32)
    np.testing.assert_allclose(after.filter(values_PC), again.filter(values_PC), atol=1e-5)


def test_a_volume_and_guided_upsampling():
    z, y, x = (axis.ravel() for axis in np.indices((6, 12, 12)))
    inside_P = (z - 3) ** 2 + (y - 6) ** 2 + (x - 6) ** 2 < 12
    features_PD = np.stack([z / 3, y / 3, x / 3, inside_P * 9.0], axis=1)
    few_P = (z + y + x) % 4 == 0
    noisy_P1 = inside_P[few_P, None] + np.random.default_rng(0).normal(0, 0.3, (few_P.sum(), 1))
    gaussian = GaussianFilter(features_PD[few_P], features_PD, normalisation="after")
    assert ((gaussian.filter(noisy_P1)[:, 0] > 0.5) == inside_P).all()


def test_points_far_apart_do_not_meet_and_keys_do_not_overflow():
    # Coordinates beyond 16 bits, where other lattices fold onto themselves.
    features_PD = np.arange(40)[:, None] * np.array([[20000.0, -9000, 17000, 5000, -25000]])
    values_P1 = np.arange(40.0)[:, None]
    np.testing.assert_allclose(
        GaussianFilter(features_PD, normalisation="after").filter(values_P1), values_P1, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (np.zeros((3, 9)), {}, "1 to 8 dimensions"),
        (np.zeros(3), {}, "1 to 8 dimensions"),
        (np.zeros((0, 2)), {}, "1 to 8 dimensions"),
        (np.full((3, 2), np.nan), {}, "NaN"),
        (np.full((3, 2), 1e7), {}, "standard deviations"),
        (np.zeros((3, 2)), {"features_query": np.zeros((3, 3))}, "queries 3"),
        (np.zeros((3, 2)), {"backend": "latice"}, "did you mean 'lattice'"),
        (np.zeros((3, 2)), {"normalisation": "both"}, "symmetric, after, before or None"),
    ],
)
def test_what_does_not_fit_is_said(features, options, message):
    with pytest.raises(UsageError, match=message):
        GaussianFilter(features, **options)


def test_values_of_another_length_are_refused():
    gaussian = GaussianFilter(np.zeros((3, 2)), np.zeros((5, 2)))
    with pytest.raises(UsageError, match="4 points for a filter of 3"):
        gaussian.filter(np.zeros((4, 1)))
    with pytest.raises(UsageError, match="4 points for a filter of 5"):
        gaussian.transpose(np.zeros((4, 1)))


def test_the_portable_code_gives_the_same(tmp_path):
    """The variant without AVX2, in a process of its own: the choice is made once."""
    code = """
import sys, numpy as np
from labels2masks.grid import Grid
from labels2masks.kernels.dense_crf import probabilities_from_scores
from labels2masks.kernels.gaussian_filter import GaussianFilter
from labels2masks.kernels.dense_crf import dense_crf
rng = np.random.default_rng(0)
image_HW3 = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) // 64 * 64
p_LHW = rng.dirichlet(np.ones(21), (40, 50)).transpose(2, 0, 1).astype(np.float32)
crf = [dense_crf(image_HW3, p_LHW[:n] / p_LHW[:n].sum(axis=0), source_stride=s) for n in (2, 21) for s in (1, 2)]
filtered = GaussianFilter(rng.normal(size=(200, 4))).filter(rng.random((200, 9)))
np.save(sys.argv[1], np.concatenate([a.ravel() for a in (*crf, filtered)]))
"""
    for variant in ("avx2", "baseline"):
        command = [sys.executable, "-c", code, str(tmp_path / f"{variant}.npy")]
        subprocess.run(command, check=True, env={**os.environ, "L2M_KERNELS": variant}, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "avx2.npy"), np.load(tmp_path / "baseline.npy"), atol=1e-5)
