"""Saliency without a network: what stands out of a photo, of whatever class.

    spectral_residual       Hou and Zhang 2007, "Saliency Detection: A Spectral Residual Approach"
    boundary_connectivity   Zhu et al. 2014, "Saliency Optimization from Robust Background Detection" (RBD, wCtr*)
    minimum_barrier         Strand et al. 2013, "The Minimum Barrier Distance"

Legend: H, W = pixels; h, w = pixels of the reduced photo; K = superpixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import spsolve
from skimage.morphology import reconstruction

from ..kernels.superpixels import pool_by_segments
from ..narrowing.scribblesup import neighbours
from .superpixels import slic

SIDE = 64
SUPERPIXELS = 250
BARRIER_SIDE, BARRIER_STEP = 100, 4
"""Long side of the reduced photo, and the levels of 256 between the floors that are tried."""
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


def minimum_barrier(image_HW3: np.ndarray) -> np.ndarray:
    """float32 HW, 0..1: what barrier parts a pixel from the photo's border, summed over 8-bit Lab, by its maximum.

    On the photo reduced to a long side of at most 100 pixels, to within 4 levels a channel. A photo of one colour is 0
    everywhere.
    """
    height, width = image_HW3.shape[:2]
    scale = min(BARRIER_SIDE / max(height, width), 1)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.cvtColor(cv2.resize(image_HW3, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2LAB)
    barrier_hw = np.sum([barrier(small[..., channel], BARRIER_STEP) for channel in range(3)], axis=0)
    largest = max(float(barrier_hw.max()), 1.0)
    return cv2.resize((barrier_hw / largest).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def barrier(grey_hw: np.ndarray, step: int = 1) -> np.ndarray:
    """float64 hw: over all 4-connected paths from the border, the least of (highest minus lowest value on the path).

    Above a floor l, the lowest peak on the way from the border is a reconstruction by erosion of the photo whose pixels
    below l are walls; the distance is the smallest peak - l. A path's own lowest value is the best floor for it, so all
    values as floors make it exact. grey_hw: uint8. step: of the floors, in levels; the answer is less than a step too
    large.
    """
    inner = (slice(1, -1), slice(1, -1))
    border = np.concatenate([grey_hw[0], grey_hw[-1], grey_hw[:, 0], grey_hw[:, -1]])
    least_hw = np.full(grey_hw.shape, np.inf)
    for floor in range(int(grey_hw.min()), int(border.max()) + 1, step):
        terrain_hw = np.where(grey_hw >= floor, grey_hw.astype(float), np.inf)
        start_hw = terrain_hw.copy()
        start_hw[inner] = np.inf
        peak_hw = reconstruction(start_hw, terrain_hw, method="erosion", footprint=CROSS)
        least_hw = np.minimum(least_hw, peak_hw - floor)
    return least_hw


CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)


def _with_border(edges_E2: np.ndarray, on_border: np.ndarray) -> np.ndarray:
    """The pairs of neighbours, and all pairs along the border: the outside of the photo joins them."""
    one, other = np.triu_indices(len(on_border), 1)
    return np.unique(np.concatenate([edges_E2, np.stack([on_border[one], on_border[other]], axis=1)]), axis=0)
