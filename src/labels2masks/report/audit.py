"""The verb `audit`: an honest score for who has no masks, from random pixels that a person names.

    l2m audit runs/a photos/ --out audit/   draws them: audit/index.html shows them, audit/audit.csv takes the answers
    l2m audit runs/a photos/ --out audit/   again, with answers: mIoU, IoU and area of each class, with 95 % bands
    labels2masks.audit("runs/a", "photos/") -> dict

The folder holds what `evaluation.audit` says, and index.html; with answers audit.json and audit.svg, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..classes import Classes, Vocabulary
from ..errors import UsageError
from ..evaluation.answers import in_order
from ..evaluation.audit import ANSWERS, Audit
from ..evaluation.begin_audit import begin_audit
from ..evaluation.protocol import card_lines, protocol_card
from ..evaluation.stratified import Estimate, Figure, more_to_halve
from ..files import write_atomically
from ..formats import jsonl
from ..formats.dataset import Dataset, Photo
from ..formats.image import SUFFIXES, Levels
from ..formats.open import open_dataset
from .audit_plot import audit_plot
from .audit_sheet import shows_all, write_sheet
from .svg import standalone

SHEET, RESULT, PICTURE = "index.html", "audit.json", "audit.svg"


def audit(
    run: Any,
    images: Dataset | Path | str,
    out: Path | str = "audit",
    clicks: int | None = None,
    seed: int | None = None,
    split: str | None = None,
    levels: Levels | None = None,
    labels: Path | str | None = None,
) -> dict[str, Any]:
    """Draw pixels for a person to name; where some are named, estimate the scores of all.

    run: run folder, `Run`, model file, or a folder of masks as `predict` writes them.
    images: an image, a folder of images, or a data set; what labels it has are not looked at.
    clicks: pixels to draw; None = 800, or as many as there are already. More than before go on in the same order.
    seed: of that order; None = 0, or the one it was begun with. split: these photos only. levels: for 16-bit images.
    labels: a .jsonl file to write, with the answers as clicks to learn from. Nothing else ever learns from them.

    Returns {"out", "clicks", "answered" (in order), "behind_a_gap", "miou", "pixel_accuracy", "unclear", "unseen",
    "per_class": name -> {"iou", "area", "answers"}, "not_found", "more_to_halve", "photos", "skipped",
    "seen_in_training", "protocol", "picture", "labels"}. A figure is {"value", "band"}, shares of 1 and a band of
    95 %, or None where there is no answer to make it from; `evaluation.stratified.Estimate` says what each means.
    Raises UsageError for a wrong call or a folder with an audit of something else, DataError for a wrong answer (with
    its line) and where no photo could be read.
    """
    if labels is not None and Path(labels).exists():
        raise UsageError(f"{labels} exists already: name another file for --labels, or remove it first")
    data = _opened(images, levels)
    data = data if split is None else data.split(split)
    folder = Path(out)
    drawn = begin_audit(run, data, folder, clicks, seed)
    if not shows_all(folder / SHEET, drawn):
        write_sheet(folder / SHEET, drawn, data)
    found = drawn.estimate()
    result = _result(drawn, found, data, split)
    if found is not None:
        write_atomically(folder / PICTURE, standalone(audit_plot(drawn.classes, found, result["answered"])))
        write_atomically(folder / RESULT, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if labels is not None:
        jsonl.write(drawn.as_clicks(data), labels)
    return {
        "out": str(folder),
        **result,
        "picture": str(folder / PICTURE) if found is not None else None,
        "labels": None if labels is None else str(labels),
    }


def audit_text(result: Mapping[str, Any]) -> str:
    """What `audit` returned, for a person: percent with one decimal and bands, '-' for what nobody named."""
    scored = result["miou"] is not None
    lines = _scores(result) if scored else []
    if result["answered"] and not scored:
        lines.append(f"not scored: all {result['answered']:,} answers are unclear")
    parts = [lines, [*_to_do(result), *_left_out(result)], card_lines(result["protocol"]) if scored else []]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _opened(images: Dataset | Path | str, levels: Levels | None) -> Dataset:
    if isinstance(images, Dataset):
        return images
    path = Path(images).expanduser()
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        nothing = Classes(("background",), background="background")
        return Dataset(nothing, (Photo(path.stem, path, (), Vocabulary.same(nothing), levels),), root=path)
    return open_dataset(path, levels=levels)


def _result(drawn: Audit, found: Estimate | None, data: Dataset, split: str | None) -> dict[str, Any]:
    """All that is known, but not where it lies: what goes into a file is the same in every place."""
    answers = drawn.answers()
    count = in_order(answers, drawn.pixels)
    used = [answers[number] for number in range(1, count + 1)]
    names = drawn.classes.names
    card = protocol_card(
        data=data.root.name if data.root else "joined data sets",
        split="all photos" if split is None else f"split {split!r} of the data set",
        photos=len(drawn.photos),
        **drawn.protocol,
    )
    means = (
        f"estimated from {count:,} random pixels in strata of the predicted class; unclear pixels excluded, mean over "
        "the classes among the answers; predictions outside the protocol count as errors"
    )
    return {
        "clicks": len(drawn.pixels),
        "answered": count,
        "behind_a_gap": sum(number > count for number in answers),
        "miou": _figure(found.miou if found else None),
        "pixel_accuracy": _figure(found.pixel_accuracy if found else None),
        "unclear": _figure(found.unclear if found else None),
        "unseen": found.unseen if found else None,
        "per_class": {
            name: {
                "iou": _figure(found.iou_C[c] if found else None),
                "area": _figure(found.area_C[c] if found and found.area_C else None),
                "answers": used.count(c),
            }
            for c, name in enumerate(names)
        },
        "not_found": [name for c, name in enumerate(names) if c not in used],
        "more_to_halve": more_to_halve(count, sum(drawn.strata.values())) if count else None,
        "photos": len(drawn.photos),
        "skipped": [dict(s) for s in drawn.skipped],
        "seen_in_training": drawn.seen_in_training,
        "protocol": card | {"miou_means": means if found and found.miou else None},
    }


def _figure(figure: Figure | None) -> dict[str, Any] | None:
    return None if figure is None else {"value": figure.value, "band": [figure.low, figure.high]}


def _scores(result: Mapping[str, Any]) -> list[str]:
    rows = [("class", "IoU", "95 % band", "area", "95 % band", "answers")]
    rows += [(n, *_cells(c["iou"]), *_cells(c["area"]), str(c["answers"])) for n, c in result["per_class"].items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(w) if k else cell.ljust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    found = len(result["per_class"]) - len(result["not_found"])
    lines += [
        "",
        f"mIoU {_words(result['miou'])} over {found} classes, estimated from {result['answered']:,} named pixels",
        f"pixel accuracy {_words(result['pixel_accuracy'])}; unclear {_words(result['unclear'])} of the area, left out",
    ]
    if result["more_to_halve"]:
        lines.append(f"{result['more_to_halve']:,} more answers would halve the bands")
    if result["not_found"]:
        lines.append(f"not among the answers, not in the mean: {', '.join(result['not_found'])}")
    if result["unseen"]:
        lines.append(f"{_percent(result['unseen'])} % of the area is in strata without an answer yet, and left out")
    return lines


def _to_do(result: Mapping[str, Any]) -> list[str]:
    """What the person can do next."""
    missing, folder = result["clicks"] - result["answered"] - result["behind_a_gap"], Path(result["out"])
    if not missing:
        return []
    lines = [
        f"{missing:,} pixels to name: look at {folder / SHEET}, write the class of each (or unclear)",
        f"into the column answer of {folder / ANSWERS}, and call this again",
    ]
    if result["behind_a_gap"]:
        lines.append(
            f"number {result['answered'] + 1} has no answer: the {result['behind_a_gap']:,} behind it are not used "
            "before it has one (unclear is one, too)"
        )
    return lines


def _left_out(result: Mapping[str, Any]) -> list[str]:
    lines = []
    if result["seen_in_training"]:
        lines.append(f"{result['seen_in_training']} of these photos have the names of training photos: no fair score")
    if result["skipped"]:
        first = result["skipped"][0]["reason"]
        lines.append(f"{len(result['skipped'])} photos could not be read and are left out; the first: {first}")
    return lines


def _cells(figure: Mapping[str, Any] | None) -> Sequence[str]:
    return ("-", "-") if figure is None else (_percent(figure["value"]), " to ".join(map(_percent, figure["band"])))


def _words(figure: Mapping[str, Any]) -> str:
    value, band = _cells(figure)
    return f"{value} % ({band})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
