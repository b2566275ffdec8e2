"""Does a confidence of 0.8 mean right in 8 of 10 pixels? (Guo et al. 2017, expected calibration error)"""

from __future__ import annotations

import numpy as np

BINS = 15


class Calibration:
    """Accumulates confidence against correctness, over the pixels whose truth is known."""

    def __init__(self) -> None:
        self.pixels_B: np.ndarray = np.zeros(BINS, np.int64)
        self.right_B: np.ndarray = np.zeros(BINS, np.int64)
        self.confidence_B: np.ndarray = np.zeros(BINS)

    def add(self, mask_HW: np.ndarray, confidence_HW: np.ndarray, truth_HW: np.ndarray) -> None:
        """confidence_HW: probability of the predicted class, 0..1. truth_HW: -1 = void, not counted."""
        self += binned(mask_HW, confidence_HW, truth_HW)

    def __iadd__(self, other: Calibration) -> Calibration:
        self.pixels_B += other.pixels_B
        self.right_B += other.right_B
        self.confidence_B += other.confidence_B
        return self

    @property
    def error(self) -> float | None:
        """Mean over pixels of |confidence - accuracy| of their bin, 0..1; None where nothing was counted."""
        total = int(self.pixels_B.sum())
        return float(np.abs(self.right_B - self.confidence_B).sum() / total) if total else None


def binned(mask_HW: np.ndarray, confidence_HW: np.ndarray, truth_HW: np.ndarray) -> Calibration:
    """The counts of one image."""
    made = Calibration()
    known_HW = np.asarray(truth_HW) >= 0
    confidence_P = confidence_HW[known_HW]
    right_P = np.asarray(mask_HW)[known_HW] == np.asarray(truth_HW)[known_HW]
    bin_P = np.minimum((confidence_P * BINS).astype(np.int64), BINS - 1)
    made.pixels_B = np.bincount(bin_P, minlength=BINS)
    made.right_B = np.bincount(bin_P[right_P], minlength=BINS)
    made.confidence_B = np.bincount(bin_P, weights=confidence_P, minlength=BINS)
    return made
