"""The exact Gaussian sum on a GPU, tiled like flash attention: no pair of points is ever stored, and there is no table.

Each program owns 64 query points and up to 64 channels, and walks over the sources 64 at a time: distances in float32,
exp2, and one product of the 64 x 64 weights with the 64 values. Blocks whose bounding boxes lie so far apart that
every weight is below 1e-9 are left out; points in the order of a photo's rows or tiles make small boxes. The transpose
is the same kernel with the sides swapped, and both are deterministic: nothing is added atomically.

Products follow torch's own setting (`torch.set_float32_matmul_precision`): three TF32 products, nearly float32, at
"highest", one of them otherwise, which rounds weights and values to 11 bits.

Tested in Triton's interpreter; it has not been timed on a GPU yet (`benchmarks/gaussian_gpu.py` does that).

Legend: B = batch; P = source points, Q = query points; D = dimensions; C = channels; k = blocks.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

_BLOCK = 64
_SCALE = math.sqrt(0.5 / math.log(2))
"""exp(-x^2 / 2) = 2 ** -(x * _SCALE)^2: the hardware's exponential has base 2."""
_FURTHEST = math.log2(1e9)
"""Scaled squared distance beyond which a weight is below 1e-9."""


class TiledSum:
    """(values, transposed) -> K values, or K' values, for fixed points. float32 inside; any strides."""

    def __init__(self, sources_BPD: Tensor, queries_BQD: Tensor) -> None:
        sides = [(points * _SCALE).float() for points in (sources_BPD, queries_BQD)]
        self.sides = [(points, *_boxes(points)) for points in sides]

    def __call__(self, given_BPC: Tensor, transposed: bool) -> Tensor:
        sources, queries = self.sides[::-1] if transposed else self.sides
        (from_BPD, from_low, from_high), (to_BQD, to_low, to_high) = sources, queries
        values_BPC = given_BPC.float()
        batch, points, channels = values_BPC.shape
        out_BQC = values_BPC.new_empty(batch, to_BQD.shape[1], channels)
        wide = min(max(triton.next_power_of_2(channels), 16), 64)
        blocks = (triton.cdiv(to_BQD.shape[1], _BLOCK), triton.cdiv(channels, wide), batch)
        with torch.cuda.device_of(values_BPC):
            _tiled_sum[blocks](
                *(to_BQD, to_low, to_high, from_BPD, from_low, from_high, values_BPC, out_BQC),
                *(to_BQD.shape[1], points, channels),
                *(*to_BQD.stride(), *from_BPD.stride(), *values_BPC.stride(), *out_BQC.stride()),
                DIMS=to_BQD.shape[2],
                BLOCK=_BLOCK,
                WIDE=wide,
                FURTHEST=_FURTHEST,
                PRECISION="tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32",
            )
        return out_BQC.to(given_BPC)


def _boxes(points_BPD: Tensor) -> tuple[Tensor, Tensor]:
    """(low_BkD, high_BkD) of every block of points; the last is filled up with its last point."""
    batch, points, dims = points_BPD.shape
    filled = F.pad(points_BPD.mT, (0, -points % _BLOCK), mode="replicate").mT
    blocks_BkbD = filled.reshape(batch, -1, _BLOCK, dims)
    return blocks_BkbD.amin(dim=2).contiguous(), blocks_BkbD.amax(dim=2).contiguous()


@triton.jit
def _tiled_sum(
    to_ptr,
    to_low_ptr,
    to_high_ptr,
    from_ptr,
    from_low_ptr,
    from_high_ptr,
    values_ptr,
    out_ptr,
    to_points,
    from_points,
    channels,
    to_b,
    to_p,
    to_d,
    from_b,
    from_p,
    from_d,
    values_b,
    values_p,
    values_c,
    out_b,
    out_p,
    out_c,
    DIMS: tl.constexpr,
    BLOCK: tl.constexpr,
    WIDE: tl.constexpr,
    FURTHEST: tl.constexpr,
    PRECISION: tl.constexpr,
):
    image = tl.program_id(2).to(tl.int64)
    block = tl.program_id(0)
    q = block * BLOCK + tl.arange(0, BLOCK)
    c = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
    # Beyond the last point stands the last again, as in the boxes; its values count as zero.
    to_ptr += image * to_b + tl.minimum(q, to_points - 1).to(tl.int64) * to_p
    from_ptr += image * from_b
    values_ptr += image * values_b
    to_box = (image * tl.cdiv(to_points, BLOCK) + block) * DIMS
    from_blocks = tl.cdiv(from_points, BLOCK)
    total_QC = tl.zeros((BLOCK, WIDE), dtype=tl.float32)
    for k in range(0, from_blocks):
        from_box = (image * from_blocks + k) * DIMS
        apart = 0.0
        for d in tl.static_range(DIMS):
            right = tl.load(from_low_ptr + from_box + d) - tl.load(to_high_ptr + to_box + d)
            left = tl.load(to_low_ptr + to_box + d) - tl.load(from_high_ptr + from_box + d)
            gap = tl.maximum(tl.maximum(right, left), 0.0)
            apart += gap * gap
        if apart <= FURTHEST:
            p = k * BLOCK + tl.arange(0, BLOCK)
            at_P = tl.minimum(p, from_points - 1).to(tl.int64)
            distance_QP = tl.zeros((BLOCK, BLOCK), dtype=tl.float32)
            for d in tl.static_range(DIMS):
                step_QP = tl.load(to_ptr + d * to_d)[:, None] - tl.load(from_ptr + at_P * from_p + d * from_d)[None, :]
                distance_QP += step_QP * step_QP
            values_PC = tl.load(
                values_ptr + at_P[:, None] * values_p + c[None, :] * values_c,
                mask=(p < from_points)[:, None] & (c < channels)[None, :],
                other=0.0,
            )
            total_QC = tl.dot(tl.exp2(-distance_QP), values_PC, total_QC, input_precision=PRECISION)
    tl.store(
        out_ptr + image * out_b + q.to(tl.int64)[:, None] * out_p + c[None, :] * out_c,
        total_QC,
        mask=(q < to_points)[:, None] & (c < channels)[None, :],
    )
