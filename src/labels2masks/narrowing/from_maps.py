"""Maps of other tools: as cues for every step, and as evidence of their own.

Legend: C = classes; H, W = pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..formats.dataset import Photo
from ..formats.maps import read_maps, read_saliency, read_segments_of
from ..labels import VOID_ROW, Candidates
from .cues import Cues
from .decide import Evidence

FAINT = 1e-6
"""The least that a map leaves of a class: what it holds for impossible a label may still say."""
_SUM = 0.02
"""By how much float16 probabilities of many classes may miss 1."""


def map_cues(folder: Path | str, photo: Photo) -> Cues:
    """What a folder of maps (see `formats.maps`) has of a photo: class maps, saliency, segments as proposals.

    Maps of all classes that sum to 1 are a network's probabilities: they become scores too. Raises DataError.
    """
    classes = photo.vocabulary.target
    maps = read_maps(folder, photo, classes.names)
    background = None if classes.background is None else classes.index(classes.background)
    cam_CHW = scores_CHW = None
    if maps:
        nothing_HW = np.zeros_like(next(iter(maps.values())))
        cam_CHW = np.stack([maps.get(name, nothing_HW) for name in classes.names])
        if len(maps) == len(classes) > 1 and np.abs(cam_CHW.sum(axis=0) - 1).max() <= _SUM:
            scores_CHW = np.log(np.maximum(cam_CHW, FAINT))
    return Cues(
        background=background,
        scores_CHW=scores_CHW,
        cam_CHW=cam_CHW,
        saliency_HW=read_saliency(folder, photo),
        proposals_SHW=read_segments_of(folder, photo),
    )


def from_maps(image_HW3: np.ndarray, candidates: Candidates, cues: Cues) -> Evidence:
    """Evidence: each class map is the probability of its class; what the strongest one leaves is shared by the
    candidates without a map, background among them.

    A class whose map is 0 everywhere counts as one without. Nothing is said on void, and where no candidate has a map.
    Raises UsageError without class maps.
    """
    map_CHW = cues.need("cam_CHW", "from_maps", image_HW3)
    allowed_CHW = candidates.allowed()
    mapped_C11 = map_CHW.any(axis=(1, 2), keepdims=True)
    of_map_CHW = allowed_CHW & mapped_C11
    others_CHW = allowed_CHW & ~mapped_C11
    left_HW = 1 - np.where(of_map_CHW, map_CHW, 0).max(axis=0)
    share_HW = left_HW / np.maximum(others_CHW.sum(axis=0), 1)
    scores_CHW = np.log(np.maximum(np.where(of_map_CHW, map_CHW, share_HW), FAINT))
    said_HW = of_map_CHW.any(axis=0) & (candidates.index_HW != VOID_ROW)
    return Evidence(
        np.where(allowed_CHW, scores_CHW, -np.inf).astype(np.float32),
        said_HW.astype(np.float32),
    )
