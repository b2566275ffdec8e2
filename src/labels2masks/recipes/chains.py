"""From labels to masks by the systems of the papers: which steps, on which hints, decided by which rule.

A chain narrows the candidates of every training photo; a network then learns from what is left. Chains of several
rounds narrow the same labels again by the scores of a classifier that learnt from the round before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import UsageError, did_you_mean
from ..formats.dataset import Photo
from ..labels import Boxes, Points, Scribbles, is_mask
from ..narrowing import STEPS, ArgMax, Rule, Threshold


@dataclass(frozen=True)
class Chain:
    """name: of the recipe. steps: names of `narrowing.STEPS`. rule: what decides at the end. paper: "" for none.
    rounds: when a network is trained by it; `masks` alone is one round.
    """

    name: str
    steps: tuple[str, ...]
    rule: Rule = ArgMax()
    paper: str = ""
    rounds: int = 1

    @property
    def cues(self) -> tuple[str, ...]:
        """The hints its steps need."""
        return tuple(dict.fromkeys(c for s in self.steps for c in STEPS[s].cues))


NOTHING = Chain("none", ())
CHAINS = {
    chain.name: chain
    for chain in (
        Chain("tags-sec", ("cam_seeds",), paper="SEC, Kolesnikov and Lampert 2016: its seeds"),
        Chain("tags-guided", ("guide_labeller",), paper="Guide Labeller, Oh et al. 2017"),
        Chain("points-crf", ("propagate_labels", "dense_crf"), Threshold(0.9)),
        Chain("scribbles-crf", ("propagate_labels", "dense_crf"), Threshold(0.8)),
        Chain("scribbles-scribblesup", ("scribblesup",), paper="ScribbleSup, Lin et al. 2016", rounds=3),
        Chain("boxes-grabcut", ("grabcut",), paper="GrabCut, Rother et al. 2004"),
        Chain("boxes-wssl", ("bbox_seg",), paper="WSSL, Papandreou et al. 2015: Bbox-Seg"),
        Chain("boxes-sdi", ("m_and_g",), paper="Simple Does It, Khoreva et al. 2017: M & G+"),
        Chain("boxes-box", ("box_round",), paper="Simple Does It, Khoreva et al. 2017: Box", rounds=3),
        Chain("boxes-boxsup", ("boxsup",), paper="BoxSup, Dai et al. 2015", rounds=3),
    )
}

BY_KIND: Sequence[tuple[type[Boxes | Scribbles | Points], str]] = (
    (Boxes, "boxes-grabcut"),
    (Scribbles, "scribbles-crf"),
    (Points, "points-crf"),
)
"""What `auto` takes for a photo that has such labels and no mask, the first that fits. Tags alone stay as they are:
the loss learns from them without a classifier's guesses."""


def chosen(recipe: str, steps: Sequence[str] | None, photo: Photo) -> Chain:
    """The chain for one photo. Photos with a mask are never narrowed. UsageError for unknown names."""
    if steps is not None:
        for step in steps:
            if step not in STEPS:
                raise UsageError(f"unknown step {step!r}{did_you_mean(step, STEPS)}")
        chain = Chain("+".join(steps), tuple(steps))
    elif recipe == "auto":
        of_kind = (name for kind, name in BY_KIND if any(isinstance(x, kind) and x.marks for x in photo.labels))
        chain = CHAINS.get(next(of_kind, ""), NOTHING)
    elif recipe in CHAINS:
        chain = CHAINS[recipe]
    else:
        raise UsageError(f"unknown recipe {recipe!r} for masks{did_you_mean(recipe, [*CHAINS, 'auto'])}")
    masked = any(is_mask(x, photo.vocabulary.source) for x in photo.labels)
    return NOTHING if masked or not photo.labels else chain


def said(chains: Iterable[Chain]) -> str:
    """How many photos take which chain, in words."""
    counts: dict[str, int] = {}
    for chain in chains:
        counts[chain.name] = counts.get(chain.name, 0) + 1
    words = []
    for name, count in counts.items():
        steps = " + ".join(CHAINS[name].steps) if name in CHAINS else name
        words.append(f"{count} photos stay as they are" if name == NOTHING.name else f"{count} by {name} ({steps})")
    return "; ".join(words)
