"""`DenseCRF2D` and `DenseCRF` as scripts for pydensecrf know them.

    crf = DenseCRF2D(width, height, labels)
    crf.setUnaryEnergy(unary_from_softmax(probabilities_LHW))
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=image_HW3, compat=10)
    marginals_LN = crf.inference(10)

Kraehenbuehl and Koltun 2011, algorithm 1: Q is the softmax of -U - sum over terms of C (K Q), with the unary energy
U, the Gaussian kernel K of a term and its label compatibility C. What nearly every script asks for, as above, goes
through the fused kernel, `labels2masks.dense_crf(compatible=True)`; all else is the mean field below. Both are
within 2e-4 of pydensecrf's marginals.

Different from pydensecrf: arrays of any memory layout are taken; standard deviations that are not above 0, NaN and
unknown constants are refused (there: a crash, NaN, silence); results are numpy arrays.

Numpy only. Legend: L = labels; H, W = pixels; N = points, of a photo H * W in rows; D = dimensions of the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from ..errors import UsageError
from ..kernels.dense_crf import CRFParameters, dense_crf
from ..kernels.gaussian_filter import GaussianFilter


class KernelType(IntEnum):
    """What training might change of a kernel. Nothing is trained here, so all three are the same kernel."""

    CONST_KERNEL = 0
    DIAG_KERNEL = 1
    FULL_KERNEL = 2


class NormalizationType(IntEnum):
    """Where the kernel's row sums divide: nowhere, the values before filtering, after it, or half and half."""

    NO_NORMALIZATION = 0
    NORMALIZE_BEFORE = 1
    NORMALIZE_AFTER = 2
    NORMALIZE_SYMMETRIC = 3


CONST_KERNEL, DIAG_KERNEL, FULL_KERNEL = KernelType
NO_NORMALIZATION, NORMALIZE_BEFORE, NORMALIZE_AFTER, NORMALIZE_SYMMETRIC = NormalizationType

Compat = float | Sequence[float] | np.ndarray
Pair = float | Sequence[float]

_FUSED_LABELS = 255
_FUSED_ENERGY = 80.0
"""exp of minus that is still an ordinary float32."""


@dataclass(frozen=True)
class _Pairwise:
    """One term of the energy. fused: (weight, sigma_xy, sigma_rgb or 0) where the fused kernel knows it."""

    features_DN: np.ndarray
    compat: float | np.ndarray
    normalization: NormalizationType
    fused: tuple[float, float, float] | None = None

    @cached_property
    def _kernel(self) -> tuple[GaussianFilter, np.ndarray | None]:
        """(K, what values are multiplied by first). pydensecrf divides by row sums before filtering, not by column
        sums, so that case is not left to the filter."""
        points_ND = self.features_DN.T
        if self.normalization == NORMALIZE_SYMMETRIC:
            return GaussianFilter(points_ND, normalisation="symmetric"), None
        if self.normalization == NORMALIZE_AFTER:
            return GaussianFilter(points_ND, normalisation="after"), None
        kernel = GaussianFilter(points_ND)
        if self.normalization == NO_NORMALIZATION:
            return kernel, None
        return kernel, 1 / (kernel.filter(np.ones((len(points_ND), 1), np.float32)) + np.float32(1e-20))

    def apply(self, marginals_NL: np.ndarray) -> np.ndarray:
        """energy_NL that a label at a point gets from the labels around it."""
        kernel, before_N1 = self._kernel
        heard_NL = kernel.filter(marginals_NL if before_N1 is None else before_N1 * marginals_NL)
        if isinstance(self.compat, float):
            return np.multiply(heard_NL, -self.compat, out=heard_NL)  # Potts: agreeing is rewarded
        return heard_NL * self.compat if self.compat.ndim == 1 else heard_NL @ self.compat


