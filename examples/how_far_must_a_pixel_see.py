"""How far must a pixel see to be classified? What the classic networks can see, and whether they see all of it.

    python examples/how_far_must_a_pixel_see.py [FOLDER]

First the field of the scores of each network: the side of the square of pixels that a score can depend on. Then
three 3x3 convolutions after each other, dilated in several ways: the same number of weights, other fields, and
with dilations that share a divisor only some of the pixels inside count at all (gridding).

Ends in how_far_must_a_pixel_see.png.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

from labels2masks import networks
from labels2masks.evaluation.receptive_field import Layer, receptive_field
from labels2masks.files import write_atomically
from labels2masks.listing import table
from labels2masks.report.field import field_panel
from labels2masks.report.overlay import DARK, WHITE, font

NETWORKS = (
    *("fcn32s", "fcn8s", "segnet_basic", "unet", "dilated_frontend", "dilated_context_basic", "deeplab_v1_largefov"),
    *("deeplab_v2_vgg16", "deeplab_v3_resnet50", "pspnet50", "refinenet50"),
)
DILATIONS = ((1, 1, 1), (2, 2, 2), (1, 2, 4), (1, 2, 5), (2, 4, 8), (1, 2, 9))
SIDE, GAP, CAPTION = 240, 16, 26


def main(folder: Path, names: Sequence[str] = NETWORKS) -> Path:
    told = [{"network": name, **last_layer(name).row()} for name in names]
    print(table([{key: row[key] for key in ("network", "stride", "field", "coverage", "whole image")} for row in told]))
    print()
    series = {dilations: dilated(dilations) for dilations in DILATIONS}
    rows = [{"dilations": ", ".join(map(str, d)), **layer.row()} for d, layer in series.items()]
    print(table([{key: row[key] for key in ("dilations", "field", "coverage")} for row in rows]))
    return write_atomically(
        folder / "how_far_must_a_pixel_see.png", lambda file: picture(series).save(file, format="PNG", optimize=True)
    )


def last_layer(name: str) -> Layer:
    """The scores of a network as published, for 21 classes."""
    with torch.device("meta"):
        network = networks.build(name, 21)
    return receptive_field(network, stages=True)[-1]


def dilated(dilations: Sequence[int]) -> Layer:
    """3x3 convolutions after each other: only their shape matters."""
    with torch.device("meta"):
        layers = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=d, dilation=d) for d in dilations))
    return receptive_field(layers)[-1]


def picture(series: dict[tuple[int, ...], Layer]) -> Image.Image:
    """What one cell sees of the image: dark pixels count, pale ones inside the frame do not."""
    largest = max(layer.field[0] for layer in series.values() if layer.field)
    columns = 3
    width, height = columns * (SIDE + GAP) + GAP, -(-len(series) // columns) * (SIDE + CAPTION + GAP) + GAP
    sheet = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(sheet)
    for k, (dilations, layer) in enumerate(series.items()):
        left, top = GAP + k % columns * (SIDE + GAP), GAP + k // columns * (SIDE + CAPTION + GAP)
        row = layer.row()
        text = f"dilations {', '.join(map(str, dilations))}: field {row['field']}, {row['coverage']}"
        draw.text((left, top + CAPTION / 2 - 2), text, fill=DARK, font=font(13), anchor="lm")
        panel_HW3 = field_panel(layer.inside_hw, largest, SIDE)
        sheet.paste(Image.fromarray(np.ascontiguousarray(panel_HW3)), (left, top + CAPTION))
    return sheet


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
