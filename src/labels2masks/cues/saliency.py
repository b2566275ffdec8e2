"""Saliency without a network: what stands out of a photo, of whatever class.

    spectral_residual       Hou and Zhang 2007, "Saliency Detection: A Spectral Residual Approach"
    boundary_connectivity   Zhu et al. 2014, "Saliency Optimization from Robust Background Detection" (RBD, wCtr*)

Legend: H, W = pixels; K = superpixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import spsolve

from ..kernels.superpixels import pool_by_segments
from ..narrowing.scribblesup import neighbours
from .superpixels import slic

SIDE = 64
SUPERPIXELS = 250
SIGMA_COLOUR, SIGMA_BOUNDARY, SIGMA_PLACE, SMOOTH = 10.0, 1.0, 0.25, 0.1


def spectral_residual(image_HW3: np.ndarray) -> np.ndarray:
    """float32 HW, 0..1: where the log spectrum of the photo, shrunk to 64x64, differs from its own 3x3 mean.

    A photo of one colour is 0 everywhere.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(image_HW3), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    spectrum = np.fft.fft2(small)
    log_amplitude = np.log(np.abs(spectrum) + 1e-8).astype(np.float32)
    residual = log_amplitude - cv2.blur(log_amplitude, (3, 3))
    back = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))).astype(np.float32)
    stands_out = cv2.GaussianBlur(back, (5, 5), 8) ** 2
    if np.ptp(small) == 0:
        return np.zeros(grey.shape, np.float32)
    return cv2.resize(stands_out / stands_out.max(), grey.shape[::-1], interpolation=cv2.INTER_LINEAR)


def boundary_connectivity(image_HW3: np.ndarray) -> np.ndarray:
    """float32 HW, 0..1: contrast to what is background because it leans on the photo's border.

    On about 250 superpixels. Region and border length of a superpixel are counted by geodesic colour distance; their
    ratio, length over the root of the area, says how far it is background; a quadratic form then weighs background,
    contrast and smoothness. A photo of one colour is 0 everywhere.
    """
    segments_HW = slic(image_HW3, SUPERPIXELS)
    lab_HW3 = cv2.cvtColor(image_HW3.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    height, width = segments_HW.shape
    y_HW, x_HW = np.mgrid[:height, :width].astype(np.float32) / max(height, width)
    lab_K3 = pool_by_segments(lab_HW3.transpose(2, 0, 1), segments_HW)
    place_K2 = pool_by_segments(np.stack([y_HW, x_HW]), segments_HW)
    count = len(lab_K3)
    border = [segments_HW[0], segments_HW[-1], segments_HW[:, 0], segments_HW[:, -1]]
    on_border = np.unique(np.concatenate(border))
    edges_E2 = _with_border(neighbours(segments_HW), on_border)
    colour_KK = np.linalg.norm(lab_K3[:, None] - lab_K3[None], axis=2)
    length_E = colour_KK[edges_E2[:, 0], edges_E2[:, 1]]

    graph = sparse.csr_array((length_E + 1e-9, (edges_E2[:, 0], edges_E2[:, 1])), shape=(count, count))
    geodesic_KK = dijkstra(graph, directed=False)
    near_KK = np.exp(-(geodesic_KK**2) / (2 * SIGMA_COLOUR**2))
    leaning_K = near_KK[:, on_border].sum(axis=1) / np.sqrt(near_KK.sum(axis=1))
    background_K = 1 - np.exp(-(leaning_K**2) / (2 * SIGMA_BOUNDARY**2))

    apart_KK = np.linalg.norm(place_K2[:, None] - place_K2[None], axis=2)
    contrast_K = (colour_KK * np.exp(-(apart_KK**2) / (2 * SIGMA_PLACE**2))) @ background_K
    if contrast_K.max() < 1e-6:
        return np.zeros(segments_HW.shape, np.float32)
    object_K = contrast_K / contrast_K.max()
    weight_E = np.exp(-(length_E**2) / (2 * SIGMA_COLOUR**2)) + SMOOTH
    ends = (np.concatenate([edges_E2[:, 0], edges_E2[:, 1]]), np.concatenate([edges_E2[:, 1], edges_E2[:, 0]]))
    affinity = sparse.csr_array((np.concatenate([weight_E, weight_E]), ends), shape=(count, count))
    laplacian = sparse.diags_array(affinity.sum(axis=1)) - affinity
    saliency_K = spsolve(sparse.csc_array(sparse.diags_array(background_K + object_K) + laplacian), object_K)
    saliency_K = (saliency_K - saliency_K.min()) / max(np.ptp(saliency_K), 1e-9)
    return saliency_K[segments_HW].astype(np.float32)


def _with_border(edges_E2: np.ndarray, on_border: np.ndarray) -> np.ndarray:
    """The pairs of neighbours, and all pairs along the border: the outside of the photo joins them."""
    one, other = np.triu_indices(len(on_border), 1)
    return np.unique(np.concatenate([edges_E2, np.stack([on_border[one], on_border[other]], axis=1)]), axis=0)
