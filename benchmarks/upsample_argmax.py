"""Upsampling and arg-max in one step against torch's two: time, equality and peak memory, 128x128 -> 512x512.

    python benchmarks/upsample_argmax.py [--json] [--repeats N] [--threads N]

Peers, each the faster of its kind in the same run, interleaved with ours:
    default layout   F.interpolate + argmax, F.interpolate + max
    channels-last    F.interpolate + argmax on channels-last scores
    softmax          F.interpolate + softmax + max, against our `confidence=True`
Scores are like a network's (smooth blobs with some noise) and, as the worst case, pure
noise, in which hardly two neighbouring cells have the same winner. Memory is the growth of the
process's peak over one call, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from labels2masks import kernels
from labels2masks.grid import Grid
from labels2masks.kernels.upsample_argmax import upsample_argmax

CELLS, PIXELS = 128, 512
GRID = Grid.square(PIXELS / CELLS, PIXELS / CELLS / 2)


def scores_like(kind: str, classes: int) -> torch.Tensor:
    """scores_1Chw: "smooth" as a trained network's, or "noise"."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, classes, CELLS, CELLS, generator=generator)
    if kind == "noise":
        return noise
    blobs = torch.randn(1, classes, CELLS // 10, CELLS // 10, generator=generator)
    return 4 * F.interpolate(blobs, size=(CELLS, CELLS), mode="bicubic") + 0.3 * noise


def upsampled(scores_NChw: torch.Tensor, pixels: int = PIXELS) -> torch.Tensor:
    return F.interpolate(scores_NChw, size=(pixels, pixels), mode="bilinear", align_corners=False)


def medians(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Milliseconds of each call, the calls taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if repeat:
                seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}


def speed(kind: str, classes: int, repeats: int, threads: int) -> list[dict]:
    scores = scores_like(kind, classes)
    last = scores.to(memory_format=torch.channels_last)
    scores_Chw = scores[0].numpy()

    def ours(confidence: bool = False) -> object:
        return upsample_argmax(scores_Chw, GRID, PIXELS, PIXELS, confidence=confidence, threads=threads)  # type: ignore[call-overload]

    ms = medians(
        {
            "ours": ours,
            "argmax": lambda: upsampled(scores).argmax(1),
            "max": lambda: upsampled(scores).max(1),
            "last": lambda: upsampled(last).argmax(1),
            "ours with confidence": lambda: ours(True),
            "softmax": lambda: upsampled(scores).softmax(1).max(1),
        },
        repeats,
    )
    equal = float((upsampled(scores).argmax(1)[0].numpy() == ours()).mean())
    what = f"{classes} classes, {kind} scores, {CELLS}x{CELLS} -> {PIXELS}x{PIXELS}"
    settings = {"classes": classes, "scores": kind, "threads": threads, "equal": equal}
    pairs = [
        ("upsample + argmax, default layout", "ours", min("argmax", "max", key=ms.__getitem__)),
        ("upsample + argmax, channels-last", "ours", "last"),
        ("upsample + argmax + confidence", "ours with confidence", "softmax"),
    ]
    named = {
        "argmax": "F.interpolate + argmax",
        "max": "F.interpolate + max",
        "softmax": "F.interpolate + softmax + max",
    }
    named["last"] = "F.interpolate + argmax on channels-last scores"
    return [row(f"{claim}: {what}", "ms", ms[a], named[b], ms[b], settings) for claim, a, b in pairs]


def memory(threads: int) -> list[dict]:
    """Growth of the peak at two output sizes and two class counts: ours should follow neither's product."""
    rows = []
    for classes, pixels in ((21, 512), (150, 512), (150, 2048)):
        grown = {}
        for name in ("ours", "torch"):
            command = [
                sys.executable,
                __file__,
                "--memory-of",
                name,
                str(classes),
                str(pixels),
                "--threads",
                str(threads),
            ]
            grown[name] = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        what = f"peak memory of one call: {classes} classes, {CELLS}x{CELLS} -> {pixels}x{pixels}"
        settings = {"classes": classes, "pixels": pixels, "threads": threads, "mask_mb": 4 * pixels**2 / 1e6}
        rows.append(row(what, "MB", grown["ours"], "F.interpolate + argmax", grown["torch"], settings))
    return rows


def memory_of(name: str, classes: int, pixels: int, threads: int) -> float:
    """MB by which one call raises this process's peak, its result included."""
    scores = torch.randn(1, classes, CELLS, CELLS)
    grid = Grid.square(pixels / CELLS, pixels / CELLS / 2)
    upsampled(scores[:, :1, :8, :8], 16).argmax(1)
    upsample_argmax(scores[0, :, :8, :8].numpy(), grid, 16, 16, threads=threads)
    before = peak_mb(reset=True)
    if name == "ours":
        upsample_argmax(scores[0].numpy(), grid, pixels, pixels, threads=threads)
    else:
        upsampled(scores, pixels).argmax(1)
    return peak_mb() - before


def peak_mb(reset: bool = False) -> float:
    """The process's peak so far; Linux can set it back to what is held now."""
    status = Path("/proc/self/status")
    if status.exists():
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def row(claim: str, unit: str, value: float, peer: str, peer_value: float, settings: dict) -> dict:
    return {
        "claim": claim,
        "value": round(value, 3),
        "unit": unit,
        "peer": peer,
        "peer_value": round(peer_value, 3),
        "ratio": round(peer_value / max(value, 1e-3), 2),
        "machine": f"{platform.machine()}, kernels {kernels.variant()}, torch {torch.__version__}",
        "commit": commit(),
        "settings": settings,
    }


def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print nothing but the line of JSON")
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-of", nargs=3, metavar=("WHO", "CLASSES", "PIXELS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.memory_of:
        who, classes, pixels = asked.memory_of
        print(memory_of(who, int(classes), int(pixels), asked.threads))
        return
    rows = []
    with torch.inference_mode():
        for classes in (21, 19, 150):
            for kind in ("smooth", "noise"):
                rows += speed(kind, classes, asked.repeats, asked.threads)
    rows += memory(asked.threads)
    if not asked.json:
        for r in rows:
            equal = f", {100 * r['settings']['equal']:.4f} % equal" if "equal" in r["settings"] else ""
            print(
                f"{r['ratio']:8.1f}x  {r['value']:9.2f} {r['unit']} against {r['peer_value']:9.2f}  {r['claim']}{equal}"
            )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
