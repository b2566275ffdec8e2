"""Boundary F1: how well the outline of each class is met (Csurka et al. 2013; the BF of SegNet, section 4).

Per image and class: precision is the share of the mask's boundary pixels that lie within
`TOLERANCE` of the image diagonal from the truth's boundary, recall the reverse, F1 their
harmonic mean. SegNet's figure is the mean over images of the mean over the classes of each.

Void pixels are a region of their own in both pictures: what is predicted there never
counts, and where an object ends at void, the border is drawn for truth and mask alike.

Legend: H, W = pixels; C = classes.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..classes import Classes

TOLERANCE = 0.0075
"""Share of the image diagonal; 4.5 px at 480x360."""


class BoundaryF1:
    """Accumulates the F1 of each class over the images whose truth holds it."""

    def __init__(self, classes: Classes, tolerance: float = TOLERANCE):
        self.classes, self.tolerance = classes, tolerance
        self.sum_C = np.zeros(len(classes))
        self.images_C = np.zeros(len(classes), np.int64)
        self.image_means: list[float] = []

    def add(self, f1_C: np.ndarray) -> None:
        """Count one image's `boundary_f1`."""
        found_C = ~np.isnan(f1_C)
        self.sum_C[found_C] += f1_C[found_C]
        self.images_C += found_C
        if found_C.any():
            self.image_means.append(float(f1_C[found_C].mean()))

    def scores(self) -> dict:
        """boundary_f1: mean over images of their mean over classes (SegNet's BF), 0..1, None where no image
        has a boundary; per_class: name -> mean over the images that hold the class, or None."""
        per_class = {
            name: float(self.sum_C[i] / self.images_C[i]) if self.images_C[i] else None
            for i, name in enumerate(self.classes.names)
        }
        mean = float(np.mean(self.image_means)) if self.image_means else None
        return {"boundary_f1": mean, "per_class": per_class}


def boundary_f1(mask_HW: np.ndarray, truth_HW: np.ndarray, classes: int, tolerance: float = TOLERANCE) -> np.ndarray:
    """float64 C: the F1 of each class of one image, 0..1; NaN where the truth holds no boundary of the class.

    mask_HW: class indices, anything else is no class. truth_HW: class indices, -1 = void.
    tolerance: share of the image diagonal. A class that covers the whole image has no boundary.
    """
    truth_HW = np.asarray(truth_HW, np.int32)
    mask_HW = np.where(truth_HW < 0, np.int32(-1), np.asarray(mask_HW, np.int32))
    reach = tolerance * float(np.hypot(*truth_HW.shape))
    edge_truth_HW, edge_mask_HW = _edges(truth_HW), _edges(mask_HW)
    f1_C = np.full(classes, np.nan)
    for index in np.unique(truth_HW[edge_truth_HW]):
        if not 0 <= index < classes:
            continue
        true_HW = edge_truth_HW & (truth_HW == index)
        drawn_HW = edge_mask_HW & (mask_HW == index)
        if not drawn_HW.any():
            f1_C[index] = 0.0
            continue
        precision = (_distance(true_HW)[drawn_HW] <= reach).mean()
        recall = (_distance(drawn_HW)[true_HW] <= reach).mean()
        f1_C[index] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return f1_C


def _edges(labels_HW: np.ndarray) -> np.ndarray:
    """bool HW: pixels with one of the four neighbours of another label; the image's rim is no border."""
    edges_HW = np.zeros(labels_HW.shape, bool)
    down_HW = labels_HW[1:] != labels_HW[:-1]
    across_HW = labels_HW[:, 1:] != labels_HW[:, :-1]
    edges_HW[1:] |= down_HW
    edges_HW[:-1] |= down_HW
    edges_HW[:, 1:] |= across_HW
    edges_HW[:, :-1] |= across_HW
    return edges_HW


def _distance(line_HW: np.ndarray) -> np.ndarray:
    """float32 HW: Euclidean pixels to the nearest pixel of the line (which has at least one)."""
    return cv2.distanceTransform((~line_HW).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
