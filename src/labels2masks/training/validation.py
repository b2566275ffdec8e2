"""Looks at a network while it trains, and the number that early stopping chooses by.

Photos with masks give mIoU, the others agreement with their clicks, strokes, tags and boxes, which is never called
mIoU. Early stopping chooses by agreement: with the labels of the validation photos, or, where those have masks alone,
with those of some training photos, from which nothing is learnt then. The validation masks choose nothing, or the
score on them would be too good, unless a person sets `select="mIoU"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from torch import nn

from ..classes import Classes
from ..errors import DataError, UsageError
from ..evaluation import Confusion
from ..evaluation.agreement import Agreement, one_number
from ..evaluation.evaluate import truth_mask
from ..formats.dataset import Photo
from ..formats.image import read_image
from ..labels import Mask
from ..prediction import predict_confusion, predict_mask
from ..prediction.views import Tta
from ..progress import track
from .settings import Settings

LOOKS = {"mIoU", "agreement"}
"""What a look may give."""

IN_TRAINING = 150
"""Validation photos looked at while training; the score at the end takes all."""

ASIDE, MOST_ASIDE = 0.1, 50
"""Share of the training photos without masks whose labels are kept aside, and how many at most."""


def kept_aside(photos: Sequence[Photo], val: Sequence[Photo], s: Settings) -> list[Photo]:
    """The photos whose labels choose the checkpoint: of `val`, else of the training photos; [] where nothing is chosen.

    Raises UsageError where there are none to choose by.
    """
    if not s.early_stop or s.select != "agreement":
        return []
    if found := [p for p in val if _is_weak(p)]:
        return found
    weak = [p for p in photos if _is_weak(p)]
    count = min(round(ASIDE * len(weak)) or 1, MOST_ASIDE)
    if len(weak) <= count:
        raise UsageError(
            f"early_stop={s.early_stop} chooses by agreement with labels kept aside, and {len(weak)} photos have labels"
            " that are no masks: --set select=mIoU chooses by the masks of the validation photos"
        )
    picked = np.random.default_rng(s.seed).choice(len(weak), count, replace=False)
    return [weak[i] for i in sorted(picked)]


def chosen_by(photos: Sequence[Photo], val: Sequence[Photo], s: Settings) -> str:
    """What early stopping chose the weights by, for the protocol card."""
    if s.select == "mIoU":
        return "mIoU on masks of the validation photos, as it was asked for (select=mIoU)"
    aside = kept_aside(photos, val, s)
    whose = "validation" if {p.name for p in aside} <= {p.name for p in val} else "training"
    return f"agreement with the labels of {len(aside)} {whose} photos kept aside, no masks"


class Looks:
    """looks(network in eval mode) -> {"mIoU": of the photos with masks, "agreement": of the others}; what there is."""

    def __init__(self, classes: Classes, photos: Sequence[Photo]):
        self.classes = classes
        self.masked = _thinned([p for p in photos if p.has_mask])
        self.weak = _thinned([p for p in photos if _is_weak(p)])

    def __bool__(self) -> bool:
        return bool(self.masked or self.weak)

    def __call__(self, network: nn.Module) -> dict[str, float]:
        confusion = Confusion(self.classes)
        for photo in track(self.masked, "validating"):
            try:
                image_HW3 = read_image(photo.image, photo.levels)
                truth_HW = truth_mask(photo, *image_HW3.shape[:2])
            except DataError:
                continue  # the score at the end lists it
            confusion.counts[:, :-1] += predict_confusion(network, image_HW3, truth_HW)
        found = {} if confusion.miou is None else {"mIoU": confusion.miou}
        scores = agreement_of(network, self.weak)
        return found | {"agreement": scores["overall"]} if scores else found


def agreement_of(network: nn.Module, photos: Iterable[Photo], views: Tta = False) -> dict[str, Any]:
    """`Agreement.scores()` of the photos with labels and no mask, how many they are, and "overall" (`one_number`)."""
    agreement, count = Agreement(), 0
    for photo in track([p for p in photos if _is_weak(p)], "agreement"):
        try:
            image_HW3 = read_image(photo.image, photo.levels)
        except DataError:
            continue
        agreement.add(predict_mask(network, image_HW3, views), photo.labels, photo.vocabulary)
        count += 1
    scores = agreement.scores()
    return {"photos": count, "overall": one_number(scores)["agreement"], **scores} if scores else {}


def _is_weak(photo: Photo) -> bool:
    """Has the photo labels, and no mask? What was inferred from labels is no label to agree with."""
    return not photo.has_mask and any(not isinstance(label, Mask) for label in photo.labels)


def _thinned(photos: list[Photo]) -> list[Photo]:
    return photos[:: max(1, len(photos) // IN_TRAINING)][:IN_TRAINING]
