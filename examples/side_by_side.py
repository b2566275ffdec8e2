"""Several heads on one encoder, trained at once, and their picture: what the questions about heads share.

The encoder is frozen with its ImageNet weights and run once for all heads. They share its maps, the crops and nothing
else, so each learns what it would learn alone, for the price of one encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from curves import COLOURS, mean
from experiment import photos, record, train
from torch import Tensor, nn

from labels2masks.encoders import build_encoder
from labels2masks.formats.dataset import Dataset
from labels2masks.grid import Grid
from labels2masks.networks import UNet
from labels2masks.report.markup import Content, element
from labels2masks.report.svg import apart, rule, ticks, words

NO_CLIP = 1e9
"""A clipped norm is that of all gradients together, the only thing by which one head could reach another."""


class Maps:
    """What stands in the place of a head's encoder: the maps of a frozen one, kept until other images come.

    No module, so that the encoder's weights belong to none of the heads.
    """

    def __init__(self, name: str, weights: str | None, output_stride: int = 32) -> None:
        self.encoder: Any = build_encoder(name, weights, output_stride).requires_grad_(False).eval()
        self.grids, self.channels = self.encoder.grids, self.encoder.channels
        self.images_N3HW: Tensor | None = None
        self.maps: list[Tensor] = []

    def __call__(self, images_N3HW: Tensor) -> list[Tensor]:
        if images_N3HW is not self.images_N3HW:
            with torch.no_grad():
                self.images_N3HW, self.maps = images_N3HW, self.encoder(images_N3HW)
        return list(self.maps)


def on(maps: Maps, network: nn.Module) -> nn.Module:
    """`network`, a family of the package, with `maps` in the place of the encoder that it was built with."""
    holder: Any = network.net if isinstance(network, UNet) else network
    del holder.encoder
    holder.encoder = maps
    return network


class _Together(nn.Module):
    def __init__(self, maps: Sequence[Maps], heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(m.encoder for m in maps)
        self.heads = nn.ModuleDict(heads)
        self.working_size: int | None = None

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [scored for head in self.heads.values() for scored in head.training_scores(images_N3HW)]


def train_together(maps: Sequence[Maps], heads: Mapping[str, nn.Module], data: Dataset, split: str, **how: Any) -> None:
    """Train the heads on their maps in place; how: as `experiment.train` takes it."""
    together = _Together(maps, heads)
    own: dict[str, Any] = {"frozen": ("encoders",), "optimiser.clip": NO_CLIP}
    train(together, data, split, **own | how)
    for head in heads.values():
        head.working_size = together.working_size  # type: ignore[assignment]


def dots(
    left: float, top: float, width: float, step: float, title: str, rows: Mapping[str, Sequence[Sequence[float]]]
) -> list[Content]:
    """A row every `step` pixels, of one or several things: a dot for each seed, a bar at the mean. Names are the
    caller's."""
    every = [v for things in rows.values() for values in things for v in values]
    low, high = min(every), max(every)
    low, high = low - 0.05 * (high - low) - 0.1, high + 0.05 * (high - low) + 0.1
    bottom = top + step * len(rows)

    def x(value: float) -> float:
        return left + width * (value - low) / (high - low)

    drawn: list[Content] = [words(left, top - 16, title, "strong")]
    for tick in ticks(low, high, int(width / 45)):
        drawn += [rule(x(tick), top, x(tick), bottom), words(x(tick), bottom + 12, f"{tick:g}", "faint", "middle")]
    for k, things in enumerate(rows.values()):
        for values, colour in zip(things, COLOURS, strict=False):
            y, at = top + step * (k + 0.5), x(mean(values))
            drawn += [element("circle", cx=x(v), cy=y, r=2.6, fill=colour) for v in values if len(values) > 1]
            drawn.append(element("rect", x=at - 1.5, y=y - 6, width=3, height=12, fill=colour))
    return drawn


def legend(left: float, top: float, names: Sequence[str]) -> list[Content]:
    """The colours of the things that a row shows, below each other."""
    places = apart([top] * len(names), 16)
    return [
        [element("rect", x=left, y=y - 6, width=3, height=12, fill=colour), words(left + 10, y, name)]
        for name, y, colour in zip(names, places, COLOURS, strict=False)
    ]


def of_all_seeds(
    name: str,
    measured: Callable[..., Sequence[dict[str, Any]]],
    settings: Mapping[str, Any],
    seeds: Sequence[int],
    encoder: str,
) -> list[dict[str, Any]]:
    """Rows of `measured` for all seeds, recorded after each, because each takes minutes."""
    given, rows = dict(settings), list[dict[str, Any]]()
    data = photos(given.pop("data"))
    for k, seed in enumerate(seeds, 1):
        rows += measured(data, (seed,), encoder, "auto", **given)
        record(name, rows, dict(settings) | {"encoder": encoder, "seeds": seeds[:k]})
    return rows
