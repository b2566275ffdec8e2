"""Does pooling hurt? One encoder that makes its maps smaller in four ways: mIoU, and does the label follow the picture?

    python examples/does_pooling_hurt.py [FOLDER]

max-pooling           the largest of 2x2, to a stride of 16 after four of them
strided convolution   no pooling: the convolution after it takes steps of two
blur-pooling          the largest of 2x2 at every pixel, smoothed before every second is taken: Zhang, "Making
                      Convolutional Networks Shift-Invariant Again", ICML 2019, arXiv 1904.11486
dilation              two max-poolings, and instead of the other two the convolutions behind them are dilated by 2
                      and 4: scores at stride 4

All have the same 240,000 weights, start from the same numbers for equal seeds, and learn street scenes (CamVid)
from scratch on the same crops. Then photos are moved, turned and scaled: the share of pixels whose label moves along.

Measures for minutes, records, and ends in does_pooling_hurt.svg. Legend: N = images, D = channels, h, w = cells.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import torch
from curves import panel, spread
from experiment import photos, record, score, train
from torch import Tensor, nn
from torch.nn import functional as F

from labels2masks import Grid
from labels2masks.encoders.pyramid import pad_to_whole, whole
from labels2masks.evaluation.equivariance import equivariance
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Dataset
from labels2masks.listing import table
from labels2masks.networks.blocks import BatchNorm, initialise
from labels2masks.report.svg import drawing, standalone

WAYS = ("max-pooling", "strided convolution", "blur-pooling", "dilation")
STAGES = ((16, 1), (24, 1), (48, 2), (64, 2), (96, 2))
"""Channels and 3x3 convolutions of each stage; between two stages the maps become smaller."""
SHIFTS, ROTATIONS, SCALES = (1, 2, 4, 8, 12, 16), (5, 15), (0.75, 1.5)
SETTINGS: dict[str, Any] = {"data": "camvid", "steps": 120, "batch": 8, "crop": (96, 128), "size": 160, "rate": 3e-3}
SEEDS, EVERY = (0, 1, 2), 3
"""Trainings of each network; every third photo of the validation set is scored, every ninth moved."""


class BlurPool(nn.Module):
    """The largest of 2x2 at every pixel, then 1 2 1 across and down, at every second pixel; h even -> h / 2.

    Two means of 2x2 in a row are the 1 2 1.
    """

    def forward(self, maps_NDhw: Tensor) -> Tensor:
        largest = F.max_pool2d(F.pad(maps_NDhw, (1, 1, 1, 1), mode="replicate"), 2, stride=1)
        return F.avg_pool2d(F.avg_pool2d(largest, 2, stride=1), 2)


class Encoder(nn.Module):
    """Stages of 3x3 convolutions with batch normalisation, and a linear classifier on the last one's maps."""

    name, smallest, finite_field = "encoder", 1, True
    working_size: int | None = None

    def __init__(self, classes: int, way: str, stages: Sequence[tuple[int, int]] = STAGES) -> None:
        super().__init__()
        self.classes, self.multiple = classes, 2 ** (len(stages) - 1)
        self.grid, layers, ins, dilation = Grid(), list[nn.Module](), 3, 1
        for stage, (outs, convolutions) in enumerate(stages):
            step = 1
            if way == "dilation" and stage > 2:
                dilation *= 2
            elif way == "strided convolution" and stage > 0:
                step = 2
            elif stage > 0:
                layers.append(BlurPool() if way == "blur-pooling" else nn.MaxPool2d(2))
                self.grid = self.grid.after(kernel=2, stride=2)
            for stride in [step] + [1] * (convolutions - 1):
                layers.append(nn.Conv2d(ins, outs, 3, stride, dilation, dilation, bias=False))
                layers += [BatchNorm(outs), nn.ReLU(inplace=True)]
                self.grid = self.grid.after(3, stride, padding=dilation, dilation=dilation)
                ins = outs
        self.layers, self.classifier = nn.Sequential(*layers), nn.Conv2d(ins, classes, 1)
        initialise(self, self.classifier)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        height, width = images_N3HW.shape[2:]
        scores_NChw = self.classifier(self.layers(pad_to_whole(images_N3HW / 128 - 1, self.multiple)))
        return scores_NChw[:, :, : whole(height, self.grid.stride_y), : whole(width, self.grid.stride_x)]

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


def measured(
    data: Dataset, seed: int, every: int, steps: int, size: int, rate: float, **more: Any
) -> list[dict[str, Any]]:
    """A row for each way: mIoU, boundary F1, and the percentage that follows each motion of the small photos."""
    names = data.splits["val"][::every]
    judged = replace(data, splits={"val": names})
    images = [shrunk(photo.loaded()[0], size) for photo in data.subset(names[::3])]
    rows = []
    for way in WAYS:
        torch.manual_seed(seed)
        network = Encoder(len(data.classes), way)
        train(network, data, "train", steps=steps, size=size, seed=seed, **{"optimiser.rate": rate}, **more)
        found = score(network, judged, "val")
        follows = equivariance(network, images, SHIFTS, ROTATIONS, SCALES)
        row = {"way": way, "seed": seed, "mIoU": 100 * found["miou"], "boundary F1": 100 * found["boundary_f1"]}
        rows.append(row | {f"{f.kind} {f.amount:g}": 100 * f.share for f in follows if f.share is not None})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def shrunk(image_HW3: Any, size: int) -> Any:
    """What the network works on: long side `size`, so that a shift by one pixel is one of the network's pixels."""
    scale = size / max(image_HW3.shape[:2])
    return cv2.resize(image_HW3, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def shown(rows: Sequence[dict[str, Any]], folder: Path) -> Path:
    """Print the table and draw the picture."""
    columns = [key for key in rows[0] if key not in ("way", "seed")]
    values = {way: {c: [row[c] for row in rows if row["way"] == way] for c in columns} for way in WAYS}
    shifted = [c for c in columns if c.startswith("shift")]
    for part in (columns[:2], shifted, [c for c in columns[2:] if c not in shifted]):
        print(table([{"way": way} | {c: spread(values[way][c]) for c in part} for way in WAYS]))
        print()
    shifts = {way: {c.removeprefix("shift "): values[way][c] for c in shifted} for way in WAYS}
    picture = drawing(
        900,
        340,
        "Four ways to make maps smaller",
        panel(46, 40, 330, 250, "labels that follow a shift, %", "pixels right and down", shifts, named=False),
        panel(440, 40, 110, 250, "mIoU", "", {way: {"": values[way]["mIoU"]} for way in WAYS}, named=False),
        panel(620, 40, 110, 250, "boundary F1", "", {way: {"": values[way]["boundary F1"]} for way in WAYS}),
    )
    return write_atomically(folder / "does_pooling_hurt.svg", standalone(picture))


def main(folder: Path) -> Path:
    given = dict(SETTINGS)
    data, rows = photos(given.pop("data")), list[dict[str, Any]]()
    for k, seed in enumerate(SEEDS, 1):
        rows += measured(data, seed, EVERY, **given)
        record("does_pooling_hurt", rows, SETTINGS | {"seeds": SEEDS[:k], "every": EVERY})
    return shown(rows, folder)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
