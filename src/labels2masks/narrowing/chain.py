"""Steps one after the other: evidence adds up, and one rule decides at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..labels import Candidates
from .cues import Cues
from .decide import Evidence, Rule, decide
from .dense_crf import dense_crf


def narrowed(image_HW3: np.ndarray, candidates: Candidates, cues: Cues, steps: Sequence, rule: Rule) -> Candidates:
    """The candidates that are left after all `steps` (functions of this folder) and one decision.

    `dense_crf` takes what the steps before it found; every other step adds what it finds. Raises UsageError as they do.
    """
    evidence = Evidence.none(candidates)
    for step in steps:
        if step is dense_crf:
            evidence = dense_crf(image_HW3, candidates, evidence)
        else:
            evidence = evidence + step(image_HW3, candidates, cues)
    return decide(candidates, evidence, rule)
