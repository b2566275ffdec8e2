"""The energy of Rother et al. 2004, formula 4, falls while GrabCut iterates; and each cut is the cheapest there is.

E = sum over pixels of -log p(colour | mixture of its side), and for every pair of the 8 neighbours on different sides
gamma / distance * exp(-beta |dI|^2), gamma = 50, beta = 1 / (2 * mean |dI|^2 over the 4HW - 3H - 3W + 2 pairs).

Legend: H, W = pixels, N of them; E = pairs; M = numbers of a mixture, as OpenCV keeps them.
"""

import sys

import cv2
import numpy as np
import pytest
from narrowing.scenes import all_cues, boxed, photo, scribbled

from labels2masks.kernels.graph_cut import alpha_expansion
from labels2masks.narrowing import grabcut

MODULE = sys.modules[grabcut.__module__]
"""The name of the module is the function's, too."""
GAMMA, COMPONENTS = 50.0, 5


def costs(image_HW3, mixtures_2M):
    """(unary_N2 of background and object, edges_E2, weight_E) of formula 4."""
    colour_HW3, numbers_HW = image_HW3.astype(float), np.arange(image_HW3[..., 0].size).reshape(image_HW3.shape[:2])
    height, width = numbers_HW.shape
    unary_N2 = np.stack([unlikely(colour_HW3, mixture_M).ravel() for mixture_M in mixtures_2M], axis=1)
    edges, squares, distances = [], [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = slice(0, height - dy), slice(max(-dx, 0), width - max(dx, 0))
        other = slice(dy, height), slice(max(dx, 0), width - max(-dx, 0))
        edges.append(np.stack([numbers_HW[one].ravel(), numbers_HW[other].ravel()], axis=1))
        squares.append(((colour_HW3[one] - colour_HW3[other]) ** 2).sum(axis=-1).ravel())
        distances.append(np.full(len(squares[-1]), np.hypot(dy, dx)))
    square_E = np.concatenate(squares)
    beta = 1 / (2 * square_E.sum() / (4 * height * width - 3 * height - 3 * width + 2))
    return unary_N2, np.concatenate(edges), GAMMA / np.concatenate(distances) * np.exp(-beta * square_E)


def unlikely(colour_HW3, mixture_M):
    """-log of the mixture's density, without the (2 pi)^1.5 that both sides share."""
    weights, means, spreads = np.split(mixture_M, [COMPONENTS, 4 * COMPONENTS])
    density_HW = np.zeros(colour_HW3.shape[:2])
    for weight, mean, spread in zip(weights, means.reshape(-1, 3), spreads.reshape(-1, 3, 3), strict=True):
        if weight > 0:
            away_HW3 = colour_HW3 - mean
            distance_HW = np.einsum("hwi,ij,hwj->hw", away_HW3, np.linalg.inv(spread), away_HW3)
            density_HW += weight * np.exp(-distance_HW / 2) / np.linalg.det(spread) ** 0.5
    return -np.log(np.maximum(density_HW, np.finfo(float).tiny))


def energy(image_HW3, object_HW, mixtures_2M):
    unary_N2, edges_E2, weight_E = costs(image_HW3, mixtures_2M)
    object_N = object_HW.ravel()
    apart_E = object_N[edges_E2[:, 0]] != object_N[edges_E2[:, 1]]
    return np.where(object_N, unary_N2[:, 1], unary_N2[:, 0]).sum() + weight_E[apart_E].sum()


def cuts(monkeypatch, candidates, iterations):
    """[(image, trimap, object_HW, mixtures)] of every cut that the step asks OpenCV for."""
    found, cut = [], cv2.grabCut

    def spy(image, mask, rectangle, background, thing, count, mode):
        trimap = mask.copy()
        cut(image, mask, rectangle, background, thing, count, mode)
        found.append((image, trimap, is_object(mask), np.concatenate([background, thing])))

    blurred = cv2.GaussianBlur(photo().astype(float), (0, 0), 3)  # soft edges: a cut moves for several iterations
    noisy = np.clip(blurred + np.random.default_rng(1).normal(0, 10, blurred.shape), 0, 255).astype(np.uint8)
    with monkeypatch.context() as patch:
        patch.setattr(cv2, "grabCut", spy)
        patch.setattr(MODULE, "ITERATIONS", iterations)
        grabcut(noisy, candidates, all_cues())
    return found


def is_object(mask_HW):
    return (mask_HW == cv2.GC_FGD) | (mask_HW == cv2.GC_PR_FGD)


@pytest.mark.parametrize("labels", [boxed, scribbled])
def test_the_energy_never_rises(monkeypatch, labels):
    """An iteration assigns components, fits mixtures and cuts. The cut is exact: under the new mixtures the new mask
    costs no more than the old. The fit is not: OpenCV assigns a pixel to the component of largest density without its
    weight, while the cut sees the whole mixture, so that a fit may cost a little. It is held below 0.1 % of the
    energy; what the iterations gain is many times as much."""
    rounds = [cuts(monkeypatch, labels(), iterations) for iterations in range(1, 7)]
    assert len(rounds[0]) == (2 if labels is boxed else 3)
    for of_one_cut in zip(*rounds, strict=True):
        after = [energy(image, object_HW, mixtures) for image, _, object_HW, mixtures in of_one_cut]
        for i, (image, _, _, mixtures) in enumerate(of_one_cut[1:]):
            assert after[i + 1] <= energy(image, of_one_cut[i][2], mixtures) * (1 + 1e-9)
            assert after[i + 1] <= after[i] * 1.001
        image, trimap, _, mixtures = of_one_cut[0]
        assert after[-1] < 0.99 * energy(image, is_object(trimap), mixtures)


def test_no_mask_costs_less(monkeypatch):
    """Under the mixtures that OpenCV returns our own cut of the formula finds nothing cheaper: the weights are these.
    With gamma 45, or diagonals like sides, it does."""
    for image, trimap, object_HW, mixtures in cuts(monkeypatch, boxed(), 2):
        unary_N2, edges_E2, weight_E = costs(image, mixtures)
        unary_N2[trimap.ravel() == cv2.GC_BGD, 1] = unary_N2[trimap.ravel() == cv2.GC_FGD, 0] = np.inf
        _, least = alpha_expansion(unary_N2, edges_E2, weight_E)
        assert energy(image, object_HW, mixtures) == pytest.approx(least, rel=1e-9)
