"""Scores as plain text: a table of the classes, the means, what was left out, and the protocol card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .protocol import card_lines


def as_text(result: Mapping[str, Any]) -> str:
    """What `evaluate` returned, for a person: percent with one decimal, '-' where a class does not occur."""
    lines: list[str] = []
    if "per_class" in result:
        lines += [*_classes(result), "", *_means(result), ""]
    if "agreement" in result:
        lines += [*_agreement(result["agreement"], "miou" in result), ""]
    lines += _left_out(result)
    return "\n".join([*lines, *card_lines(result["protocol"])])


def _classes(result: Mapping[str, Any]) -> list[str]:
    rows = [("class", "IoU", "precision", "recall", "boundary F1", "share of truth")]
    for name, c in result["per_class"].items():
        share = c["pixels"] / max(result["pixels"], 1)
        rows.append((name, *(_percent(c[k]) for k in ("iou", "precision", "recall", "boundary_f1")), _percent(share)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _means(result: Mapping[str, Any]) -> list[str]:
    occurring = len(result["per_class"]) - len(result["absent"])
    lines = [
        f"mIoU {_percent(result['miou'])} over {occurring} classes, {result['photos']} photos",
        f"frequency-weighted IoU {_percent(result['fw_iou'])}, pixel accuracy {_percent(result['pixel_accuracy'])}, "
        f"mean class accuracy {_percent(result['mean_accuracy'])}, boundary F1 {_percent(result['boundary_f1'])}",
    ]
    if result["calibration_error"] is not None:
        lines.append(f"calibration error {_percent(result['calibration_error'])}")
    if result["absent"]:
        lines.append(f"not in the truth, not in the mean: {', '.join(result['absent'])}")
    if result["outside"]:
        lines.append(f"{_percent(result['outside'])} % of the pixels were predicted as none of the classes: errors")
    return lines


def _agreement(found: Mapping[str, Any], has_miou: bool) -> list[str]:
    extra = "" if has_miou else "; without masks there is no mIoU"
    lines = [f"agreement with the labels of {found['photos']} photos that have no mask{extra}"]
    for kind, words in (("clicks", "clicks hit"), ("stroke_pixels", "stroke pixels hit")):
        if kind in found:
            lines.append(f"  {words} {_percent(found[kind]['hit'])} of {found[kind]['count']}")
    if "tags" in found:
        tags = found["tags"]
        lines.append(
            f"  tags: precision {_percent(tags['precision'])}, recall {_percent(tags['recall'])} of {tags['count']}"
        )
    if "boxes" in found:
        lines.append(f"  boxes: mean IoU with the hull of their regions {_percent(found['boxes']['iou'])}")
    if "shares" in found:
        lines.append(f"  area shares: off by {_percent(found['shares']['mean_absolute_error'])} points on average")
    return lines


def _left_out(result: Mapping[str, Any]) -> list[str]:
    lines = []
    if result["missing_classes"]:
        lines.append(f"the model has no class {', '.join(result['missing_classes'])}: those pixels are errors")
    if result["foreign_classes"]:
        lines.append(f"the data has no class {', '.join(result['foreign_classes'])}: predicting it is an error")
    if result["seen_in_training"]:
        lines.append(f"{result['seen_in_training']} of these photos have the names of training photos: no fair score")
    if result["unlabelled"]:
        lines.append(f"{result['unlabelled']} photos have no label and were left out")
    if result["skipped"]:
        first = result["skipped"][0]["reason"]
        lines.append(f"{len(result['skipped'])} photos could not be scored; the first: {first}")
    return [*lines, ""] if lines else []


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
