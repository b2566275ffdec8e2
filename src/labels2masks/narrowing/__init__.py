"""Candidates + evidence -> fewer candidates.

A narrowing step is a function `(image_HW3, candidates, cues) -> Evidence`; evidences add; `decide`
alone narrows, and that it only removes and never empties is proved there once. Rounds start
again from the person's candidates, so that a wrong decision never locks in.
"""

from .decide import ArgMax, Evidence, Portion, Rule, Threshold, decide
from .dense_crf import dense_crf
from .propagate_labels import propagate_labels

__all__ = ["ArgMax", "Evidence", "Portion", "Rule", "Threshold", "decide", "dense_crf", "propagate_labels"]
