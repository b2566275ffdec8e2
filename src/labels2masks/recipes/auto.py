"""From a recipe's name to what is done with the photos at hand; what `auto` and `mixed` make of their labels.

`auto` takes the recipe of the one weak kind of label that is there, and `everyday` for masks alone. Of several kinds it
takes `mixed`: every photo is narrowed by the chain of its own labels, and the loss has the terms of all kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from ..formats.dataset import Photo
from ..labels import AreaShares, Boxes, Label, Points, Regions, Scribbles, Tags, kind_name
from .chains import CHAINS, NOTHING, Chain, given_steps, is_weak, kind_word, narrowing_chain


@dataclass(frozen=True)
class Pick:
    """What is picked for photos with this kind of label, and why.

    recipe: of the data that has no other kind; of a mixture its chain, where it is one. terms: what the kind adds to
    the loss of a mixture.
    """

    kind: type[Label]
    recipe: str
    since: str
    terms: Mapping[str, float] = field(default_factory=dict, hash=False)


PICKS = (
    Pick(Boxes, "boxes-rounds", "a box's object differs from what is around it, and a network knows it"),
    Pick(Scribbles, "rounds", "a network says how far a stroke's class reaches"),
    Pick(Points, "rounds", "a network says how far a click's class reaches"),
    Pick(Regions, "everyday", "outlines are learnt from as they are"),
    Pick(AreaShares, "shares-kl", "nothing says where the shares are", {"loss.shares": 1.0}),
    Pick(Tags, "rounds", "a network says where the classes are that a photo has"),
)
"""The one place where `auto` decides. A photo is of the first kind here that it has. A recipe that is no chain leaves
the labels as they are. One that does not beat `instant` in the benchmark has no place here."""


@dataclass(frozen=True)
class Way:
    """How a recipe's name is followed. name: with what was picked. base: the recipe of the network's settings, and
    what is changed in them. narrow: the recipe of `masks`, "" = labels stay as they are. chains: those that narrow.
    lines: what a person should read.
    """

    name: str
    base: str = "everyday"
    settings: Mapping[str, Any] = field(default_factory=dict)
    narrow: str = ""
    chains: tuple[Chain, ...] = ()
    lines: tuple[str, ...] = ()


def pick(photo: Photo) -> Pick | None:
    """What is picked for a photo; None for one with a mask, or without a label that says anything."""
    if not is_weak(photo):
        return None
    return next((p for p in PICKS if Chain("", kinds=(p.kind,)).works_from(photo)), None)


def chosen(recipe: str, steps: Sequence[str] | None, photo: Photo) -> Chain:
    """The chain that narrows one photo; NOTHING where it has a mask, or no labels that the chain works from.

    UsageError for unknown names, and for recipes that narrow nothing.
    """
    if steps is not None:
        chain = given_steps(steps)
    elif recipe in ("auto", "mixed"):
        picked = pick(photo)
        chain = CHAINS.get(picked.recipe, NOTHING) if picked else NOTHING
    else:
        chain = narrowing_chain(recipe)
    return chain if chain.steps and is_weak(photo) and chain.works_from(photo) else NOTHING


def way_of_chain(chain: Chain, photos: Sequence[Photo]) -> Way:
    """photos: those that are learnt from. UsageError where none has labels that the chain works from."""
    if not any(is_weak(p) and chain.works_from(p) for p in photos):
        have = sorted({kind_name(label) for p in photos for label in p.labels})
        raise UsageError(
            f"recipe {chain.name} learns from {chain.needs}, and the training photos have "
            f"{', '.join(have) or 'no labels'}: take another, --recipe auto picks one"
        )
    narrow = chain.name if chain.steps else ""
    return Way(chain.name, settings=chain.settings, narrow=narrow, chains=(chain,) if narrow else ())


def way_of_mixture(photos: Sequence[Photo]) -> Way:
    """Every photo by its own kind of label, and the terms of all kinds in the loss."""
    counts = _counts(photos)
    picks = [p for p in PICKS if p in counts]
    chains = tuple(c for p in picks if (c := CHAINS.get(p.recipe, NOTHING)).steps)
    terms: dict[str, float] = {}
    for picked in picks:
        terms |= {name: max(value, terms.get(name, 0.0)) for name, value in picked.terms.items()}
    return Way("mixed", settings=terms, narrow="mixed" if chains else "", chains=chains, lines=_lines(counts))


def way_of_auto(photos: Sequence[Photo]) -> Way:
    """The recipe of the one weak kind that is there, `mixed` for several, `everyday` for masks alone."""
    counts = _counts(photos)
    picks = [p for p in counts if p]
    if not picks:
        way = Way("everyday")
    elif len(picks) > 1 or (None in counts and picks[0].recipe not in CHAINS):
        way = way_of_mixture(photos)
    elif picks[0].recipe in CHAINS:
        way = way_of_chain(CHAINS[picks[0].recipe], photos)
    else:
        way = Way(picks[0].recipe, base=picks[0].recipe)
    named = f"{way.name}, picked by auto"
    return Way(named, way.base, way.settings, way.narrow, way.chains, _lines(counts))


def _counts(photos: Sequence[Photo]) -> dict[Pick | None, int]:
    """How many photos are of which kind; None = those with a mask."""
    counts: dict[Pick | None, int] = {}
    for photo in photos:
        if photo.labels:
            picked = pick(photo)
            counts[picked] = counts.get(picked, 0) + 1
    return counts


def _lines(counts: Mapping[Pick | None, int]) -> tuple[str, ...]:
    lines = [f"masks on {counts[None]} photos: learnt from as they are"] if None in counts else []
    for picked in PICKS:
        if picked in counts:
            steps = CHAINS[picked.recipe].steps if picked.recipe in CHAINS else ()
            what = picked.recipe + (f" ({' + '.join(steps)})" if steps else "")
            lines.append(f"{kind_word(picked.kind)} on {counts[picked]} photos: {what}, since {picked.since}")
    return tuple(lines)
