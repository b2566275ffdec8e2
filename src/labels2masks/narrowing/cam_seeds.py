"""Seeds from class activation maps: a few pixels of each tagged class that are nearly sure.

Oh et al. 2017: a pixel is a seed of the class whose map, divided by its own maximum, is largest there and at least 0.2.
Kolesnikov and Lampert 2016 ("Seed, expand and constrain") take the same 0.2; where several classes pass they give the
pixel to the smaller one. Their seeds of background are the tenth of the pixels to which the classifier's gradient is
smallest; here any saliency serves.

Legend: C = classes; H, W = pixels.
"""

from __future__ import annotations

import numpy as np

from ..labels import Candidates
from .cues import Cues
from .decide import Evidence
from .objects import as_evidence

LEAST = 0.2


def cam_seeds(
    image_HW3: np.ndarray, candidates: Candidates, cues: Cues, least: float = LEAST, background_share: float = 0.1
) -> Evidence:
    """Evidence at the seeds, silence elsewhere.

    least: of a class's maximum. background_share: the pixels that are least salient, as far as they are no other
        seed, become seeds of background where there are saliency and a background class; 0 = none.
        Those equally dull count too, but a map that is the same everywhere says nothing.
    Raises UsageError without class activation maps.
    """
    label_HW = seeds(candidates, cues, "cam_seeds", image_HW3, least)
    if background_share > 0 and cues.background is not None and cues.saliency_HW is not None:
        saliency_HW = cues.need("saliency_HW", "cam_seeds", image_HW3)
        dull_HW = (saliency_HW <= np.quantile(saliency_HW, background_share)) & (saliency_HW < saliency_HW.max())
        label_HW = np.where(dull_HW & (label_HW < 0), np.int32(cues.background), label_HW)
    return as_evidence(candidates, label_HW)


def seeds(candidates: Candidates, cues: Cues, step: str, image_HW3: np.ndarray, least: float = LEAST) -> np.ndarray:
    """int32 HW: the class of the seed, -1 where there is none. Only classes that some pixel may be have seeds."""
    cam_CHW = np.maximum(cues.need("cam_CHW", step, image_HW3), 0)
    possible_C = candidates.sets_KC[np.unique(candidates.index_HW)].any(axis=0)
    peak_C = cam_CHW.max(axis=(1, 2)) * possible_C
    relative_CHW = cam_CHW / np.where(peak_C > 0, peak_C, np.inf)[:, None, None]
    best_HW = relative_CHW.argmax(axis=0)
    return np.where(relative_CHW.max(axis=0) >= least, best_HW, -1).astype(np.int32)
