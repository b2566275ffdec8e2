"""One loss for all label kinds: -log of the probability mass on the candidate set.

    loss(pixel) = logsumexp(all scores) - logsumexp(scores of the candidates)

A pixel with one candidate gives cross-entropy, and a full mask gives
`cross_entropy(ignore_index=...)` bit for bit, value and gradient. With trust t < 1,
a set of k of C classes costs -log(t p(set) + (1 - t) k / C), so that one wrong click is not
a hard truth. The open set and void cost nothing and count nowhere.

The loss of a batch is a sum of three means, each over its own pixels of the batch: masks,
ink, and regions (tags, boxes), so that a few clicks are not drowned by a million mask pixels.

Legend: N = images, C = classes, H, W = pixels, P = pixels picked, K = rows of all tables of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..labels import INK, MASK, REGION, VOID_ROW, Candidates, Facts

SOURCES = {MASK: "mask", INK: "ink", REGION: "region"}
_SKIP = -100
_SUM = 2
"""torch's number for `reduction="sum"`."""


@dataclass
class Batch:
    """Candidates of N images of one size, as tensors. `collate` makes it; it is the one door to tensors.

    index_NHW: int64, row of the joint table; 0 = void. sets_KC: bool. source_K: uint8. trust_K: float32.
    single_K: int64, the class of a row with one member, -1 otherwise.
    present: for each image, tensors of class indices of which one must appear somewhere.
    weak_N: bool, images that have image-level facts and no mask: the presence term is theirs.
    facts: what is known of each image as a whole, or of its crop.
    border_NHW: float32, added to the weight of a mask's pixel (see `border_weights`); None = nothing.
    objectness_NHW: float32, 0..1, how likely a pixel shows an object, of whatever class; None = nobody asks.
    background: the class that is what no object is; None = there is none, or nobody asks.
    """

    index_NHW: Tensor
    sets_KC: Tensor
    source_K: Tensor
    trust_K: Tensor
    single_K: Tensor
    present: list[list[Tensor]]
    weak_N: Tensor
    facts: list[Facts]
    border_NHW: Tensor | None = None
    objectness_NHW: Tensor | None = None
    background: int | None = None

    def to(self, device: torch.device | str) -> Batch:
        return Batch(
            self.index_NHW.to(device),
            self.sets_KC.to(device),
            self.source_K.to(device),
            self.trust_K.to(device),
            self.single_K.to(device),
            [[p.to(device) for p in image] for image in self.present],
            self.weak_N.to(device),
            self.facts,
            None if self.border_NHW is None else self.border_NHW.to(device),
            None if self.objectness_NHW is None else self.objectness_NHW.to(device),
            self.background,
        )


def collate(
    candidates: Sequence[Candidates],
    borders: Sequence[np.ndarray] = (),
    objectness: Sequence[np.ndarray] = (),
    background: int | None = None,
) -> Batch:
    """Join the tables of N images of equal size into one; the only place where Candidates become tensors.

    borders, objectness: float32 HW, one for each image or none at all. background: see `Batch`.
    """
    rows: dict[tuple[bytes, int, float], int] = {}
    sets, sources, trusts = [], [], []
    index_NHW = np.empty((len(candidates), *candidates[0].index_HW.shape), np.int64)
    table, remap_K = None, np.zeros(0, np.int64)
    for c, index_HW in zip(candidates, index_NHW, strict=True):
        if table is None or any(a is not b for a, b in zip(table, (c.sets_KC, c.source_K, c.trust_K), strict=True)):
            table = (c.sets_KC, c.source_K, c.trust_K)  # full masks of one source share theirs
            remap_K = np.zeros(len(c.sets_KC), np.int64)
            for k in range(len(c.sets_KC)):
                key = (c.sets_KC[k].tobytes(), int(c.source_K[k]), float(c.trust_K[k]))
                if key not in rows:
                    rows[key] = len(rows)
                    sets.append(c.sets_KC[k])
                    sources.append(c.source_K[k])
                    trusts.append(c.trust_K[k])
                remap_K[k] = rows[key]
        if (remap_K == np.arange(len(remap_K))).all():
            index_HW[...] = c.index_HW
        else:
            np.take(remap_K, c.index_HW, out=index_HW, mode="clip")  # writes without a copy; nothing is clipped
    sets_KC = np.stack(sets)
    single_K = np.where(sets_KC.sum(1) == 1, sets_KC.argmax(1), -1)
    weak = [bool(c.facts.present) and not (c.source_K[c.index_HW] == MASK).any() for c in candidates]
    return Batch(
        torch.from_numpy(index_NHW),
        torch.from_numpy(sets_KC),
        torch.from_numpy(np.array(sources, np.uint8)),
        torch.from_numpy(np.array(trusts, np.float32)),
        torch.from_numpy(single_K),
        [[torch.tensor(sorted(s)) for s in c.facts.present] for c in candidates],
        torch.tensor(weak),
        [c.facts for c in candidates],
        torch.from_numpy(np.stack(borders)) if len(borders) else None,
        torch.from_numpy(np.stack(objectness)) if len(objectness) else None,
        background,
    )


