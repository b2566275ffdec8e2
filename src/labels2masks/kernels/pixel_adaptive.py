"""Pixel-adaptive refinement (PAR): maps follow the colours of a photo, by means of 48 neighbours a pixel.

Ru, Zhan, Yu, Du, "Learning Affinity from Attention: End-to-End Weakly-Supervised Semantic Segmentation with
Transformers", CVPR 2022, arXiv 2203.02664, and their release. Neighbours j are the 8 around pixel i at every dilation:

    colour   -(|I_i - I_j| / (0.3 std))^2, the mean over channels, std that of the 48 neighbours
    place    -(|i - j| / (0.3 std))^2, std that of the 48 distances
    weight   softmax over j of the colour term + 0.01 softmax of the place term

and every iteration replaces each value by the weighted sum of its neighbours. A dense CRF in little: no table, no unary
term to come back to, and nothing but shifts and sums, so it runs wherever torch does and has gradients.

Legend: N = images; C = classes or any channels; H, W = pixels; J = neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot

import torch
from torch import Tensor
from torch.nn import functional as F

_SPREAD = 0.3
_PLACE = 0.01


def pixel_adaptive_refinement(
    maps_NCHW: Tensor,
    images_N3HW: Tensor,
    dilations: Sequence[int] = (1, 2, 4, 8, 12, 24),
    iterations: int = 10,
) -> Tensor:
    """maps_NCHW after so many iterations; probabilities stay probabilities.

    maps_NCHW: at the size of the photos. images_N3HW: float, any range and any mean: only differences count, and their
        spread. Beyond the border its pixels are repeated.
    Weights sum to 1 here. In the release they sum to 1.01, which multiplies all maps alike.
    Raises ValueError where the sizes differ.
    """
    if maps_NCHW.shape[2:] != images_N3HW.shape[2:] or len(maps_NCHW) != len(images_N3HW):
        raise ValueError(f"maps {tuple(maps_NCHW.shape)} do not fit images {tuple(images_N3HW.shape)}")
    steps = [(d * dy, d * dx) for d in dilations for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    near_JN3HW = torch.stack(_shifted(images_N3HW, steps))
    difference_JN3HW = (near_JN3HW - images_N3HW).abs() / (near_JN3HW.std(dim=0) + 1e-8)
    colour_JNHW = -(difference_JN3HW / _SPREAD).square().mean(dim=2)
    distance_J = torch.tensor([hypot(*step) for step in steps]).to(images_N3HW)
    place_J = -(distance_J / (distance_J.std() * _SPREAD)).square()
    weight_JNHW = colour_JNHW.softmax(dim=0) + _PLACE * place_J.softmax(dim=0)[:, None, None, None]
    weight_JNHW = weight_JNHW / (1 + _PLACE)
    for _ in range(iterations):
        shifted = _shifted(maps_NCHW, steps)
        maps_NCHW = sum(w_NHW[:, None] * near for w_NHW, near in zip(weight_JNHW, shifted, strict=True))
    return maps_NCHW


def _shifted(maps_NCHW: Tensor, steps: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Views of the maps, moved so that each pixel sees its neighbour (dy, dx) further."""
    height, width = maps_NCHW.shape[2:]
    far = max(max(abs(dy), abs(dx)) for dy, dx in steps)
    padded = F.pad(maps_NCHW, [far] * 4, mode="replicate")
    return [padded[:, :, far + dy : far + dy + height, far + dx : far + dx + width] for dy, dx in steps]
