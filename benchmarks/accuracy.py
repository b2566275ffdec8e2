"""What the accuracy benchmarks share: train, score, and a line of JSON that says against whom."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import labels2masks as l2m
from labels2masks.training.plan import Plan
from labels2masks.training.train import train

DATA = Path(os.environ.get("L2M_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

COMMIT = subprocess.run(
    ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
).stdout.strip()
"""Read when the benchmark starts: what is committed while it runs is not what it measures."""


def arguments(about: str, minutes: float) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=minutes, help="time to train, plan and validation included")
    parser.add_argument("--weights", default="auto", help="auto, or an earlier run to go on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for the runs")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=VALUE", help="a training setting")
    parser.add_argument("--json", action="store_true", help="the last line is JSON (it always is)")
    return parser


def trained(data: l2m.Dataset, options: argparse.Namespace, out: Path, val: str) -> tuple[l2m.Run, float]:
    """(the finished run, wall-clock minutes of everything `train` did). A run cut off is gone on with."""
    start = time.monotonic()
    settings = dict(pair.split("=", 1) for pair in options.set)
    run = l2m.train(
        data,
        train="train",
        val=val,
        minutes=options.minutes,
        weights=options.weights,
        seed=options.seed,
        out=out,
        resume=out.exists(),
        settings={name: json.loads(value) for name, value in settings.items()},
    )
    return run, (time.monotonic() - start) / 60


def followed(data: l2m.Dataset, plan: Plan, out: Path) -> tuple[l2m.Run, float | None]:
    """(the run of a plan made beforehand, CPU seconds it took; None where a run cut off was gone on with)."""
    from_start, began = not out.exists(), time.process_time()
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "plan.json"
        file.write_text(plan.model_dump_json())
        run = train(data, plan=file, out=out, resume=True, say=lambda text: None)
    return run, time.process_time() - began if from_start else None


def row(claim: str, value: float, unit: str, peer: str, peer_value: float | None, settings: dict[str, Any]) -> dict:
    return {
        "claim": claim,
        "value": round(value, 2),
        "unit": unit,
        "peer": peer,
        "peer_value": peer_value,
        "ratio": round(value / peer_value, 3) if peer_value else None,
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "commit": COMMIT,
        "settings": settings,
    }


def table(scores: dict[str, Any]) -> str:
    """Per-class IoU for a person."""
    lines = [f"  {name:12s} {_percent(of['iou'])}" for name, of in scores["per_class"].items()]
    return "\n".join([*lines, f"  {'mIoU':12s} {_percent(scores['miou'])}"])


def _percent(value: float | None) -> str:
    return "   -" if value is None else f"{100 * value:5.1f}"
