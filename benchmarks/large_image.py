"""A 12,000 x 9,000 photo through `labels2masks predict`: how much memory, how long?

Each size runs in a process of its own, whose peak is that of the operating system. The network is the everyday one
(DeepLab v3+ on EfficientNet-Lite0) with random weights, which cost what trained ones cost. The peer is the same
command seeing the photo whole, at a size at which that still fits, in the same run.

Held in any case: the photo, 3 bytes a pixel, and its mask, one. `flat` is what is held beside them, against the
same at 6,000 x 4,500: 1 means that it does not grow with the photo.

    python benchmarks/large_image.py              # about six minutes on two cores
    python benchmarks/large_image.py --shrink 8   # to try it: every size, and the tile, an eighth
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from accuracy import row

LARGE, HALF, FITS = (12_000, 9_000), (6_000, 4_500), (3_000, 2_250)

PREDICT = """
import sys
from labels2masks.cli import main
from labels2masks.prediction import tiles
tiles.TILE, tiles.CONTEXT, tiles.RAMP = (int(x) for x in sys.argv[1:4])
sys.argv = ["labels2masks", *sys.argv[4:]]
sys.exit(main())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shrink", type=int, default=1, help="divide every size by this, to try the script")
    parser.add_argument("--json", action="store_true", help="the last line is JSON (it always is)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = measured(Path(name), options.shrink)
    for r in rows:
        print(f"{r['value']:10.2f} {r['unit']:4s} against {r['peer_value']:10.2f}  {r['claim']}")
    print(json.dumps(rows))


def measured(folder: Path, shrink: int) -> list[dict]:
    model = save_model(folder)
    layout = (2048 // shrink, 256 // shrink, 64 // shrink)
    nothing = predicted(folder, model, (64, 64), layout)[0]
    runs = {}
    for what, size, tile in (("tiles", LARGE, layout), ("tiles", HALF, layout), ("tiles", FITS, layout)):
        runs[what, size] = predicted(folder, model, smaller(size, shrink), tile)
        print(what, size, *(f"{value:.1f}" for value in runs[what, size]), flush=True)
    runs["whole", FITS] = predicted(folder, model, smaller(FITS, shrink), (10**9, *layout[1:]))
    print("whole", FITS, *(f"{value:.1f}" for value in runs["whole", FITS]), flush=True)

    def beside(size: tuple[int, int]) -> float:
        """MB beyond photo and mask, and beyond what a tiny photo takes."""
        width, height = smaller(size, shrink)
        return runs["tiles", size][0] - 4 * width * height / 1e6 - nothing

    settings = {"network": "deeplab_v3plus, tf_efficientnet_lite0, 21 classes", "shrink": shrink}
    megapixels = {size: size[0] * size[1] / 1e6 / shrink**2 for size in (LARGE, FITS)}
    peak, seconds = runs["tiles", LARGE]
    peer_peak, peer_seconds = runs["whole", FITS]
    return [
        better_below(
            "peak memory of 12,000x9,000 in tiles, against 3,000x2,250 whole",
            peak,
            "MB",
            "the whole photo in one pass, a sixteenth of the pixels",
            peer_peak,
            settings | {"photo_and_mask_MB": round(4 * megapixels[LARGE], 1), "tiny_photo_MB": round(nothing, 1)},
        ),
        better_below(
            "peak memory of 3,000x2,250 in tiles",
            runs["tiles", FITS][0],
            "MB",
            "the same photo in one pass",
            peer_peak,
            settings,
        ),
        better_below(
            "flat: MB beside photo and mask at 12,000x9,000",
            beside(LARGE),
            "MB",
            "the same at 6,000x4,500",
            beside(HALF),
            settings,
        ),
        better_below(
            "seconds a megapixel at 12,000x9,000 in tiles, start-up included",
            seconds / megapixels[LARGE],
            "s",
            "3,000x2,250 in one pass",
            peer_seconds / megapixels[FITS],
            settings,
        ),
    ]


def better_below(claim: str, value: float, unit: str, peer: str, peer_value: float, settings: dict) -> dict:
    return row(claim, value, unit, peer, round(peer_value, 2), settings) | {"ratio": round(peer_value / value, 3)}


def smaller(size: tuple[int, int], shrink: int) -> tuple[int, int]:
    return size[0] // shrink, size[1] // shrink


def predicted(folder: Path, model: Path, size: tuple[int, int], layout: tuple[int, int, int]) -> tuple[float, float]:
    """(peak MB, seconds) of the command on a photo of that width and height."""
    width, height = size
    photo = folder / f"{width}x{height}.jpg"
    if not photo.exists():
        draw(photo, width, height)
    out = folder / f"out-{width}x{height}-{layout[0]}"
    command = [sys.executable, "-c", PREDICT, *map(str, layout), "predict", str(model), str(photo), "--out", str(out)]
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"predict ended with {child.returncode} at {width}x{height}")
    per_mb = 1e6 if sys.platform == "darwin" else 1e3
    return usage.ru_maxrss / per_mb, time.perf_counter() - began


def draw(path: Path, width: int, height: int) -> None:
    """A photo-like JPEG: one soft random picture, enlarged, with grain."""
    rng = np.random.default_rng(0)
    coarse_HW3 = rng.integers(0, 256, (height // 64 + 2, width // 64 + 2, 3), dtype=np.uint8)
    image_HW3 = cv2.resize(coarse_HW3, (width, height), interpolation=cv2.INTER_CUBIC)
    grain_HW3 = rng.integers(0, 12, (min(height, 512), width, 3), dtype=np.uint8)
    for top in range(0, height, 512):
        band_HW3 = image_HW3[top : top + 512]
        band_HW3[:] = cv2.add(band_HW3, grain_HW3[: len(band_HW3)])
    if not cv2.imwrite(str(path), image_HW3, [cv2.IMWRITE_JPEG_QUALITY, 85]):
        raise SystemExit(f"could not write {path}")


def save_model(folder: Path) -> Path:
    """In a process of its own, like the predictions: this one must not count."""
    code = """
import sys, torch
from labels2masks import networks
from labels2masks.classes import Classes
from labels2masks.networks.saved import save_network
torch.manual_seed(0)
network = networks.build("deeplab_v3plus", 21, encoder="tf_efficientnet_lite0")
save_network(sys.argv[1], network, {"classes": Classes(tuple(f"class {i}" for i in range(21)))})
"""
    path = folder / "model.safetensors"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    return path


if __name__ == "__main__":
    main()
