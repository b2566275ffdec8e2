"""Does a larger field help, and by what means is it got best? One trunk, and behind it contexts that see more or less.

    python examples/larger_fields.py [FOLDER]

The trunk is frozen with its ImageNet weights, so networks differ in their context alone. Four 3x3 convolutions, dilated
in several ways, have the same weights and the same arithmetic and see 91 to 667 pixels; with 1x1 convolutions there is
only what the trunk and one strided convolution see, 27 pixels. Then one field, 139 pixels, by five means: dilation, one
dense or depthwise window of 15x15, pooling to stride 16, and depth.

Ends in larger_fields.svg and equal_field.svg; `over_photo` draws what counts for one pixel of a photo of the sample.
Legend: N = images, H, W = pixels.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from curves import COLOURS, mean, panel, spread
from experiment import photos, record, score, train
from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import labels2masks as l2m
from labels2masks.encoders import build_encoder
from labels2masks.encoders.follow import follow
from labels2masks.evaluation.effective_field import effective_field, side_of
from labels2masks.evaluation.receptive_field import receptive_field
from labels2masks.files import write_atomically
from labels2masks.grid import Grid
from labels2masks.listing import table
from labels2masks.networks.blocks import BatchNorm, conv_bn_relu, initialise, separable_conv
from labels2masks.report.field import as_seen, field_over
from labels2masks.report.markup import Content, element
from labels2masks.report.pictures import strip
from labels2masks.report.svg import drawing, rule, standalone, ticks, words
from labels2masks.sample import make_sample

WIDTH = 64


def dilated(*dilations: int) -> nn.Sequential:
    """3x3 convolutions after each other."""
    return nn.Sequential(*(conv_bn_relu(WIDTH, WIDTH, 3, d) for d in dilations))


CONTEXTS: dict[str, Callable[[], nn.Module]] = {
    "1x1": lambda: nn.Sequential(*(conv_bn_relu(WIDTH, WIDTH) for _ in range(4))),
    "dilation 1, 1, 1, 1": lambda: dilated(1, 1, 1, 1),
    "dilation 1, 1, 2, 3": lambda: dilated(1, 1, 2, 3),
    "dilation 1, 2, 4, 8": lambda: dilated(1, 2, 4, 8),
    "dilation 1, 3, 9, 27": lambda: dilated(1, 3, 9, 27),
    "15x15": lambda: conv_bn_relu(WIDTH, WIDTH, 15),
    "15x15 depthwise": lambda: separable_conv(WIDTH, WIDTH, 15),
    "pool, three 3x3": lambda: nn.Sequential(nn.MaxPool2d(3, 2, 1), dilated(1, 1, 1)),
    "seven 3x3": lambda: dilated(1, 1, 1, 1, 1, 1, 1),
}
LADDER = [name for name in CONTEXTS if name.startswith(("1x1", "dilation"))]
EQUAL = ["dilation 1, 1, 2, 3", *(name for name in CONTEXTS if name not in LADDER)]
Rows = Sequence[Mapping[str, Any]]
RATE = {"optimiser.rate": 3e-3}
RUN = {"size": 240, "crop": (176, 240), "steps": 150, "batch": 8, **RATE}
SEEDS = 3
SIDES = {"half": "half of what counts", "nine tenths": "nine tenths of it"}
COLUMNS = {"weights": (80.0, "weights"), "MACs": (190.0, "multiplications"), "cells": (270.0, "map")}
LOOKED_AT = 12
"""Photos over whose middles the effective field is averaged."""


class OnTrunk(nn.Module):
    """EfficientNet-Lite0 to stride 4, frozen; a strided convolution, a context, scores. Contract: `networks`."""

    name, encoder_name, smallest, working_size, finite_field = "on_trunk", None, 1, None, True

    def __init__(self, classes: int, context: nn.Module, weights: str | None = "auto") -> None:
        super().__init__()
        self.classes, self.settings = classes, {}
        features: Any = build_encoder("tf_efficientnet_lite0", weights).features
        self.trunk = nn.Sequential(features.conv_stem, features.bn1, *features.blocks[:2])
        self.trunk.requires_grad_(False)
        narrowed = nn.Conv2d(24, WIDTH, 3, 2, 1, bias=False)
        classifier = nn.Conv2d(WIDTH, classes, 1)
        self.head = nn.Sequential(narrowed, BatchNorm(WIDTH), nn.ReLU(), context, classifier)
        initialise(self.head, classifier)
        self.grid = follow(nn.Sequential(self.trunk, self.head), 64, 64).outputs[0][1]

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.head(self.trunk((images_N3HW - 127) / 128))

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


def measure(
    data: l2m.Dataset,
    seed: int,
    names: Sequence[str] = tuple(CONTEXTS),
    run: Mapping[str, Any] = RUN,
    weights: str | None = "auto",
) -> list[dict[str, Any]]:
    """A row for each context: trained on `train`, scored on `val`."""
    rows = []
    for name in names:
        network = start(name, data, seed, weights)
        train(network, data, "train", seed=seed, frozen=("trunk",), **run)
        val = data.split("val").photos
        half, most = used(network, [photo.loaded()[0] for photo in val[:: max(len(val) // LOOKED_AT, 1)]])
        scores = score(network, data, "val")
        row = {"context": name, "seed": seed, **costs(network, run["size"] * 3 // 4, run["size"])}
        rows.append(row | {"half": half, "nine tenths": most, "mIoU": 100 * scores["miou"]})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def start(name: str, data: l2m.Dataset, seed: int, weights: str | None = "auto") -> OnTrunk:
    torch.manual_seed(seed)
    return OnTrunk(len(data.classes), CONTEXTS[name](), weights)


def costs(network: OnTrunk, height: int, width: int) -> dict[str, Any]:
    """Of the context alone: weights, and multiplications for a photo; cells of the scores, and their field."""
    context = network.head[3]
    cells_1Dhw = network.head[:3](network.trunk(torch.zeros(1, 3, height, width)))
    with FlopCounterMode(display=False) as counter:
        after_1Dhw = context(cells_1Dhw)
    field = receptive_field(network)[-1].field
    return {
        "field": field and field[0],
        "weights": sum(p.numel() for p in context.parameters()),
        "MACs": counter.get_total_flops() // 2,
        "cells": f"{after_1Dhw.shape[2]}x{after_1Dhw.shape[3]}",
    }


def used(network: OnTrunk, images: Sequence[np.ndarray]) -> tuple[float, float]:
    """Sides of the squares that hold half and nine tenths of what counts for a photo's middle, on average."""
    sides = []
    for image in images:
        image_HW3 = as_seen(network, image)
        middle = ((image_HW3.shape[0] - 1) / 2, (image_HW3.shape[1] - 1) / 2)
        influence_HW = effective_field(network, image_HW3, middle)
        sides.append([side_of(influence_HW, middle, share) for share in (0.5, 0.9)])
    return mean([half for half, _ in sides]), mean([most for _, most in sides])


