"""`labels.jsonl`, the file that everything else opens: made anew from the project, a moment after each change.

The journal is written first, so a kill loses nothing of what this file does not hold yet. `written.json` has the hash
of what the page wrote last, and of what it is about to write: a label file of another hash was changed by others,
whose labels then are what the project is opened with. The journal of the time before is kept as `journal-1.jsonl`.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..classes import Classes, Vocabulary
from ..files import write_atomically
from ..formats import jsonl
from ..formats.dataset import Dataset, Photo
from ..formats.image import SUFFIXES
from .journal import BASE, JOURNAL, WRITTEN
from .photos import Decoder

PAUSE = 0.5
"""Seconds from a change to the file at least, and ten times as long as writing it takes: strokes come faster."""


class LabelFile:
    """path: the file. private: where the page keeps its own."""

    def __init__(self, path: Path, private: Path):
        self.path, self.private = path, private
        self._changed, self._ended = threading.Event(), threading.Event()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pending = False
        self.failure = ""

    def is_ours(self) -> bool:
        """Is what lies there what the page wrote, or what it was opened with?"""
        return not self.path.is_file() or _hash(self.path) in self._known()

    def believe(self) -> None:
        """What lies there now is what the project was opened with."""
        known = [_hash(self.path)] if self.path.is_file() else []
        write_atomically(self.private / WRITTEN, json.dumps({"sha256": known}))

    def start(self, dataset: Callable[[], Dataset]) -> None:
        """Write what `dataset` gives after each call of `soon`, until `close`."""
        self._dataset = dataset
        self._thread = threading.Thread(target=self._write_on, name="label file", daemon=True)
        self._thread.start()

    def soon(self) -> None:
        self._pending = True
        self._changed.set()

    def close(self) -> None:
        """End, and write what is still to be written."""
        self._ended.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join()
            self._write()

    def now(self) -> Path:
        """Write at once: for whoever reads the file next."""
        with self._turn:
            self._pending = False
            self._changed.clear()
            temporary = self.path.with_name(f".{self.path.stem}.page.jsonl")
            temporary.unlink(missing_ok=True)
            jsonl.write(self._dataset(), temporary)
            before = [_hash(self.path)] if self.path.is_file() else []
            write_atomically(self.private / WRITTEN, json.dumps({"sha256": [*before, _hash(temporary)]}))
            os.replace(temporary, self.path)
            return self.path

    def _write_on(self) -> None:
        pause = PAUSE
        while not self._ended.is_set():
            self._changed.wait()
            self._ended.wait(pause)
            start = time.monotonic()
            self._write()
            pause = max(PAUSE, 10 * (time.monotonic() - start))

    def _write(self) -> None:
        if not self._pending:
            return
        try:
            self.now()
            self.failure = ""
        except (OSError, ValueError) as error:  # the journal has it all, and the next change tries again
            self.failure = f"{self.path} could not be written ({error}); the journal in {self.private} has everything"

    def _known(self) -> list[str]:
        try:
            return json.loads((self.private / WRITTEN).read_text(encoding="utf-8"))["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            return []


def opened(path: Path, file: LabelFile, decoder: Decoder) -> tuple[Dataset, list[str]]:
    """(the data set that the project's changes rest on, sentences for the person).

    At the first opening whatever `path` holds, which is kept as the base; afterwards that base, with the photos that
    came into its folders since; or the label file, where somebody else has changed it. Raises DataError.
    """
    notes: list[str] = []
    base = file.private / BASE
    if base.is_file() and not file.is_ours():
        kept = _put_aside(file.private)
        notes.append(f"{file.path} was changed outside the page and is opened as it is; the journal before is {kept}")
    if not base.is_file():
        notes += decoder.open(file.path if file.path.is_file() else path, base)
        file.believe()
    data = jsonl.read(base)
    if data.classes == Classes(("background",), background="background"):  # nobody named a class
        data = _in_grey(data)
    return _with_new(data), notes


def _in_grey(data: Dataset) -> Dataset:
    """The background that was made for photos without any class, in a colour that leaves the others room."""
    classes = replace(data.classes, colours=((70, 70, 78),))
    same = Vocabulary.same(classes)
    return replace(data, classes=classes, photos=tuple(replace(p, vocabulary=same) for p in data.photos))


def _put_aside(private: Path) -> str:
    """Begin anew with what lies there now. The base goes last: without it the next opening is a first one."""
    number = next(n for n in range(1, 1_000_000) if not (private / f"journal-{n}.jsonl").exists())
    if (private / JOURNAL).is_file():
        os.replace(private / JOURNAL, private / f"journal-{number}.jsonl")
    os.replace(private / BASE, private / f"base-{number}.jsonl")
    return f"journal-{number}.jsonl"


def _with_new(data: Dataset) -> Dataset:
    """With the photos that lie beside those of the data set and came later. Where masks lie beside photos, none is."""
    masks = {p.parent for photo in data.photos for x in photo.labels if (p := getattr(x, "path", None)) is not None}
    places = {photo.image.parent for photo in data.photos} - masks
    known, names = {photo.image for photo in data.photos}, {photo.name for photo in data.photos}
    new = []
    for place in sorted(places):
        for image in sorted(place.iterdir()) if place.is_dir() else ():
            hidden = image.name.startswith(".") or image.suffix.lower() not in SUFFIXES
            if image in known or hidden or not image.is_file():
                continue
            beside = next(p for p in data.photos if p.image.parent == place)
            name = beside.name.rpartition("/")[0] + "/" + image.stem if "/" in beside.name else image.stem
            if name not in names:
                names.add(name)
                new.append(Photo(name, image, (), Vocabulary.same(data.classes)))
    return replace(data, photos=(*data.photos, *new))


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
