"""An audit: random pixels of a collection, named by a person one by one, and what they say of a model's masks.

    audit = begin_audit("runs/a", labels2masks.open("photos/"), "audit/")
    while pixel := audit.next():
        audit.answer(pixel.number, ask(pixel))
        print(audit.estimate().miou)

The folder holds
    audit.csv                   the answers, a row each (see `answers`); on the disk when `Audit.answer` returns
    draw.json                   what was drawn, from which photos, model and seed; never changed but to draw more
    strata/<photo>.png          of a model: predicted class and sureness of every pixel
and everything else can be made anew from them. An audit goes on where it stopped, and only with the same photos and the
same model or masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..classes import Classes, Vocabulary
from ..errors import DataError, UsageError
from ..formats.dataset import Dataset
from ..labels import Point, Points
from .answers import UNCLEAR, Pixel, Table, Words, in_order
from .pixel_sample import predicted_class
from .sources import read_json
from .stratified import Estimate, estimate

ANSWERS, DRAW, STRATA = "audit.csv", "draw.json", "strata"


@dataclass(frozen=True)
class Audit:
    """An audit in its folder. Safe to call from several threads of one process.

    key: stands in every row of the table. photos: those drawn from. pixels: in the order they are to be named.
    strata: stratum -> its pixels in all photos. skipped: photos that could not be read, {"image", "reason"}.
    protocol: what is known of the model's training. seen_in_training: photos that have the name of a training photo.
    """

    folder: Path
    key: str
    classes: Classes
    seed: int
    photos: tuple[str, ...]
    pixels: tuple[Pixel, ...]
    strata: Mapping[int, int]
    skipped: tuple[Mapping[str, str], ...]
    protocol: Mapping[str, Any]
    seen_in_training: int
    _turn: Lock = field(default_factory=Lock, repr=False, compare=False)

    @property
    def table(self) -> Path:
        return self.folder / ANSWERS

    @property
    def words(self) -> Words:
        return Words(self.classes)

    def answers(self) -> dict[int, int]:
        """number -> class index or `UNCLEAR`, as the table has them now. Raises DataError, naming the line."""
        return Table.read(self.table).answers(self.pixels, self.key, self.words)

    def next(self) -> Pixel | None:
        """The first pixel without an answer; None where all have one."""
        place = in_order(self.answers(), self.pixels)
        return self.pixels[place] if place < len(self.pixels) else None

    def answer(self, number: int, word: str) -> None:
        """Keep one answer; "" takes it back. Raises DataError for a word that is no class and not "unclear"."""
        if not 1 <= number <= len(self.pixels):
            raise UsageError(f"number {number}; this audit has 1 to {len(self.pixels)}")
        text = self.words.word(self.words.meant(word)) if word.strip() else ""
        with self._turn:
            table = Table.read(self.table)
            table.add(self.pixels, self.key)
            table.rows[table.by_number(self.pixels, self.key)[number]][table.place["answer"]] = text
            table.write()

    def estimate(self) -> Estimate | None:
        """From the answers that were given in order, as many as there are; None where there is none."""
        answers = self.answers()
        count = in_order(answers, self.pixels)
        if not count:
            return None
        strata = sorted(self.strata)
        counts_SK = np.zeros((len(strata), len(self.classes) + 1), np.int64)
        for pixel in self.pixels[:count]:
            counts_SK[strata.index(pixel.stratum), answers[pixel.number]] += 1  # UNCLEAR, -1, is the last column
        pixels_S = np.array([self.strata[s] for s in strata])
        return estimate(counts_SK, pixels_S, np.array([predicted_class(s) for s in strata]))

    def as_clicks(self, data: Dataset) -> Dataset:
        """The answers as clicks to learn from: the photos that have any, without what else was said of them.

        A model that has learnt from them is not to be audited with them.
        """
        answers = self.answers()
        marks: dict[str, list[Point]] = {}
        for pixel in self.pixels:
            if answers.get(pixel.number, UNCLEAR) != UNCLEAR:
                name = self.classes.names[answers[pixel.number]]
                marks.setdefault(pixel.photo, []).append(Point(name, pixel.x + 0.5, pixel.y + 0.5))
        if not marks:
            raise DataError(f"{self.table}: no pixel has a class yet; nothing to write as labels")
        same = Vocabulary.same(self.classes)
        photos = tuple(
            replace(photo, labels=(Points(tuple(marks[photo.name])),), vocabulary=same)
            for photo in data
            if photo.name in marks
        )
        return Dataset(self.classes, photos, root=data.root, format=data.format)


def open_audit(folder: Path | str) -> Audit:
    """The audit in a folder. Raises UsageError where there is none, DataError where it is damaged."""
    folder = Path(folder)
    found = read_json(folder / DRAW)
    if "pixels" not in found:
        raise UsageError(f"{folder} holds no audit; begin one with `audit RUN IMAGES --out {folder}`")
    try:
        return Audit(
            folder=folder,
            key=found["key"],
            classes=Classes.from_json(found["classes"]),
            seed=found["seed"],
            photos=tuple(found["photos"]),
            pixels=tuple(
                Pixel(k, found["photos"][p], x, y, stratum) for k, (p, x, y, stratum) in enumerate(found["pixels"], 1)
            ),
            strata={int(s): count for s, count in found["strata"].items()},
            skipped=tuple(found["skipped"]),
            protocol=found["protocol"],
            seen_in_training=found["seen_in_training"],
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{folder / DRAW}: damaged ({error!r}); name another --out") from None