def summary(rows: Rows, names: Sequence[str]) -> list[dict[str, Any]]:
    """A line for each context: what is fixed, and the seeds together, also their differences from the first context."""
    told = []
    for name in names:
        of = [row for row in rows if row["context"] == name]
        first = {row["seed"]: row["mIoU"] for row in rows if row["context"] == names[0]}
        more = [row["mIoU"] - first[row["seed"]] for row in of]
        told.append(
            {
                "context": name,
                **{key: of[0][key] for key in ("field", "weights", "MACs", "cells")},
                **{key: round(mean([row[key] for row in of])) for key in ("half", "nine tenths")},
                "mIoU": spread([row["mIoU"] for row in of]),
                f"more than {names[0]}": f"{mean(more):+.1f} ({min(more):+.1f} to {max(more):+.1f})"
                if any(more)
                else "",
            }
        )
    return told


def shown(rows: Rows, folder: Path) -> Path:
    """The ladder of fields: mIoU, and how much of the field is used."""
    names = [name for name in LADDER if any(row["context"] == name for row in rows)]
    told = [{k: v for k, v in row.items() if k not in ("weights", "MACs", "cells")} for row in summary(rows, names)]
    print(table(told))
    of = {str(row["field"]): [r for r in rows if r["context"] == row["context"]] for row in told}
    curves = [{field: [row[key] for row in found] for field, found in of.items()} for key in ("mIoU", *SIDES)]
    axis = "side of the field, pixels"
    left = panel(50, 40, 300, 230, "mIoU on CamVid, %", axis, {"a dot a seed": curves[0]})
    right = panel(
        460, 40, 300, 230, "side of the square, pixels", axis, dict(zip(SIDES.values(), curves[1:], strict=True))
    )
    picture = drawing(920, 320, "A larger field: mIoU, and how much of it counts", left, right)
    return write_atomically(folder / "larger_fields.svg", standalone(picture))


