"""Everything that a check finds, added up over the photos."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np

from ..formats.dataset import Dataset, Photo
from ..formats.duplicates import near_duplicates
from .advice import Advice, counting, few_images, never_learnt, not_scored
from .class_table import ClassTable
from .examine import Finding
from .suspicious import WORDS

LISTED = 20
"""Photos named for each problem; the number of all is always given."""


class Total:
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
        self.table = ClassTable()
        self.touching = self.told_apart = 0

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
        self.table.add(found.cells)
        self.touching += bool(found.touching)
        self.told_apart += found.touching is not None
        for what in found.slips:
            self.issue("note" if what in ("crumbs", "whole_box") else "warning", what, WORDS[what], found.name)
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
        for note in data.notes:
            self.issue("warning", "left_out", note)
        self._about_classes()
        self._about_splits()
        self._take(few_images(data.classes, self.present_C))
        self._take(counting(self.touching, self.told_apart))
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
            "table": self.table.rows(data.classes),
            "seconds": seconds,
            "touching": {"photos": self.touching, "of": self.told_apart},
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
            has_C, learnt_C = self._classes_in(names), self._classes_in(splits[train])
            self._take(never_learnt(data.classes, train, split, has_C & ~learnt_C))
            if has_C.any() and split.startswith(("val", "test", "dev")):
                self._take(not_scored(data.classes, train, split, learnt_C & ~has_C))

    def _take(self, advice: Iterable[Advice]) -> None:
        for level, what, text, count in advice:
            self.issue(level, what, text, count=count)

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

    def suspicious(self, count: int) -> dict[str, tuple[Photo, str]]:
        """Name -> (photo, what is wrong) of photos that an issue names, the issues in turns."""
        order = {"error": 0, "warning": 1, "note": 2}
        issues = sorted(self.issues.values(), key=lambda i: order[i["level"]])
        queues = [[(n, i["what"].replace("_", " ")) for n in i["photos"]] for i in issues if i["what"] != "unlabelled"]
        found: dict[str, str] = {}
        while len(found) < count and any(queues):
            for queue in queues:
                if queue and len(found) < count:
                    name, what = queue.pop(0)
                    found[name] = f"{found[name]}, {what}" if name in found else what
        return {p.name: (p, found[p.name]) for p in self.data.photos if p.name in found}

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
