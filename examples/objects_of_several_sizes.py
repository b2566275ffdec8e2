"""Objects of several sizes: parallel dilation, pooling pyramid and input pyramid side by side, by the object's size.

    python examples/objects_of_several_sizes.py [FOLDER]

One encoder at output stride 16, with ImageNet's weights and frozen, and between its last maps and the classifier
    one window           a 3x3 convolution: every cell sees the same surroundings
    parallel dilation    five windows side by side: 1x1, 3x3 with dilations 3, 6, 9, the whole photo (ASPP, DeepLab v3,
                         arXiv 1706.05587; half of its dilations, as photos are half as large here)
    pooling pyramid      means of 1, 4, 9 and 36 parts of the photo beside the maps (PSPNet, arXiv 1612.01105)
    input pyramid        `one window` on the photo at 1, 3/4 and 1/2 of its size, the largest score of each class wins
                         (DeepLab v2, arXiv 1606.00915)

An object's size is the share of the photo that its class covers. IoU of a class and a size counts the photos in which
the class has that size; the mean is over the classes. Where a class does not occur it is not counted for any size, so
what is predicted for nothing shows in the mIoU over all alone.

Measures for minutes, records, and ends in objects_of_several_sizes.svg. Legend: N = images, D = channels, h, w = cells.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from curves import panel, spread
from experiment import photos, record, train
from torch import Tensor, nn

from labels2masks import Grid
from labels2masks.encoders import build_encoder
from labels2masks.evaluation.confusion import Confusion, count
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Dataset
from labels2masks.listing import table
from labels2masks.networks import ImagePyramid
from labels2masks.networks.blocks import BatchNorm, conv_bn_relu, initialise
from labels2masks.networks.deeplab_v3 import AtrousPyramidPooling
from labels2masks.networks.pspnet import PARTS, PyramidConv, means_of_parts
from labels2masks.prediction import predict_mask
from labels2masks.report.svg import drawing, standalone

WAYS = ("one window", "parallel dilation", "pooling pyramid", "input pyramid")
SIZES = {"below 3 %": 0.03, "3 to 10 %": 0.1, "10 to 30 %": 0.3, "above 30 %": 1.01}
"""Name -> the share of the photo below which an object belongs to it."""
SETTINGS: dict[str, Any] = {"data": "voc_animals", "steps": 80, "batch": 8, "crop": (128, 160), "size": 224}
ENCODER, WIDTH = "tf_efficientnet_lite0", 128
SEEDS = (0, 1, 2)


class PartMeans(nn.Module):
    """PSPNet's pyramid and the 3x3 convolution that reads it with the maps."""

    def __init__(self, ins: int, width: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(conv_bn_relu(ins, ins // len(PARTS)) for _ in PARTS)
        self.join = PyramidConv(ins + len(PARTS) * (ins // len(PARTS)), width, 3, padding=1, bias=False)
        self.finish = nn.Sequential(BatchNorm(width), nn.ReLU(inplace=True))

    def forward(self, maps_NDhw: Tensor) -> Tensor:
        means = [reduce(m) for reduce, m in zip(self.parts, means_of_parts(maps_NDhw, PARTS), strict=True)]
        return self.finish(self.join(maps_NDhw, means))


class WithContext(nn.Module):
    """Encoder, one kind of context, a linear classifier: scores at stride 16."""

    name, smallest = "with_context", 1
    working_size: int | None = None

    def __init__(self, classes: int, way: str, encoder: str, weights: str | None) -> None:
        super().__init__()
        self.classes, self.encoder_name, self.settings = classes, encoder, {"way": way}
        self.encoder = build_encoder(encoder, weights, output_stride=16).requires_grad_(False)
        self.grid, ins = self.encoder.grids[-1], self.encoder.channels[-1]
        self.finite_field = way == "one window" and self.encoder.finite_field
        self.context: nn.Module = conv_bn_relu(ins, WIDTH, 3)
        if way == "parallel dilation":
            self.context = AtrousPyramidPooling(ins, WIDTH, 0.5, separable=False)
        elif way == "pooling pyramid":
            self.context = PartMeans(ins, WIDTH)
        self.classifier = nn.Conv2d(WIDTH, classes, 1)
        initialise(self.context, self.classifier)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.classifier(self.context(self.encoder(images_N3HW)[-1]))

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


def built(way: str, classes: int, encoder: str, weights: str | None) -> nn.Module:
    network = WithContext(classes, "one window" if way == "input pyramid" else way, encoder, weights)
    return ImagePyramid(network, (1, 0.75, 0.5), "max") if way == "input pyramid" else network


def by_size(network: nn.Module, data: Dataset, split: str) -> dict[str, float]:
    """IoU in percent: `all` (mIoU), and of each of SIZES that occurs, as "below 3 % (41)": 41 objects."""
    classes = len(data.classes)
    whole, objects = Confusion(data.classes), dict.fromkeys(SIZES, 0)
    parts = {name: np.zeros((2, classes)) for name in SIZES}  # intersections, unions
    for photo in data.split(split).photos:
        mask_HW = predict_mask(network, photo.loaded()[0])
        counts_CD = count(mask_HW, truth_mask(photo, *mask_HW.shape), classes)
        whole.counts += counts_CD
        true_C, predicted_C = counts_CD.sum(axis=1), counts_CD[:, :classes].sum(axis=0)
        for c in np.flatnonzero(true_C):
            if data.classes.names[c] == data.classes.background:
                continue
            name = next(name for name, below in SIZES.items() if true_C[c] / mask_HW.size < below)
            right = counts_CD[c, c]
            parts[name][:, c] += right, true_C[c] + predicted_C[c] - right
            objects[name] += 1
    found = {"all": 100 * whole.scores()["miou"]}
    for name, (right_C, union_C) in parts.items():
        if objects[name]:
            occurs_C = union_C > 0
            found[f"{name} ({objects[name]})"] = 100 * float((right_C[occurs_C] / union_C[occurs_C]).mean())
    return found


def measured(
    data: Dataset, splits: tuple[str, str], seed: int, encoder: str, weights: str | None, **more: Any
) -> list[dict[str, Any]]:
    """A row for each way: parameters that learn, mIoU over all, and by size."""
    rows = []
    for way in WAYS:
        torch.manual_seed(seed)
        network = built(way, len(data.classes), encoder, weights)
        still = "network.encoder" if way == "input pyramid" else "encoder"
        train(network, data, splits[0], seed=seed, frozen=(still,), **more)
        learnt = sum(p.numel() for p in network.parameters() if p.requires_grad)
        rows.append({"context": way, "seed": seed, "parameters": learnt, **by_size(network, data, splits[1])})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def shown(rows: Sequence[dict[str, Any]], folder: Path) -> Path:
    """Print the table and draw the picture."""
    columns = [key for key in rows[0] if key not in ("context", "seed", "parameters")]
    values = {way: {c: [r[c] for r in rows if r["context"] == way] for c in columns} for way in WAYS}
    weighs = {row["context"]: row["parameters"] for row in rows}
    print(table([{"context": w, "parameters": weighs[w]} | {c: spread(values[w][c]) for c in columns} for w in WAYS]))
    sizes = {way: {c: curve[c] for c in columns[1:]} for way, curve in values.items()}
    whole = {way: {"all": curve["all"]} for way, curve in values.items()}
    left = panel(46, 40, 440, 250, "IoU of objects, by the share of the photo that they cover (objects)", "", sizes)
    right = panel(700, 40, 70, 250, "mIoU", "", whole)
    picture = drawing(920, 340, "Objects of several sizes", left, right)
    return write_atomically(folder / "objects_of_several_sizes.svg", standalone(picture))


def main(folder: Path) -> Path:
    given = dict(SETTINGS)
    data, rows = photos(given.pop("data")), list[dict[str, Any]]()
    for k, seed in enumerate(SEEDS, 1):
        rows += measured(data, ("train", "val_dev"), seed, ENCODER, "auto", **given)
        about = SETTINGS | {"encoder": f"{ENCODER} (ImageNet, frozen)", "seeds": SEEDS[:k]}
        record("objects_of_several_sizes", rows, about)
    return shown(rows, folder)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
