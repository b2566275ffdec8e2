"""How far would a score move with other photos of the same kind? (Efron and Tibshirani 1993, chapter 13: percentiles)

Photos are drawn with replacement and the scores made anew from their summed counts; several runs are
given the same draws, so that what is hard about a photo cancels in their difference. Photos are taken as
independent: frames of one video are not, and their band is too narrow. Nothing here says what another seed of the
training would give.

Legend: B = resamples; M = runs; P = photos; C = classes.
"""

from __future__ import annotations

import numpy as np

RESAMPLES, SEED = 10_000, 0
LEVEL = 0.95
_AT_ONCE = 1 << 22
"""Numbers drawn at a time: 32 MB."""


def bootstrap(sums_MP3C: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> np.ndarray:
    """float32 B M C: the IoU of each class in each resample, NaN where its photos do not hold the class.

    sums_MP3C: right, true and predicted pixels (`PerPhoto.sums`) of the same photos in every run.
    """
    runs, photos, _, classes = sums_MP3C.shape
    draw = np.random.default_rng(seed)
    sums_PK = sums_MP3C.transpose(1, 0, 2, 3).reshape(photos, -1).astype(np.float64)
    iou_BMC = np.empty((resamples, runs, classes), np.float32)
    step = max(1, _AT_ONCE // max(photos, sums_PK.shape[1]))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        times_bP = draw.multinomial(photos, np.full(photos, 1 / photos), size=count)
        iou_BMC[start : start + count] = iou((times_bP @ sums_PK).reshape(count, runs, 3, classes))
    return iou_BMC


def iou(sums_x3C: np.ndarray) -> np.ndarray:
    """float64 ... C: IoU from right, true and predicted pixels; NaN where the class does not occur in the truth."""
    right_xC, true_xC, predicted_xC = np.moveaxis(sums_x3C, -2, 0).astype(np.float64)
    whole_xC = true_xC + predicted_xC - right_xC
    return np.divide(right_xC, whole_xC, out=np.full(whole_xC.shape, np.nan), where=true_xC > 0)


def mean_over_classes(iou_xC: np.ndarray) -> np.ndarray:
    """float64 ...: mean over the classes that are no NaN; NaN where all are."""
    occurs_xC = ~np.isnan(iou_xC)
    total_x = np.where(occurs_xC, iou_xC, 0).sum(axis=-1, dtype=np.float64)
    count_x = occurs_xC.sum(axis=-1)
    return np.divide(total_x, count_x, out=np.full(total_x.shape, np.nan), where=count_x > 0)


def band(values_B: np.ndarray) -> tuple[float, float] | None:
    """The middle 95 % of the resampled values that are no NaN; None where there is none."""
    values_B = values_B[~np.isnan(values_B)]
    if not len(values_B):
        return None
    low, high = np.quantile(values_B.astype(np.float64), ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
