"""One photo, six kinds of label, and what each leaves possible.

    python examples/gallery/label_kinds.py [FOLDER]

Every label becomes the same thing, candidates: for each pixel the set of classes it can still be. One class is a
plain colour, several are stripes. The seconds are published means for a person's time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import coffee
import numpy as np
from panels import Panel, figure, save, stripes
from PIL import Image, ImageDraw

from labels2masks.classes import Vocabulary
from labels2masks.labels import AreaShares, Label, Tags, kind_name, labelling_seconds, rasterise
from labels2masks.report.overlay import chip, draw_marks

KINDS = (coffee.TAGS, coffee.SHARES, coffee.POINTS, coffee.SCRIBBLES, coffee.BOXES, coffee.full_mask())


def main(folder: Path) -> Path:
    classes, image_HW3 = coffee.CLASSES, coffee.photo()
    names = Vocabulary.same(classes)
    said: list[Panel] = []
    possible: list[Panel] = []
    for label in KINDS:
        candidates = rasterise((label,), names, *image_HW3.shape[:2])
        seconds = labelling_seconds((label,), classes)
        said.append((f"{kind_name(label)}, about {seconds:.0f} s", written(image_HW3, label, names)))
        possible.append((f"decided {candidates.decided():.1%}", stripes(image_HW3, candidates, classes)))
    rows = [said[:3], possible[:3], said[3:], possible[3:]]
    return save(figure(rows, classes, 320), folder / "label_kinds.png")


def written(image_HW3: np.ndarray, label: Label, names: Vocabulary) -> np.ndarray:
    """The photo with the label upon it: words for tags and shares, marks as they were drawn, a mask as its colours."""
    if kind_name(label) == "mask":
        return stripes(image_HW3, rasterise((label,), names, *image_HW3.shape[:2]), names.target)
    picture = Image.fromarray(draw_marks(image_HW3, (label,), names, size=2))
    draw, x = ImageDraw.Draw(picture), 14
    words = {n: f"{n} {s:.0%}" for n, s in label.shares.items()} if isinstance(label, AreaShares) else {}
    words = {n: n for n in sorted(label.present)} if isinstance(label, Tags) else words
    for name, text in words.items():
        x = chip(draw, x, 352, text, names.target.colours[names.target.index(name)], 24)
    return np.asarray(picture)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
