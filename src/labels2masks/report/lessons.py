"""What a run has learnt, in sentences that follow from its numbers.

Legend: C = classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..classes import Classes
from ..evaluation import Calibration

WELL, POORLY = 0.7, 0.4
"""IoU from which a class is said to be found well, and below which poorly."""
OFTEN = 0.1
"""Share of a class's pixels from which another name for them is worth a sentence."""
NAMED = 4


def lessons(
    metrics: Mapping[str, Any],
    classes: Classes,
    counts_CD: np.ndarray | None,
    calibration: Calibration | None,
    rows: Sequence[Mapping[str, float]],
) -> list[str]:
    """Sentences for a person. counts_CD: confusion matrix, None where the run was not scored. rows: of metrics.csv."""
    if counts_CD is None or calibration is None:
        return ["No photo with a mask was set aside, so there is no score. Look at the pictures below."]
    told = _about_classes(metrics["per_class"])
    told += _about_mistakes(classes, counts_CD)
    told += _about_confidence(calibration)
    told += _about_time(rows, metrics["miou"])
    if metrics["absent"]:
        told.append(f"The validation photos hold no {_listed(metrics['absent'], 'or')}: nothing is known about that.")
    return told


def _about_classes(per_class: Mapping[str, Mapping[str, Any]]) -> list[str]:
    ranked = sorted((c["iou"], name) for name, c in per_class.items() if c["iou"] is not None)
    well = [f"{name} ({100 * iou:.0f})" for iou, name in reversed(ranked) if iou >= WELL]
    poorly = [f"{name} ({100 * iou:.0f})" for iou, name in ranked if iou < POORLY]
    told = []
    if well:
        told.append(f"Found well: {_listed(_some(well))}.")
    if poorly:
        told.append(f"Found poorly: {_listed(_some(poorly))}.")
    if not well and not poorly:
        told.append(f"Every class is found more or less, none above an IoU of {100 * WELL:.0f}.")
    return told


def _about_mistakes(classes: Classes, counts_CD: np.ndarray) -> list[str]:
    share_CD = counts_CD / np.maximum(counts_CD.sum(axis=1), 1)[:, None]
    np.fill_diagonal(share_CD, 0)
    largest = np.argsort(-share_CD, axis=None, kind="stable")[:3]
    parts = []
    for i, d in zip(*np.unravel_index(largest, share_CD.shape), strict=True):
        if share_CD[i, d] >= OFTEN:
            other = classes.names[d] if d < len(classes) else "none of the classes"
            parts.append(f"{100 * share_CD[i, d]:.0f} % of {classes.names[i]} is taken for {other}")
    return [f"The commonest confusions: {'; '.join(parts)}."] if parts else []


def _about_confidence(calibration: Calibration) -> list[str]:
    error, total = calibration.error, int(calibration.pixels_B.sum())
    if error is None:
        return []
    surplus = (calibration.confidence_B.sum() - calibration.right_B.sum()) / total
    if error < 0.03:
        return [f"Its confidence can be believed: off by {100 * error:.1f} points on average."]
    side = "too sure of itself" if surplus > 0 else "surer than it admits"
    return [f"Its confidence is off by {100 * error:.1f} points on average; it is {side}."]


def _about_time(rows: Sequence[Mapping[str, float]], final: float) -> list[str]:
    looks = [row["mIoU"] for row in rows if "mIoU" in row]
    if not looks:
        return []
    values = [*looks, final]
    told = f"On validation photos it went {', '.join(f'{100 * v:.1f}' for v in values)}"
    return [told + (": still rising when it ended." if values[-1] - values[-2] > 0.01 else ".")]


def _some(parts: list[str]) -> list[str]:
    return parts if len(parts) <= NAMED + 1 else [*parts[:NAMED], f"{len(parts) - NAMED} more"]


def _listed(parts: Sequence[str], word: str = "and") -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"
