"""Batch normalisation over all processes: a share of the batch is normalised by the statistics of the whole batch.

So several processes train what one would. A batch of few photos costs much: DeepLab v3 has 77.2 mIoU with 16 and 64.4
with 4 (arXiv 1706.05587), and PSPNet shares its statistics for that reason. Works below the modules, on
torch's function, so no network has to know of it, and on any device; torch's own SyncBatchNorm takes GPUs only.

Legend: P = processes, D = channels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class SyncedBatchNorm(TorchFunctionMode):
    """Within it, every batch normalisation in training is over all processes; all of them must run the same layers."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        act = _batch_norm if func is F.batch_norm else func
        return act(*args, **(kwargs or {}))


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm`, over all processes where `training`."""
    if not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    maps, others = input.float(), [0, *range(2, input.ndim)]
    variance_D, mean_D = torch.var_mean(maps, dim=others, correction=0)
    count_1 = mean_D.new_tensor([input.numel() / len(mean_D)])
    count_P1, mean_PD, variance_PD = _of_all(torch.cat([count_1, mean_D, variance_D])).split(
        [1, len(mean_D), len(mean_D)], dim=1
    )
    count, share_P1 = count_P1.sum(), count_P1 / count_P1.sum()
    mean_D = (share_P1 * mean_PD).sum(dim=0)
    variance_D = (share_P1 * (variance_PD + (mean_PD - mean_D) ** 2)).sum(dim=0)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean_D.to(running_mean.dtype), momentum)
            running_var.lerp_((variance_D * count / (count - 1)).to(running_var.dtype), momentum)
    shape = [1, -1, *[1] * (input.ndim - 2)]
    normal = (maps - mean_D.view(shape)) * torch.rsqrt(variance_D + eps).view(shape)
    if weight is not None:
        normal = normal * weight.view(shape)
    return (normal if bias is None else normal + bias.view(shape)).to(input.dtype)


def _of_all(own: Tensor) -> Tensor:
    """The vector of each process, one a row."""
    rows = own.new_zeros(dist.get_world_size(), len(own))
    rows[dist.get_rank()] = own
    return _Sum.apply(rows)  # type: ignore[no-untyped-call, no-any-return]


class _Sum(torch.autograd.Function):
    """Over all processes. The gradient is that of the sum of their losses."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
