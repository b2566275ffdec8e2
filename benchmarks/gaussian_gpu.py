"""The exact Gaussian filter and the dense CRF on a GPU: the tiled kernel against plain torch.

    python benchmarks/gaussian_gpu.py [--photo FILE] [--repeats 20] [--json]

500x375 pixels, 21 labels, preset `krahenbuhl`. Without --photo the picture is coffee.png of scikit-image; scores are
noise of 12x16 cells, enlarged: what is measured is time and agreement, not worth. Times are medians between events on
the GPU, after a warm-up. "torch" is the backend "exact".

filter       5 dimensions, 21 channels, from every 4th row and column to every pixel: 2.2 G pairs
mean field   10 iterations, messages from every 4th row and column, the last one to every pixel; target: under 3 ms.
             Once as called, once as a CUDA graph, which leaves the launches out
gradient     one forward and backward through 5 iterations of CRFasRNN, sources at every 4th row and column
agreement    labels equal to those of the CRF over all pairs of pixels, by plain torch

Products at both of torch's precisions: "highest" is three TF32 products, "high" one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from labels2masks.grid import Grid
from labels2masks.kernels.cells import place_and_colour_features
from labels2masks.kernels.gaussian_torch import GaussianOperator
from labels2masks.networks.crf_as_rnn import CRFasRNN

HEIGHT, WIDTH, LABELS, STRIDE = 375, 500, 21, 4
PRESET = "krahenbuhl"
COMMIT = subprocess.run(
    ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
).stdout.strip()


def case(photo: Path | None) -> tuple[Tensor, Tensor]:
    """(scores_1LHW, images_13HW 0..255) on the GPU."""
    if photo is None:
        from skimage import data

        image_HW3 = data.coffee()
    else:
        from PIL import Image

        image_HW3 = np.array(Image.open(photo).convert("RGB"))
    images_13HW = torch.from_numpy(image_HW3).permute(2, 0, 1)[None].float()
    images_13HW = F.interpolate(images_13HW, (HEIGHT, WIDTH), mode="area").round()
    noise = 2.5 * torch.randn(1, LABELS, 12, 16, generator=torch.Generator().manual_seed(0))
    return F.interpolate(noise, (HEIGHT, WIDTH), mode="bilinear").cuda(), images_13HW.cuda()


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    for _ in range(3):
        call()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def as_graph(call: Callable[[], Tensor]) -> Callable[[], object]:
    """The same work, launched by one call."""
    call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def row(claim: str, value: float, unit: str, peer: str, peer_value: float | None, settings: dict) -> dict:
    return {
        "claim": claim,
        "value": round(value, 3),
        "unit": unit,
        "peer": peer,
        "peer_value": None if peer_value is None else round(peer_value, 3),
        "machine": f"{torch.cuda.get_device_name()}, torch {torch.__version__}",
        "commit": COMMIT,
        "settings": {
            "size": [HEIGHT, WIDTH],
            "labels": LABELS,
            "precision": torch.get_float32_matmul_precision(),
            **settings,
        },
    }


def filters(scores: Tensor, images: Tensor, repeats: int) -> dict:
    features_NP5 = place_and_colour_features(images, Grid(), 80.0, 13.0)
    cells = torch.arange(HEIGHT * WIDTH, device=images.device).view(HEIGHT, WIDTH)
    sending_S = cells[::STRIDE, ::STRIDE].flatten()
    values_NSC = scores.softmax(1).flatten(2).mT[:, sending_S].contiguous()
    ms, results = [], []
    for backend in ("triton", "exact"):
        operator = GaussianOperator(features_NP5[:, sending_S], features_NP5, backend)
        ms.append(milliseconds(lambda o=operator: o.filter(values_NSC), repeats))
        results.append(operator.filter(values_NSC))
    off = float(((results[0] - results[1]).abs() / results[1].abs().amax()).max())
    return row("one filter, 11,750 points to 187,500", ms[0], "ms", "torch", ms[1], {"largest_difference": off})


def mean_fields(scores: Tensor, images: Tensor, repeats: int) -> list[dict]:
    crf = {
        (backend, stride): CRFasRNN(LABELS, PRESET, (5, 10), source_stride=stride, backend=backend).cuda().eval()
        for backend, stride in (("triton", STRIDE), ("exact", STRIDE), ("exact", 1))
    }
    ours, peer = (lambda m=crf[backend, STRIDE]: m(scores, images) for backend in ("triton", "exact"))
    with torch.inference_mode():
        peer_ms = milliseconds(peer, max(repeats // 4, 1))
        claim = "mean field, 10 iterations, sources of stride 4"
        rows = [row(claim, milliseconds(ours, repeats), "ms", "torch", peer_ms, {})]
        rows.append(row(f"{claim}, as a CUDA graph", milliseconds(as_graph(ours), repeats), "ms", "target", 3.0, {}))
        exact_HW = crf["exact", 1](scores, images).argmax(1)
        equal, equal_peer = (100 * float((call().argmax(1) == exact_HW).float().mean()) for call in (ours, peer))
        rows.append(row("labels as over all pairs of pixels", equal, "%", "torch, stride 4", equal_peer, {}))

    def step(backend: str) -> None:
        leaf = scores.clone().requires_grad_()
        crf[backend, STRIDE].train()(leaf, images).square().mean().backward()

    ms = [milliseconds(lambda b=b: step(b), max(repeats // 4, 1)) for b in ("triton", "exact")]
    return [*rows, row("forward and backward, 5 iterations", ms[0], "ms", "torch", ms[1], {})]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, help="a photo instead of scikit-image's coffee.png")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="the last line is JSON (it always is)")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/gaussian_gpu.py measures a GPU, and torch sees none here: nothing was measured")
    scores, images = case(asked.photo)
    rows = []
    for precision in ("highest", "high"):
        torch.set_float32_matmul_precision(precision)
        rows += [filters(scores, images, asked.repeats), *mean_fields(scores, images, asked.repeats)]
    if not asked.json:
        for r in rows:
            figures = f"{r['value']:9.3f} {r['unit']} against {r['peer_value']:9.3f}"
            print(f"{figures}  {r['settings']['precision']}: {r['claim']}")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
