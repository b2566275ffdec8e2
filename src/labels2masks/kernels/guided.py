"""What a few points know, told to every pixel that lies near and looks alike: one Gaussian filter, two uses.

`guided_upsample` is joint bilateral upsampling (Kopf, Cohen, Lischinski and Uyttendaele 2007, section 3): cells of a
coarse score map speak, pixels listen, and a cell counts the more the nearer it lies in place and colour.
`propagate_labels` lets labelled pixels vote in the same way. Both are one `GaussianFilter` whose sources are not its
queries, so their time is linear in pixels, whatever the sigmas. With few sources the lattice is less exact than with
many: for probabilities at stride 4 and 8 about 0.03 rms beside the sum over all pairs, and 1 to 3 % of the winners.

A weighted mean needs some weight. `FAINT` is added in favour of what would hold without the photo (the interpolated
score; all labels alike), so that pixels which nobody reaches take that, and no border shows where it begins.

Numpy only. Legend: L = labels or channels; H, W = pixels; h, w = cells; P = points that speak; N = H * W.
"""

from __future__ import annotations

import numpy as np

from ..errors import UsageError
from ..grid import Grid, interpolated
from .dense_crf import checked_image
from .gaussian_filter import GaussianFilter

FAINT = np.float32(1e-3)
"""The weight of one source 3.7 standard deviations away; whoever hears less has heard nothing."""


def guided_upsample(
    values_Lhw: np.ndarray,
    image_HW3: np.ndarray,
    sigma_xy: float,
    sigma_rgb: float,
    grid: Grid,
    backend: str = "auto",
) -> np.ndarray:
    """values_LHW float32: at each pixel the mean of the cells, weighted by their nearness in place and colour.

    values_Lhw: scores, probabilities or anything else that may be averaged, finite, on the cells of `grid`. A cell has
        the colour of the pixel under its centre, or of the nearest one where its centre lies outside.
    image_HW3: uint8 RGB. sigma_xy: in pixels, about the stride of the grid. sigma_rgb: in levels of 0..255.
    Constants stay constant, probabilities sum to 1, and no value leaves the range of its channel. Where no cell of
    like colour is near, the values are those of plain interpolation.
    backend: of `GaussianFilter`. Raises UsageError for shapes and types that do not fit, and for NaN and infinities.
    """
    values_Lhw = np.asarray(values_Lhw, np.float32)
    if values_Lhw.ndim != 3 or not values_Lhw.size or not np.isfinite(values_Lhw).all():
        raise UsageError(f"expected finite values of three axes L, h, w, got {values_Lhw.shape}")
    image_HW3 = _checked(image_HW3, sigma_xy, sigma_rgb)
    (channels, cells_y, cells_x), (height, width) = values_Lhw.shape, image_HW3.shape[:2]
    y_h = grid.centre_y + grid.stride_y * np.arange(cells_y)
    x_w = grid.centre_x + grid.stride_x * np.arange(cells_x)
    under_hw = np.ix_(y_h.clip(0, height - 1).astype(int), x_w.clip(0, width - 1).astype(int))
    features_PD = _features(y_h, x_w, image_HW3[under_hw], sigma_xy, sigma_rgb)
    spoken_PL = np.append(values_Lhw.reshape(channels, -1), np.ones((1, cells_y * cells_x), np.float32), axis=0).T
    heard_NL = GaussianFilter(features_PD, _of_pixels(image_HW3, sigma_xy, sigma_rgb), backend).filter(spoken_PL)
    plain_LHW = interpolated(values_Lhw, grid, height, width)
    heard_LHW, weight_HW = heard_NL.T[:-1].reshape(plain_LHW.shape), heard_NL[:, -1].reshape(height, width)
    mean_LHW = (heard_LHW + FAINT * plain_LHW) / (np.maximum(weight_HW, 0) + FAINT)
    # Far from zero float32 leaves a cell a little less than no weight.
    return mean_LHW.clip(values_Lhw.min(axis=(1, 2), keepdims=True), values_Lhw.max(axis=(1, 2), keepdims=True))


