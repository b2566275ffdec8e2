"""Which dense CRF suits these scores? Coordinate search over its five numbers, cross-validated over photos.

One parameter at a time is moved by a factor of 2, later of 2^(1/2), as long as mIoU rises. A search runs for each
fold, on the photos of the other folds, and one on all photos, whose result is taken. What the folds found is
scored on the photos that they did not see: the held-out score. All searches share their evaluations, since
one CRF of all photos serves every fold; they take turns, so that a budget ends all at the same depth.

Legend: P = photos; C = classes; H, W = pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..kernels.dense_crf import CRFParameters, dense_crf_batch
from .bootstrap import iou, mean_over_classes
from .confusion import count

NAMES = ("bilateral_weight", "bilateral_xy", "bilateral_rgb", "gaussian_weight", "gaussian_xy")
"""In the order in which they are searched, and in which `CRFParameters` takes them."""

Position = tuple[int, ...]
"""How often each of NAMES was multiplied by 2^(1/2) from where the search began."""

_STRIDES = (2, 1)
_OFF, _FURTHEST = -6, 8
"""Where the search ends. A weight at the lower end is 0, its kernel left out."""
_LEAST_GAIN = 1e-5
"""In mIoU: less is noise of a few pixels."""


@dataclass(frozen=True)
class Scored:
    """One photo: image_HW3 uint8, probabilities_LHW (float16 is enough), truth_HW int (-1 = void).

    index_L: the data's class of each label, -1 = none. fold: in which it is held out.
    """

    image_HW3: np.ndarray
    probabilities_LHW: np.ndarray
    truth_HW: np.ndarray
    index_L: np.ndarray
    fold: int


@dataclass(frozen=True)
class Tried:
    """One evaluation: mIoU 0..1 on all photos."""

    parameters: CRFParameters
    miou: float


@dataclass(frozen=True)
class Tuned:
    """parameters: the best on all photos. per_fold: those found without the photos of each fold.

    tried: every evaluation, in order; the first is the start. The sums are right, true and predicted pixels:
    without_P3C with no CRF, start_P3C with the first, held_out_P3C of each photo with its fold's parameters,
    chosen_P3C with `parameters`, which have seen the photo. complete: the searches ended before the budget did.
    """

    parameters: CRFParameters
    per_fold: tuple[CRFParameters, ...]
    tried: tuple[Tried, ...]
    without_P3C: np.ndarray
    start_P3C: np.ndarray
    held_out_P3C: np.ndarray
    chosen_P3C: np.ndarray
    complete: bool


def tune(
    photos: Sequence[Scored],
    classes: int,
    start: CRFParameters,
    evaluations: int | None = 80,
    seconds: float | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Tuned:
    """Search from `start`.

    photos: with folds 0..K-1, each of which has a photo, and K >= 2. classes: of the truth.
    evaluations, seconds: the budget; None = no limit. The start is always evaluated. say: told of each evaluation.
    """
    fold_P = np.array([photo.fold for photo in photos])
    subsets = [*(fold_P != fold for fold in range(fold_P.max() + 1)), np.ones(len(photos), bool)]
    sums: dict[Position, np.ndarray] = {}
    tried: list[Tried] = []
    begun, best_of_all = time.monotonic(), -np.inf

    def evaluated(position: Position) -> np.ndarray | None:
        """sums_P3C, or None where the budget is spent."""
        nonlocal best_of_all
        key = _canonical(position)
        if key not in sums:
            spent = time.monotonic() - begun
            if tried and (
                (evaluations is not None and len(tried) >= evaluations) or (seconds is not None and spent >= seconds)
            ):
                return None
            parameters = at(start, key)
            sums[key] = sums_with(photos, classes, parameters, threads)
            tried.append(Tried(parameters, miou(sums[key])))
            best_of_all = max(best_of_all, tried[-1].miou)
            of = f"/{evaluations}" if evaluations is not None else ""
            say(f"evaluation {len(tried)}{of}: mIoU {100 * tried[-1].miou:.2f}, best {100 * best_of_all:.2f}")
        return sums[key]

    searches = [coordinate_search() for _ in subsets]
    asked: list[Position | None] = [next(search) for search in searches]
    best = [((0,) * len(NAMES), -np.inf)] * len(subsets)
    in_budget = True
    while in_budget and any(position is not None for position in asked):
        for k, (search, subset_P) in enumerate(zip(searches, subsets, strict=True)):
            if (position := asked[k]) is None:
                continue
            if (sums_P3C := evaluated(position)) is None:
                in_budget = False
                break
            score = miou(sums_P3C[subset_P])
            if score > best[k][1]:
                best[k] = _canonical(position), score
            try:
                asked[k] = search.send(score)
            except StopIteration:
                asked[k] = None
    found = [position for position, _ in best]
    return Tuned(
        parameters=at(start, found[-1]),
        per_fold=tuple(at(start, position) for position in found[:-1]),
        tried=tuple(tried),
        without_P3C=sums_with(photos, classes, replace(start, iterations=0), threads),
        start_P3C=sums[(0,) * len(NAMES)],
        held_out_P3C=np.stack([sums[found[fold]][p] for p, fold in enumerate(fold_P)]),
        chosen_P3C=sums[found[-1]],
        complete=in_budget,
    )


def coordinate_search() -> Generator[Position, float, None]:
    """Asks for the score of one position after the other; ends where no step of the smallest stride is better."""
    best: Position = (0,) * len(NAMES)
    highest = yield best
    for stride in _STRIDES:
        rising = True
        while rising:
            rising = False
            for axis in range(len(NAMES)):
                for step in (stride, -stride):
                    while True:
                        position = tuple(e + step * (i == axis) for i, e in enumerate(best))
                        if not _OFF <= position[axis] <= _FURTHEST or position[axis] == best[axis]:
                            break
                        score = yield position
                        if score <= highest + _LEAST_GAIN:
                            break
                        best, highest, rising = position, score, True


def at(start: CRFParameters, position: Position) -> CRFParameters:
    """The parameters at a position, rounded to three digits."""
    found = []
    for name, exponent in zip(NAMES, position, strict=True):
        off = name.endswith("weight") and exponent <= _OFF
        found.append(0.0 if off else float(f"{getattr(start, name) * 2 ** (exponent / 2):.3g}"))
    weight, xy, rgb, gaussian_weight, gaussian_xy = found
    return CRFParameters(weight, xy, rgb, gaussian_weight, gaussian_xy, start.iterations)


def sums_with(
    photos: Sequence[Scored], classes: int, parameters: CRFParameters, threads: int | None = None
) -> np.ndarray:
    """sums_P3C int64: right, true and predicted pixels of each photo after the CRF; no iterations = without it."""
    masks: Iterator[np.ndarray]
    if parameters.iterations == 0:
        masks = (photo.probabilities_LHW.argmax(axis=0) for photo in photos)
    else:
        images = (photo.image_HW3 for photo in photos)
        probabilities = (photo.probabilities_LHW for photo in photos)
        masks = dense_crf_batch(images, probabilities, parameters, threads, mask=True)
    return np.stack(
        [_sums(photo.index_L[mask_HW], photo.truth_HW, classes) for photo, mask_HW in zip(photos, masks, strict=True)]
    )


def miou(sums_P3C: np.ndarray) -> float:
    """mIoU 0..1 of the photos together; 0 where no pixel was counted."""
    return float(np.nan_to_num(mean_over_classes(iou(sums_P3C.sum(axis=0)))))


def _sums(mask_HW: np.ndarray, truth_HW: np.ndarray, classes: int) -> np.ndarray:
    counts_CD = count(mask_HW, truth_HW, classes)
    return np.stack([np.diag(counts_CD), counts_CD.sum(axis=1), counts_CD[:, :-1].sum(axis=0)])


def _canonical(position: Position) -> Position:
    """The same CRF under one name: a kernel that is left out has no standard deviations."""
    weight, xy, rgb, gaussian_weight, gaussian_xy = position
    if weight <= _OFF:
        weight, xy, rgb = _OFF, 0, 0
    if gaussian_weight <= _OFF:
        gaussian_weight, gaussian_xy = _OFF, 0
    return weight, xy, rgb, gaussian_weight, gaussian_xy
