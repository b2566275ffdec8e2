"""All that a run wrote of itself, read once for its report.

Legend: C = classes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..evaluation import PerPhoto
from ..evaluation.bootstrap import band, bootstrap, mean_over_classes
from ..run import Run
from ..training.plan import Plan, read_plan

Band = tuple[float, float] | None


@dataclass(frozen=True)
class Facts:
    """All that was written of a run. rows: of metrics.csv. scored: None where there is no score.
    bands_C, mean_band: where 95 % of resampled photo sets put the IoU, 0..1."""

    name: str
    plan: Plan
    metrics: Mapping[str, Any]
    rows: Sequence[Mapping[str, float]]
    skipped: Sequence[Mapping[str, Any]]
    environment: Mapping[str, Any]
    scored: PerPhoto | None
    bands_C: Sequence[Band]
    mean_band: Band


def read_facts(run: Run) -> Facts:
    """Read a finished run's folder. Raises UsageError without a plan, DataError where a file is damaged."""
    folder = run.folder
    plan = read_plan(folder / "plan.json")
    counts = folder / "confusions.npz"
    scored = PerPhoto.load(counts) if counts.is_file() else None
    bands_C: list[Band] = [None] * len(plan.class_list)
    mean_band = None
    if scored:
        iou_BC = bootstrap(scored.sums()[None])[:, 0]
        mean_band = band(mean_over_classes(iou_BC))
        bands_C = [band(iou_BC[:, c]) for c in range(len(plan.class_list))]
    return Facts(
        name=folder.resolve().name,
        plan=plan,
        metrics=run.metrics,
        rows=read_rows(folder / "metrics.csv"),
        skipped=_json_lines(folder / "skipped.jsonl"),
        environment=_json(folder / "environment.json"),
        scored=scored,
        bands_C=bands_C,
        mean_band=mean_band,
    )


def read_rows(path: Path) -> list[dict[str, float]]:
    """The rows of metrics.csv without their empty cells; none where there is no file. Raises DataError."""
    if not path.is_file():
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    except (ValueError, TypeError, AttributeError):
        raise DataError(f"{path}: not a table of numbers; put the run's own file back or remove it") from None


def _json(path: Path) -> dict[str, Any]:
    return next(iter(_parsed(path, [path.read_text(encoding="utf-8")])), {}) if path.is_file() else {}


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return _parsed(path, path.read_text(encoding="utf-8").splitlines()) if path.is_file() else []


def _parsed(path: Path, texts: Sequence[str]) -> list[dict[str, Any]]:
    try:
        return [json.loads(text) for text in texts]
    except ValueError:
        raise DataError(f"{path}: not valid JSON; put the run's own file back or remove it") from None
