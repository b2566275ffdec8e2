"""Dense CRF: every pixel asks every other pixel, weighted by nearness in place and colour, for its label.

Kraehenbuehl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (2011). The
energy of a labelling x is sum_i -log P_i(x_i) + sum_{i<j} [x_i != x_j] k_ij with
    k_ij = w_b exp(-|xy_i - xy_j|^2 / 2 s_xy^2 - |rgb_i - rgb_j|^2 / 2 s_rgb^2) + w_g exp(-|xy_i - xy_j|^2 / 2 s_g^2)
each kernel normalised symmetrically. Its mean field is found by algorithm 1 of the paper, in C++
(csrc/mean_field.cpp) or, where the extension is missing, by `mean_field_reference`, which defines the result.

`compatible=True` computes what pydensecrf computes, to 2e-4. The default differs in two ways: messages come from every
second row and column only, with the last iteration at every pixel, and labels that are improbable
everywhere take no part. Of the exact CRF's labels (all pairs of pixels) it gets 99.70 %, where the lattice itself gets
99.74 % (benchmarks/dense_crf.py --exact).

Numpy only. Legend: L = labels; H, W = pixels; h, w = cells; N = H * W; S = pixels that send messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from math import ceil
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import UsageError, did_you_mean
from ..grid import Grid, interpolated
from . import extension
from .gaussian_filter import GaussianFilter
from .upsample_argmax import default_threads


@dataclass(frozen=True)
class CRFParameters:
    """Weights >= 0 and standard deviations > 0, in pixels and in levels of 0..255. A kernel of weight 0 is left out."""

    bilateral_weight: float
    bilateral_xy: float
    bilateral_rgb: float
    gaussian_weight: float
    gaussian_xy: float
    iterations: int = 10

    def __post_init__(self) -> None:
        sigmas = (self.bilateral_xy, self.bilateral_rgb, self.gaussian_xy)
        weights = (self.bilateral_weight, self.gaussian_weight)
        if not all(0 < s < np.inf for s in sigmas) or not all(0 <= w < np.inf for w in weights) or self.iterations < 0:
            raise UsageError(f"expected weights >= 0, standard deviations > 0 and iterations >= 0, got {self}")

    def kernels(self, height: int, width: int) -> list[tuple[float, float, float]]:
        """(weight, sigma_xy, sigma_rgb or 0) of each kernel.

        Neighbours many standard deviations apart are strangers already; a sigma still smaller changes nothing
        but would cost float32 its fraction.
        """
        least_xy, least_rgb = max(height, width) / _FURTHEST, 255 / _FURTHEST
        both = [
            (self.bilateral_weight, max(self.bilateral_xy, least_xy), max(self.bilateral_rgb, least_rgb)),
            (self.gaussian_weight, max(self.gaussian_xy, least_xy), 0.0),
        ]
        return [kernel for kernel in both if kernel[0] > 0]


PRESETS = MappingProxyType(
    {
        "deeplab": CRFParameters(4, 121, 5, 3, 3),
        "deeplab_v2": CRFParameters(4, 67, 3, 3, 1),
        "irn": CRFParameters(10, 50, 5, 3, 3),
        "krahenbuhl": CRFParameters(10, 80, 13, 3, 3),
    }
)
"""Published settings. `irn` expects hard labels: `probabilities_from_labels(labels_HW, count, certainty=0.7)`."""

MARGIN = 3.0
"""Standard deviations of the widest kernel that a tile sees around it."""
_FURTHEST = 2.0**16
_SUBSAMPLED = 2.5
"""Smallest sigma, in pixels, for which every second pixel still samples a kernel."""
_SMALL = 60_000
"""Pixels up to which all are sources: little time is won by fewer, and at 80x60 a quarter of them cost up to 5 % of
the labels, against 0.1 to 0.2 % at 500x375."""


def dense_crf(
    image_HW3: np.ndarray,
    probabilities_LHW: np.ndarray | None = None,
    preset: str | CRFParameters = "deeplab",
    *,
    scores_Lhw: np.ndarray | None = None,
    grid: Grid | None = None,
    allowed_LHW: np.ndarray | None = None,
    compatible: bool = False,
    source_stride: int | None = None,
    prune: float = 1e-3,
    tolerance: float = 0.0,
    least: float = 1e-5,
    tile: int = 4096,
    mask: bool = False,
) -> np.ndarray:
    """marginals_LHW float32 of the mean field, or mask_HW int32, its arg-max, where `mask` is asked for.

    image_HW3: uint8 RGB, as read from the file. A mean-subtracted or scaled image is refused: sigma_rgb counts levels.
    probabilities_LHW: a network's softmax, 0..1; or instead of it
    scores_Lhw: its scores before the softmax, on the cells of `grid` (None: at every pixel); float32, any range.
    preset: a name of PRESETS, or CRFParameters.
    allowed_LHW: bool, the labels each pixel may get (`candidates.allowed()`); no others are given. A pixel
        without any is open.
    compatible: what pydensecrf returns for `unary_from_softmax`, to 2e-4. Takes no `source_stride` and no `tolerance`,
        and prunes nothing.
    source_stride: messages come from every such row and column; every pixel receives. None: 2 where both
        standard deviations in pixels and the image are large enough, else 1.
    prune: labels whose probability is nowhere above this are left out and get the marginal 0. With kernels that
        weigh w in sum, a label of at most eps everywhere stays below about eps * exp(w * eps): 1.013 eps for w = 13.
    tolerance: a pixel whose marginals have moved by no more than this since it last sent a message sends none, and the
        iterations end when fewer than one source in 1000 does. 0: all send each time.
    least: smaller probabilities count as this, so that no pixel is lost for a label.
    tile: images with a longer side are inferred in tiles of that side, one at a time, that see `MARGIN` more
        standard deviations around them; what is left over is the memory of the arrays given and returned.
    One thread, the GIL released. Up to 512 MB of working memory stay with the process for its next call.
    Raises UsageError for shapes and types that do not fit, NaN, and values beyond 0..1.
    """
    image_HW3 = checked_image(image_HW3)
    height, width = image_HW3.shape[:2]
    parameters = _parameters(preset)
    if (probabilities_LHW is None) == (scores_Lhw is None):
        raise UsageError("give dense_crf either probabilities_LHW or scores_Lhw")
    given_LHW = np.asarray(scores_Lhw if probabilities_LHW is None else probabilities_LHW)
    full_size = probabilities_LHW is not None or grid is None
    if given_LHW.ndim != 3 or not given_LHW.size or (full_size and given_LHW.shape[1:] != (height, width)):
        raise UsageError(f"labels of {given_LHW.shape} for an image of {height}x{width}: expected L, H, W")
    if allowed_LHW is not None and (allowed_LHW.dtype != bool or allowed_LHW.shape != (len(given_LHW), height, width)):
        raise UsageError(
            f"expected allowed_LHW of bool {(len(given_LHW), height, width)}, got {allowed_LHW.dtype} "
            f"{allowed_LHW.shape}"
        )
    if compatible and (source_stride not in (None, 1) or tolerance):
        raise UsageError(
            f"compatible=True takes all pixels as sources, got source_stride={source_stride}, tolerance={tolerance}"
        )
    kernels = parameters.kernels(height, width)
    widest, finest = (choose((sigma_xy for _, sigma_xy, _ in kernels), default=0.0) for choose in (max, min))
    if compatible:
        source_stride, prune = 1, 0.0
    elif source_stride is None:
        source_stride = 2 if finest >= _SUBSAMPLED and height * width > _SMALL else 1
    if source_stride < 1 or tile < 1 or not tolerance >= 0:
        raise UsageError(
            f"source_stride and tile must be 1 or more, tolerance 0 or more, got {source_stride}, {tile}, {tolerance}"
        )

    def infer(rows: slice, columns: slice) -> np.ndarray:
        """The mean field of a window of the image, alone."""
        here = np.s_[:, rows, columns]
        if scores_Lhw is None:
            chosen_LHW = np.ascontiguousarray(given_LHW[here], np.float32)
        elif grid is None:
            chosen_LHW = probabilities_from_scores(given_LHW[here])
        else:
            chosen_LHW = probabilities_from_scores(given_LHW, grid, height, width, rows, columns)
        smallest = least
        if allowed_LHW is not None:
            chosen_LHW, smallest = _allowed_only(chosen_LHW, allowed_LHW[here], least), 0.0
        image = np.ascontiguousarray(image_HW3[rows, columns])
        start = (rows.start, columns.start)
        return _mean_field(
            image, start, chosen_LHW, kernels, parameters.iterations, source_stride, prune, tolerance, smallest, mask
        )

    if max(height, width) <= tile:
        return infer(slice(0, height), slice(0, width))
    out = np.empty((height, width), np.int32) if mask else np.empty((len(given_LHW), height, width), np.float32)
    around = ceil(MARGIN * widest / source_stride) * source_stride
    step = ceil(tile / source_stride) * source_stride  # windows begin on a source
    for y in range(0, height, step):
        for x in range(0, width, step):
            top, left = max(0, y - around), max(0, x - around)
            window = infer(slice(top, min(y + step + around, height)), slice(left, min(x + step + around, width)))
            inner = np.s_[..., y - top : y - top + step, x - left : x - left + step]
            out[..., y : y + step, x : x + step] = window[inner]
    return out


def _mean_field(
    image_HW3: np.ndarray,
    start: tuple[int, int],
    probabilities_LHW: np.ndarray,
    kernels: list[tuple[float, float, float]],
    iterations: int,
    source_stride: int,
    prune: float,
    tolerance: float,
    least: float,
    mask: bool,
) -> np.ndarray:
    """Compiled or, without the extension, by the reference. start: the window's first row and column in the photo."""
    labels = list(range(len(probabilities_LHW)))
    if prune > 0:
        peak_L = probabilities_LHW.reshape(len(labels), -1).max(axis=1)
        labels = [label for label in labels if not peak_L[label] <= prune] or [int(peak_L.argmax())]  # NaN stays in
    compiled = extension()
    if mask:
        out = np.empty(image_HW3.shape[:2], np.int32)
    else:
        out = (compiled.empty_marginals if compiled else _empty)(*probabilities_LHW.shape)
        out[np.setdiff1d(np.arange(len(out)), labels)] = 0
    if compiled is None:
        chosen_LHW = probabilities_LHW[labels]
        if not (chosen_LHW.min() >= 0 and chosen_LHW.max() <= _ONE):
            raise UsageError(_PROBABILITY)
        marginals_LHW = mean_field_reference(
            image_HW3, np.maximum(chosen_LHW, np.float32(least)), kernels, iterations, source_stride, start=start
        )
        if mask:
            return np.asarray(labels, np.int32)[marginals_LHW.argmax(axis=0)]
        out[labels] = marginals_LHW
        return out
    numbers = (least, kernels, iterations, source_stride, tolerance)
    try:
        compiled.mean_field(
            image_HW3, start, probabilities_LHW, labels, *numbers, *((None, out) if mask else (out, None))
        )
    except ValueError as error:
        raise UsageError(_REASONS.get(str(error), str(error))) from None
    return out


