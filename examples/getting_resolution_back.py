"""Getting resolution back: nine ways from maps of stride 32 to the photo's pixels, on one frozen encoder.

    python examples/getting_resolution_back.py [FOLDER]

interpolation            FCN-32s: scores at stride 32, enlarged between four cells
fixed deconvolution      the same weights, enlarged by a bilinear transposed convolution
learned deconvolution    one that begins as that and learns, 63x63 from all classes to all classes
pooling indices          SegNet: each value goes to where the finer map is strongest, and convolutions fill the gaps.
                         EfficientNet strides by convolutions and pools nowhere; here the 3x3 windows, of stride 2, lie
                         where its convolutions have theirs, so all ways have the same encoder and the same weights
skips, scores            FCN-8s: scores of strides 16 and 8 are added
skips, maps              U-Net: the encoder's maps of all strides are concatenated
dilation                 Yu and Koltun's front-end: strides 16 and 32 become dilation, scores at stride 8
shift-and-stitch         FCN-32s with no weight changed, on the photo shifted 16 times: scores at stride 8
the same by dilation     again the weights of FCN-32s: in one pass, by the rule a trous

The encoder (EfficientNet-Lite0, ImageNet weights) is frozen, and the six ways that learn do so side by side on the same
crops of street scenes (CamVid). Kept: what the encoder has to hold back for the way up, of one photo; places of maxima
as packed bits (4 for one of nine), maps in float32.

Measures for minutes, records, and ends in getting_resolution_back.svg. Legend: N = images, C = classes,
D = channels, H, W = pixels, h, w = cells.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from curves import spread
from experiment import score
from side_by_side import Maps, dots, of_all_seeds, on, train_together
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from labels2masks.encoders.pyramid import whole
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Dataset
from labels2masks.grid import Grid
from labels2masks.listing import table
from labels2masks.networks import DilatedFrontend, FCN8s, FCN32s, SegNet, UNet
from labels2masks.report.markup import Content
from labels2masks.report.svg import drawing, standalone, words

ENCODER = "tf_efficientnet_lite0"
LEARN: dict[str, Callable[..., nn.Module]] = {
    "interpolation": FCN32s,
    "learned deconvolution": lambda classes, encoder: FCN32s(classes, encoder, ups="learned"),
    "pooling indices": SegNet,
    "skips, scores": FCN8s,
    "skips, maps": UNet,
    "dilation": DilatedFrontend,
}
WAYS = (
    *("interpolation", "fixed deconvolution", "learned deconvolution", "pooling indices", "skips, scores"),
    *("skips, maps", "dilation", "shift-and-stitch", "the same by dilation"),
)
SETTINGS: dict[str, Any] = {"data": "camvid", "steps": 200, "batch": 4, "crop": (112, 160), "size": 240, "every": 3}
"""every: of the validation photos, every third is scored."""
SEEDS = (0, 1)


class Stitched(nn.Module):
    """A network of stride 32 on the photo shifted by every multiple of `step` pixels; its scores, interleaved.

    No weight changes. What `networks.shift_and_stitch` says exactly of valid networks holds here but for borders.
    """

    finite_field = True

    def __init__(self, network: Any, step: int = 8) -> None:
        super().__init__()
        self.network, self.step = network, step
        self.classes, self.smallest, self.working_size = network.classes, network.smallest, network.working_size
        first = network.grid.centre_y + step - network.grid.stride_y
        self.grid = Grid.square(step, first)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        height, width = images_N3HW.shape[2:]
        stride = int(self.network.grid.stride_y)
        before = stride - self.step
        framed = F.pad(images_N3HW, (before, 0, before, 0), mode="replicate")
        rows = []
        for y in range(0, stride, self.step):
            row = [self.network(framed[:, :, y : y + height, x : x + width]) for x in range(0, stride, self.step)]
            rows.append(torch.stack(row, dim=-1).flatten(3))
        scores_NChw = torch.stack(rows, dim=3).flatten(2, 3)
        return scores_NChw[:, :, : whole(height, self.step), : whole(width, self.step)]


def learners(classes: int, encoder: str, weights: str | None) -> tuple[tuple[Maps, Maps], dict[str, nn.Module]]:
    """(the frozen encoder, strided and dilated; the ways that learn, before they do)."""
    strided, dense = Maps(encoder, weights), Maps(encoder, weights, output_stride=8)
    heads = {n: on(dense if n == "dilation" else strided, make(classes, encoder)) for n, make in LEARN.items()}
    return (strided, dense), heads


def all_ways(maps: tuple[Maps, Maps], heads: Mapping[str, nn.Module], encoder: str) -> dict[str, nn.Module]:
    """Those that learn, and the three that take over what `interpolation` learnt."""
    strided, dense = maps
    plain: Any = heads["interpolation"]
    fixed: Any = on(strided, FCN32s(plain.classes, encoder, ups="fixed"))
    a_trous: Any = on(dense, DilatedFrontend(plain.classes, encoder))
    for copy, scores in ((fixed, fixed.scores[0]), (a_trous, a_trous.scores)):
        copy.head.load_state_dict(plain.head.state_dict())
        scores.load_state_dict(plain.scores[0].state_dict())
        copy.working_size = plain.working_size
    more = {"fixed deconvolution": fixed, "shift-and-stitch": Stitched(plain), "the same by dilation": a_trous}
    found = {**heads, **more}
    return {way: found[way].eval() for way in WAYS}


def measured(
    data: Dataset, seeds: Sequence[int], encoder: str, weights: str | None, every: int = 1, **how: Any
) -> list[dict[str, Any]]:
    """Rows of way and seed."""
    rows, scored = [], replace(data, splits={"val": data.splits["val"][::every]})
    for seed in seeds:
        torch.manual_seed(seed)
        maps, heads = learners(len(data.classes), encoder, weights)
        train_together(maps, heads, data, "train", seed=seed, **how)
        for way, network in all_ways(maps, heads, encoder).items():
            found = score(network, scored, "val")
            quality = {"mIoU": 100 * found["miou"], "boundary F1": 100 * found["boundary_f1"]}
            rows.append({"way": way, "seed": seed, **costs(network, how["size"] * 3 // 4, how["size"]), **quality})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def costs(network: nn.Module, height: int, width: int) -> dict[str, int]:
    """Beyond the encoder: weights that learn; bytes that it keeps for the way up; and multiplications of it all."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 3, height, width))
    weights = sum(p.numel() for p in network.parameters() if p.requires_grad)
    return {"parameters": weights, "kept": kept(network, height, width), "MACs": counter.get_total_flops() // 2}


def kept(network: Any, height: int, width: int) -> int:
    """Bytes of indices or maps between encoder and decoder, for a photo of that size."""

    def cells(level: int, every: int = 1) -> int:
        grid, channels = encoder.grids[level], encoder.channels[level]
        return channels * whole(height, every * grid.stride_y) * whole(width, every * grid.stride_x)

    if isinstance(network, SegNet):
        encoder = network.encoder
        bits = [(kernel**2 - 1).bit_length() for kernel, _ in network.windows]
        return sum(cells(level, every=2) * b for level, b in enumerate(bits)) // 8
    if isinstance(network, UNet):
        encoder = network.net.encoder
        return 4 * sum(cells(level) for level in range(len(encoder.grids) - 1))
    if isinstance(network, FCN8s):
        encoder = network.encoder
        return 4 * sum(cells(level) for level in network.levels[1:])
    return 0


def shown(rows: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """Print the table and draw the picture."""
    of = {way: [row for row in rows if row["way"] == way] for way in WAYS}
    values = {key: {way: [row[key] for row in of[way]] for way in WAYS} for key in ("mIoU", "boundary F1")}
    fixed = {way: {key: of[way][0][key] for key in ("parameters", "kept", "MACs")} for way in WAYS}
    print(table([{"way": w, **fixed[w], **{key: spread(values[key][w]) for key in values}} for w in WAYS]))
    left, top, step = 20.0, 44.0, 28.0
    drawn: list[Content] = [words(left + x, top - 16, text, "strong", "end") for text, x in COLUMNS.values()]
    for k, way in enumerate(WAYS):
        y = top + step * (k + 0.5)
        drawn.append(words(left, y, way))
        drawn += [words(left + x, y, short(fixed[way][key]), "ink", "end") for key, (_, x) in COLUMNS.items()]
    for x, (key, by_way) in zip((400.0, 640.0), values.items(), strict=True):
        drawn.append(dots(x, top, 200, step, f"{key}, %", {way: [found] for way, found in by_way.items()}))
    picture = drawing(870, top + step * len(WAYS) + 28, "Nine ways to get resolution back", *drawn)
    return write_atomically(folder / "getting_resolution_back.svg", standalone(picture))


COLUMNS = {"parameters": ("weights", 220.0), "kept": ("bytes kept", 290.0), "MACs": ("MACs", 350.0)}
"""Column -> its title, and how far right it ends."""


def short(number: int) -> str:
    """Three digits: 484k, 1.2M, 0."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)


def main(folder: Path) -> Path:
    return shown(of_all_seeds("getting_resolution_back", measured, SETTINGS, SEEDS, ENCODER), folder)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
