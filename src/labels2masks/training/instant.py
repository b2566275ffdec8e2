"""The classifier of cells in closed form: the network `linear` on a frozen encoder, fitted in one pass or three.

Cells that labels decide, or narrow, pull towards their candidates (see `ridge.targets`); clicks and strokes together
count as much as all regions, as in the training loss, or `Settings.ridge.ink` times as much. Where nothing decides any
object cell (tags alone, boxes) the estimates of the first pass say where a class stands out: every cell then takes one
of its candidates, and the fit is made anew. There a class is divided by its own reach: what it scores on the mean cell
is nothing, what it scores on the best cells of a photo that has it is one, and half of that is where background ends.
No mask has a say in this.

Legend: h, w = cells; P = cells; D = features; C = classes; K = rows of a Candidates table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import sqrt

import numpy as np
import torch

from ..classes import Classes
from ..cues.features import FrozenFeatures
from ..errors import DataError, UsageError
from ..formats.dataset import Photo
from ..formats.image import read_image
from ..labels import INK, VOID_ROW, Candidates
from ..networks.linear import Linear
from ..prediction.views import resized, shrinking
from ..progress import track
from .loop import History
from .plan import Plan
from .ridge import TEMPERATURE, Sums, candidates_at, shares_of_rows, targets

BEST = 0.98
"""Quantile of a photo's cells at which a class that is there shows what it can score."""
BACKGROUND_ENDS = 0.5


def fit_instant(network: Linear, photos: Sequence[Photo], plan: Plan, say: Callable[[str], None]) -> History:
    """Fill the network's scores in place; photos that can not be read are in the history.

    Raises UsageError for another network, DataError where the labels decide nothing.
    """
    if not isinstance(network, Linear):
        raise UsageError(f"the solver ridge fits the network 'linear', not {plan.settings.network!r}")
    network.eval()
    features, history = FrozenFeatures(network.encoder), History()
    weights_C = np.asarray(plan.class_weights)

    def seen(what: str) -> Iterator[tuple[np.ndarray, Candidates]]:
        for photo in track(photos, what):
            try:
                image_HW3, candidates = _small(photo, plan.settings.size)
            except DataError as error:
                history.leave_out(photo.name, str(error))
                continue
            yield features(image_HW3).reshape(-1, features.count), candidates

    regions, ink = (Sums.none(features.count, len(weights_C)) for _ in range(2))
    decided_C = np.zeros(len(weights_C))
    for features_PD, candidates in seen("reading features"):
        for sums, of_ink in ((regions, False), (ink, True)):
            targets_PC, weight_P = targets(of_source(candidates, of_ink))
            sums.add(features_PD, targets_PC, weight_P * (targets_PC @ weights_C))
        label_HW = candidates.labels()
        decided_C += np.bincount(label_HW[label_HW >= 0], minlength=len(weights_C))
    if not regions.gram_DD[-1, -1] and not ink.gram_DD[-1, -1]:
        raise DataError("the labels of the training photos decide and narrow nothing: draw something on them")
    ridge = plan.settings.ridge
    solved_DC = joined(regions, ink, ridge.ink).solved(ridge.shrinkage)
    if not decides_objects(decided_C, plan.class_list):
        say("the labels decide no object: cells take the candidate that stands out, and the fit is made anew")
        solved_DC = again(seen, solved_DC, plan.class_list, weights_C, ridge.shrinkage)
    _fill(network, solved_DC)
    return history


def decides_objects(decided_C: np.ndarray, classes: Classes) -> bool:
    """Is there a class but background that some pixel is decided to be? True where there is no background."""
    objects = [c for c, name in enumerate(classes.names) if name != classes.background]
    return bool(decided_C[objects].any()) or classes.background is None


def again(
    seen: Callable[[str], Iterator[tuple[np.ndarray, Candidates]]],
    solved_DC: np.ndarray,
    classes: Classes,
    weights_C: np.ndarray,
    shrinkage: float,
) -> np.ndarray:
    """weights_DC of a fit in which every cell has one of its candidates: the one that stands out."""
    total_C, cells, best = np.zeros(len(classes)), 0, [[] for _ in classes.names]  # type: ignore[var-annotated]
    for features_PD, candidates in seen("looking at what stands out"):
        scores_PC = features_PD @ solved_DC
        total_C, cells = total_C + scores_PC.sum(axis=0), cells + len(scores_PC)
        for c in {c for meant in candidates.facts.present for c in meant}:
            best[c].append(np.quantile(scores_PC[:, c], BEST))
    mean_C = total_C / max(cells, 1)
    reach_C = np.maximum([np.median(b) if b else np.inf for b in best] - mean_C, 1e-6)
    sums = Sums.none(len(solved_DC), len(classes))
    for features_PD, candidates in seen("fitting again"):
        standing_PC = (features_PD @ solved_DC - mean_C) / reach_C
        standing_PC[:, classes.index(classes.background or "")] = BACKGROUND_ENDS
        targets_PC = np.zeros_like(standing_PC)
        share_PK = shares_of_rows(candidates)
        for k in np.flatnonzero(candidates.sets_KC.any(axis=1)):
            winner_P = np.where(candidates.sets_KC[k], standing_PC, -np.inf).argmax(axis=1)
            targets_PC[np.arange(len(winner_P)), winner_P] += share_PK[:, k]
        weight_P = targets_PC.sum(axis=1)
        targets_PC /= np.maximum(weight_P, 1e-9)[:, None]
        sums.add(features_PD, targets_PC, weight_P * (targets_PC @ weights_C))
    return sums.solved(shrinkage)


def _small(photo: Photo, size: int | None) -> tuple[np.ndarray, Candidates]:
    """The photo and its candidates at the run's working size. Raises DataError."""
    image_HW3 = read_image(photo.image, photo.levels)
    height, width = image_HW3.shape[:2]
    small_HW3 = resized(image_HW3, *shrinking(height, width, size))
    return small_HW3, candidates_at(photo, (height, width), small_HW3.shape[:2])


def of_source(candidates: Candidates, of_ink: bool) -> Candidates:
    """What ink says alone, or all the rest; the other pixels are void."""
    wanted_K = (candidates.source_K == INK) == of_ink
    return candidates.mapped(lambda index_HW: np.where(wanted_K[index_HW], index_HW, VOID_ROW))


def joined(regions: Sums, ink: Sums, times: float = 1.0) -> Sums:
    """Both, ink counted so many times as much as regions where both are there."""
    of_regions, of_ink = regions.gram_DD[-1, -1], ink.gram_DD[-1, -1]
    if not (of_regions and of_ink):
        return regions if of_regions else ink
    scale = times * (of_regions / of_ink)
    return regions + Sums(ink.gram_DD * scale, ink.product_DC * scale)


@torch.no_grad()
def _fill(network: Linear, solved_DC: np.ndarray) -> None:
    """The maps' parts of the weights into their 1x1 convolutions, the constant into the first one's bias.

    The batch norms before them have never seen a batch: they divide by sqrt(1 + eps) and nothing else.
    """
    start = 0
    for score, norm in zip(network.scores, network.norms, strict=True):
        norm.reset_parameters()
        end = start + score.in_channels
        part_CD = torch.from_numpy(solved_DC[start:end].T.copy()) * (sqrt(1 + norm.eps) / TEMPERATURE)
        score.weight.copy_(part_CD[..., None, None])
        score.bias.zero_()
        start = end
    network.scores[0].bias.copy_(torch.from_numpy(solved_DC[-1] / TEMPERATURE))
