"""Is shallow fusion alone enough? Scores of FCN's levels, each alone, and added: what each knows of thin and of large.

    python examples/is_shallow_fusion_enough.py [FOLDER]

A head reads the maps of stride 8, 16 or 32 (pool3, pool4 and conv7 of FCN): a 3x3 convolution, ReLU and a linear
classifier. Fused, the deepest level has that head, each other one a linear classifier, and their scores are added
where their cells lie: 8 + 16 is shallow fusion alone, 8 + 16 + 32 is FCN-8s, and 32 alone is FCN-32s.

The encoder (EfficientNet-Lite0, ImageNet weights) is frozen, and all five heads learn side by side on the same crops of
street scenes (CamVid). Thin classes are poles, signs, fences, pedestrians and bicyclists.

Measures for minutes, records, and ends in is_shallow_fusion_enough.svg. Legend: N = images, C = classes,
H, W = pixels, h, w = cells.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from curves import mean, spread
from experiment import score
from side_by_side import Maps, dots, legend, of_all_seeds, train_together
from torch import Tensor, nn

from labels2masks.encoders import build_encoder
from labels2masks.evaluation.receptive_field import receptive_field
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Dataset
from labels2masks.grid import Grid
from labels2masks.listing import table
from labels2masks.networks.blocks import conv_bn_relu, enlarge, initialise
from labels2masks.report.markup import Content
from labels2masks.report.svg import drawing, rule, standalone, words

ENCODER = "tf_efficientnet_lite0"
HEADS = {"8": (8,), "16": (16,), "32": (32,), "8 + 16": (16, 8), "8 + 16 + 32": (32, 16, 8)}
"""Name -> strides, from the deepest."""
THIN = ("pole", "sign", "fence", "pedestrian", "bicyclist")
SETTINGS: dict[str, Any] = {"data": "camvid", "steps": 200, "batch": 4, "crop": (112, 160), "size": 240, "every": 3}
"""every: of the validation photos, every third is scored."""
SEEDS = (0, 1)
WHOLE = ("mIoU", "boundary F1", "thin", "large")


class Fused(nn.Module):
    """Scores of the encoder's levels of these strides, deepest first, added on the grid of the last. All heads have
    the width of FCN's."""

    smallest, working_size = 1, None

    def __init__(self, classes: int, encoder: Any, strides: Sequence[int]) -> None:
        super().__init__()
        self.classes, self.encoder = classes, encoder
        self.levels = [max(i for i, g in enumerate(encoder.grids) if g.stride_y == s) for s in strides]
        self.grid: Grid = encoder.grids[self.levels[-1]]
        self.finite_field = True
        width = min(512, encoder.channels[-1])
        deepest, *finer = [encoder.channels[i] for i in self.levels]
        self.head = nn.Sequential(conv_bn_relu(deepest, width, 3), nn.Dropout(0.1))
        self.scores = nn.ModuleList(nn.Conv2d(ins, classes, 1) for ins in (width, *finer))
        initialise(self.head, nn.Conv2d(1, 1, 1))
        for classifier in self.scores:  # as FCN begins
            nn.init.zeros_(classifier.weight)
            nn.init.zeros_(classifier.bias)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        maps, grids = self.encoder(images_N3HW), self.encoder.grids
        scores_NChw, before = self.scores[0](self.head(maps[self.levels[0]])), self.levels[0]
        for classify, level in zip(self.scores[1:], self.levels[1:], strict=True):
            own_NChw = classify(maps[level])
            scores_NChw = own_NChw + enlarge(scores_NChw, grids[before], own_NChw, grids[level])
            before = level
        return scores_NChw

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


def measured(
    data: Dataset,
    seeds: Sequence[int],
    encoder: str,
    weights: str | None,
    thin: Sequence[str] = THIN,
    every: int = 1,
    **how: Any,
) -> list[dict[str, Any]]:
    """Rows of head and seed: quality in percent, also of each class."""
    rows, scored = list[dict[str, Any]](), replace(data, splits={"val": data.splits["val"][::every]})
    fields = {name: field(encoder, strides) for name, strides in HEADS.items()}
    for seed in seeds:
        torch.manual_seed(seed)
        maps = Maps(encoder, weights)
        heads = {name: Fused(len(data.classes), maps, strides) for name, strides in HEADS.items()}
        train_together((maps,), heads, data, "train", seed=seed, **how)
        for name, network in heads.items():
            found = score(network, scored, "val")
            iou = {c: 100 * of["iou"] for c, of in found["per_class"].items() if of["iou"] is not None}
            row = {"strides": name, "seed": seed, "field": fields[name], "mIoU": 100 * found["miou"]}
            row |= {"boundary F1": 100 * found["boundary_f1"], "thin": mean([v for c, v in iou.items() if c in thin])}
            rows.append(row | {"large": mean([v for c, v in iou.items() if c not in thin])} | iou)
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def field(encoder: str, strides: Sequence[int]) -> int:
    """How many pixels the scores see: side of the square."""
    with torch.device("meta"):
        network = Fused(2, build_encoder(encoder), strides)
    found = receptive_field(network)[-1].field
    assert found
    return found[0]


def shown(rows: Sequence[Mapping[str, Any]], folder: Path, thin: Sequence[str] = THIN) -> Path:
    """Print the table and draw the picture."""
    names = [key for key in rows[0] if key not in ("strides", "seed", "field", *WHOLE)]
    names = [n for n in names if n in thin] + [n for n in names if n not in thin]
    of = {head: [row for row in rows if row["strides"] == head] for head in HEADS}
    values = {key: [[row[key] for row in of[head]] for head in HEADS] for key in (*WHOLE, *names)}
    for part in (WHOLE, names[:6], names[6:]):
        told = [{key: spread(values[key][k]) for key in part} for k in range(len(HEADS))]
        print(table([{"strides": h, "field": of[h][0]["field"], **t} for h, t in zip(HEADS, told, strict=True)]))
        print()
    left, top, step = 110.0, 44.0, 24.0
    drawn: list[Content] = [dots(left, top, 480, step, "IoU of each class, and means, %", values)]
    for k, key in enumerate(values):
        drawn.append(words(left - 10, top + step * (k + 0.5), key, "strong" if key in WHOLE else "ink", "end"))
    for k in (len(WHOLE), len(WHOLE) + sum(n in thin for n in names)):
        drawn.append(rule(left - 90, top + step * k, left + 480, top + step * k, "axis"))
    drawn.append(words(left + 510, top - 16, "strides read", "strong"))
    drawn.append(legend(left + 510, top + 10, list(HEADS)))
    picture = drawing(left + 650, top + step * len(values) + 28, "Levels of an encoder alone and fused", *drawn)
    return write_atomically(folder / "is_shallow_fusion_enough.svg", standalone(picture))


def main(folder: Path) -> Path:
    return shown(of_all_seeds("is_shallow_fusion_enough", measured, SETTINGS, SEEDS, ENCODER), folder)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
