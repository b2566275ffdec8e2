"""The protocol card: what a score rests on. A number without it is not printed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MIOU_MEANS = (
    "one confusion matrix over the whole set, void excluded, mean over the classes that occur in the truth; "
    "predictions outside the protocol count as errors"
)

CARD = {
    "data": "data",
    "split": "split",
    "photos": "photos scored",
    "labels": "labels used in training",
    "labelling_seconds": "what they cost",
    "pretraining": "pretraining",
    "recipe": "recipe",
    "priors": "further priors",
    "seed": "seed",
    "working_size": "working size",
    "checkpoint": "checkpoint",
    "tta": "views",
    "crf": "CRF",
    "thresholds": "thresholds",
    "miou_means": "mIoU means",
}
"""The lines of a card, in their order: key -> how a person reads it."""

OF_TRAINING = CARD.keys() - {"data", "split", "photos", "miou_means"}
"""Lines of the card that belong to the model and are carried over from its training."""


def protocol_card(
    *,
    data: str,
    split: str,
    photos: int,
    labels: Mapping[str, int] | None = None,
    labelling_seconds: float | None = None,
    pretraining: str | None = None,
    recipe: str | None = None,
    priors: str | None = None,
    seed: int | None = None,
    working_size: int | None = None,
    checkpoint: str | None = None,
    tta: str = "one view",
    crf: str = "none",
    thresholds: str = "none: arg-max of the scores",
) -> dict[str, Any]:
    """The card as JSON values. None = not known (the masks came from elsewhere).

    labels: kind -> training photos that have it. labelling_seconds: what those labels cost a person.
    working_size: long side in pixels that photos are shrunk to; None = as they are.
    recipe: how the labels were learnt from. priors: what that knew beside the labels and the encoder, each with what
    it learnt from in its turn. checkpoint, thresholds: how they were chosen; never on masks unless it says so.
    """
    return {
        "data": data,
        "split": split,
        "photos": photos,
        "labels": dict(labels) if labels is not None else None,
        "labelling_seconds": labelling_seconds,
        "pretraining": pretraining,
        "recipe": recipe,
        "priors": priors,
        "seed": seed,
        "working_size": working_size,
        "checkpoint": checkpoint,
        "tta": tta,
        "crf": crf,
        "thresholds": thresholds,
        "miou_means": MIOU_MEANS,
    }


def card_lines(card: Mapping[str, Any]) -> list[str]:
    """The card for a person: one line for each thing that is known."""
    shown = {key: _text(key, value) for key, value in card.items() if value is not None and key in CARD}
    width = max((len(CARD[key]) for key in shown), default=0)
    return [f"{CARD[key]:<{width}}  {shown[key]}" for key in CARD if key in shown]


def _text(key: str, value: Any) -> str:
    if key == "labels":
        return ", ".join(f"{count} photos with {kind}" for kind, count in sorted(value.items())) or "none"
    if key == "labelling_seconds":
        return f"{value:.0f} s ({value / 3600:.1f} h) of a person's time, by the means of 2016 where nobody measured"
    if key == "working_size":
        return f"{value} px, long side"
    return str(value)
