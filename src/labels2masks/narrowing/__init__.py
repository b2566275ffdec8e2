"""Candidates + evidence -> fewer candidates.

A narrowing step is a function `(image_HW3, candidates, cues) -> Evidence`; evidences add; `decide`
alone narrows, and that it only removes and never empties is proved there once. Rounds start
again from the person's candidates, so that a wrong decision never locks in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .boxsup import boxsup
from .cam_seeds import cam_seeds
from .cues import Cues
from .decide import ArgMax, Evidence, Portion, Rule, Threshold, decide
from .dense_crf import dense_crf
from .from_maps import from_maps, map_cues
from .from_scores import from_saliency, from_scores
from .grabcut import grabcut, grabcut_plus
from .guide_labeller import guide_labeller, guide_labeller_g0, guide_labeller_g1
from .propagate_labels import propagate_labels
from .random_walk import random_walk
from .scribblesup import scribblesup
from .simple_does_it import box_inner, box_round, m_and_g
from .threshold import threshold
from .wssl import bbox_rect, bbox_seg, em_adapt, em_fixed


class Step(NamedTuple):
    """A step by name. run: the function. paper: "" for none. labels: the kinds it works from. cues: fields of `Cues` it
    needs; further: those it uses where they are given."""

    run: Callable[..., Evidence]
    paper: str
    labels: str
    cues: tuple[str, ...] = ()
    further: tuple[str, ...] = ()


STEPS = {
    "threshold": Step(threshold, "", "any", ("saliency_HW",)),
    "from_scores": Step(from_scores, "", "any", ("scores_CHW",)),
    "from_saliency": Step(from_saliency, "", "any", ("saliency_HW",)),
    "from_maps": Step(from_maps, "", "any", ("cam_CHW",)),
    "grabcut": Step(grabcut, "Rother et al. 2004", "boxes, extreme clicks, or scribbles"),
    "grabcut_plus": Step(grabcut_plus, "Simple Does It, Khoreva et al. 2017", "boxes"),
    "dense_crf": Step(dense_crf, "Kraehenbuehl and Koltun 2011", "any, after other steps"),
    "propagate_labels": Step(propagate_labels, "", "clicks, scribbles"),
    "cam_seeds": Step(cam_seeds, "SEC, Kolesnikov and Lampert 2016", "tags", ("cam_CHW",), ("saliency_HW",)),
    "guide_labeller": Step(guide_labeller, "Oh et al. 2017 (G2)", "tags", ("cam_CHW", "saliency_HW")),
    "guide_labeller_g0": Step(guide_labeller_g0, "Oh et al. 2017 (G0)", "tags", ("saliency_HW",)),
    "guide_labeller_g1": Step(guide_labeller_g1, "Oh et al. 2017 (G1)", "tags", ("cam_CHW", "saliency_HW")),
    "random_walk": Step(random_walk, "AffinityNet, Ahn and Kwak 2018", "tags", ("cam_CHW",)),
    "bbox_rect": Step(bbox_rect, "WSSL, Papandreou et al. 2015", "boxes"),
    "bbox_seg": Step(bbox_seg, "WSSL, Papandreou et al. 2015", "boxes"),
    "em_fixed": Step(em_fixed, "WSSL, Papandreou et al. 2015", "any", ("scores_CHW",)),
    "em_adapt": Step(em_adapt, "WSSL, Papandreou et al. 2015", "tags", ("scores_CHW",)),
    "box_round": Step(box_round, "Simple Does It, Khoreva et al. 2017", "boxes", (), ("scores_CHW",)),
    "box_inner": Step(box_inner, "Simple Does It, Khoreva et al. 2017", "boxes"),
    "m_and_g": Step(m_and_g, "Simple Does It, Khoreva et al. 2017", "boxes", ("proposals_SHW",)),
    "boxsup": Step(boxsup, "Dai et al. 2015", "boxes", ("proposals_SHW",), ("scores_CHW",)),
    "scribblesup": Step(scribblesup, "Lin et al. 2016", "scribbles, clicks", ("segments_HW",), ("scores_CHW",)),
}
"""`dense_crf` goes from evidence to evidence; all others take cues in its place."""


def available() -> list[Mapping[str, Any]]:
    """One {"name", "paper", "labels", "cues"} a step."""
    return [
        {"name": name, "paper": s.paper, "labels": s.labels, "cues": ", ".join(c.rsplit("_", 1)[0] for c in s.cues)}
        for name, s in STEPS.items()
    ]


__all__ = [
    "STEPS",
    "ArgMax",
    "Cues",
    "Evidence",
    "Portion",
    "Rule",
    "Step",
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
    "from_saliency",
    "from_scores",
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