def propagate_labels(
    image_HW3: np.ndarray,
    labels_HW: np.ndarray,
    count: int,
    sigma_xy: float = 80,
    sigma_rgb: float = 13,
    backend: str = "auto",
) -> np.ndarray:
    """probabilities_LHW float32: the share of each label in the votes that reach a pixel.

    labels_HW: integers, 0..count-1 at the pixels that vote, negative elsewhere. Labelled pixels take the vote too.
    Where nobody of like colour is near, all labels are alike: 1 / count each. Otherwise as `label_votes`.
    """
    votes_LHW = label_votes(image_HW3, labels_HW, count, sigma_xy, sigma_rgb, backend)
    return (votes_LHW + FAINT / np.float32(count)) / (votes_LHW.sum(axis=0) + FAINT)


def label_votes(
    image_HW3: np.ndarray,
    labels_HW: np.ndarray,
    count: int,
    sigma_xy: float,
    sigma_rgb: float,
    backend: str = "auto",
) -> np.ndarray:
    """votes_LHW float32 >= 0: of each label the sum of exp(-d^2 / 2) over the pixels that have it, where d is the
    distance in place and colour in standard deviations. Votes of less than `FAINT` in sum are none.

    image_HW3: uint8 RGB. sigma_xy: in pixels; sigma_rgb: in levels of 0..255. backend: of `GaussianFilter`.
    Raises UsageError for shapes and types that do not fit, and for labels of `count` and more.
    """
    image_HW3, labels_HW = _checked(image_HW3, sigma_xy, sigma_rgb), np.asarray(labels_HW)
    height, width = image_HW3.shape[:2]
    if labels_HW.shape != (height, width) or labels_HW.dtype.kind not in "iu":
        raise UsageError(f"expected integer labels of {height}x{width}, got {labels_HW.dtype} {labels_HW.shape}")
    if count < 1 or labels_HW.max() >= count:
        raise UsageError(f"expected labels below the count of {count}, got {labels_HW.max()}: -1 means unknown")
    of_pixel_N = labels_HW.ravel()
    voter_P = np.flatnonzero(of_pixel_N >= 0)
    if not len(voter_P):
        return np.zeros((count, height, width), np.float32)
    features_ND = _of_pixels(image_HW3, sigma_xy, sigma_rgb)
    spoken_PL = np.zeros((len(voter_P), count), np.float32)
    spoken_PL[np.arange(len(voter_P)), of_pixel_N[voter_P]] = 1
    votes_NL = GaussianFilter(features_ND[voter_P], features_ND, backend).filter(spoken_PL)
    return np.maximum(votes_NL.T, np.float32(0), order="C").reshape(count, height, width)


def _checked(image_HW3: np.ndarray, sigma_xy: float, sigma_rgb: float) -> np.ndarray:
    if not (0 < sigma_xy < np.inf and 0 < sigma_rgb < np.inf):
        raise UsageError(f"expected standard deviations above 0, got sigma_xy={sigma_xy} and sigma_rgb={sigma_rgb}")
    return checked_image(image_HW3)


def _of_pixels(image_HW3: np.ndarray, sigma_xy: float, sigma_rgb: float) -> np.ndarray:
    height, width = image_HW3.shape[:2]
    return _features(np.arange(height) + 0.5, np.arange(width) + 0.5, image_HW3, sigma_xy, sigma_rgb)


def _features(
    y_h: np.ndarray, x_w: np.ndarray, colour_hw3: np.ndarray, sigma_xy: float, sigma_rgb: float
) -> np.ndarray:
    features_hw5 = np.empty((len(y_h), len(x_w), 5), np.float32)
    features_hw5[..., 0] = x_w / sigma_xy
    features_hw5[..., 1] = (y_h / sigma_xy)[:, None]
    features_hw5[..., 2:] = colour_hw3 / np.float32(sigma_rgb)
    return features_hw5.reshape(-1, 5)
