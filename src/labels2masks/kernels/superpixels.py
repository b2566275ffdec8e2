"""Super-pixels: segments of like colour as the unit that is scored, pooled or voted on, and the best they allow.

Segments come from anywhere; scikit-image has the two that the field uses most:
    segments_HW = skimage.segmentation.slic(image_HW3, n_segments=1000, start_label=0)  (Achanta et al. 2012)
    segments_HW = skimage.segmentation.felzenszwalb(image_HW3, scale=100)  (Felzenszwalb and Huttenlocher 2004)

Whatever is decided once a segment can not be better than the segments: `achievable_mask` gives each its true
majority, and its accuracy is the Achievable Segmentation Accuracy of Liu et al. 2011 (section 5.1). Show it beside
every score that was reached with super-pixels. Its mIoU is a bound in practice and not in law: a majority is best for
accuracy, and another choice may trade pixels between classes.

Time is linear in pixels times channels. Numpy only.
Legend: H, W = pixels; N = H * W; K = segments, numbered from 0; L = labels; D = features.
"""

from __future__ import annotations

import numpy as np

from ..errors import UsageError


def superpixel_vote(scores_LHW: np.ndarray, segments_HW: np.ndarray) -> np.ndarray:
    """scores_LHW float32: at every pixel the mean over its segment; its arg-max is the vote.

    scores_LHW: probabilities, or log-scores, where -inf at one pixel makes a label impossible in its whole segment.
    Raises UsageError as `pool_by_segments` does.
    """
    return np.ascontiguousarray(pool_by_segments(scores_LHW, segments_HW).T)[:, segments_HW]


def pool_by_segments(features_DHW: np.ndarray, segments_HW: np.ndarray) -> np.ndarray:
    """features_KD float32: row k is the mean over the pixels of segment k, 0 where there are none.

    segments_HW: integers >= 0, best without gaps; K is the largest and one. `features_KD[segments_HW]` spreads them.
    Raises UsageError for other shapes and types, for NaN, and for segments numbered beyond the number of pixels.
    """
    features_DHW, segment_N = np.asarray(features_DHW), _numbers(segments_HW)
    if features_DHW.ndim != 3 or features_DHW.shape[1:] != np.shape(segments_HW):
        raise UsageError(f"features of {features_DHW.shape} for segments of {np.shape(segments_HW)}: expected DHW")
    if np.isnan(features_DHW).any():
        raise UsageError("features hold NaN: leave out what gave them, a mean can not")
    pixels_K = np.bincount(segment_N)
    sums_DK = [np.bincount(segment_N, plane_HW.ravel(), len(pixels_K)) for plane_HW in features_DHW]
    return (np.array(sums_DK).reshape(-1, len(pixels_K)) / np.maximum(pixels_K, 1)).T.astype(np.float32)


def achievable_mask(truth_HW: np.ndarray, segments_HW: np.ndarray, count: int) -> np.ndarray:
    """mask_HW int32: every segment with its most frequent true label (the lowest of several), -1 where it is all void.

    truth_HW: integers, 0..count-1, negative where void. No other choice of one label a segment gets more pixels right.
    Raises UsageError for shapes and types that do not fit, and for labels of `count` and more.
    """
    truth_HW, segment_N = np.asarray(truth_HW), _numbers(segments_HW)
    if truth_HW.shape != np.shape(segments_HW) or truth_HW.dtype.kind not in "iu" or truth_HW.max() >= count:
        raise UsageError(f"expected integer labels below {count} of {np.shape(segments_HW)}, got {truth_HW.shape}")
    stated_HW = truth_HW >= 0
    segments = int(segment_N.max()) + 1
    pair_N = segment_N[stated_HW.ravel()] * count + truth_HW[stated_HW]
    pixels_KL = np.bincount(pair_N, minlength=segments * count).reshape(segments, count)
    majority_K = np.where(pixels_KL.any(axis=1), pixels_KL.argmax(axis=1), -1).astype(np.int32)
    return majority_K[segments_HW]


def achievable_accuracy(truth_HW: np.ndarray, segments_HW: np.ndarray, count: int) -> float | None:
    """The share of pixels, 0..1, that labels given once a segment can get right; None where all is void."""
    right_HW = achievable_mask(truth_HW, segments_HW, count) == truth_HW
    stated_HW = np.asarray(truth_HW) >= 0
    return float(right_HW[stated_HW].mean()) if stated_HW.any() else None


def _numbers(segments_HW: np.ndarray) -> np.ndarray:
    segments_HW = np.asarray(segments_HW)
    if segments_HW.ndim != 2 or not segments_HW.size or segments_HW.dtype.kind not in "iu":
        raise UsageError(f"expected integer segments of two axes, got {segments_HW.dtype} {segments_HW.shape}")
    if segments_HW.min() < 0 or segments_HW.max() > segments_HW.size:
        raise UsageError(
            f"segments are numbered {segments_HW.min()}..{segments_HW.max()}, expected 0..{segments_HW.size}: "
            "number them anew with np.unique(segments_HW, return_inverse=True)"
        )
    return segments_HW.ravel().astype(np.intp, copy=False)
