"""The mean field over all pairs of pixels, for whole photos: what approximations of the dense CRF are measured by.

500x375 are 35 thousand million pairs for each step of the bilateral kernel. `exact_filter.cpp` sums them leaf by leaf
of a k-d tree over place and colour, without pairs of leaves that lie more than `CUT` standard deviations apart. What a
pixel so misses is at most N exp(-CUT^2 / 2), and what it keeps is at least 1, its own weight: 2.4e-9 of its sum at
500x375, a twenty-fifth of what float32 rounds. The Gaussian kernel is a product of two: over rows, then over columns.

Needs g++ (or the compiler that CXX names). Legend: L = labels; H, W = pixels; N = H * W; P = N filled up to whole
leaves; D = 5 features; C = 8 channels, as many as are filtered at a time.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from labels2masks.kernels.dense_crf import CRFParameters

CUT = 8.0
LEAF, CHANNELS = 32, 8
"""As in exact_filter.cpp."""


class Bilateral:
    """values_LHW -> their sums over all pixels, weighted by nearness in place and colour. `share`: of pairs summed."""

    def __init__(self, image_HW3: np.ndarray, sigma_xy: float, sigma_rgb: float, cut: float = CUT) -> None:
        y_HW, x_HW = np.indices(image_HW3.shape[:2])
        planes = [x_HW / sigma_xy, y_HW / sigma_xy, *np.moveaxis(image_HW3 / sigma_rgb, 2, 0)]
        features_ND = np.stack(planes, axis=-1).reshape(-1, 5).astype(np.float32)
        self.pixels, self.cut, self.share = len(features_ND), cut, 0.0
        filled_P = np.concatenate([np.arange(self.pixels), np.full(-self.pixels % LEAF, self.pixels - 1)])
        self.place_P = np.concatenate(_leaves(features_ND, np.arange(len(filled_P)), filled_P))
        self.features_DP = np.ascontiguousarray(features_ND[filled_P[self.place_P]].T)

    def __call__(self, values_LHW: np.ndarray) -> np.ndarray:
        labels, points = len(values_LHW), len(self.place_P)
        sums_LN = np.empty((labels, self.pixels))
        for first in range(0, labels, CHANNELS):
            chosen = slice(first, min(first + CHANNELS, labels))
            values_PC, sums_PC = np.zeros((points, CHANNELS), np.float32), np.empty((points, CHANNELS))
            values_PC[: self.pixels, : chosen.stop - first] = values_LHW[chosen].reshape(-1, self.pixels).T
            given_PC = values_PC[self.place_P]  # what fills the last leaf up stays zero
            pairs = _compiled()(self.features_DP, given_PC, sums_PC, points // LEAF, self.cut)
            found_PC = np.empty_like(sums_PC)
            found_PC[self.place_P] = sums_PC
            sums_LN[chosen] = found_PC[: self.pixels, : chosen.stop - first].T
            self.share = pairs / points**2
        return sums_LN.reshape(values_LHW.shape)


def _leaves(features_ND: np.ndarray, place_P: np.ndarray, pixel_P: np.ndarray) -> list[np.ndarray]:
    """The places in leaves: halved across their widest feature until LEAF are left."""
    leaves = len(place_P) // LEAF
    if leaves == 1:
        return [place_P]
    here_PD = features_ND[pixel_P[place_P]]
    half = leaves // 2 * LEAF
    order = np.argpartition(here_PD[:, np.ptp(here_PD, axis=0).argmax()], half)
    return [
        *_leaves(features_ND, place_P[order[:half]], pixel_P),
        *_leaves(features_ND, place_P[order[half:]], pixel_P),
    ]


def gaussian(height: int, width: int, sigma_xy: float) -> Callable[[np.ndarray], np.ndarray]:
    """The same by nearness in place alone."""
    rows_HH, columns_WW = (
        np.exp(-0.5 * ((np.arange(n)[:, None] - np.arange(n)) / sigma_xy) ** 2) for n in (height, width)
    )
    return lambda values_LHW: rows_HH @ values_LHW @ columns_WW


def exact_mean_field(
    image_HW3: np.ndarray, probabilities_LHW: np.ndarray, parameters: CRFParameters, cut: float = CUT
) -> tuple[np.ndarray, float]:
    """(marginals_LHW float64, the share of pairs that the bilateral kernel summed). The definition is
    `mean_field_reference(backend="exact")`; probabilities below 1e-5 count as that, as in pydensecrf."""
    height, width = image_HW3.shape[:2]
    operators, share = [], 1.0
    for weight, sigma_xy, sigma_rgb in parameters.kernels(height, width):
        bilateral = Bilateral(image_HW3, sigma_xy, sigma_rgb, cut) if sigma_rgb else None
        summed = bilateral or gaussian(height, width, sigma_xy)
        norm_1HW = summed(np.ones((1, height, width))) ** -0.5
        operators.append((weight, norm_1HW, summed))
        share = bilateral.share if bilateral else share
    given_LHW = np.maximum(probabilities_LHW, np.float32(1e-5)).astype(np.float64)
    marginals_LHW = given_LHW / given_LHW.sum(axis=0)
    for _ in range(parameters.iterations):
        message_LHW = sum(weight * norm * summed(norm * marginals_LHW) for weight, norm, summed in operators)
        marginals_LHW = given_LHW * np.exp(message_LHW - message_LHW.max(axis=0))
        marginals_LHW /= marginals_LHW.sum(axis=0)
    return marginals_LHW, share


@cache
def _compiled() -> Callable[[np.ndarray, np.ndarray, np.ndarray, int, float], int]:
    """filter_pairs(features_DP, values_PC, sums_PC, leaves, cut) -> pairs."""
    source = Path(__file__).with_name("exact_filter.cpp")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "exact_filter.so"
        command = [os.environ.get("CXX", "g++"), "-std=c++17", "-O3", "-march=native", "-shared", "-fPIC"]
        subprocess.run([*command, str(source), "-o", str(library)], check=True)
        function = ctypes.CDLL(str(library)).filter_pairs  # stays loaded when the file is gone
    floats, doubles = (np.ctypeslib.ndpointer(t, ndim=2, flags="C") for t in (np.float32, np.float64))
    function.argtypes = [floats, floats, doubles, ctypes.c_int64, ctypes.c_float]
    function.restype = ctypes.c_int64
    return function
