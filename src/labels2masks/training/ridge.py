"""Ridge regression on the features of a frozen encoder: a segmentation network in one pass over the photos.

    every map of stride 4 and more, brought to cells of 8 pixels -- one linear map, in closed form -- softmax

The encoder knows ImageNet and none of the labels, so a photo left out of the sums was never seen. Sums of the parts
of a data set add up: cross-validation costs one pass, whatever the number of parts (Hastie, Tibshirani and Friedman
2009, "The elements of statistical learning", sections 3.4.1 and 7.10).

Legend: H, W = pixels; h, w = cells of 8 pixels; P = cells; D = features; C = classes; K = rows of a Candidates table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..cues.features import STRIDE, cells
from ..formats.dataset import Photo
from ..labels import Candidates, Mask, rasterise
from ..labels.geometry import moved
from ..labels.rasterise import check_size
from ..prediction.sliding import softmax

SHRINKAGE = 0.01
"""Of each feature's own second moment: the penalty does not depend on a feature's scale."""
TEMPERATURE = 0.15
"""What makes probabilities of estimates between 0 and 1; of five values the likeliest on photos left out, for
VOC animals and MSRC alike."""


def candidates_at(photo: Photo, size: tuple[int, ...], wanted: tuple[int, ...]) -> Candidates:
    """What the labels leave possible, at another size than the photo's. Raises DataError."""
    labels = photo.labels_loaded()
    for label in labels:
        if isinstance(label, Mask) and label.ids_HW is not None:
            check_size(label, size)
    height, width = wanted
    if tuple(size) != (height, width):
        scale_y, scale_x = height / size[0], width / size[1]
        labels = moved(labels, np.array([[scale_x, 0, 0], [0, scale_y, 0]], np.float64), height, width)
    return rasterise(labels, photo.vocabulary, height, width)


def shares_of_rows(candidates: Candidates) -> np.ndarray:
    """float64 P x K: the share of a cell's pixels that have each row of the table; beyond the photo they are void."""
    height, width = candidates.index_HW.shape
    h, w = cells(height, width)
    rows = len(candidates.sets_KC)
    padded_HW = np.zeros((h * STRIDE, w * STRIDE), np.int64)
    padded_HW[:height, :width] = candidates.index_HW
    of_cell_Pn = padded_HW.reshape(h, STRIDE, w, STRIDE).swapaxes(1, 2).reshape(h * w, STRIDE**2)
    numbered = of_cell_Pn + rows * np.arange(h * w)[:, None]
    return np.bincount(numbered.ravel(), minlength=rows * h * w).reshape(h * w, rows) / STRIDE**2


def targets(candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
    """(targets_PC, weight_P), float32: what the labels say of each cell, the mean over its pixels.

    A pixel with one candidate says that class; one with several says each of them as likely as the others, and counts
    as much as that tells: 1 - log n / log C. Void and open pixels count nothing.
    """
    share_PK, classes = shares_of_rows(candidates), candidates.sets_KC.shape[1]
    size_K = candidates.sets_KC.sum(axis=1)
    told_K = np.where(size_K > 0, 1 - np.log(np.maximum(size_K, 1)) / np.log(max(classes, 2)), 0.0)
    told_PK = share_PK * np.maximum(told_K, 0)
    weight_P = told_PK.sum(axis=1)
    stated_PC = told_PK @ (candidates.sets_KC / np.maximum(size_K, 1)[:, None])
    return (stated_PC / np.maximum(weight_P, 1e-9)[:, None]).astype(np.float32), weight_P.astype(np.float32)


@dataclass(frozen=True)
class Sums:
    """All that ridge regression needs to know of some cells, and `add` changes in place.

    gram_DD: float64, features by features. product_DC: features by targets. Both weighted.
    """

    gram_DD: np.ndarray
    product_DC: np.ndarray

    @classmethod
    def none(cls, features: int, classes: int) -> Sums:
        return cls(np.zeros((features, features)), np.zeros((features, classes)))

    def add(self, features_PD: np.ndarray, targets_PC: np.ndarray, weight_P: np.ndarray) -> None:
        told_P = weight_P > 0
        features_PD = features_PD[told_P]
        weighted_PD = features_PD * weight_P[told_P, None]
        self.gram_DD[:] += features_PD.T @ weighted_PD
        self.product_DC[:] += weighted_PD.T @ targets_PC[told_P]

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.gram_DD + other.gram_DD, self.product_DC + other.product_DC)

    def solved(self, shrinkage: float = SHRINKAGE) -> np.ndarray:
        """weights_DC float32: features @ weights estimate how likely each class is. The constant is not shrunk."""
        penalty_D = shrinkage * np.diag(self.gram_DD)
        penalty_D[-1] = 0
        penalty_D += 1e-6 * max(self.gram_DD[-1, -1], 1e-6)  # features that are 0 everywhere
        return np.linalg.solve(self.gram_DD + np.diag(penalty_D), self.product_DC).astype(np.float32)


def probabilities(features_hwD: np.ndarray, weights_DC: np.ndarray) -> np.ndarray:
    """float32 Chw on the grid `cues.features.CELLS`."""
    return softmax(np.moveaxis(features_hwD @ weights_DC, -1, 0) / TEMPERATURE)
