"""The systems of the papers, by label kind: what narrows the labels, and how a network learns from what is left.

A chain narrows the candidates of every training photo that has labels it works from; a network then learns from what
is left, with the chain's own terms in its loss. Chains of several rounds narrow the same labels again, by the scores
of what learnt from the round before. `auto` picks among them (see `recipes.auto`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import UsageError, did_you_mean
from ..formats.dataset import Photo
from ..labels import AreaShares, Boxes, Label, Points, Regions, Scribbles, Tags, is_mask
from ..narrowing import STEPS, ArgMax, Rule, Threshold

Kinds = tuple[type[Label], ...]
NAMING: Kinds = (Tags, Points, Scribbles, Boxes, Regions)
"""Labels that name classes of the photo: a system that learns from tags can work from any of them."""


@dataclass(frozen=True)
class Chain:
    """name: of the recipe. steps: names of `narrowing.STEPS`, none where the labels stay as they are. rule: what
    decides at the end. kinds: the labels it works from, any one of them. settings: of the network's training, in place
    of the everyday ones. paper: "" for none. published: the paper's score, on VOC val. rounds: when a network is
    trained by it; `masks` alone is one round. between: what learns in the rounds before the last: the `instant`
    classifier, or the network itself, as in the papers that alternate (see `recipes.chained`).
    """

    name: str
    steps: tuple[str, ...] = ()
    rule: Rule = ArgMax()
    kinds: Kinds = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    paper: str = ""
    published: str = ""
    rounds: int = 1
    between: Literal["instant", "network"] = "instant"

    @property
    def cues(self) -> tuple[str, ...]:
        """The hints its steps need."""
        return tuple(dict.fromkeys(c for s in self.steps for c in STEPS[s].cues))

    def works_from(self, photo: Photo) -> bool:
        """Has the photo labels of its kinds, with anything in them?"""
        return any(isinstance(label, self.kinds or object) and _says(label) for label in photo.labels)

    def with_saliency(self) -> Chain:
        """Of a chain that asks a network: the same with what stands out as one more witness, before they are joined."""
        if "from_scores" not in self.steps or "from_saliency" in self.steps:
            return self
        after = self.steps.index("from_scores") + 1
        return replace(self, steps=(*self.steps[:after], "from_saliency", *self.steps[after:]))

    @property
    def needs(self) -> str:
        """Its kinds in words: "boxes", "scribbles or points"."""
        return " or ".join(map(kind_word, self.kinds)) or "any"


CRF_LOSS = {"loss.crf": 0.1}
NOTHING_ELSE = {"loss.mask": 0.0, "loss.ink": 0.0, "loss.region": 0.0, "loss.presence": 0.0}
"""For papers whose loss takes the place of the candidates'."""
NOTHING = Chain("none")
CHAINS = {
    chain.name: chain
    for chain in (
        Chain("rounds", ("from_scores", "dense_crf"), kinds=NAMING, rounds=2, between="network"),
        Chain("boxes-rounds", ("grabcut", "from_scores", "dense_crf"), kinds=(Boxes,), rounds=2, between="network"),
        Chain(
            "tags-sec",
            ("cam_seeds",),
            kinds=NAMING,
            settings={"loss.seed": 1.0, "loss.expand": 1.0, "loss.constrain": 1.0, **NOTHING_ELSE},
            paper="SEC, Kolesnikov and Lampert 2016",
            published="50.7",
        ),
        Chain(
            "tags-guided",
            ("guide_labeller",),
            kinds=NAMING,
            paper="Guide Labeller, Oh et al. 2017",
            published="55.7",
        ),
        Chain(
            "points-wtp",
            kinds=(Points,),
            settings={"loss.image": 1.0, "loss.point": 1.0, "loss.objectness": 1.0, **NOTHING_ELSE},
            paper="What's the Point, Bearman et al. 2016",
            published="42.7 (masks: 58.3)",
        ),
        Chain(
            "points-crf",
            ("propagate_labels", "dense_crf"),
            Threshold(0.9),
            (Points,),
            CRF_LOSS,
            paper="its loss: Tang et al. 2018",
        ),
        Chain(
            "scribbles-scribblesup",
            ("scribblesup",),
            kinds=(Scribbles, Points),
            paper="ScribbleSup, Lin et al. 2016",
            published="63.1 (points: 51.6)",
            rounds=3,
        ),
        Chain(
            "scribbles-crf",
            ("propagate_labels", "dense_crf"),
            Threshold(0.8),
            (Scribbles,),
            CRF_LOSS,
            paper="its loss: Tang et al. 2018",
            published="73.0 (masks: 75.6)",
        ),
        Chain("boxes-grabcut", ("grabcut",), kinds=(Boxes,), paper="GrabCut, Rother et al. 2004"),
        Chain(
            "boxes-wssl",
            ("bbox_seg",),
            kinds=(Boxes,),
            paper="WSSL, Papandreou et al. 2015: Bbox-Seg",
            published="60.6",
        ),
        Chain(
            "boxes-sdi",
            ("m_and_g",),
            kinds=(Boxes,),
            paper="Simple Does It, Khoreva et al. 2017: M & G+",
            published="65.7 (masks: 69.1)",
        ),
        Chain(
            "boxes-box",
            ("box_round",),
            kinds=(Boxes,),
            paper="Simple Does It, Khoreva et al. 2017: Box",
            rounds=3,
        ),
        Chain(
            "boxes-boxsup",
            ("boxsup",),
            kinds=(Boxes,),
            paper="BoxSup, Dai et al. 2015",
            published="62.0 (masks: 63.8)",
            rounds=3,
        ),
        Chain(
            "shares-kl",
            kinds=(AreaShares,),
            settings={"loss.shares": 1.0, **CRF_LOSS},
            paper="area shares, arXiv:2503.06954",
        ),
    )
}