def at_equal_field(rows: Rows, folder: Path) -> Path:
    """One field by five means."""
    names = [name for name in EQUAL if any(row["context"] == name for row in rows)]
    told = summary(rows, names)
    print(table(told))
    scores = {row["context"]: [r["mIoU"] for r in rows if r["context"] == row["context"]] for row in told}
    every = [value for values in scores.values() for value in values]
    low, high = min(every) - 0.2, max(every) + 0.2
    left, width, step = 150.0, 360.0, 30.0

    def x(value: float) -> float:
        return left + width * (value - low) / (high - low)

    bottom = 44 + step * len(told)
    drawn: list[Content] = [words(left, 16, "mIoU on CamVid at one field, %", "strong")]
    drawn += [words(left + width + at, 16, text, "faint", "end") for at, text in COLUMNS.values()]
    for tick in ticks(low, high, 5):
        drawn += [rule(x(tick), 34, x(tick), bottom), words(x(tick), bottom + 14, f"{tick:g}", "faint", "middle")]
    for k, row in enumerate(told):
        y = 34 + step * (k + 0.5)
        drawn.append(words(left - 10, y, row["context"], "ink", "end"))
        drawn += [element("circle", cx=x(v), cy=y, r=2.6, fill=COLOURS[0]) for v in scores[row["context"]]]
        drawn.append(rule(x(mean(scores[row["context"]])), y - 8, x(mean(scores[row["context"]])), y + 8, "whisker"))
        shares = {
            "weights": f"{row['weights'] / 1e3:.0f} k",
            "MACs": f"{row['MACs'] / 1e6:.0f} M",
            "cells": row["cells"],
        }
        drawn += [words(left + width + COLUMNS[key][0], y, shares[key], "ink", "end") for key in COLUMNS]
    picture = drawing(left + width + 300, bottom + 30, "One field by five means", drawn)
    return write_atomically(folder / "equal_field.svg", standalone(picture))


def over_photo(folder: Path, steps: int = 60, weights: str | None = "auto") -> Path:
    """What counts for one pixel, before and after training on the embedded sample: white holds half of it, grey is all
    that the context lets it see."""
    with tempfile.TemporaryDirectory() as sample:
        data = l2m.open(make_sample(sample))
        images = [photo.loaded()[0] for photo in data.split("val").photos]
        image_HW3 = next(image for image in images if image.shape[1] > image.shape[0])
        position = ((image_HW3.shape[0] - 1) / 2, (image_HW3.shape[1] - 1) / 2)
        panels = {"a photo of the sample": image_HW3}
        for name in ("dilation 1, 1, 1, 1", "dilation 1, 2, 4, 8"):
            network = start(name, data, 0, weights)
            box = receptive_field(network)[-1].field
            assert box
            for when in ("before", "after"):
                if when == "after":
                    train(network, data, "train", steps=steps, frozen=("trunk",), crop=(128, 160), **RATE)
                influence_HW = effective_field(network, image_HW3, position)
                told = f"{when}, field {box[0]}: half in {side_of(influence_HW, position)}"
                panels[told] = field_over(image_HW3, influence_HW, position, box)
    return write_atomically(
        folder / "over_photo.png", lambda file: Image.fromarray(strip(panels)).save(file, format="PNG", optimize=True)
    )


def main(folder: Path) -> list[Path]:
    rows: list[dict[str, Any]] = []
    for seed in range(SEEDS):  # kept after each, so that a run that is stopped leaves whole ones
        rows += measure(photos("camvid"), seed)
        record("larger_fields", rows, {"data": "camvid", **RUN, "seeds": seed + 1})
    return [shown(rows, folder), at_equal_field(rows, folder), over_photo(folder)]


if __name__ == "__main__":
    print(*main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
