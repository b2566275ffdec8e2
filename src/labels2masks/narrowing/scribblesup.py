"""ScribbleSup: scribbles spread over superpixels by a graph cut (Lin et al. 2016, section 3).

Each superpixel takes one label. Its cost is 0 for the label of a scribble it meets, infinite for the others; where it
meets none, log(n) for each of the n labels that the photo has. With a network's scores their negative logarithm is
added. Neighbours that differ pay by how alike they look: exp(-(dc / 0.5)^2 - (dt / 1)^2), of colour and gradient
histograms. The paper (from memory, not verified) divides by 5 and 10 and does not say in which units its histograms
are; ours are shares of a segment's pixels, and the scales keep its ratio. The alternation with training is the
recipe's; rounds begin again from the scribbles.

Legend: H, W = pixels; K = superpixels; E = pairs of neighbours; L = labels; B = bins.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..kernels.graph_cut import alpha_expansion
from ..kernels.superpixels import pool_by_segments
from ..labels import Candidates
from .cues import Cues
from .decide import Evidence
from .objects import as_evidence, ink_of

COLOUR_BINS, GRADIENT_BINS = 25, 10
COLOUR_SCALE, GRADIENT_SCALE = 0.5, 1.0


def scribblesup(image_HW3: np.ndarray, candidates: Candidates, cues: Cues) -> Evidence:
    """Evidence: one label a superpixel. UsageError without segments. Scores are used where they are given."""
    segments_HW = cues.need("segments_HW", "scribblesup", image_HW3)
    unary_KL = scribble_costs(candidates, segments_HW)
    if cues.scores_CHW is not None:
        scores_CHW = cues.need("scores_CHW", "scribblesup", image_HW3)
        # A superpixel is one node: its network cost is that of its mean pixel.
        unary_KL = unary_KL - np.minimum(pool_by_segments(scores_CHW, segments_HW), 0)
    edges_E2 = neighbours(segments_HW)
    label_K, _ = alpha_expansion(unary_KL, edges_E2, likeness(image_HW3, segments_HW, edges_E2))
    label_HW = label_K[segments_HW]
    ink_HW = ink_of(candidates)
    return as_evidence(candidates, np.where(ink_HW >= 0, ink_HW, label_HW))


def scribble_costs(candidates: Candidates, segments_HW: np.ndarray) -> np.ndarray:
    """float64 K x L: the paper's scribble term; labels that no pixel of a segment may be are infinite.

    A segment that two scribbles meet may take either.
    """
    classes = candidates.sets_KC.shape[1]
    segments = int(segments_HW.max()) + 1
    ink_HW = ink_of(candidates)
    met_KL = np.zeros((segments, classes), bool)
    met_KL[segments_HW[ink_HW >= 0], ink_HW[ink_HW >= 0]] = True
    possible_KL = np.zeros((segments, classes), bool)
    pair_N = np.unique(segments_HW.astype(np.int64) * len(candidates.sets_KC) + candidates.index_HW)
    for segment, row in zip(*np.divmod(pair_N, len(candidates.sets_KC)), strict=True):
        possible_KL[segment] |= candidates.sets_KC[row]
    possible_KL[~possible_KL.any(axis=1)] = True  # void only
    inked = np.unique(ink_HW[ink_HW >= 0])
    if inked.size:  # the labels of the photo are those somebody drew, as far as a segment may be one of them
        drawn_KL = possible_KL & np.isin(np.arange(classes), inked)
        possible_KL = np.where(drawn_KL.any(axis=1, keepdims=True), drawn_KL, possible_KL)
    allowed_KL = np.where(met_KL.any(axis=1, keepdims=True), met_KL, possible_KL)
    cost_K = np.where(met_KL.any(axis=1), 0.0, np.log(allowed_KL.sum(axis=1)))
    return np.where(allowed_KL, cost_K[:, None], np.inf)


def neighbours(segments_HW: np.ndarray) -> np.ndarray:
    """int64 E x 2: the pairs of segments that share a side of a pixel, each once, the smaller number first."""
    pairs = [
        np.stack([a.ravel(), b.ravel()], axis=1)
        for a, b in ((segments_HW[:, 1:], segments_HW[:, :-1]), (segments_HW[1:], segments_HW[:-1]))
    ]
    both_N2 = np.sort(np.concatenate(pairs).astype(np.int64), axis=1)
    return np.unique(both_N2[both_N2[:, 0] != both_N2[:, 1]], axis=0)


def likeness(image_HW3: np.ndarray, segments_HW: np.ndarray, edges_E2: np.ndarray) -> np.ndarray:
    """float64 E, 0..1: how alike two segments are by their histograms of colour and of gradients."""
    colours_KB = histograms(image_HW3, segments_HW, COLOUR_BINS)
    grey_HW = cv2.cvtColor(np.ascontiguousarray(image_HW3), cv2.COLOR_RGB2GRAY).astype(np.float32)
    gradients = [np.abs(cv2.Sobel(grey_HW, cv2.CV_32F, dx, 1 - dx, scale=0.25)) for dx in (1, 0)]
    gradients_KB = histograms(np.stack(gradients, axis=-1), segments_HW, GRADIENT_BINS)
    one, other = edges_E2.T
    colour_E = np.linalg.norm(colours_KB[one] - colours_KB[other], axis=1) / COLOUR_SCALE
    gradient_E = np.linalg.norm(gradients_KB[one] - gradients_KB[other], axis=1) / GRADIENT_SCALE
    return np.exp(-(colour_E**2) - gradient_E**2)


def histograms(values_HWc: np.ndarray, segments_HW: np.ndarray, bins: int) -> np.ndarray:
    """float64 K x (channels * bins): the shares of a segment's pixels in each bin of 0..256, channel by channel."""
    segments = int(segments_HW.max()) + 1
    pixels_K = np.maximum(np.bincount(segments_HW.ravel(), minlength=segments), 1)
    parts = []
    for channel in range(values_HWc.shape[-1]):
        bin_N = np.minimum(values_HWc[..., channel].astype(np.float64) * bins / 256, bins - 1).astype(np.int64).ravel()
        counts = np.bincount(segments_HW.ravel().astype(np.int64) * bins + bin_N, minlength=segments * bins)
        parts.append(counts.reshape(segments, bins) / pixels_K[:, None])
    return np.concatenate(parts, axis=1)
