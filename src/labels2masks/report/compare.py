"""Runs beside each other on the same photos, with what chance in the choice of photos would do to their difference.

    l2m compare runs/A runs/B --out comparison/         labels2masks.compare(["runs/A", "runs/B"]) -> dict

The first run is what the others are compared with. The photos are resampled, the same ones for every run, and
mIoU is made anew from the summed confusion matrices (`evaluation.bootstrap`).

Legend: B = resamples; M = runs; P = photos; C = classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, UsageError
from ..evaluation import PerPhoto
from ..evaluation.bootstrap import RESAMPLES, SEED, band, bootstrap, iou, mean_over_classes
from ..files import write_atomically
from .difference_plot import difference_plot
from .svg import standalone

FEW = 5
"""Photos that hold a class, below which its difference gets no band: drawing so few anew says nothing."""
ROUGH = 30
"""Photos below which the text calls every band rough."""
PICTURE, TABLE = "comparison.svg", "comparison.json"


def compare(
    runs: Sequence[Path | str], out: Path | str | None = None, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, Any]:
    """Compare two or more run folders, scored on the same photos in the same classes.

    out: a folder that gets `comparison.svg` and `comparison.json`; None writes nothing.
    Returns `runs`: {"run", "network", "encoder", "labelling_seconds", "minutes", "miou", "band", "difference",
    "difference_band"} in the given order, differences to the first, None for itself; `classes`: {"name",
    "photos", "iou", "difference", "difference_band"}, one value a run; `photos`, `resamples`, `seed`, `picture`.
    Scores are 0..1, bands hold 95 % of the resamples, None where there are too few photos.
    Raises UsageError for fewer than two runs, one without a score, or runs scored on other photos, classes or truth.
    """
    folders = [Path(run) for run in runs]
    if len(folders) < 2:
        raise UsageError(f"compare takes two runs or more, got {len(folders)}")
    if resamples < 1:
        raise UsageError(f"resamples must be at least 1, got {resamples}")
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise UsageError(f"--out {out} is a file; expected a folder")
    names = _names(folders)
    sums_MP3C, classes = _sums(folders)
    iou_MC = iou(sums_MP3C.sum(axis=1))
    iou_BMC = bootstrap(sums_MP3C, resamples, seed)
    miou_M, miou_BM = mean_over_classes(iou_MC), mean_over_classes(iou_BMC)
    photos_C = (sums_MP3C[0, :, 1] > 0).sum(axis=0)
    result: dict[str, Any] = {
        "runs": [
            {
                "run": name,
                **_card(folder),
                "miou": _number(miou_M[m]),
                "band": band(miou_BM[:, m]),
                "difference": _number(miou_M[m] - miou_M[0]) if m else None,
                "difference_band": band(miou_BM[:, m] - miou_BM[:, 0]) if m else None,
            }
            for m, (name, folder) in enumerate(zip(names, folders, strict=True))
        ],
        "classes": [
            {
                "name": name,
                "photos": int(photos_C[c]),
                "iou": [_number(v) for v in iou_MC[:, c]],
                "difference": [_number(v - iou_MC[0, c]) for v in iou_MC[1:, c]],
                "difference_band": [
                    band(iou_BMC[:, m, c] - iou_BMC[:, 0, c]) if photos_C[c] >= FEW else None
                    for m in range(1, len(folders))
                ],
            }
            for c, name in enumerate(classes)
        ],
        "photos": sums_MP3C.shape[1],
        "resamples": resamples,
        "seed": seed,
        "picture": None,
    }
    if out is not None:
        picture = write_atomically(Path(out) / PICTURE, standalone(difference_plot(result)))
        result["picture"] = str(picture)
        write_atomically(Path(out) / TABLE, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return result


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names where these differ, else their paths."""
    names = [folder.resolve().name for folder in folders]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("a run was named twice; compare takes different ones")
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _sums(folders: Sequence[Path]) -> tuple[np.ndarray, tuple[str, ...]]:
    """(right, true and predicted pixels M P 3 C with the photos of all runs in one order; the classes' names)."""
    first, sums = None, []
    for folder in folders:
        path = folder / "confusions.npz"
        if not path.is_file():
            why = "it was not scored" if (folder / "model.safetensors").is_file() else "no finished run"
            raise UsageError(f"{folder}: {why}, there is no {path.name}; compare takes runs that `train` has scored")
        scored = PerPhoto.load(path)
        if first is None:
            first = scored
        sums.append(_in_order(scored, first, folder, folders[0]))
    assert first is not None
    return np.stack(sums), first.classes.names