def candidate_loss(
    scores_NCHW: Tensor, batch: Batch, class_weights_C: Tensor | None = None
) -> dict[str, tuple[Tensor, Tensor]]:
    """{"mask" | "ink" | "region": (sum, count)}; the loss is the sum of sum / count over sources present.

    scores_NCHW: raw scores at the size of `batch.index_NHW`.
    class_weights_C: weight of a pixel by its class, where it has one; `count` is then the sum of the
        weights, as in `cross_entropy`. A set weighs the mean of its members.
    Border weights of the batch are added to those of the classes, for pixels of which a mask states one class.
    Sums and counts, so that several processes can add them before dividing.
    Raises ValueError where the sizes differ.
    """
    if scores_NCHW.shape[2:] != batch.index_NHW.shape[1:] or len(scores_NCHW) != len(batch.index_NHW):
        raise ValueError(f"scores {tuple(scores_NCHW.shape)} do not fit candidates {tuple(batch.index_NHW.shape)}")
    logs_NCHW = F.log_softmax(scores_NCHW, dim=1)
    open_K = batch.sets_KC.all(dim=1)
    used_K = torch.bincount(batch.index_NHW.flatten(), minlength=len(open_K)) > 0
    result = {}
    for source, name in SOURCES.items():
        of_source_K = (batch.source_K == source) & ~open_K & used_K
        of_source_K[VOID_ROW] = False
        if not bool(of_source_K.any()):
            continue
        plain_K = of_source_K & (batch.single_K >= 0) & (batch.trust_K == 1)
        target_NHW = torch.where(plain_K, batch.single_K, _SKIP)[batch.index_NHW]
        # The operator beneath `nll_loss`, because it hands out the sum of the weights as `cross_entropy` adds
        # them up; the same weights added in another order differ in the last bit.
        total, count = torch.ops.aten.nll_loss2d_forward(logs_NCHW, target_NHW, class_weights_C, _SUM, _SKIP)
        if source == MASK and batch.border_NHW is not None:
            border_NHW = batch.border_NHW * (target_NHW != _SKIP)
            loss_NHW = F.nll_loss(logs_NCHW, target_NHW, reduction="none", ignore_index=_SKIP)
            total, count = total + (loss_NHW * border_NHW).sum(), count + border_NHW.sum()
        rest_K = of_source_K & ~plain_K
        if bool(rest_K.any()):
            more, weight = _set_loss(logs_NCHW, batch, rest_K, class_weights_C)
            total, count = total + more, count + weight
        result[name] = (total, count)
    return result


def _set_loss(logs_NCHW: Tensor, batch: Batch, rest_K: Tensor, class_weights_C: Tensor | None) -> tuple[Tensor, Tensor]:
    """(sum, weight) over the pixels of rows `rest_K`: sets of several members, or statements not wholly trusted."""
    picked_NHW = rest_K[batch.index_NHW]
    row_P = batch.index_NHW[picked_NHW]
    logs_PC = logs_NCHW.permute(0, 2, 3, 1)[picked_NHW]
    set_PC = batch.sets_KC[row_P]
    mass_P = logs_PC.masked_fill(~set_PC, -torch.inf).logsumexp(dim=1)
    trust_P = batch.trust_K[row_P]
    doubt_P = (1 - trust_P) * set_PC.sum(1) / set_PC.shape[1]
    # log(t p + d) = logaddexp(log t + log p, log d); where t = 1 the doubt is log 0 = -inf and falls away.
    loss_P = -torch.where(
        trust_P < 1,
        torch.logaddexp(trust_P.log() + mass_P, doubt_P.clamp_min(1e-30).log()),
        mass_P,
    )
    if class_weights_C is None:
        return loss_P.sum(), torch.tensor(float(len(loss_P)), device=loss_P.device)
    weights_KC = batch.sets_KC * class_weights_C
    weight_P = (weights_KC.sum(1) / batch.sets_KC.sum(1).clamp_min(1))[row_P]
    return (loss_P * weight_P).sum(), weight_P.sum()


def presence_loss(scores_NChw: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """(sum, count) of -log P(class appears) over the classes known to be in a photo without a mask.

    P is the mean of the class's probability over the cells that score it highest, as many as
    make 5 % of the map, so that a small object satisfies it and a single hot cell does not. Without this
    term "everything is background" is a perfect answer to tags and boxes.
    Works at the network's own stride. (What's the Point, eq. 2, takes the single highest cell.)
    """
    total = scores_NChw.new_zeros(())
    count = 0
    for n in torch.nonzero(batch.weak_N).flatten().tolist():
        logs_Chw = F.log_softmax(scores_NChw[n], dim=0)
        for classes in batch.present[n]:
            logs_P = logs_Chw[classes].logsumexp(dim=0).flatten()
            top = logs_P.topk(max(1, len(logs_P) // 20)).values
            total = total - (top.logsumexp(0) - torch.log(torch.tensor(float(len(top)))))
            count += 1
    return total, torch.tensor(float(count), device=total.device)
