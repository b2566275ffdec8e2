"""What is asked of a photo as a whole, beside the loss of its pixels: one mean for each term that a recipe weighs.

    presence    a class that is there is seen somewhere (see `presence_loss`)
    expand      SEC's: classes that are there take some of the photo, those that are not take none
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
from .sec import expand_loss

TERMS = ("presence", "expand", "tightness", "shares", "crf")


def photo_terms(
    scores_NChw: Tensor, grid: Grid, images_N3HW: Tensor, batch: Batch, weights: Mapping[str, float]
) -> dict[str, tuple[Tensor, Tensor]]:
    """{term: (sum, count)} of the terms of weight above 0 that any photo of the batch has something to say about.

    scores_NChw: on the cells of `grid`. images_N3HW: float RGB, 0..255.
    """
    found = {}
    if weights["presence"] > 0 and bool(batch.weak_N.any()):
        found["presence"] = presence_loss(scores_NChw, batch)
    if weights["expand"] > 0:
        asked = [(n, *tags) for n, facts in enumerate(batch.facts) if (tags := _tags(facts, scores_NChw))]
        if asked:
            pairs = [expand_loss(scores_NChw[n : n + 1], present[None], ground) for n, present, ground in asked]
            found["expand"] = (torch.stack([p[0] for p in pairs]).sum(), torch.stack([p[1] for p in pairs]).sum())
    if weights["tightness"] > 0 and any(f.boxes for f in batch.facts):
        found["tightness"] = box_tightness_loss(scores_NChw, [f.boxes for f in batch.facts], grid)
    inside_NHW = batch.index_NHW != VOID_ROW
    if weights["shares"] > 0 and any(f.shares for f in batch.facts):
        found["shares"] = area_share_loss(scores_NChw, _shares(batch.facts, scores_NChw), _at(inside_NHW, scores_NChw))
    if weights["crf"] > 0:
        found["crf"] = dense_crf_loss(scores_NChw, images_N3HW, grid, normalised=True, gate_NHW=inside_NHW.float())
    return found


def _tags(facts: Facts, like: Tensor) -> tuple[Tensor, int] | None:
    """(present_C, background) of a photo whose tags are complete for all classes but one, which is background."""
    classes = like.shape[1]
    rest = set(range(classes)) - facts.complete
    if len(rest) != 1 or any(len(s) != 1 for s in facts.present):
        return None
    present_C = torch.zeros(classes, dtype=torch.bool, device=like.device)
    present_C[[c for s in facts.present for c in s]] = True
    return present_C, rest.pop()


def _shares(facts: list[Facts], like: Tensor) -> Tensor:
    shares_NC = like.new_full(like.shape[:2], torch.nan)
    for n, of_photo in enumerate(facts):
        for c, share in of_photo.shares.items():
            shares_NC[n, c] = share
    return shares_NC


def _at(inside_NHW: Tensor, like: Tensor) -> Tensor:
    """The flag at the nearest pixel of each cell."""
    return torch.nn.functional.interpolate(inside_NHW[:, None].float(), size=like.shape[2:])[:, 0] > 0.5