def _in_order(scored: PerPhoto, first: PerPhoto, folder: Path, other: Path) -> np.ndarray:
    """The sums of a run, P 3 C, in the photo order of the first. UsageError where they can not be compared."""
    if scored.classes.names != first.classes.names:
        mine, theirs = list(scored.classes.names), list(first.classes.names)
        raise UsageError(
            f"{folder} was scored in the classes {mine}, {other} in {theirs}: their mIoU can not be compared"
        )
    if set(scored.names) != set(first.names):
        only = sorted(set(scored.names) ^ set(first.names))
        raise UsageError(
            f"{folder} was scored on other photos than {other}: {len(only)} are in one only, such as {only[0]!r}; "
            "train both with the same --val, or with --plan of one for the other"
        )
    place = {name: i for i, name in enumerate(scored.names)}
    sums_P3C = scored.sums()[[place[name] for name in first.names]]
    differs_P = (sums_P3C[:, 1] != first.sums()[:, 1]).any(axis=1)
    if differs_P.any():
        name = first.names[int(np.argmax(differs_P))]
        raise UsageError(f"{name!r} has another truth in {folder} than in {other}: its mask was changed in between")
    return sums_P3C


def _card(folder: Path) -> dict[str, Any]:
    """What a person wants to see beside the score. Raises DataError."""
    try:
        plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        settings = plan["settings"]
        return {
            "network": settings["network"],
            "encoder": settings["encoder"],
            "labelling_seconds": plan["labelling_seconds"],
            "minutes": metrics["minutes"],
        }
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{folder}: plan.json or metrics.json is missing or damaged; copy the run again") from None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def compare_text(result: Mapping[str, Any]) -> str:
    """The comparison as plain text for a terminal; percent, differences in points."""
    runs, classes = result["runs"], result["classes"]
    head = ["run", "network", "labels", "training", "mIoU", "95 % band", "difference", "95 % band"]
    rows = [
        [
            run["run"],
            run["network"] + (f" {run['encoder']}" if run["encoder"] else ""),
            f"{run['labelling_seconds'] / 3600:.1f} h",
            f"{run['minutes']:.1f} min",
            _percent(run["miou"]),
            _range(run["band"], ""),
            _points(run["difference"]),
            _range(run["difference_band"], "+"),
        ]
        for run in runs
    ]
    lines = [*_aligned([head, *rows], 2), ""]
    several = len(runs) > 2
    head = ["class", "photos", *(run["run"] for run in runs)]
    for run in runs[1:]:
        head += [f"{run['run']} - {runs[0]['run']}" if several else "difference", "95 % band"]
    rows = [
        [c["name"], str(c["photos"]), *map(_percent, c["iou"])]
        + [
            text
            for difference, spread in zip(c["difference"], c["difference_band"], strict=True)
            for text in (_points(difference), _range(spread, "+"))
        ]
        for c in classes
    ]
    lines += [*_aligned([head, *rows], 1), ""]
    lines += [_verdict(run, runs[0]["run"]) for run in runs[1:]]
    lines.append(
        f"Bands: {result['resamples']} resamples of the {result['photos']} photos, the same for every run, seed "
        f"{result['seed']}. They say what other photos would change, not what another training would."
    )
    if result["photos"] < ROUGH:
        lines.append(f"{result['photos']} photos are few: take the bands as rough, they are too narrow.")
    if any(c["photos"] < FEW for c in classes):
        lines.append(f"Classes in fewer than {FEW} photos have no band.")
    return "\n".join(lines)


def _verdict(run: Mapping[str, Any], first: str) -> str:
    spread = run["difference_band"]
    if spread is None or spread[0] <= 0 <= spread[1]:
        return f"{run['run']} and {first}: these photos can not tell which is better."
    return f"{run['run']} is {'better' if spread[0] > 0 else 'worse'} than {first} on photos like these."


def _aligned(rows: Sequence[Sequence[str]], words: int) -> list[str]:
    """Columns; the first `words` of them start left, numbers end right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(w) if i < words else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"


def _range(spread: Sequence[float] | None, sign: str) -> str:
    return "" if spread is None else " to ".join(f"{100 * v:{sign}.1f}" for v in spread)
