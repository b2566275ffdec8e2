"""Candidates + evidence -> fewer candidates.

A narrowing step is a function `(image_HW3, candidates, cues) -> Evidence`; evidences add; `decide`
alone narrows, and that it only removes and never empties is proved there once. Rounds start
again from the person's candidates, so that a wrong decision never locks in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .boxsup import boxsup
from .cam_seeds import cam_seeds
from .cues import Cues
from .decide import ArgMax, Evidence, Portion, Rule, Threshold, decide
from .dense_crf import dense_crf
from .from_maps import from_maps, map_cues
from .grabcut import grabcut, grabcut_plus
from .guide_labeller import guide_labeller, guide_labeller_g0, guide_labeller_g1
from .propagate_labels import propagate_labels
from .random_walk import random_walk
from .scribblesup import scribblesup
from .simple_does_it import box_inner, box_round, m_and_g
from .threshold import threshold
from .wssl import bbox_rect, bbox_seg, em_adapt, em_fixed

STEPS = {
    "threshold": (threshold, "", "saliency"),
    "from_maps": (from_maps, "", "class maps of any tool"),
    "grabcut": (grabcut, "Rother et al. 2004", "boxes, extreme clicks or scribbles"),
    "grabcut_plus": (grabcut_plus, "Simple Does It, Khoreva et al. 2017", "boxes"),
    "dense_crf": (dense_crf, "Kraehenbuehl and Koltun 2011", "evidence of other steps"),
    "propagate_labels": (propagate_labels, "", "clicks or scribbles"),
    "cam_seeds": (cam_seeds, "SEC, Kolesnikov and Lampert 2016", "class activation maps"),
    "guide_labeller": (guide_labeller, "Oh et al. 2017 (G2)", "class activation maps, saliency"),
    "guide_labeller_g0": (guide_labeller_g0, "Oh et al. 2017 (G0)", "tags, saliency"),
    "guide_labeller_g1": (guide_labeller_g1, "Oh et al. 2017 (G1)", "class activation maps, saliency"),
    "random_walk": (random_walk, "AffinityNet, Ahn and Kwak 2018", "class activation maps"),
    "bbox_rect": (bbox_rect, "WSSL, Papandreou et al. 2015", "boxes"),
    "bbox_seg": (bbox_seg, "WSSL, Papandreou et al. 2015", "boxes"),
    "em_fixed": (em_fixed, "WSSL, Papandreou et al. 2015", "scores"),
    "em_adapt": (em_adapt, "WSSL, Papandreou et al. 2015", "tags, scores"),
    "box_round": (box_round, "Simple Does It, Khoreva et al. 2017", "boxes; scores after the first round"),
    "box_inner": (box_inner, "Simple Does It, Khoreva et al. 2017", "boxes"),
    "m_and_g": (m_and_g, "Simple Does It, Khoreva et al. 2017", "boxes, proposals"),
    "boxsup": (boxsup, "Dai et al. 2015", "boxes, proposals; scores after the first round"),
    "scribblesup": (scribblesup, "Lin et al. 2016", "scribbles or clicks, superpixels; scores after the first round"),
}
"""Name -> (function, paper, what it needs). `dense_crf` goes from evidence to evidence; all others take cues there."""


def available() -> list[Mapping[str, Any]]:
    """One {"name", "paper", "needs"} a step."""
    return [{"name": name, "paper": paper, "needs": needs} for name, (_, paper, needs) in STEPS.items()]


__all__ = [
    "STEPS",
    "ArgMax",
    "Cues",
    "Evidence",
    "Portion",
    "Rule",
    "Threshold",
    "available",
    "bbox_rect",
    "bbox_seg",
    "box_inner",
    "box_round",
    "boxsup",
    "cam_seeds",
    "decide",
    "dense_crf",
    "em_adapt",
    "em_fixed",
    "from_maps",
    "grabcut",
    "grabcut_plus",
    "guide_labeller",
    "guide_labeller_g0",
    "guide_labeller_g1",
    "m_and_g",
    "map_cues",
    "propagate_labels",
    "random_walk",
    "scribblesup",
    "threshold",
]
