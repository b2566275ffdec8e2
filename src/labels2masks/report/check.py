"""What is in a data set, and what is wrong with it, before anybody trains on it.

    l2m check photos/          labels2masks.check("photos/") -> dict

Every photo and mask is decoded once; a broken one is listed and the work goes on. Memory
stays small: of each photo a few numbers and a thumbnail of 256 bytes are kept.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..files import write_atomically
from ..formats.dataset import Dataset, Photo
from ..formats.open import open_dataset
from ..progress import track
from .check_text import check_text, percent
from .check_total import Total
from .contact_sheet import contact_sheet
from .examine import Finding, examine

__all__ = ["check", "check_text"]

SHEET = 24
SHEET_NAME, SUSPICIOUS_NAME, REPORT_NAME = "contact_sheet.png", "suspicious.png", "check.json"


def check(
    data: Dataset | Path | str, out: Path | str | None = None, split: str | None = None, photos: int = SHEET
) -> dict[str, Any]:
    """Read everything once and report.

    out: a folder that gets `contact_sheet.png` (with `photos` photos), `suspicious.png` where photos have something
        wrong with them, and `check.json`; None writes nothing.
    split: look at one split only.

    Returns a JSON value: `photos, splits, sizes, classes, kinds, table, seconds, void_share, touching, conflicts,
    issues, ok, contact_sheet, suspicious_sheet`. `table` has a row for each class and kind: photos, marks, pixels,
    seconds. `touching` counts photos in which objects of one class touch, of those that can tell. `issues` is a list of
    `{"level": "error" | "warning" | "note", "what", "text", "count", "photos"}`, the worst first; `ok` is True without
    errors. `what` is a word for programs: photo, mask, labels, outside, conflict, binary, void, blank, missing,
    unlabelled, leakage, overlap, duplicates, empty_split, left_out, few, touching, not_scored, and those of
    `suspicious.WORDS`.

    Raises DataError where the data set can not be opened, UsageError for an unknown split.
    """
    data = data if isinstance(data, Dataset) else open_dataset(data)
    looked_at = data.split(split) if split is not None else data
    total = Total(looked_at)
    for finding in track(_examined(looked_at.photos), "checking photos", len(looked_at)):
        total.add(finding)
    report = total.report()
    report["contact_sheet"] = report["suspicious_sheet"] = None
    if out is not None:
        out = Path(out)
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {out} is a file; expected a folder")
        legend = [(c["name"], tuple(c["colour"]), percent(c["pixel_share"])) for c in report["classes"]]
        title = f"{Path(looked_at.root or 'data set').name}: {len(looked_at)} photos"
        sheet = contact_sheet(total.chosen(photos), out / SHEET_NAME, title, legend)
        report["contact_sheet"] = str(sheet)
        if suspicious := total.suspicious(photos):
            title = f"{len(suspicious)} photos to look at"
            remarks = {name: what for name, (_, what) in suspicious.items()}
            chosen = [photo for photo, _ in suspicious.values()]
            sheet = contact_sheet(chosen, out / SUSPICIOUS_NAME, title, legend, remarks)
            report["suspicious_sheet"] = str(sheet)
        write_atomically(out / REPORT_NAME, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return report


def _examined(photos: Iterable[Photo]) -> Iterator[Finding]:
    """In order, on all cores: decoding runs outside Python's lock. A bounded number is under way."""
    remaining = iter(photos)
    workers = min(os.cpu_count() or 1, 8)
    with ThreadPoolExecutor(workers) as pool:
        ahead = [pool.submit(examine, p) for p in islice(remaining, 4 * workers)]
        while ahead:
            finding = ahead.pop(0).result()
            ahead += [pool.submit(examine, p) for p in islice(remaining, 1)]
            yield finding
