"""Evidence, and the one place where it becomes a decision.

Legend: C = classes; H, W = pixels; K = rows of the table; D = decided pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..labels import VOID_ROW, Candidates


@dataclass(frozen=True)
class Evidence:
    """What a step found out about every pixel.

    log_scores_CHW: float32, larger = likelier; -inf where the class is no candidate. Need not be normalised.
    confidence_HW: float32, 0..1; 0 = the step says nothing here (a pixel that a paper ignores).
    Raises ValueError for other shapes and types, for NaN and +inf, and for a confidence beyond 0..1.
    """

    log_scores_CHW: np.ndarray
    confidence_HW: np.ndarray

    def __post_init__(self) -> None:
        scores, confidence = self.log_scores_CHW, self.confidence_HW
        if scores.ndim != 3 or scores.dtype != np.float32 or confidence.dtype != np.float32:
            raise ValueError(f"log scores must be float32 CHW, got {scores.dtype} {scores.shape}, {confidence.dtype}")
        if confidence.shape != scores.shape[1:]:
            raise ValueError(f"confidence of {confidence.shape} does not fit log scores of {scores.shape}")
        if scores.size and not scores.max() < np.inf:  # also False for NaN
            raise ValueError("log scores must be below +inf and not NaN")
        if confidence.size and not (confidence.min() >= 0 and confidence.max() <= 1):
            raise ValueError("confidence must lie in 0..1")

    @classmethod
    def none(cls, candidates: Candidates) -> Evidence:
        """Nothing found: what evidences are added to."""
        allowed_CHW = candidates.allowed()
        return cls(
            np.where(allowed_CHW, np.float32(0), np.float32(-np.inf)),
            np.zeros(allowed_CHW.shape[1:], np.float32),
        )

    def __add__(self, other: Evidence) -> Evidence:
        """Log scores add as those of independent witnesses; the more confident one says how far to believe them.

        A witness without confidence at a pixel is not heard there, except in what it excludes.
        """
        scores_CHW = self._heard() + other._heard()
        return Evidence(scores_CHW, np.maximum(self.confidence_HW, other.confidence_HW))

    def _heard(self) -> np.ndarray:
        silent_CHW = np.isfinite(self.log_scores_CHW) & (self.confidence_HW == 0)
        return np.where(silent_CHW, np.float32(0), self.log_scores_CHW)


Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(winner_HW int, the class or -1; certainty_HW float32, its share of the evidence times confidence) -> bool HW:
where the winner stands."""


@dataclass(frozen=True)
class ArgMax:
    """The likeliest candidate stands wherever anything is known."""

    def __call__(self, winner_HW: np.ndarray, certainty_HW: np.ndarray) -> np.ndarray:
        return winner_HW >= 0


@dataclass(frozen=True)
class Threshold:
    """The likeliest candidate stands where its certainty is at least `least`, 0..1."""

    least: float

    def __call__(self, winner_HW: np.ndarray, certainty_HW: np.ndarray) -> np.ndarray:
        return certainty_HW >= self.least


@dataclass(frozen=True)
class Portion:
    """Of each class the most certain `share` of the pixels it wins, 0..1, and those equally certain."""

    share: float

    def __call__(self, winner_HW: np.ndarray, certainty_HW: np.ndarray) -> np.ndarray:
        stands_HW = np.zeros(winner_HW.shape, bool)
        for winner in np.unique(winner_HW[winner_HW >= 0]):
            of_class_HW = winner_HW == winner
            stands_HW |= of_class_HW & (certainty_HW >= np.quantile(certainty_HW[of_class_HW], 1 - self.share))
        return stands_HW


def decide(candidates: Candidates, evidence: Evidence, rule: Rule) -> Candidates:
    """The candidates with one left wherever the rule lets the likeliest stand.

    Only removes, never empties, never touches void; pixels without confidence, or whose
    candidates all score -inf, stay as they are. Source, trust and facts are kept.
    """
    index_HW, classes = candidates.index_HW, candidates.sets_KC.shape[1]
    if evidence.log_scores_CHW.shape != (classes, *index_HW.shape):
        raise ValueError(f"evidence of {evidence.log_scores_CHW.shape} for {classes} classes and {index_HW.shape}")
    scores_CHW = np.where(candidates.allowed(), evidence.log_scores_CHW, np.float32(-np.inf))
    best_HW = scores_CHW.max(axis=0)
    known_HW = np.isfinite(best_HW) & (evidence.confidence_HW > 0) & (index_HW != VOID_ROW)
    winner_HW = np.where(known_HW, scores_CHW.argmax(axis=0), -1)
    total_HW = np.exp(scores_CHW - np.where(np.isfinite(best_HW), best_HW, 0)).sum(axis=0)
    certainty_HW = np.where(known_HW, evidence.confidence_HW / np.maximum(total_HW, 1), 0).astype(np.float32)

    stands_HW = rule(winner_HW, certainty_HW) & known_HW
    pairs, row_D = np.unique(index_HW[stands_HW].astype(np.int64) * classes + winner_HW[stands_HW], return_inverse=True)
    row_of_pair, winner_of_pair = pairs // classes, pairs % classes
    new_HW = index_HW.copy()
    new_HW[stands_HW] = len(candidates.sets_KC) + row_D
    return replace(
        candidates,
        index_HW=new_HW,
        sets_KC=np.concatenate([candidates.sets_KC, np.eye(classes, dtype=bool)[winner_of_pair]]),
        source_K=np.concatenate([candidates.source_K, candidates.source_K[row_of_pair]]),
        trust_K=np.concatenate([candidates.trust_K, candidates.trust_K[row_of_pair]]),
    )