def kind_word(kind: type[Label]) -> str:
    """ "boxes", "shares": as `labels.kind_name` calls a label of that type."""
    return "shares" if kind is AreaShares else kind.__name__.lower()


def narrowing_chain(name: str) -> Chain:
    """The chain of that name. UsageError for an unknown one, and for one that narrows nothing."""
    if name not in CHAINS:
        raise UsageError(f"unknown recipe {name!r} for masks{did_you_mean(name, [*CHAINS, 'auto', 'mixed'])}")
    if not CHAINS[name].steps:
        raise UsageError(f"recipe {name} narrows no labels, its network learns from them as they are: `train` takes it")
    return CHAINS[name]


def given_steps(steps: Sequence[str]) -> Chain:
    """A chain of steps by name. UsageError for unknown ones."""
    for step in steps:
        if step not in STEPS:
            raise UsageError(f"unknown step {step!r}{did_you_mean(step, STEPS)}")
    return Chain("+".join(steps), tuple(steps))


def is_weak(photo: Photo) -> bool:
    """Has the photo labels, and no mask by a person?"""
    return bool(photo.labels) and not any(is_mask(x, photo.vocabulary.source) for x in photo.labels)


def _says(label: Label) -> bool:
    """Does the label say anything at all?"""
    if isinstance(label, Tags):
        return bool(label.present or label.absent)
    return bool(label.shares if isinstance(label, AreaShares) else getattr(label, "marks", True))


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


def priors(chains: Iterable[Chain], classifier: str = "", saliency: str = "") -> str:
    """What the chains know beside these labels and the encoder, each with what it learnt from; "none" for nothing.

    classifier, saliency: where class maps or scores, and saliency, came from in place of our own.
    """
    cues = {c for chain in chains for s in chain.steps for c in (*STEPS[s].cues, *STEPS[s].further)}
    scores = classifier or "a classifier that learnt from these labels"
    known = {
        "class maps": scores if "cam_CHW" in cues else "",
        "scores": scores if "scores_CHW" in cues else "",
        "saliency": (saliency or "boundary connectivity, no labels") if "saliency_HW" in cues else "",
        "superpixels": "Felzenszwalb, no labels" if "segments_HW" in cues else "",
        "proposals": "selective search, no labels" if "proposals_SHW" in cues else "",
    }
    return "; ".join(f"{what}: {source}" for what, source in known.items() if source) or "none"
