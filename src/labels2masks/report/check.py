"""What is in a data set, and what is wrong with it, before anybody trains on it.

    l2m check photos/          labels2masks.check("photos/") -> dict

Every photo and mask is decoded once; a broken one is listed and the work goes on. Memory
stays small: of each photo a few numbers and a thumbnail of 256 bytes are kept.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..files import write_atomically
from ..formats.dataset import Dataset, Photo
from ..formats.duplicates import near_duplicates
from ..formats.open import open_dataset
from ..progress import track
from .contact_sheet import contact_sheet
from .examine import Finding, examine

LISTED = 20
"""Photos named for each problem; the number of all is always given."""
SHEET = 24
SHEET_NAME, REPORT_NAME = "contact_sheet.png", "check.json"


def check(
    data: Dataset | Path | str, out: Path | str | None = None, split: str | None = None, photos: int = SHEET
) -> dict[str, Any]:
    """Read everything once and report.

    out: a folder that gets `contact_sheet.png` (with `photos` photos) and `check.json`; None writes nothing.
    split: look at one split only.

    Returns a JSON value: `photos, splits, sizes, classes, kinds, seconds, void_share, conflicts,
    issues, ok, contact_sheet`. `issues` is a list of `{"level": "error" | "warning" | "note",
    "what", "text", "count", "photos"}`, the worst first; `ok` is True without errors. `what` is a word for
    programs: photo, mask, labels, outside, conflict, binary, void, blank, missing, unlabelled, leakage,
    overlap, duplicates, empty_split.

    Raises DataError where the data set can not be opened, UsageError for an unknown split.
    """
    data = data if isinstance(data, Dataset) else open_dataset(data)
    looked_at = data.split(split) if split is not None else data
    total = _Total(looked_at)
    for finding in track(_examined(looked_at.photos), "checking photos", len(looked_at)):
        total.add(finding)
    report = total.report()
    report["contact_sheet"] = None
    if out is not None:
        out = Path(out)
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {out} is a file; expected a folder")
        legend = [(c["name"], tuple(c["colour"]), _percent(c["pixel_share"])) for c in report["classes"]]
        title = f"{Path(looked_at.root or 'data set').name}: {len(looked_at)} photos"
        sheet = contact_sheet(total.chosen(photos), out / SHEET_NAME, title, legend)
        report["contact_sheet"] = str(sheet)
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


class _Total:
    """Everything added up over the photos."""

    def __init__(self, data: Dataset):
        self.data = data
        self.here = {p.name for p in data.photos}
        count = len(data.classes)
        self.present_C = np.zeros(count, np.int64)
        self.pixels_C = np.zeros(count, np.int64)
        self.void = 0
        self.kinds: dict[str, dict[str, Any]] = {}
        self.complete: dict[str, Counter[str]] = {}
        self.ids: Counter[int] = Counter()
        self.heights: list[tuple[int, int]] = []
        self.prints: list = []
        self.printed: list[str] = []
        self.issues: dict[tuple[str, str], dict[str, Any]] = {}
        self.by_class: dict[int, list[str]] = {}
        self.by_kinds: dict[tuple[str, ...], list[str]] = {}
        self.has_C: dict[str, np.ndarray] = {}
        self.conflicts: list[tuple[int, str]] = []

    def add(self, found: Finding) -> None:
        if found.size is not None:
            self.heights.append(found.size)
        if found.print is not None:
            self.prints.append(found.print)
            self.printed.append(found.name)
        if found.present_C is not None:
            self.present_C += found.present_C
            self.has_C[found.name] = np.packbits(found.present_C)
            for c in np.flatnonzero(found.present_C):
                self._remember(self.by_class.setdefault(int(c), []), found)
        self._remember(self.by_kinds.setdefault(tuple(found.marks), []), found)
        if found.pixels_C is not None:
            self.pixels_C += found.pixels_C
            if "mask" in found.marks and found.pixels_C.sum() == 0:
                self.issue("warning", "void", "masks are all void: they say nothing", found.name)
        self.void += found.void
        self.ids.update(found.ids)
        for kind, marks in found.marks.items():
            row = self.kinds.setdefault(kind, {"photos": 0, "marks": 0, "seconds": 0.0, "measured": True})
            row["photos"] += 1
            row["marks"] += marks
            row["seconds"] += found.seconds[kind][0]
            row["measured"] &= found.seconds[kind][1]
            self.complete.setdefault(kind, Counter()).update(found.complete.get(kind, ()))
        if not found.marks and not found.problems:
            self.issue("note", "unlabelled", "photos have no label", found.name)
        if found.conflicts:
            self.conflicts.append((found.conflicts, found.name))
        for what, text in found.problems:
            level = "warning" if what == "outside" else "error"
            self.issue(level, what, text, found.name)

    def _remember(self, names: list[str], found: Finding) -> None:
        if found.size is not None:
            names.append(found.name)

    def issue(self, level: str, what: str, text: str, name: str | None = None, count: int = 0) -> None:
        """Issues that differ in the file and in numbers only are one, shown by its first sentence."""
        tail = text.rsplit(": ", 1)[-1] if what in ("photo", "mask", "labels") else text
        key = (what, re.sub(r"\d+", "#", tail))
        row = self.issues.setdefault(key, {"level": level, "what": what, "text": text, "count": 0, "photos": []})
        row["count"] += count or 1
        if name is not None and len(row["photos"]) < LISTED:
            row["photos"].append(name)

    def report(self) -> dict[str, Any]:
        data = self.data
        self._about_classes()
        self._about_splits()
        for pixels, name in sorted(self.conflicts, reverse=True):
            text = f"labels contradict each other; most in {name} ({pixels} px); the stronger label is used"
            row = self.issues.get(("conflict", ""))
            if row is None:
                row = self.issues["conflict", ""] = {
                    "level": "warning", "what": "conflict", "text": text, "count": 0, "photos": []
                }  # fmt: skip
            row["count"] += 1
            row["photos"] += [name] if len(row["photos"]) < LISTED else []
        order = {"error": 0, "warning": 1, "note": 2}
        issues = sorted(self.issues.values(), key=lambda i: (order[i["level"]], -i["count"], i["text"]))
        stated = int(self.pixels_C.sum())
        areas = sorted(self.heights, key=lambda s: s[0] * s[1])
        picked = {"smallest": 0, "median": len(areas) // 2, "largest": -1} if areas else {}
        seconds = sum(row["seconds"] for row in self.kinds.values())
        return {
            "data": str(data.root) if data.root is not None else None,
            "format": data.format,
            "photos": len(data),
            "splits": {s: n for s, names in data.splits.items() if (n := len(self.here.intersection(names)))},
            "sizes": {what: list(areas[i]) for what, i in picked.items()},
            "classes": [
                {
                    "name": name,
                    "id": data.classes.file_ids[c],
                    "colour": list(data.classes.colours[c]),
                    "photos": int(self.present_C[c]) if name != data.classes.background else None,
                    "pixel_share": float(self.pixels_C[c] / stated) if stated else None,
                    "complete": {kind: n for kind, of in self.complete.items() if (n := of[name])},
                }
                for c, name in enumerate(data.classes.names)
            ],
            "kinds": self.kinds,
            "seconds": seconds,
            "void_share": self.void / (self.void + stated) if self.void + stated else None,
            "conflicts": {name: pixels for pixels, name in sorted(self.conflicts, reverse=True)[:LISTED]},
            "issues": issues,
            "ok": all(i["level"] != "error" for i in issues),
        }

    def _about_classes(self) -> None:
        classes = self.data.classes
        sources = {id(p.vocabulary): p.vocabulary.source for p in self.data.photos}.values()
        void_ids = frozenset().union(*(s.void_ids for s in sources))
        found = set(self.ids)
        if found and found <= {0, 255} and 255 in found and 255 in void_ids:
            text = (
                "masks hold only 0 and 255, and 255 is void here, so no object has a pixel; if 255 is the object, "
                'say {"names": ["background", "object"], "background": "background", "file_ids": [0, 255], '
                '"void_ids": []} in classes.json'
            )
            self.issue("error", "binary", text, count=self.kinds["mask"]["photos"])
        missing = [n for c, n in enumerate(classes.names) if not self._seen(c)]
        if missing and self.kinds:
            names = ", ".join(missing[:LISTED]) + (", ..." if len(missing) > LISTED else "")
            self.issue("warning", "missing", f"classes without a pixel, mark or tag: {names}", count=len(missing))
        if self.kinds.get("mask") and np.count_nonzero(self.pixels_C) == 1 and len(classes) > 1:
            only = classes.names[int(self.pixels_C.argmax())]
            self.issue("warning", "blank", f"every mask pixel is {only!r}; are these the right masks?")

    def _seen(self, c: int) -> bool:
        return bool(self.present_C[c] or self.pixels_C[c] or self.data.classes.names[c] == self.data.classes.background)

    def _about_splits(self) -> None:
        data = self.data
        splits = {s: kept for s, names in data.splits.items() if (kept := self.here.intersection(names))}
        for split, listed in data.splits.items():
            if not listed:
                self.issue("error", "empty_split", f"split {split!r} has no photo")
        for (a, in_a), (b, in_b) in combinations(splits.items(), 2):
            both = sorted(in_a & in_b)
            if both and not (in_a <= in_b or in_b <= in_a):
                self.issue("error", "overlap", f"photos are in {a!r} and in {b!r}", both[0], len(both))
        self._leakage(splits)
        train = next((s for s in splits if s in ("train", "training")), None)
        for split, names in splits.items():
            if train is None or split == train or names >= splits[train]:
                continue
            lacking = self._classes_in(names) & ~self._classes_in(splits[train])
            if lacking.any():
                named = ", ".join(data.classes.names[c] for c in np.flatnonzero(lacking))
                self.issue(
                    "warning",
                    "missing",
                    f"classes in {split!r} that {train!r} lacks: {named}",
                    count=int(lacking.sum()),
                )

    def _classes_in(self, names: Iterable[str]) -> np.ndarray:
        has = [self.has_C[n] for n in names if n in self.has_C]
        packed = np.bitwise_or.reduce(np.stack(has)) if has else np.zeros(1, np.uint8)
        return np.unpackbits(packed, count=len(self.data.classes)).astype(bool)

    def _leakage(self, splits: dict[str, set[str]]) -> None:
        within = 0
        example = ""
        pairs: dict[tuple[str, str], list[str]] = {}
        for group in near_duplicates(self.prints):
            names = [self.printed[i] for i in group]
            crossing = False
            for (a, in_a), (b, in_b) in combinations(splits.items(), 2):
                if in_a & in_b:
                    continue
                first = [n for n in names if n in in_a]
                second = [n for n in names if n in in_b]
                if first and second:
                    crossing = True
                    pairs.setdefault((a, b), []).append(f"{first[0]} ~ {second[0]}")
            if not crossing:
                within += 1
                example = example or f"{names[0]} ~ {names[1]}"
        for (a, b), found in pairs.items():
            text = f"near duplicates across {a!r} and {b!r}, such as {found[0]}: the score on {b!r} will be too good"
            self.issue("error", "leakage", text, found[0], len(found))
        if within:
            self.issue("note", "duplicates", f"groups of near duplicates, such as {example}", count=within)

    def chosen(self, count: int) -> list[Photo]:
        """Photos for the sheet: some with trouble, every combination of kinds, every class, in the data set's order.

        Spread over the set, since the first photos of a video show one place: multiples of the golden ratio without
        their whole part, so that however few are taken they are about equally far apart. One order for all queues:
        two classes seen nearly everywhere then ask for the same photos, and not for neighbours.
        """
        turn = {p.name: i * 0.6180339887498949 % 1 for i, p in enumerate(self.data.photos)}
        queues = [sorted(names, key=turn.__getitem__) for names in (*self.by_kinds.values(), *self.by_class.values())]
        queues.insert(0, [name for _, name in sorted(self.conflicts, reverse=True)][: count // 6])
        broken = [n for i in self.issues.values() if i["what"] in ("photo", "mask") for n in i["photos"]]
        queues.insert(0, broken[: max(count // 8, 1)])
        names: dict[str, None] = {}
        while len(names) < count and any(queues):
            for queue in queues:
                if queue and len(names) < count:
                    names.setdefault(queue.pop(0))
        return [p for p in self.data.photos if p.name in names]


def check_text(report: dict[str, Any]) -> str:
    """The report as plain text for a terminal."""
    lines = [f"{report['data'] or 'data set'}: {report['photos']} photos, read as {report['format'] or 'joined data'}"]
    if report["splits"]:
        lines.append("splits   " + ", ".join(f"{s} {n}" for s, n in report["splits"].items()))
    if report["sizes"]:
        lines.append("sizes    " + ", ".join(f"{what} {w}x{h}" for what, (h, w) in report["sizes"].items()))
    for kind, row in report["kinds"].items():
        told = "measured" if row["measured"] else "by published means"
        lines.append(
            f"{kind:8s} {row['photos']} photos, {row['marks']} marks, {_time(row['seconds'])} of labelling ({told})"
        )
    if len(report["kinds"]) > 1:
        lines.append(f"labelling in all {_time(report['seconds'])}")
    if report["void_share"]:
        lines.append(f"void     {_percent(report['void_share'])} of the mask pixels")
    width = max(len(c["name"]) for c in report["classes"])
    lines += ["", f"{'class':{width}s}   id  photos  pixels   complete in"]
    for row in report["classes"]:
        photos = "" if row["photos"] is None else str(row["photos"])
        complete = ", ".join(f"{kind} {n}" for kind, n in row["complete"].items())
        line = f"{row['name']:{width}s} {row['id']:4d} {photos:>7s} {_percent(row['pixel_share']):>7s}   {complete}"
        lines.append(line.rstrip())
    lines.append("")
    for issue in report["issues"]:
        count = f"{issue['count']} x " if issue["count"] > 1 and issue["what"] != "missing" else ""
        shown = ", ".join(issue["photos"][:5]) + (", ..." if issue["count"] > 5 and issue["photos"] else "")
        lines.append(f"{issue['level']}: {count}{issue['text']}" + (f" [{shown}]" if shown else ""))
    if not report["issues"]:
        lines.append("no problems found")
    if report["contact_sheet"]:
        lines.append(f"contact sheet: {report['contact_sheet']}")
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{share:.1%}" if share >= 0.001 or share == 0 else "<0.1%"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
