"""What is asked of a photo as a whole, beside the loss of its pixels: one mean for each term that a recipe weighs.

    presence    a class that is there is seen somewhere (see `presence_loss`)
    expand      SEC's: classes that are there take some of the photo, those that are not take none
    constrain   SEC's: the network agrees with what the dense CRF makes of its own scores
    image       What's the Point's: a class that is there is right at its best cell, another is wrong at its best
    tightness   an object reaches all sides of its box
    shares      classes take the areas that a person gave
    crf         neighbours in place and colour agree

Legend: N = images, C = classes, H, W = pixels, h, w = cells.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..grid import Grid
from ..labels import VOID_ROW, Facts
from .area_shares import area_share_loss
from .box_tightness import box_tightness_loss
from .candidate_loss import Batch, presence_loss
from .dense_crf_loss import dense_crf_loss
from .sec import constrain_loss, crf_marginals, expand_loss
from .whats_the_point import image_loss

TERMS = ("presence", "expand", "constrain", "image", "tightness", "shares", "crf")


def photo_terms(
    scores_NChw: Tensor, grid: Grid, images_N3HW: Tensor, batch: Batch, weights: Mapping[str, float]
) -> dict[str, tuple[Tensor, Tensor]]:
    """{term: (sum, count)} of the terms of weight above 0 that any photo of the batch has something to say about.

    scores_NChw: on the cells of `grid`. images_N3HW: float RGB, 0..255.
    """
    found = {}
    if weights["presence"] > 0 and bool(batch.weak_N.any()):
        found["presence"] = presence_loss(scores_NChw, batch)
    tagged = []
    if weights["expand"] > 0 or weights["image"] > 0:
        told = [_tags(facts, batch.background, scores_NChw) for facts in batch.facts]
        tagged = [(scores_NChw[n : n + 1], *tags) for n, tags in enumerate(told) if tags]
    if weights["expand"] > 0 and tagged:
        found["expand"] = _summed([expand_loss(s, present_1C, ground) for s, present_1C, ground in tagged])
    if weights["image"] > 0 and tagged:
        found["image"] = _summed([image_loss(s, present_1C) for s, present_1C, _ in tagged])
    if weights["tightness"] > 0 and any(f.boxes for f in batch.facts):
        found["tightness"] = box_tightness_loss(scores_NChw, [f.boxes for f in batch.facts], grid)
    inside_NHW = batch.index_NHW != VOID_ROW
    if weights["constrain"] > 0:
        inside_Nhw = _at(inside_NHW, scores_NChw)
        marginals_NChw = crf_marginals(scores_NChw, images_N3HW, grid, inside_Nhw)
        found["constrain"] = constrain_loss(scores_NChw, marginals_NChw, inside_Nhw)
    if weights["shares"] > 0 and any(f.shares for f in batch.facts):
        found["shares"] = area_share_loss(scores_NChw, _shares(batch.facts, scores_NChw), _at(inside_NHW, scores_NChw))
    if weights["crf"] > 0:
        found["crf"] = dense_crf_loss(scores_NChw, images_N3HW, grid, normalised=True, gate_NHW=inside_NHW.float())
    return found


def _tags(facts: Facts, background: int | None, like: Tensor) -> tuple[Tensor, int] | None:
    """(present_1C, background) of a photo whose tags are complete for all classes but background; it counts as there.

    background: None = the one class for which they are not. A crop has the promise and not the tags: nothing is said
    of it, nor of a photo that shows background alone.
    """
    rest = set(range(like.shape[1])) - facts.complete - {background}
    if background is None and len(rest) == 1:
        background = rest.pop()
    if background is None or rest or not facts.present or any(len(s) != 1 for s in facts.present):
        return None
    present_1C = torch.zeros(1, like.shape[1], dtype=torch.bool, device=like.device)
    present_1C[0, [background, *(c for s in facts.present for c in s)]] = True
    return present_1C, background


def _summed(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.stack([total for total, _ in pairs]).sum(), torch.stack([count for _, count in pairs]).sum()


def _shares(facts: list[Facts], like: Tensor) -> Tensor:
    shares_NC = like.new_full(like.shape[:2], torch.nan)
    for n, of_photo in enumerate(facts):
        for c, share in of_photo.shares.items():
            shares_NC[n, c] = share
    return shares_NC


def _at(inside_NHW: Tensor, like: Tensor) -> Tensor:
    """The flag at the nearest pixel of each cell."""
    return torch.nn.functional.interpolate(inside_NHW[:, None].float(), size=like.shape[2:])[:, 0] > 0.5
