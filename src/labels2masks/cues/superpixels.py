"""Superpixels, by scikit-image: segments of like colour, numbered 0..K-1 without gaps.

Legend: H, W = pixels; K = segments.
"""

from __future__ import annotations

import numpy as np
from skimage import segmentation


def slic(image_HW3: np.ndarray, count: int = 1000, compactness: float = 10.0) -> np.ndarray:
    """int32 HW: about `count` segments of like size (Achanta et al. 2012). compactness: of place against colour."""
    return _numbered(segmentation.slic(image_HW3, n_segments=count, compactness=compactness, start_label=0))


def felzenszwalb(image_HW3: np.ndarray, scale: float = 100.0, sigma: float = 0.8, smallest: int = 50) -> np.ndarray:
    """int32 HW: segments along strong edges (Felzenszwalb and Huttenlocher 2004). scale: larger ones for a larger
    number; sigma: of the blur before; smallest: pixels of a segment."""
    return _numbered(segmentation.felzenszwalb(image_HW3, scale=scale, sigma=sigma, min_size=smallest))


def _numbered(segments_HW: np.ndarray) -> np.ndarray:
    return np.unique(segments_HW, return_inverse=True)[1].reshape(segments_HW.shape).astype(np.int32)
