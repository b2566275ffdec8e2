"""Energies and features for `densecrf`, under the names that scripts for pydensecrf import.

Numpy only. Legend: L = labels; N = points, all axes behind the first in one; D = dimensions.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from numbers import Real

import numpy as np

from ..errors import UsageError
from ..kernels.dense_crf import probabilities_from_labels

__all__ = ["compute_unary", "create_pairwise_bilateral", "create_pairwise_gaussian"]
__all__ += ["softmax_to_unary", "unary_from_labels", "unary_from_softmax"]


def unary_from_labels(labels: np.ndarray, n_labels: int, gt_prob: float, zero_unsure: bool = True) -> np.ndarray:
    """energies_LN float32 of hard labels: the label has probability `gt_prob`, the others share the rest.

    labels: integers of any shape. zero_unsure: 0 means unknown (all labels alike) and 1..L are the labels;
        False: 0..L-1 are the labels. Raises UsageError for a label beyond them and for `gt_prob` not within 0..1.
    """
    if not 0 < gt_prob < 1:
        raise UsageError(f"gt_prob is above 0 and below 1, got {gt_prob}")
    label_N = np.asarray(labels).ravel().astype(np.int64) - bool(zero_unsure)
    if n_labels < 2 or label_N.max(initial=0) >= n_labels or label_N.min(initial=0) < -bool(zero_unsure):
        raise UsageError(
            f"{n_labels} labels, of which there must be two or more, do not hold {np.unique(labels)[[0, -1]]}; "
            "zero_unsure=True counts from 1, and 0 is unknown"
        )
    return -np.log(probabilities_from_labels(label_N[None], n_labels, gt_prob)).reshape(n_labels, -1)


def unary_from_softmax(sm: np.ndarray, scale: float | None = None, clip: float | None = 1e-5) -> np.ndarray:
    """energies_LN float32 of probabilities: -log.

    sm: (L, ...), 0..1. scale: mix with that share of `sm` and the rest of even chances; None = `sm` alone.
    clip: smaller probabilities count as this; None = 0 stays impossible.
    """
    if scale is not None:
        if not 0 < scale <= 1:
            raise UsageError(f"scale is above 0 and at most 1, got {scale}")
        sm = scale * sm + (1 - scale) / len(sm)
    if clip is not None:
        sm = np.clip(sm, clip, 1.0)
    with np.errstate(divide="ignore"):
        return -np.log(sm).reshape(len(sm), -1).astype(np.float32)


def compute_unary(labels: np.ndarray, M: int, GT_PROB: float = 0.5) -> np.ndarray:
    """The old name of `unary_from_labels`."""
    warnings.warn("compute_unary is the old name of unary_from_labels", DeprecationWarning, stacklevel=2)
    return unary_from_labels(labels, M, GT_PROB)


def softmax_to_unary(sm: np.ndarray, GT_PROB: float = 1) -> np.ndarray:
    """The old name of `unary_from_softmax`; it does not clip."""
    warnings.warn("softmax_to_unary is the old name of unary_from_softmax", DeprecationWarning, stacklevel=2)
    return unary_from_softmax(sm, None if GT_PROB == 1 else GT_PROB, clip=None)


def create_pairwise_gaussian(sdims: Sequence[float], shape: Sequence[int]) -> np.ndarray:
    """features_DN float32 of the points of an array: their places, axis by axis, over `sdims`.

    sdims: a standard deviation for each axis of `shape`, in its order: (y, x) for a photo.
    """
    if len(sdims) != len(shape):
        raise UsageError(f"expected a standard deviation for each axis, got {len(sdims)} for {len(shape)}")
    places = np.indices(tuple(shape), np.float32).reshape(len(shape), -1)
    return places / np.asarray(sdims, np.float32)[:, None]


def create_pairwise_bilateral(
    sdims: Sequence[float], schan: float | Sequence[float], img: np.ndarray, chdim: int = -1
) -> np.ndarray:
    """features_DN float32: the places over `sdims`, then the channels over `schan`.

    sdims: a standard deviation for each axis of the image but that of its channels. schan: one for all channels,
    or one for each. chdim: the axis of the channels; -1 = the image has none.
    """
    planes = np.moveaxis(img, chdim, 0) if chdim != -1 else img[None]
    each = (float(schan),) * len(planes) if isinstance(schan, Real) else tuple(schan)  # type: ignore[arg-type]
    if len(each) != len(planes):
        raise UsageError(f"expected a standard deviation for each of {len(planes)} channels, got {len(each)}")
    values = planes.reshape(len(planes), -1).astype(np.float32) / np.asarray(each, np.float32)[:, None]
    return np.concatenate([create_pairwise_gaussian(sdims, planes.shape[1:]), values])
