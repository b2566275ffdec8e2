"""The drop-in module against pydensecrf itself where it is installed, and against what must hold anyway."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import labels2masks
import labels2masks.pydensecrf.densecrf as ours
from labels2masks.errors import UsageError
from labels2masks.kernels.dense_crf import PRESETS
from labels2masks.pydensecrf import utils

RECORDED = Path(__file__).parent / "kernels" / "pydensecrf.npz"
H, W, L = 30, 41, 3
N = H * W
ATTRACT = np.float32([[-3, 1, 0], [2, -2, 0.5], [0, 0, -4]])
SCALAR, VECTOR = 3.0, np.float32([-1, -2, -3])


def photo() -> np.ndarray:
    with np.load(RECORDED) as recorded:
        return recorded["image_HW3"]


def probabilities(seed: int = 0) -> np.ndarray:
    """probabilities_LHW that change from one pixel to the next."""
    logits_LHW = (
        np.random.default_rng(seed).normal(0, 1.5, (L, H, W)) + 2 * np.eye(3)[:, np.arange(W) * 3 // W][:, None]
    )
    return (np.exp(logits_LHW) / np.exp(logits_LHW).sum(axis=0)).astype(np.float32)


def script(dcrf, tools, **settings) -> np.ndarray:
    """What people write, with pydensecrf or with us; marginals_LN."""
    crf = dcrf.DenseCRF2D(W, H, L)
    crf.setUnaryEnergy(tools.unary_from_softmax(probabilities()))
    crf.addPairwiseGaussian(**{"sxy": 3, "compat": 3, **settings.get("gaussian", {})})
    bilateral = {"sxy": 80, "srgb": 13, "rgbim": photo().copy(), "compat": 10, **settings.get("bilateral", {})}
    crf.addPairwiseBilateral(**bilateral)
    for features, compat in settings.get("energies", ()):
        crf.addPairwiseEnergy(features, compat=compat)
    return np.array(crf.inference(settings.get("steps", 5)), np.float32)


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("pydensecrf.densecrf", reason="the peer: pip install pydensecrf2")


@pytest.fixture(scope="module")
def their_tools():
    return pytest.importorskip("pydensecrf.utils", reason="the peer: pip install pydensecrf2")


SCRIPTS = {
    "as usual": {},
    "no step": {"steps": 0},
    "sides": {"gaussian": {"sxy": (3, 5)}, "bilateral": {"sxy": (20, 40), "srgb": (10, 20, 30)}},
    "even sides": {"gaussian": {"sxy": (3, 3)}, "bilateral": {"sxy": (20, 20), "srgb": (13, 13, 13)}},
    "diagonal": {"gaussian": {"compat": VECTOR}},
    "matrix": {"gaussian": {"compat": ATTRACT}, "bilateral": {"compat": 2}},
    "repelling": {"gaussian": {"compat": -2}},
    "before": {"gaussian": {"normalization": 1}, "bilateral": {"normalization": 1}},
    "after": {"gaussian": {"normalization": 2}, "bilateral": {"normalization": 2}},
    "nowhere": {"gaussian": {"normalization": 0, "compat": 0.1}, "bilateral": {"normalization": 0, "compat": 0.01}},
    "further energy": {
        "energies": [
            (utils.create_pairwise_gaussian((4, 4), (H, W)), 2.0),
            (utils.create_pairwise_bilateral((9, 9), (8, 8, 8), photo(), chdim=2), ATTRACT),
        ]
    },
}


@pytest.mark.parametrize("settings", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_gives_what_it_gave(settings, theirs, their_tools):
    expected_LN, marginals_LN = script(theirs, their_tools, **settings), script(ours, utils, **settings)
    assert marginals_LN.shape == expected_LN.shape == (L, N) and marginals_LN.dtype == np.float32
    assert np.abs(marginals_LN - expected_LN).max() <= 2e-4
    np.testing.assert_array_equal(marginals_LN.argmax(axis=0), expected_LN.argmax(axis=0))


@pytest.mark.parametrize("kernel", range(3))
def test_points_steps_and_divergence_are_theirs(kernel, theirs):
    points_DN = np.random.default_rng(1).normal(0, 1, (4, 60)).astype(np.float32)
    energy_LN = np.random.default_rng(2).random((L, 60), np.float32) * 3
    found = []
    for dcrf in (theirs, ours):
        crf = dcrf.DenseCRF(60, L)
        crf.setUnary(dcrf.ConstUnary(energy_LN))
        crf.addPairwiseEnergy(points_DN, compat=2.0, kernel=dcrf.KernelType(kernel), normalization=dcrf.NORMALIZE_AFTER)
        state = crf.startInference()
        energies = [crf.klDivergence(state[0])]
        for _ in range(3):
            crf.stepInference(*state)
            energies.append(crf.klDivergence(state[0]))
        found.append((np.array(state[0]), energies))
    (expected_LN, their_energies), (marginals_LN, energies) = found
    np.testing.assert_allclose(marginals_LN, expected_LN, atol=2e-4)
    np.testing.assert_allclose(energies, their_energies, rtol=1e-5)


def test_energies_and_features_are_theirs(their_tools):
    labels_HW = np.random.default_rng(0).integers(0, 4, (H, W))
    calls = [
        ("unary_from_labels", (labels_HW, 3, 0.7)),
        ("unary_from_labels", (labels_HW, 4, 0.6, False)),
        ("unary_from_softmax", (probabilities(),)),
        ("unary_from_softmax", (probabilities(), 0.8, 1e-3)),
        ("create_pairwise_gaussian", ((3, 5, 2), (4, 5, 6))),
        ("create_pairwise_bilateral", ((3, 5), (10, 20, 30), photo(), 2)),
        ("create_pairwise_bilateral", ((3, 5), 12, np.moveaxis(photo(), 2, 0), 0)),
        ("create_pairwise_bilateral", ((3, 5, 4), (12,), photo())),
    ]
    for name, arguments in calls:
        expected, got = getattr(their_tools, name)(*arguments), getattr(utils, name)(*arguments)
        assert got.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-6, err_msg=name)


WRONG = [
    lambda d: d.DenseCRF2D(W, H, L).setUnaryEnergy(np.zeros((L, N))),
    lambda d: d.DenseCRF2D(W, H, L).setUnaryEnergy(np.zeros((N, L), np.float32)),
    lambda d: d.DenseCRF2D(W, H, L).setUnaryEnergy(np.zeros((L, H, W), np.float32)),
    lambda d: d.DenseCRF2D(W, H, L).addPairwiseBilateral(3, 3, np.zeros((W, H, 3), np.uint8), 3),
    lambda d: d.DenseCRF2D(W, H, L).addPairwiseBilateral(3, 3, np.zeros((H, W, 3)), 3),
    lambda d: d.DenseCRF2D(W, H, L).addPairwiseEnergy(np.zeros((N, 2), np.float32), 3),
    lambda d: d.DenseCRF(N, L).addPairwiseEnergy(np.zeros((2, N)), 3),
]


@pytest.mark.parametrize("call", WRONG)
def test_what_they_refuse_is_refused(call, request):
    with pytest.raises(ValueError, match="need .*got"):
        call(ours)
    with pytest.raises(ValueError, match=r"shape|dtype|dimensions"):
        call(request.getfixturevalue("theirs"))


@pytest.mark.parametrize("preset", ["krahenbuhl", "deeplab_v2"])
def test_the_usual_script_gives_what_pydensecrf_gave(preset):
    with np.load(RECORDED) as recorded:
        image_HW3, expected_LHW = recorded["image_HW3"], recorded[preset]
    y_HW, x_HW = np.indices((H, W))
    noise_HW = (y_HW * 7919 + x_HW * 104729) * 3 % 23
    off_HW = (y_HW - 11) ** 2 + (x_HW - 23) ** 2 < 110
    label_HW = np.where(off_HW, 1, np.where(x_HW + noise_HW // 6 > 30, 2, 0))
    chosen = PRESETS[preset]
    crf = ours.DenseCRF2D(W, H, L)
    crf.setUnaryEnergy(utils.unary_from_labels(label_HW, L, 0.6, zero_unsure=False))
    crf.addPairwiseGaussian(chosen.gaussian_xy, chosen.gaussian_weight)
    crf.addPairwiseBilateral(chosen.bilateral_xy, chosen.bilateral_rgb, image_HW3, chosen.bilateral_weight)
    assert crf._fused(10) == chosen, "the fused kernel is taken"
    fused_LN, plain_LN = crf.inference(10), ours.DenseCRF.inference(crf, 10)
    for marginals_LN in (fused_LN, plain_LN):
        assert np.abs(marginals_LN.reshape(L, H, W) - expected_LHW).max() <= 2e-4
        np.testing.assert_array_equal(marginals_LN.argmax(axis=0), expected_LHW.reshape(L, N).argmax(axis=0))
    assert (fused_LN.argmax(axis=0) != label_HW.ravel()).mean() > 0.01, "the CRF did something"


@pytest.mark.parametrize("normalization", list(ours.NormalizationType))
@pytest.mark.parametrize("same", [np.full(L, -2, np.float32), 2 * (1 - np.eye(L)), -2 * np.eye(L)])
def test_potts_can_be_said_in_other_words(normalization, same):
    """Whether agreeing is rewarded or differing costs, Q is the same: the two differ by as much for every label."""
    weight = 0.1 if normalization == ours.NO_NORMALIZATION else 1
    marginals = []
    for compat in (2.0 * weight, same * weight):
        settings = {"compat": compat, "normalization": normalization}
        marginals.append(script(ours, utils, gaussian=settings, bilateral={**settings, "sxy": 20}, steps=3))
    np.testing.assert_allclose(marginals[1], marginals[0], atol=1e-4)


def test_the_divergence_falls():
    crf = ours.DenseCRF2D(W, H, L)
    crf.setUnaryEnergy(utils.unary_from_softmax(probabilities()))
    crf.addPairwiseGaussian(3, 1)
    state = crf.startInference()
    np.testing.assert_allclose(state[0], probabilities().reshape(L, N), atol=1e-5)
    energies = [crf.klDivergence(state[0])]
    for _ in range(4):
        crf.stepInference(*state)
        energies.append(crf.klDivergence(state[0]))
    assert sorted(energies, reverse=True) == energies and energies[0] > energies[-1] + 1


def test_what_is_impossible_stays_so():
    impossible_LHW = probabilities()
    impossible_LHW[1, 5:9] = 0
    for compat in (3.0, -3 * np.eye(L)):  # fused, and not
        crf = ours.DenseCRF2D(W, H, L)
        crf.setUnaryEnergy(utils.unary_from_softmax(impossible_LHW, clip=None))
        crf.addPairwiseGaussian(3, compat)
        marginals_LHW = crf.inference(3).reshape(L, H, W)
        assert not marginals_LHW[1, 5:9].any() and marginals_LHW[1, :5].min() > 0
        assert np.isfinite(crf.klDivergence(marginals_LHW.reshape(L, N)))


def test_energies_too_far_apart_for_the_fused_kernel_take_the_plain_way():
    energy_LN = np.zeros((2, 4), np.float32)
    energy_LN[1] = 100
    crf = ours.DenseCRF2D(2, 2, 2)
    crf.setUnaryEnergy(energy_LN)
    crf.addPairwiseGaussian(1, 3)
    assert crf._fused(5) is None
    np.testing.assert_allclose(crf.inference(5)[0], 1)


def test_linear_energies():
    crf, weights_LD = ours.DenseCRF(4, 2), np.float32([[1, 0, 0], [0, 2, 0]])
    features_DN = np.random.default_rng(0).random((3, 4), np.float32)
    crf.setUnaryEnergy(weights_LD, features_DN)
    relative_LN = np.exp(-weights_LD @ features_DN)
    np.testing.assert_allclose(crf.inference(0), relative_LN / relative_LN.sum(axis=0), rtol=1e-5)


def crf2d() -> ours.DenseCRF2D:
    return ours.DenseCRF2D(W, H, L)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.DenseCRF2D(0, 3, 2), "at least one point"),
        (lambda: crf2d().setUnaryEnergy(np.full((L, N), np.nan, np.float32)), "NaN"),
        (lambda: crf2d().addPairwiseGaussian(0, 3), "above 0"),
        (lambda: crf2d().addPairwiseGaussian((3, 3, 3), 3), "or 2 of them"),
        (lambda: crf2d().addPairwiseGaussian(3, [1, 2]), "compat takes a number, 3 energies"),
        (lambda: crf2d().addPairwiseGaussian(3, 3, kernel=7), "CONST_KERNEL"),
        (lambda: crf2d().addPairwiseGaussian(3, 3, normalization=9), "NORMALIZE_SYMMETRIC"),
        (lambda: crf2d().addPairwiseEnergy(np.zeros((9, N), np.float32), 3), r"need \(1 to 8, 1230\), got \(9, 1230\)"),
        (lambda: ours.LogisticUnary(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)), "do not fit"),
        (lambda: utils.unary_from_labels(np.array([5]), 3, 0.7), "do not hold"),
        (lambda: utils.unary_from_labels(np.array([1]), 3, 1.0), "gt_prob"),
        (lambda: utils.unary_from_softmax(np.ones((2, 3)), scale=2), "scale"),
        (lambda: utils.create_pairwise_gaussian((3,), (4, 5)), "each axis"),
        (lambda: utils.create_pairwise_bilateral((3, 3), (1, 2), photo(), 2), "each of 3 channels"),
    ],
)
def test_what_can_not_be_is_one_line(call, message):
    with pytest.raises(UsageError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_old_names_warn():
    labels = np.array([[0, 1, 2]])
    with pytest.warns(DeprecationWarning, match="unary_from_labels"):
        np.testing.assert_array_equal(utils.compute_unary(labels, 2), utils.unary_from_labels(labels, 2, 0.5))
    with pytest.warns(DeprecationWarning, match="unary_from_softmax"):
        np.testing.assert_array_equal(
            utils.softmax_to_unary(probabilities()), utils.unary_from_softmax(probabilities(), clip=None)
        )


def test_a_cold_start_needs_numpy_alone_and_less_than_a_second():
    # Its own seconds, however busy the machine.
    code = (
        "import sys, time, numpy as np; import labels2masks.pydensecrf.densecrf as d; "
        "import labels2masks.pydensecrf.utils as u; "
        "c = d.DenseCRF2D(9, 7, 2); c.setUnaryEnergy(u.unary_from_softmax(np.full((2, 7, 9), .5))); "
        "c.addPairwiseGaussian(3, 3); c.addPairwiseBilateral(30, 5, np.zeros((7, 9, 3), np.uint8), 4); c.inference(5); "
        "print(time.process_time(), *{n.split('.')[0] for n in sys.modules})"
    )
    package = str(Path(labels2masks.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([package, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    seconds, *modules = done.stdout.split()
    assert not {"torch", "cv2", "scipy", "PIL", "skimage"} & set(modules) and "numpy" in modules
    assert float(seconds) < 1
