"""The Guide Labeller: seeds say which class, saliency says how far (Oh et al. 2017, "Exploiting Saliency for Object
Segmentation from Image Level Labels", section 5; G2 as in the authors' released code).

    G0   all that is salient takes one class of the photo's tags, drawn at random
    G1   a salient component takes the class of the seeds in it; without seeds, one of the tags at random
    G2   the exact rule below

G2, on 8-connected components: seed components below 25 px and salient ones below 1 % of the photo are dropped; a
salient component that meets seeds of one class takes it whole; of several, a dense CRF between their blurred seeds
decides inside it; a seed component that meets none keeps its class; background seeds count outside saliency.

Legend: C = classes; H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from ..kernels.dense_crf import dense_crf
from ..labels import Candidates
from .cam_seeds import seeds
from .cues import Cues
from .decide import Evidence
from .objects import as_evidence

SALIENT = 0.5
SMALLEST_SEED = 25
"""Pixels; a smaller seed component is dropped."""
SMALLEST_SALIENT = 0.01
"""Share of the photo; a smaller salient component is dropped."""
BLUR, FAINT = 10.0, 1e-3
"""Standard deviation in pixels, and the floor, of the heat maps between which the CRF decides."""


def guide_labeller_g0(image_HW3: np.ndarray, candidates: Candidates, cues: Cues, seed: int = 0) -> Evidence:
    """Evidence of G0: what is salient takes one of the tags' classes at random, the rest is background."""
    return _by_chance(image_HW3, candidates, cues, seed, None, "guide_labeller_g0")


def guide_labeller_g1(image_HW3: np.ndarray, candidates: Candidates, cues: Cues, seed: int = 0) -> Evidence:
    """Evidence of G1: salient components take the class most seeds in them have, without seeds one tag at random."""
    seeds_HW = seeds(candidates, cues, "guide_labeller_g1", image_HW3)
    return _by_chance(image_HW3, candidates, cues, seed, seeds_HW, "guide_labeller_g1")


def guide_labeller(
    image_HW3: np.ndarray, candidates: Candidates, cues: Cues, unseeded_as_background: bool = False
) -> Evidence:
    """Evidence of G2.

    unseeded_as_background: what is salient and has no seed becomes background, as in the authors' code, which rewrites
        every undecided pixel on its last line; by default nothing is said of it.
    Raises UsageError without saliency, class activation maps or a background class.
    """
    background = cues.ground("guide_labeller")
    salient_HW = cues.need("saliency_HW", "guide_labeller", image_HW3) >= SALIENT
    seeds_HW = seeds(candidates, cues, "guide_labeller", image_HW3)
    label_HW = guided(image_HW3, salient_HW, seeds_HW, background, candidates.sets_KC.shape[1])
    if unseeded_as_background:
        label_HW = np.where(label_HW < 0, background, label_HW)
    return as_evidence(candidates, label_HW)


def guided(
    image_HW3: np.ndarray, salient_HW: np.ndarray, seeds_HW: np.ndarray, background: int, classes: int
) -> np.ndarray:
    """int32 HW: G2's answer, -1 where it leaves a pixel open.

    seeds_HW: int32, class of the seed, -1 = none.
    """
    label_HW = np.full(seeds_HW.shape, -1, np.int32)
    kept_HW = np.full(seeds_HW.shape, -1, np.int32)
    unmet: list[tuple[int, np.ndarray]] = []
    for of_class in range(classes):
        for part_HW in _components(seeds_HW == of_class, SMALLEST_SEED):
            kept_HW[part_HW] = of_class
            unmet.append((of_class, part_HW))
    least = SMALLEST_SALIENT * salient_HW.size
    components = list(_components(salient_HW, least))
    large_HW = np.zeros(salient_HW.shape, bool)
    for component_HW in components:
        large_HW |= component_HW
        met = np.unique(kept_HW[component_HW])
        met = met[(met >= 0) & (met != background)]
        if len(met) == 1:
            label_HW[component_HW] = met[0]
        elif len(met) > 1:
            label_HW[component_HW] = met[_between(image_HW3, kept_HW, met)[component_HW]]
    for of_class, part_HW in unmet:
        if of_class != background and not (part_HW & large_HW).any():
            label_HW[part_HW] = of_class
    label_HW[(kept_HW == background) & ~salient_HW] = background
    return label_HW


def _between(image_HW3: np.ndarray, kept_HW: np.ndarray, met: np.ndarray) -> np.ndarray:
    """int HW: which of the classes in `met` a dense CRF gives each pixel, from their blurred seeds."""
    heat_LHW = np.stack([np.clip(kept_HW == c, FAINT, 1 - FAINT).astype(np.float32) for c in met])
    heat_LHW = np.stack([cv2.GaussianBlur(heat_HW, (0, 0), BLUR) for heat_HW in heat_LHW])
    return dense_crf(image_HW3, heat_LHW / heat_LHW.sum(axis=0), "deeplab").argmax(axis=0)


def _components(region_HW: np.ndarray, least: float) -> Iterator[np.ndarray]:
    """bool HW of each 8-connected component of at least `least` pixels."""
    count, labels_HW, stats, _ = cv2.connectedComponentsWithStats(region_HW.astype(np.uint8), connectivity=8)
    for i in range(1, count):
        if stats[i, cv2.CC_STAT_AREA] >= least:
            yield labels_HW == i


def _by_chance(
    image_HW3: np.ndarray, candidates: Candidates, cues: Cues, seed: int, seeds_HW: np.ndarray | None, step: str
) -> Evidence:
    background = cues.ground(step)
    salient_HW = cues.need("saliency_HW", step, image_HW3) >= SALIENT
    tags = sorted({c for meant in candidates.facts.present for c in meant if len(meant) == 1} - {background})
    label_HW = np.where(salient_HW, -1, background).astype(np.int32)
    draw = np.random.default_rng(seed)
    if seeds_HW is None:
        return as_evidence(candidates, np.where(salient_HW, draw.choice(tags) if tags else -1, label_HW))
    for component_HW in _components(salient_HW, 1):
        found = seeds_HW[component_HW]
        found = found[(found >= 0) & (found != background)]
        if found.size:
            label_HW[component_HW] = np.bincount(found).argmax()
        elif tags:
            label_HW[component_HW] = draw.choice(tags)
    return as_evidence(candidates, label_HW)