def dense_crf_batch(
    images: Iterable[np.ndarray],
    probabilities: Iterable[np.ndarray],
    preset: str | CRFParameters = "deeplab",
    threads: int | None = None,
    **options: Any,
) -> Iterator[np.ndarray]:
    """`dense_crf` of many images over threads, in their order. An image is one thread's: any number gives the same.

    images, probabilities: read as results are taken, a few ahead. threads: default `default_threads()`.
    """
    threads = threads or default_threads()
    pairs = iter(zip(images, probabilities, strict=True))
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[np.ndarray]] = deque()
        while True:
            for image_HW3, probabilities_LHW in islice(pairs, 2 * threads - len(running)):
                running.append(pool.submit(dense_crf, image_HW3, probabilities_LHW, preset, **options))
            if not running:
                return
            yield running.popleft().result()


def probabilities_from_scores(
    scores_Lhw: np.ndarray,
    grid: Grid | None = None,
    height: int | None = None,
    width: int | None = None,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> np.ndarray:
    """probabilities_LHW float32: the softmax of scores interpolated from the cells of `grid` (None: one a pixel).

    rows, columns: a window of the pixels; the others are not computed.
    """
    scores_LHW: np.ndarray = np.asarray(scores_Lhw, np.float32)
    if scores_LHW.ndim != 3 or not scores_LHW.size or not scores_LHW.max() < np.inf:  # also False for NaN
        raise UsageError(f"expected scores of three axes L, h, w without NaN and +inf, got {scores_LHW.shape}")
    if grid is not None and height and width:
        scores_LHW = interpolated(scores_LHW, grid, height, width, rows, columns)
    relative_LHW = np.exp(scores_LHW - scores_LHW.max(axis=0))
    return relative_LHW / relative_LHW.sum(axis=0)


def probabilities_from_labels(labels_HW: np.ndarray, count: int, certainty: float = 0.7) -> np.ndarray:
    """probabilities_LHW float32 of hard labels 0..count-1: `certainty` for the label, the rest shared by the others.

    Negative labels are unsure: all labels alike.
    """
    if not 0 < certainty < 1 or count < 1 or labels_HW.max(initial=0) >= count:
        raise UsageError(f"expected labels below {count} and a certainty within 0..1, got {certainty}")
    others = (1 - certainty) / max(count - 1, 1)
    probabilities_LHW = np.where(np.arange(count)[:, None, None] == labels_HW, certainty, others)
    return np.where(labels_HW < 0, 1 / count, probabilities_LHW).astype(np.float32)


def mean_field_reference(
    image_HW3: np.ndarray,
    probabilities_LHW: np.ndarray,
    kernels: list[tuple[float, float, float]],
    iterations: int,
    source_stride: int = 1,
    backend: str = "reference",
    start: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """marginals_LHW of csrc/mean_field.cpp, in numpy. backend "exact": the mean field over all pairs of pixels.

    start: the image's first row and column in a larger one, in whose lattice it is filtered.
    """
    labels, height, width = probabilities_LHW.shape
    y_N, x_N = (axis.ravel().astype(np.float32) for axis in np.indices((height, width)))
    source_S = np.flatnonzero((y_N % source_stride == 0) & (x_N % source_stride == 0))
    operators = []
    for _, sigma_xy, sigma_rgb in kernels:
        planes = [(x_N + start[1]) / np.float32(sigma_xy), (y_N + start[0]) / np.float32(sigma_xy)]
        if sigma_rgb:
            planes += [level_N.astype(np.float32) / np.float32(sigma_rgb) for level_N in image_HW3.reshape(-1, 3).T]
        features_ND = np.stack(planes, axis=1)
        gaussian = GaussianFilter(features_ND[source_S], features_ND if source_stride > 1 else None, backend)
        mass_N1 = gaussian.filter(np.ones((len(source_S), 1), np.float32))
        operators.append((gaussian, 1 / np.sqrt(mass_N1 + np.float32(1e-20))))
    given_NL = probabilities_LHW.reshape(labels, -1).T
    marginal_NL = given_NL / given_NL.sum(axis=1, keepdims=True)
    for _ in range(iterations):
        message_NL = np.zeros_like(marginal_NL)
        for (weight, _, _), (gaussian, norm_N1) in zip(kernels, operators, strict=True):
            message_NL += np.float32(weight) * norm_N1 * gaussian.filter(norm_N1[source_S] * marginal_NL[source_S])
        message_NL -= message_NL.max(axis=1, keepdims=True)
        marginal_NL = given_NL * np.exp(message_NL)
        marginal_NL /= marginal_NL.sum(axis=1, keepdims=True)
    return np.ascontiguousarray(marginal_NL.T).reshape(labels, height, width)


def _empty(*shape: int) -> np.ndarray:
    return np.empty(shape, np.float32)


_ONE = 1.001
_PROBABILITY = (
    "probabilities hold NaN or values beyond 0..1: hand over a softmax, or the scores before it as scores_Lhw"
)
_REASONS = {
    "probability": _PROBABILITY,
    "mass": "a pixel has probability 0 for every label: set `least` above 0",
    "labels": "more than 1024 labels take part, or the photo is too large for so many: raise `prune`",
}


def checked_image(image_HW3: np.ndarray) -> np.ndarray:
    """The image, its pixels side by side in memory. Raises UsageError for anything but uint8 RGB."""
    image_HW3 = np.asarray(image_HW3)
    if image_HW3.dtype != np.uint8 or image_HW3.ndim != 3 or image_HW3.shape[2] != 3 or not image_HW3.size:
        raise UsageError(
            f"expected a uint8 RGB image of (H, W, 3), got {image_HW3.dtype} {image_HW3.shape}: sigma_rgb counts "
            "levels of 0..255, so a scaled image, or a mean-subtracted one (as in much copied code), is another image"
        )
    return np.ascontiguousarray(image_HW3)


def _parameters(preset: str | CRFParameters) -> CRFParameters:
    if isinstance(preset, CRFParameters):
        return preset
    if preset not in PRESETS:
        raise UsageError(f"no CRF preset {preset!r}{did_you_mean(str(preset), PRESETS)}")
    return PRESETS[preset]


def _allowed_only(probabilities_LHW: np.ndarray, allowed_LHW: np.ndarray, least: float) -> np.ndarray:
    possible_LHW = allowed_LHW | ~allowed_LHW.any(axis=0)
    return np.where(possible_LHW, np.maximum(probabilities_LHW, np.float32(least)), np.float32(0))
