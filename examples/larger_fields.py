"""Does a larger field help, and by what means is it got best? One trunk, and behind it contexts that see more or less.

    python examples/larger_fields.py [FOLDER]

The trunk is frozen with its ImageNet weights, so networks differ in their context alone, and its maps of all photos are
made once: a training then takes seconds. No photo is flipped, cropped or scaled. Four 3x3 convolutions, dilated in
several ways, have the same weights and the same arithmetic and see 91 to 667 pixels; with 1x1 convolutions there is
only what the trunk and one strided convolution see, 27 pixels. Then one field, 139 pixels, by five means: dilation, one
dense or depthwise window of 15x15, pooling to stride 16, and depth.

Ends in larger_fields.svg and equal_field.svg; `over_photo` draws what counts for one pixel of a photo of the sample.
Legend: N = images, C = classes, D = channels, H, W = pixels, h, w = cells.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from curves import COLOURS, mean, panel, spread
from experiment import photos, record, train
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import labels2masks as l2m
from labels2masks.encoders import build_encoder
from labels2masks.encoders.follow import follow
from labels2masks.evaluation.confusion import Confusion
from labels2masks.evaluation.effective_field import effective_field, side_of
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.evaluation.receptive_field import receptive_field
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Photo
from labels2masks.grid import Grid
from labels2masks.kernels.upsample import upsample
from labels2masks.listing import table
from labels2masks.networks.blocks import BatchNorm, conv_bn_relu, enlarge, initialise, separable_conv
from labels2masks.report.field import field_over
from labels2masks.report.markup import Content, element
from labels2masks.report.pictures import strip
from labels2masks.report.svg import drawing, rule, standalone, ticks, words
from labels2masks.sample import make_sample
from labels2masks.training.dilated_depthwise import use_fast_backward
from labels2masks.training.plan import class_weights

WIDTH = 32


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
SIZE = (180, 240)
"""Rows and columns to which photos are shrunk."""
STEPS, BATCH, RATE = 200, 4, 3e-3
SEEDS = (0, 1, 2)
SIDES = {"half": "half of what counts", "nine tenths": "nine tenths of it"}
COLUMNS = {"weights": (80.0, "weights"), "MACs": (190.0, "multiplications"), "cells": (270.0, "map")}
LOOKED_AT = 6
"""Photos over whose middles the effective field is averaged."""


class OnTrunk(nn.Module):
    """EfficientNet-Lite0 to stride 4, frozen; a strided convolution, a context, scores. Contract: `networks`."""

    name, encoder_name, smallest, working_size, finite_field = "on_trunk", None, 1, None, True

    def __init__(self, classes: int, context: nn.Module) -> None:
        super().__init__()
        self.classes, self.settings = classes, {}
        features: Any = build_encoder("tf_efficientnet_lite0", "auto").features
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


@dataclass(frozen=True)
class Seen:
    """Photos of one size. images_NHW3: uint8. maps_NDhw: of the trunk. truth_NHW: class indices, -1 = void."""

    images_NHW3: np.ndarray
    maps_NDhw: Tensor
    truth_NHW: Tensor


@torch.no_grad()
def seen(trunk: nn.Module, photos: Sequence[Photo], size: tuple[int, int]) -> Seen:
    """The photos through the trunk, each by itself."""
    images, maps, truths = [], [], []
    for photo in photos:
        image_HW3 = photo.loaded()[0]
        truth_HW = truth_mask(photo, *image_HW3.shape[:2])
        rows, columns = (
            ((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(size, truth_HW.shape, strict=True)
        )
        images.append(cv2.resize(image_HW3, size[::-1], interpolation=cv2.INTER_AREA))
        truths.append(torch.from_numpy(truth_HW[rows][:, columns]).long())
        maps.append(trunk((torch.from_numpy(images[-1]).permute(2, 0, 1)[None].float() - 127) / 128)[0])
    return Seen(np.stack(images), torch.stack(maps), torch.stack(truths))


def measured(
    train: Seen, val: Seen, classes: l2m.Classes, seed: int, steps: int, names: Sequence[str] = tuple(CONTEXTS)
) -> list[dict[str, Any]]:
    """A row for each context."""
    rows = []
    for name in names:
        network = start(name, len(classes), seed)
        learn(network, train, steps, seed)
        half, most = used(network, val.images_NHW3[:: max(len(val.images_NHW3) // LOOKED_AT, 1)])
        row = {"context": name, "seed": seed, **costs(network, *val.images_NHW3.shape[1:3])}
        scores = scored(network, val, classes).scores()
        rows.append(row | {"half": half, "nine tenths": most, "mIoU": 100 * scores["miou"]})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def learn(network: OnTrunk, photos: Seen, steps: int, seed: int) -> None:
    """The head, on classes at places 8 pixels apart: the same places, whatever the stride of the scores."""
    use_fast_backward(network)
    network.train()
    network.trunk.eval()
    truth_Nhw = photos.truth_NHW[:, 4::8, 4::8]
    counts_C = torch.bincount(truth_Nhw[truth_Nhw >= 0], minlength=network.classes).numpy()
    weights_C = torch.from_numpy(class_weights(counts_C / counts_C.sum(), cap=2.0)).float()
    optimiser = torch.optim.AdamW(network.head.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimiser, steps, power=0.9)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen_N = torch.randint(len(truth_Nhw), (BATCH,), generator=draw)
        scores_NChw = network.head(photos.maps_NDhw[chosen_N])
        scores_NChw = enlarge(scores_NChw, network.grid, truth_Nhw[None], Grid.square(8, 4.5))
        loss = F.cross_entropy(scores_NChw, truth_Nhw[chosen_N], weights_C, ignore_index=-1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.eval()


@torch.inference_mode()
def scored(network: OnTrunk, photos: Seen, classes: l2m.Classes) -> Confusion:
    """Over all pixels of the shrunk photos."""
    confusion = Confusion(classes)
    for maps_Dhw, truth_HW in zip(photos.maps_NDhw, photos.truth_NHW, strict=True):
        scores_1CHW = upsample(network.head(maps_Dhw[None]), network.grid, *truth_HW.shape)
        confusion.add(scores_1CHW[0].argmax(dim=0).numpy(), truth_HW.numpy())
    return confusion


def start(name: str, classes: int, seed: int) -> OnTrunk:
    torch.manual_seed(seed)
    return OnTrunk(classes, CONTEXTS[name]())


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
    for image_HW3 in images:
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


def over_photo(folder: Path, steps: int = 60) -> Path:
    """What counts for one pixel, before and after training on the embedded sample: white holds half of it, grey is all
    that the context lets it see."""
    with tempfile.TemporaryDirectory() as sample:
        data = l2m.open(make_sample(sample))
        images = [photo.loaded()[0] for photo in data.split("val").photos]
        image_HW3 = next(image for image in images if image.shape[1] > image.shape[0])
        position = ((image_HW3.shape[0] - 1) / 2, (image_HW3.shape[1] - 1) / 2)
        panels = {"a photo of the sample": image_HW3}
        for name in ("dilation 1, 1, 1, 1", "dilation 1, 2, 4, 8"):
            network = start(name, len(data.classes), 0)
            box = receptive_field(network)[-1].field
            assert box
            for when in ("before", "after"):
                if when == "after":
                    train(
                        network,
                        data,
                        "train",
                        steps=steps,
                        frozen=("trunk",),
                        crop=(128, 160),
                        **{"optimiser.rate": RATE},
                    )
                influence_HW = effective_field(network, image_HW3, position)
                told = f"{when}, field {box[0]}: half in {side_of(influence_HW, position)}"
                panels[told] = field_over(image_HW3, influence_HW, position, box)
    return write_atomically(
        folder / "over_photo.png", lambda file: Image.fromarray(strip(panels)).save(file, format="PNG", optimize=True)
    )


def main(folder: Path) -> list[Path]:
    data = photos("camvid")
    trunk = start("1x1", len(data.classes), 0).eval().trunk
    train, val = (seen(trunk, data.split(split).photos, SIZE) for split in ("train", "val"))
    rows = [row for seed in SEEDS for row in measured(train, val, data.classes, seed, STEPS)]
    settings = {"data": "camvid", "trunk": "tf_efficientnet_lite0 to stride 4", "channels": WIDTH, "size": SIZE}
    record("larger_fields", rows, settings | {"steps": STEPS, "batch": BATCH, "rate": RATE, "seeds": SEEDS})
    return [shown(rows, folder), at_equal_field(rows, folder), over_photo(folder)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(*main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
