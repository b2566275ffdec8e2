"""Scores of a whole collection of masks from a few named pixels, with bands: stratified estimation.

The pixels of the collection are cut into strata, each with one predicted class. In each some pixels are drawn with
equal probability and a person names them. The estimated error matrix of all pixels is each stratum's answers scaled up
to its size (Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of land change", Remote
Sensing of Environment 148, equation 4). Every figure here is a ratio of two sums of its cells, or a mean of such
ratios. Its variance is that of the combined ratio estimator (Cochran 1977, "Sampling Techniques", section 6.11): each
cell is given the derivative of the figure, and the variances of the strata's means add up. The mean of IoUs has the
mean of their derivatives, so that a pixel taken from one class and given to another counts once for both.

Two things keep bands honest where answers are few. A stratum whose answers are all alike has a variance of zero by
that formula: for the variance alone each stratum has one imaginary answer more, spread evenly over all answers. And
a band is Wilson's (1927), with the number of answers that a plain random sample would need for the same variance; it
stays within 0..1 and leans to the side where there is room. A band has no width only where nothing is left to chance:
every pixel was named, or a class is predicted nowhere and its IoU can only be 0.

Legend: S = strata; K = answers, one a class and "unclear" last; C = classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Z = 1.959964
"""Of a normal distribution's middle 95 %."""
IMAGINED = 1.0
"""Answers added to each stratum, for its variance only."""


@dataclass(frozen=True)
class Figure:
    """An estimate and its 95 % band, 0..1."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """What is known of all pixels. Unclear pixels are left out of all but `unclear`, as void is.

    miou: mean over the classes that were named at least once (`found`); None where none was.
    iou_C: None for a class that was never named. area_C: share of the area that is not unclear.
    pixel_accuracy: share of that area whose class is right. unclear: share of the whole area.
    Both are None where all answers are unclear.
    unseen: share of the whole area in strata without an answer yet: none of the figures speaks of it.
    """

    miou: Figure | None
    iou_C: tuple[Figure | None, ...]
    area_C: tuple[Figure, ...] | None
    pixel_accuracy: Figure | None
    unclear: Figure
    unseen: float


def estimate(counts_SK: np.ndarray, pixels_S: np.ndarray, predicted_S: np.ndarray) -> Estimate:
    """Figures of all pixels from the answers.

    counts_SK: answers in each stratum. pixels_S: its size, at least its answers. predicted_S: the class that it was
    predicted as, -1 = none of the classes (an error whatever the answer).
    Raises ValueError where no pixel was named, or more than there are.
    """
    named_S = counts_SK.sum(axis=1)
    if not named_S.any() or (named_S > pixels_S).any():
        raise ValueError(f"{named_S.tolist()} pixels named of {pixels_S.tolist()}; expected at least one, at most all")
    seen_S = named_S > 0
    unseen = 1 - pixels_S[seen_S].sum() / pixels_S.sum()
    sample = _Sample(counts_SK[seen_S], pixels_S[seen_S].astype(np.float64))
    answer_K = np.arange(counts_SK.shape[1])
    every_SK = np.ones(sample.cells_SK.shape, bool)
    clear_SK = every_SK & (answer_K < answer_K[-1])
    unclear = sample.figure(sample.ratio(~clear_SK, every_SK))
    if not counts_SK[:, :-1].any():
        return Estimate(None, (None,) * (len(answer_K) - 1), None, None, unclear, float(unseen))

    predicted_S1 = predicted_S[seen_S][:, None]
    right_SK = predicted_S1 == answer_K
    ratios = [
        sample.ratio(right_SK & (answer_K == c), clear_SK & ((predicted_S1 == c) | (answer_K == c)))
        if counts_SK[:, c].any()
        else None
        for c in answer_K[:-1]
    ]
    return Estimate(
        miou=sample.figure(*(ratio for ratio in ratios if ratio is not None)),
        iou_C=tuple(None if ratio is None else sample.figure(ratio) for ratio in ratios),
        area_C=tuple(sample.figure(sample.ratio(clear_SK & (answer_K == c), clear_SK)) for c in answer_K[:-1]),
        pixel_accuracy=sample.figure(sample.ratio(right_SK, clear_SK)),
        unclear=unclear,
        unseen=float(unseen),
    )


def more_to_halve(named: int, pixels: int) -> int:
    """Answers still needed until a band is half as wide: three times as many again, fewer where pixels run out."""
    return math.ceil(4 * named * pixels / (pixels + 3 * named)) - named


@dataclass(frozen=True)
class _Ratio:
    """value; smooth: the same with the imagined answers; slope_SK: its derivative by the pixels of each cell."""

    value: float
    smooth: float
    slope_SK: np.ndarray


class _Sample:
    """Answers scaled up to the pixels that they stand for."""

    def __init__(self, counts_SK: np.ndarray, pixels_S: np.ndarray):
        named_S1 = counts_SK.sum(axis=1, keepdims=True)
        self.share_SK = (counts_SK + IMAGINED / counts_SK.shape[1]) / (named_S1 + IMAGINED)
        self.cells_SK = counts_SK / named_S1 * pixels_S[:, None]
        self.smooth_SK = self.share_SK * pixels_S[:, None]
        named_S = named_S1[:, 0]
        self.weight_S = pixels_S**2 * (1 - named_S / pixels_S) / named_S

    def ratio(self, top_SK: np.ndarray, bottom_SK: np.ndarray) -> _Ratio:
        """Pixels of the cells `top_SK` by those of `bottom_SK`, which holds at least one answer."""
        value = (self.cells_SK * top_SK).sum() / (self.cells_SK * bottom_SK).sum()
        whole = (self.smooth_SK * bottom_SK).sum()
        smooth = (self.smooth_SK * top_SK).sum() / whole
        return _Ratio(float(value), float(smooth), (top_SK - smooth * bottom_SK) / whole)

    def figure(self, *ratios: _Ratio) -> Figure:
        """The mean of the ratios and its band."""
        slope_SK = sum(ratio.slope_SK for ratio in ratios) / len(ratios)
        mean_S1 = (self.share_SK * slope_SK).sum(axis=1, keepdims=True)
        spread_S = (self.share_SK * (slope_SK - mean_S1) ** 2).sum(axis=1)
        value = sum(ratio.value for ratio in ratios) / len(ratios)
        smooth = sum(ratio.smooth for ratio in ratios) / len(ratios)
        return wilson(value, smooth, float((self.weight_S * spread_S).sum()))


def wilson(value: float, smooth: float, variance: float) -> Figure:
    """Wilson's band around `value`, a share 0..1, for as many plain answers as have `variance`.

    smooth: the share to count them at where `value` is 0 or 1, a share that plain answers have no variance at.
    """
    if not variance > 0:
        return Figure(value, value, value)
    share = value if 0 < value < 1 else smooth
    answers = share * (1 - share) / variance
    centre = value + Z * Z / (2 * answers)
    reach = Z * math.sqrt(value * (1 - value) / answers + (Z / (2 * answers)) ** 2)
    low, high = ((centre + sign * reach) / (1 + Z * Z / answers) for sign in (-1, 1))
    return Figure(value, min(max(low, 0.0), value), max(min(high, 1.0), value))
