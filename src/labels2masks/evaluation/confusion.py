"""One confusion matrix over a whole set, and the scores of the field that follow from it.

A pixel whose truth is void or undecided (-1) is not counted, whatever is predicted there.
A prediction outside the protocol (a class that the truth does not know, or none) is an
error of the pixel's true class: the matrix has one extra column for it.

Legend: H, W = pixels; C = classes.
"""

from __future__ import annotations

import numpy as np

from ..classes import Classes

OUTSIDE = -1
"""The class index of a prediction that is none of the protocol's classes."""


class Confusion:
    """Accumulates masks against truth.

    counts: int64 C x (C + 1); row = true class, column = predicted class, last column = outside.
    """

    def __init__(self, classes: Classes):
        self.classes = classes
        self.counts = np.zeros((len(classes), len(classes) + 1), np.int64)

    def add(self, mask_HW: np.ndarray, truth_HW: np.ndarray) -> None:
        """Count one image. Any integer types; indices that are no class mean outside (mask) or void (truth).

        Raises ValueError where the two differ in shape.
        """
        if mask_HW.shape != truth_HW.shape:
            raise ValueError(f"a mask of shape {mask_HW.shape} against a truth of shape {truth_HW.shape}")
        self.counts += count(mask_HW, truth_HW, len(self.classes))

    def __iadd__(self, other: Confusion) -> Confusion:
        self.counts += other.counts
        return self

    @property
    def miou(self) -> float | None:
        """Mean IoU over the classes that occur in the truth, 0..1; None where no pixel was counted."""
        return self.scores()["miou"]

    def scores(self) -> dict:
        """All scores, 0..1, None where a class does not occur (iou, recall) or was never predicted (precision).

        miou: mean over the classes that occur in the truth. fw_iou: mean weighted by true pixels.
        pixel_accuracy: share of counted pixels that are right. mean_accuracy: mean recall of
        the classes that occur. pixels: how many were counted. outside: share predicted as
        none of the classes. absent: names that do not occur. per_class: name -> iou,
        precision, recall, pixels.
        (Long et al. 2015, section 5; SegNet calls them mIoU, G and C.)
        """
        right_C = np.diag(self.counts).astype(np.float64)
        true_C = self.counts.sum(axis=1)
        predicted_C = self.counts[:, :-1].sum(axis=0)
        iou_C = _ratio(right_C, true_C + predicted_C - right_C, true_C > 0)
        recall_C = _ratio(right_C, true_C, true_C > 0)
        precision_C = _ratio(right_C, predicted_C, predicted_C > 0)
        total = int(true_C.sum())
        occurs_C = true_C > 0
        per_class = {
            name: {
                "iou": _number(iou_C[i]),
                "precision": _number(precision_C[i]),
                "recall": _number(recall_C[i]),
                "pixels": int(true_C[i]),
            }
            for i, name in enumerate(self.classes.names)
        }
        return {
            "miou": float(iou_C[occurs_C].mean()) if total else None,
            "fw_iou": float((iou_C[occurs_C] * true_C[occurs_C]).sum() / total) if total else None,
            "pixel_accuracy": float(right_C.sum() / total) if total else None,
            "mean_accuracy": float(recall_C[occurs_C].mean()) if total else None,
            "pixels": total,
            "outside": float(self.counts[:, -1].sum() / total) if total else None,
            "absent": [name for name, occurs in zip(self.classes.names, occurs_C, strict=True) if not occurs],
            "per_class": per_class,
        }


def count(mask_HW: np.ndarray, truth_HW: np.ndarray, classes: int) -> np.ndarray:
    """int64 C x (C + 1): pixels per (true, predicted) pair. One pass, about 3 ms for a VOC photo."""
    mask = np.asarray(mask_HW).astype(np.int32, copy=False).ravel()
    truth = np.asarray(truth_HW).astype(np.int32, copy=False).ravel()
    # Numbers that are no class move into one more row or column: no boolean copies of the image.
    column = np.minimum(mask.view(np.uint32), np.uint32(classes))
    row = np.minimum(truth.view(np.uint32), np.uint32(classes))
    side = classes + 1
    pairs = np.bincount((row * np.uint32(side) + column).view(np.int32), minlength=side * side)
    return pairs.reshape(side, side)[:classes]


def _ratio(part_C: np.ndarray, whole_C: np.ndarray, defined_C: np.ndarray) -> np.ndarray:
    return np.divide(part_C, whole_C, out=np.full(len(part_C), np.nan), where=defined_C)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
