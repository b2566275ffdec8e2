"""Thresholds: a grey picture in two, or several, and which side is the object.

Legend: H, W = pixels; C = classes; P = labelled pixels; D = colour channels.
"""

from __future__ import annotations

import cv2
import numpy as np
from skimage.filters import threshold_multiotsu

from ..errors import UsageError, did_you_mean

CHOSEN = {"otsu": cv2.THRESH_OTSU, "triangle": cv2.THRESH_TRIANGLE}
"""Thresholds that the histogram chooses: Otsu 1979 (largest variance between the sides), Zack et al. 1977."""

KINDS = {
    "binary": cv2.THRESH_BINARY,
    "binary_inv": cv2.THRESH_BINARY_INV,
    "trunc": cv2.THRESH_TRUNC,
    "tozero": cv2.THRESH_TOZERO,
    "tozero_inv": cv2.THRESH_TOZERO_INV,
}
"""OpenCV's types, by their names in lower case."""


def threshold_at(grey_HW: np.ndarray, at: float | str = "otsu") -> float:
    """The threshold: a number stays itself; "otsu" and "triangle" choose from the histogram; "mean2" is twice the mean
    (the adaptive threshold of saliency maps, Achanta et al. 2009). grey_HW: uint8. UsageError for another word."""
    if not isinstance(at, str):
        return float(at)
    if at == "mean2":
        return min(2 * float(grey_HW.mean()), 255.0)
    if at not in CHOSEN:
        raise UsageError(f"unknown threshold {at!r}{did_you_mean(at, [*CHOSEN, 'mean2'])}")
    return float(cv2.threshold(grey_HW, 0, 255, cv2.THRESH_BINARY | CHOSEN[at])[0])


def thresholded(grey_HW: np.ndarray, at: float | str = "otsu", kind: str = "binary") -> np.ndarray:
    """uint8 HW as `cv2.threshold` makes it, above `at` meaning greater than it. UsageError for an unknown kind."""
    if kind not in KINDS:
        raise UsageError(f"unknown kind of threshold {kind!r}{did_you_mean(kind, KINDS)}")
    return cv2.threshold(grey_HW, threshold_at(grey_HW, at), 255, KINDS[kind])[1]


def levels(grey_HW: np.ndarray, count: int) -> np.ndarray:
    """uint8 HW, 0..count-1: parts of the histogram of most variance between them (multi-level Otsu, Liao et al. 2001).

    Fewer where the picture has fewer grey values. count: 2..5.
    """
    if not 2 <= count <= 5:
        raise UsageError(f"levels takes 2 to 5 parts, got {count}")
    count = min(count, len(np.unique(grey_HW)))
    if count < 2:
        return np.zeros(grey_HW.shape, np.uint8)
    return np.digitize(grey_HW, threshold_multiotsu(grey_HW, count), right=True).astype(np.uint8)


def object_side(above_HW: np.ndarray) -> np.ndarray:
    """bool HW: the side of a threshold that is the object: the border of a photo mostly shows background.

    Where the border is evenly divided the smaller side is the object.
    """
    border = np.concatenate([above_HW[0], above_HW[-1], above_HW[1:-1, 0], above_HW[1:-1, -1]])
    share = border.mean()
    of_background = share > 0.5 or (share == 0.5 and above_HW.mean() > 0.5)
    return ~above_HW if of_background else above_HW.copy()


def threshold_saliency(image_HW3: np.ndarray, at: float | str = "otsu") -> np.ndarray:
    """float32 HW, 0 or 1: the object of a photo by the brightness alone. image_HW3: uint8 RGB."""
    grey_HW = cv2.cvtColor(np.ascontiguousarray(image_HW3), cv2.COLOR_RGB2GRAY)
    return object_side(grey_HW > threshold_at(grey_HW, at)).astype(np.float32)


def gaussian_scores(image_HW3: np.ndarray, label_HW: np.ndarray, classes: int) -> np.ndarray:
    """float32 CHW: log density of a pixel's colour under one Gaussian a class, fitted on its labelled pixels.

    label_HW: int, -1 = unlabelled. A class without labelled pixels scores like the least likely of the others. The
    variance is at least that of a grey value rounded to the next whole, so that one pixel is enough.
    """
    colours_HW3 = image_HW3.astype(np.float64)
    scores_CHW = np.full((classes, *label_HW.shape), -np.inf)
    for of_class in range(classes):
        colours_PD = colours_HW3[label_HW == of_class]
        if not len(colours_PD):
            continue
        spread_DD = np.cov(colours_PD.T, bias=True).reshape(3, 3) + np.eye(3)
        away_HWD = colours_HW3 - colours_PD.mean(axis=0)
        distance_HW = np.einsum("hwd,de,hwe->hw", away_HWD, np.linalg.inv(spread_DD), away_HWD)
        scores_CHW[of_class] = -0.5 * (distance_HW + np.linalg.slogdet(spread_DD)[1])
    finite = np.isfinite(scores_CHW)
    return np.where(finite, scores_CHW, scores_CHW[finite].min() if finite.any() else 0.0).astype(np.float32)