class DenseCRF:
    """A CRF over any points. nvar: N. nlabels: L."""

    def __init__(self, nvar: int, nlabels: int) -> None:
        if nvar < 1 or nlabels < 1:
            raise UsageError(f"expected at least one point and one label, got {nvar} and {nlabels}")
        self._shape = (int(nlabels), int(nvar))
        self._energy_LN = np.zeros(self._shape, np.float32)
        self._terms: list[_Pairwise] = []

    def setUnaryEnergy(self, u: np.ndarray, f: np.ndarray | None = None) -> None:
        """u: energies_LN float32, -log of a probability; inf is impossible. With f, float32 (D, N): u is (L, D), and
        the energies are their product. Raises UsageError, a ValueError, for another type or shape and NaN."""
        self.setUnary(ConstUnary(u) if f is None else LogisticUnary(u, f))

    def setUnary(self, u: np.ndarray) -> None:
        """u: what `ConstUnary` or `LogisticUnary` gave."""
        if u.shape != self._shape:
            raise UsageError(f"bad shape for the unary energy: need {self._shape}, got {u.shape}")
        self._energy_LN = u

    def addPairwiseEnergy(
        self,
        features: np.ndarray,
        compat: Compat,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """A term on any features.

        features: float32 (D, N), D = 1..8, in standard deviations: see `utils.create_pairwise_gaussian`.
        compat: a number w (Potts: two neighbours that agree gain w), or energies: of L labels that meet themselves,
            or of (L, L) pairs, which are made symmetric. An energy is paid, so a reward is below 0.
        kernel: see `KernelType`. normalization: see `NormalizationType`.
        """
        features_DN = _floats("the pairwise features", features)
        if features_DN.shape[1] != self._shape[1] or not 1 <= len(features_DN) <= 8:
            raise UsageError(
                f"bad shape for the pairwise energy: need (1 to 8, {self._shape[1]}), got {features_DN.shape}"
            )
        self._add(features_DN, compat, kernel, normalization)

    def inference(self, n_iterations: int) -> np.ndarray:
        """marginals_LN float32 after so many steps; 0 = the softmax of the unary energy alone."""
        marginals_LN, *rest = self.startInference()
        for _ in range(n_iterations):
            self.stepInference(marginals_LN, *rest)
        return marginals_LN

    def startInference(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(marginals_LN before the first step, and two arrays that only `stepInference` expects)."""
        return _softmax(-self._energy_LN), np.empty((0, 0), np.float32), np.empty((0, 0), np.float32)

    def stepInference(self, Q: np.ndarray, tmp1: Any = None, tmp2: Any = None) -> None:
        """One step of the mean field; marginals_LN `Q` is changed in place."""
        Q[...] = _softmax(-self._energy_after(Q))

    def klDivergence(self, Q: np.ndarray) -> float:
        """KL(Q || P) up to the log of P's partition function, which no Q changes: lower is nearer."""
        entropy = float((Q * np.log(np.maximum(Q, np.float32(1e-20)))).sum(dtype=np.float64))
        energy_LN = self._energy_after(Q)
        return entropy + float((Q * np.where(Q > 0, energy_LN, 0)).sum(dtype=np.float64))  # 0 * inf is no energy

    def _energy_after(self, marginals_LN: np.ndarray) -> np.ndarray:
        """energy_LN of each label, where the other points are as the marginals say."""
        marginals_NL = np.ascontiguousarray(marginals_LN.T)
        heard_NL = np.zeros_like(marginals_NL)
        for term in self._terms:
            heard_NL += term.apply(marginals_NL)
        return self._energy_LN + heard_NL.T

    def _add(
        self,
        features_DN: np.ndarray,
        compat: Compat,
        kernel: int,
        normalization: int,
        fused: tuple[float, float] | None = None,
    ) -> None:
        _constant(KernelType, kernel)
        where = _constant(NormalizationType, normalization)
        checked = _compat(compat, self._shape[0])
        known = None
        if fused and where == NORMALIZE_SYMMETRIC and isinstance(checked, float) and checked >= 0:
            known = checked, *fused
        self._terms.append(_Pairwise(features_DN, checked, where, known))


class DenseCRF2D(DenseCRF):
    """A CRF over the pixels of a photo. w, h: its width and height, in this order. nlabels: L."""

    def __init__(self, w: int, h: int, nlabels: int) -> None:
        super().__init__(w * h, nlabels)
        self._size = int(h), int(w)
        self._image_HW3 = np.zeros((*self._size, 3), np.uint8)

    def addPairwiseGaussian(
        self, sxy: Pair, compat: Compat, kernel: int = DIAG_KERNEL, normalization: int = NORMALIZE_SYMMETRIC
    ) -> None:
        """Near pixels share a label. sxy: standard deviation in pixels, or (x, y). The rest: `addPairwiseEnergy`."""
        sigmas = _sigmas("sxy", sxy, 2)
        self._add(self._places(sigmas), compat, kernel, normalization, _even(sigmas))

    def addPairwiseBilateral(
        self,
        sxy: Pair,
        srgb: Pair,
        rgbim: np.ndarray,
        compat: Compat,
        kernel: int = DIAG_KERNEL,
        normalization: int = NORMALIZE_SYMMETRIC,
    ) -> None:
        """Near pixels of like colour share a label. rgbim: uint8 (H, W, 3). sxy: in pixels, or (x, y).
        srgb: in levels of 0..255, or one for each channel. The rest: `addPairwiseEnergy`."""
        sigmas, levels = _sigmas("sxy", sxy, 2), _sigmas("srgb", srgb, 3)
        image_HW3 = np.array(rgbim)
        if image_HW3.dtype != np.uint8 or image_HW3.shape != (*self._size, 3):
            raise UsageError(
                f"bad image for the pairwise bilateral: need uint8 {(*self._size, 3)}, "
                f"got {image_HW3.dtype} {image_HW3.shape}"
            )
        colours_3N = image_HW3.reshape(-1, 3).T / np.array(levels, np.float32)[:, None]
        features_DN = np.concatenate([self._places(sigmas), colours_3N]).astype(np.float32)
        self._add(features_DN, compat, kernel, normalization, _even(sigmas, levels))
        self._image_HW3 = image_HW3

    def inference(self, n_iterations: int) -> np.ndarray:
        """marginals_LN float32 after so many steps."""
        parameters = self._fused(n_iterations)
        if parameters is None:
            return super().inference(n_iterations)
        relative_LN = np.exp(self._energy_LN.min(axis=0) - self._energy_LN)
        probabilities_LHW = relative_LN.reshape(self._shape[0], *self._size)
        marginals_LHW = dense_crf(self._image_HW3, probabilities_LHW, parameters, compatible=True, least=0.0)
        return marginals_LHW.reshape(self._shape)

    def _fused(self, iterations: int) -> CRFParameters | None:
        """What the fused kernel is told, or None where it does not compute the same."""
        kernels = [term.fused for term in self._terms]
        places = [(weight, xy) for weight, xy, rgb in filter(None, kernels) if not rgb]
        colours = [kernel for kernel in filter(None, kernels) if kernel[2]]
        if None in kernels or not kernels or len(places) > 1 or len(colours) > 1 or self._shape[0] > _FUSED_LABELS:
            return None
        above_LN = self._energy_LN - self._energy_LN.min(axis=0)  # NaN where nothing is possible
        if not ((above_LN < _FUSED_ENERGY) | (above_LN == np.inf)).all():
            return None
        return CRFParameters(*(colours or [(0, 1, 1)])[0], *(places or [(0, 1)])[0], max(iterations, 0))

    def _places(self, sigmas: Sequence[float]) -> np.ndarray:
        """features_2N float32: x, then y, in standard deviations."""
        y_N, x_N = np.indices(self._size, np.float32).reshape(2, -1)
        return np.stack([x_N / np.float32(sigmas[0]), y_N / np.float32(sigmas[1])])


def ConstUnary(u: np.ndarray) -> np.ndarray:
    """energies_LN, for `setUnary`."""
    energy_LN = _floats("the unary energy", u).copy()
    if np.isnan(energy_LN).any():
        raise UsageError("the unary energy holds NaN: clip probabilities before their logarithm")
    return energy_LN


def LogisticUnary(L: np.ndarray, f: np.ndarray) -> np.ndarray:
    """energies_LN as weights (L, D) times features (D, N), for `setUnary`."""
    weights_LD, features_DN = _floats("the weights", L), _floats("the features", f)
    if weights_LD.shape[1] != features_DN.shape[0]:
        raise UsageError(f"weights of {weights_LD.shape} do not fit features of {features_DN.shape}")
    return ConstUnary(weights_LD @ features_DN)


def _softmax(logits_LN: np.ndarray) -> np.ndarray:
    relative_LN = np.exp(logits_LN - logits_LN.max(axis=0))
    return relative_LN / relative_LN.sum(axis=0)


def _floats(what: str, array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype != np.float32 or array.ndim != 2:
        raise UsageError(f"{what}: need float32 of two axes, got {array.dtype} {array.shape}; use .astype(np.float32)")
    return array


def _sigmas(name: str, value: Pair, count: int) -> tuple[float, ...]:
    sigmas = (float(value),) * count if isinstance(value, Real) else tuple(map(float, value))  # type: ignore[arg-type]
    if len(sigmas) != count or not all(0 < s < np.inf for s in sigmas):
        raise UsageError(f"{name} takes one standard deviation above 0, or {count} of them; got {value}")
    return sigmas


def _even(sigmas: Sequence[float], levels: Sequence[float] = (0.0,)) -> tuple[float, float] | None:
    """(sigma_xy, sigma_rgb) where all directions, and all channels, have the same; else None."""
    return (sigmas[0], levels[0]) if len(set(sigmas)) == len(set(levels)) == 1 else None


def _compat(compat: Compat, labels: int) -> float | np.ndarray:
    if isinstance(compat, Real):
        return float(compat)
    energies: np.ndarray = np.asarray(compat, np.float32)
    if energies.shape == (labels,):
        return energies
    if energies.shape == (labels, labels):
        return (energies + energies.T) / 2
    raise UsageError(f"compat takes a number, {labels} energies or {labels}x{labels} of them; got {energies.shape}")


def _constant(kind: type[IntEnum], value: int) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise UsageError(f"expected one of {', '.join(kind.__members__)}; got {value!r}") from None
