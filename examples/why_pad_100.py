"""Why does FCN pad the photo by 100 pixels? Output size and crop against input size for pad 0, 1 and 100.

    python examples/why_pad_100.py [FOLDER]

fc6 is a 7x7 window without padding on maps of stride 32, so a photo needs 7 such cells before there is one score; and
where the scores begin depends on the padding alone, not on the photo. Both follow from the Grid. The table's
numbers are then found again by running a network of the same layers with one channel.

Ends in why_pad_100.svg. Legend: n = pixels of one side of the photo.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from labels2masks import Grid
from labels2masks.files import write_atomically
from labels2masks.networks.fcn import bilinear_deconvolution
from labels2masks.report.markup import Content
from labels2masks.report.svg import drawing, path, rectangle, rule, standalone, ticks, words

PADS = (0, 1, 100)
SIZES = (1, 33, 192, 193, 195, 224, 500, 1000)
COLOURS = {0: "#c4532b", 1: "#b0892c", 100: "#2f6f8f"}
STAGES = (2, 2, 3, 3, 3)
"""3x3 convolutions of VGG16 before each 2x2 pool."""


def cells(n: int, pad: int) -> int:
    """Scores along one side: the first convolution adds 2 pad - 2, pools round up, fc6 takes 6."""
    left = n + 2 * pad - 2
    for _ in STAGES:
        left = -(-left // 2)
    return max(left - 6, 0)


def scores_grid(pad: int) -> Grid:
    """Where the scores lie after they were enlarged 32 times."""
    grid = Grid()
    for stage, convolutions in enumerate(STAGES):
        for layer in range(convolutions):
            grid = grid.after(kernel=3, padding=pad if stage == layer == 0 else 1)
        grid = grid.after(kernel=2, stride=2)
    return grid.after(kernel=7).after_transposed(kernel=64, stride=32)


def output(n: int, pad: int) -> int:
    """Pixels of the enlarged scores."""
    return 32 * cells(n, pad) + 32 if cells(n, pad) else 0


def crop(pad: int) -> int:
    """Rows of the enlarged scores before the photo's first; below 0: rows of the photo before the first score."""
    return int(Grid().offset_to(scores_grid(pad))[0])


def missing(n: int, pad: int) -> int:
    """Rows of the photo without a score."""
    first, last = max(-crop(pad), 0), min(output(n, pad) - crop(pad), n)
    return n - max(last - first, 0)


def one_channel(pad: int) -> nn.Sequential:
    """FCN-32s's layers, one channel each, all weights positive."""
    layers: list[nn.Module] = []
    for stage, convolutions in enumerate(STAGES):
        for layer in range(convolutions):
            layers.append(nn.Conv2d(1, 1, 3, padding=pad if stage == layer == 0 else 1))
        layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
    return nn.Sequential(*layers, nn.Conv2d(1, 1, 7), bilinear_deconvolution(1, 32))


def measured(n: int, pad: int) -> int:
    """Pixels that the network gives for a photo of n x n; 0 where fc6 has no room."""
    try:
        with torch.inference_mode():
            return one_channel(pad)(torch.zeros(1, 1, n, n)).shape[2]
    except RuntimeError:
        return 0


def table() -> str:
    """The sizes of `SIZES`, found by arithmetic."""
    lines = ["photo   " + "".join(f"pad {pad:<3}  output   crop  without score   " for pad in PADS)]
    for n in SIZES:
        parts = [f"         {output(n, p):6}  {crop(p):5}  {missing(n, p):13}   " for p in PADS]
        lines.append(f"{n:5}   " + "".join(parts))
    return "\n".join(line.rstrip() for line in lines)


def smallest_photo(pad: int) -> int:
    return next(n for n in range(1, 1000) if cells(n, pad))


def smallest_pad(largest: int = 1300) -> int:
    """The least padding at which every photo up to `largest` pixels has a score for each of its rows."""
    return next(pad for pad in range(200) if all(missing(n, pad) == 0 for n in range(1, largest)))


def main(folder: Path) -> Path:
    print(table())
    print()
    for pad in PADS:
        wrong = [n for n in SIZES if measured(n, pad) != output(n, pad)]
        checked = "a network of these layers gives the same sizes" if not wrong else f"NOT the network's sizes: {wrong}"
        print(f"pad {pad}: the smallest photo with a score has {smallest_photo(pad)} pixels; {checked}")
    print(f"the least padding that leaves no row of any photo without a score: {smallest_pad()}")
    return write_atomically(folder / "why_pad_100.svg", standalone(picture()))


def picture() -> Content:
    """Above: rows of scores more, or fewer, than the photo has. Below: where they lie for a photo of 224 pixels."""
    width, left, top, high, last = 760.0, 70.0, 34.0, 200.0, 640

    def x(n: float) -> float:
        return left + (width - left - 90) * n / last

    def y(more: float) -> float:
        return top + high * (120 - more) / 370

    drawn: list[Content] = [words(left, 14, "rows of scores, less rows of the photo", "strong")]
    for tick in ticks(-200, 100, 3):
        drawn += [rule(left, y(tick), x(last), y(tick)), words(left - 8, y(tick), f"{tick:g}", "faint", "end")]
    for tick in ticks(0, last, 6):
        drawn.append(words(x(tick), top + high + 14, f"{tick:g}", "faint", "middle"))
    drawn.append(words(x(last), top + high + 30, "pixels of the photo", "faint", "end"))
    for pad in PADS:
        points = [(x(n), y(output(n, pad) - n)) for n in range(1, last + 1)]
        drawn.append(path(points, "part", COLOURS[pad]))
        drawn.append(words(x(last) + 8, points[-1][1] + (8 if pad == 1 else -6 if pad == 0 else 0), f"pad {pad}"))
    n, base = 224, top + high + 78

    def place(pixel: float) -> float:
        return left + 120 + (width - left - 220) * (pixel + 30) / 330

    drawn.append(words(left, base - 22, f"where the scores of a photo of {n} pixels lie", "strong"))
    for row, pad in enumerate(PADS):
        at, first = base + 46 * row, -crop(pad)
        drawn += [words(left, at + 12, f"pad {pad}"), rectangle(place(0), at, place(n) - place(0), 10, "quiet")]
        end = first + output(n, pad)
        drawn.append(rectangle(place(first), at + 13, place(end) - place(first), 10, fill=COLOURS[pad]))
        told = f"{missing(n, pad)} rows without a score" if missing(n, pad) else f"crop {crop(pad)}"
        drawn.append(words(place(max(end, n)) + 8, at + 12, told, "faint", size=11))
    drawn.append(
        words(left, base + 46 * len(PADS) + 10, "grey: the photo; coloured: its scores, enlarged 32 times", "faint")
    )
    return drawing(width, base + 46 * len(PADS) + 28, "Why FCN pads by 100", *drawn)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
