"""One prediction against segmentation_models.pytorch: the same photo, encoder and threads, from bytes to mask.

    python benchmarks/predict_step.py [--quick] [--pairs N] [--threads N] [--networks NAME/ENCODER ...]

Needs the extra `[bench]`. Random weights on both sides, a drawn photo: no data, no download.

ours    `predict_mask` of a network prepared as `load_model` does it: bytes to floats, normalisation, forward pass;
        scores are enlarged and compared in one step.
theirs  what their examples do: bytes to normalised floats, forward pass, which enlarges the scores to all pixels,
        arg-max. They take whole multiples of their encoder's stride only, so the photo is padded and the mask cut.

Both get the photo as uint8 H x W x 3 and give the class of each of its pixels as a numpy array: batch 1, evaluation
mode, no gradients. Their side takes the better of its memory formats, found on this machine; then the two take turns,
and what counts is the median of the pairs. The network of that name is each library's own (output stride 16 in both for
DeepLab v3+, 8 for PSPNet), so parameters and multiply-adds are printed too. Agreement of the masks is not asked: the
weights differ.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics

import numpy as np
import segmentation_models_pytorch as smp
import torch
from accuracy import row
from torch import nn
from torch.nn import functional as F
from train_step import CLASSES, ENCODERS, FORMATS, THEIRS, Side, best_format, drawn, seconds_of, work

from labels2masks import networks
from labels2masks.prediction import predict_mask
from labels2masks.prediction.prepare import prepare

CASES = [f"{name}/{encoder}" for name in THEIRS for encoder in ("resnet34", "tf_efficientnet_lite0")]
SIZES = [(360, 480), (512, 512)]


def ours(network: nn.Module, image_HW3: np.ndarray) -> Side:
    prepare(network.eval())
    return Side(lambda: predict_mask(network, image_HW3), network, "as load_model prepares it")


def theirs(network: nn.Module, memory_format: str, image_HW3: np.ndarray) -> Side:
    network.eval().to(memory_format=FORMATS[memory_format])  # type: ignore[call-overload]
    height, width = image_HW3.shape[:2]
    stride: int = network.encoder.output_stride
    around = (0, -width % stride, 0, -height % stride)

    def mask() -> np.ndarray:
        with torch.inference_mode():
            image_13HW = torch.from_numpy(image_HW3).permute(2, 0, 1)[None].float().sub(127).div(128)
            image_13HW = F.pad(image_13HW, around).contiguous(memory_format=FORMATS[memory_format])
            return network(image_13HW)[0, :, :height, :width].argmax(dim=0).numpy()

    return Side(mask, network, memory_format)


def compared(case: str, height: int, width: int, pairs: int, threads: int) -> dict:
    name, encoder = case.split("/")
    image_HW3 = drawn(1, height, width)[0][0]

    def their_side(memory_format: str) -> Side:
        network = THEIRS[name](ENCODERS.get(encoder, encoder), encoder_weights=None, classes=CLASSES)
        return theirs(network, memory_format, image_HW3)

    one, other = ours(networks.build(name, CLASSES, encoder), image_HW3), best_format(their_side, FORMATS)
    assert one.step().shape == other.step().shape == (height, width)  # type: ignore[attr-defined]
    times = [(seconds_of(one.step), seconds_of(other.step)) for _ in range(pairs)]
    ratios = [b / a for a, b in times]
    fast, slow = (1 / statistics.median(seconds) for seconds in zip(*times, strict=True))
    settings = {
        "size": [height, width],
        "threads": threads,
        "pairs": pairs,
        "their_format": other.memory_format,
        "ours": work(one),
        "theirs": work(other),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
    }
    what = f"bytes to mask, {name} on {encoder}, {width}x{height}"
    made = row(what, fast, "images/s", f"segmentation_models.pytorch {smp.__version__}", round(slow, 2), settings)
    return made | {"ratio": round(statistics.median(ratios), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="seconds: a small photo, one pair, the first two networks")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=CASES, help="NAME/ENCODER")
    parser.add_argument("--json", action="store_true", help="the last line is JSON (it always is)")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)  # read by our kernel at every call
    sizes, pairs, cases = SIZES, asked.pairs, asked.networks
    if asked.quick:
        sizes, pairs, cases = [(90, 120)], 1, cases[:2]
    rows = []
    for case in cases:
        for height, width in sizes:
            rows.append(compared(case, height, width, pairs, asked.threads))
            r, s = rows[-1], rows[-1]["settings"]
            print(f"{r['ratio']:6.2f}x  {r['value']:6.2f} images/s against {r['peer_value']:6.2f}  {r['claim']}")
            print(f"         ours {s['ours']}; theirs {s['theirs']}, {s['their_format']}", flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
