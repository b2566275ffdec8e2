"""Cheaper labels made from one full mask: true ones, those of several people who err, and what a label leaves possible.

    python examples/gallery/simulated_labels.py [FOLDER]

People's clicks lie towards the middle, their strokes run from tip to tip, their boxes are a little loose; now and then
a click misses or a class is forgotten, as often as it was measured.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import coffee
import numpy as np
from panels import Panel, figure, save, stripes

from labels2masks.classes import Vocabulary
from labels2masks.labels import Label, labelling_seconds, rasterise
from labels2masks.labels.simulate import simulated
from labels2masks.report.overlay import draw_marks

PEOPLE = {"points": 25, "scribbles": 3, "boxes": 4, "extreme": 4}


def main(folder: Path) -> Path:
    classes, image_HW3, ids_HW = coffee.CLASSES, coffee.photo(), coffee.mask()
    names = Vocabulary.same(classes)
    rows: list[list[Panel]] = []
    for kind, people in PEOPLE.items():
        label = simulated(kind, ids_HW, classes, np.random.default_rng(0))
        erring = joined([simulated(kind, ids_HW, classes, np.random.default_rng(k), noise=True) for k in range(people)])
        candidates = rasterise((label,), names, *ids_HW.shape)
        seconds = labelling_seconds((label,), classes)
        rows.append(
            [
                (f"{kind}, about {seconds:.0f} s", draw_marks(image_HW3, (label,), names, size=2)),
                (f"{people} people, with their mistakes", draw_marks(image_HW3, (erring,), names, size=1)),
                (f"decided {candidates.decided():.1%}", stripes(image_HW3, candidates, classes)),
            ]
        )
    return save(figure(rows, classes, 320), folder / "simulated_labels.png")


def joined(labels: list[Label]) -> Label:
    """The marks of all in one label."""
    return replace(labels[0], marks=tuple(mark for label in labels for mark in label.marks))


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
