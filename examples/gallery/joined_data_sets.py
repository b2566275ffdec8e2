"""Two data sets with different class lists, joined: what one did not look for stays possible in it.

    python examples/gallery/joined_data_sets.py [FOLDER]

The people of the first folder looked for cats, those of the second for cups and coins. Where the first say
"background" there may well stand a cup. In the joined data set their background means "background, coin or cup",
and nothing has to be labelled again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from panels import figure, save, stripes, tint

import labels2masks as l2m
from labels2masks.sample import CLASSES, Drawn, draw_photo


def main(folder: Path) -> Path:
    photos = busy_photos()
    cats = labelled(folder / "cats", ("background", "cat"), next(photos))
    crockery = labelled(folder / "crockery", ("background", "coin", "cup"), next(photos))

    both = l2m.open(cats) + l2m.open(crockery)

    rows = []
    for photo in both:
        image_HW3, labels = photo.loaded()
        own = photo.vocabulary.source
        joined = photo.candidates(*image_HW3.shape[:2]).mapped(larger)
        rows.append(
            [
                ("a photo of the one folder" if not rows else "a photo of the other", large(image_HW3)),
                (f"its own mask: {', '.join(own.names)}", tint(large(image_HW3), larger(labels[0].ids_HW), own)),
                (
                    "what the joined data set takes from it",
                    stripes(large(image_HW3), joined, both.classes, 12),
                ),
            ]
        )
    return save(figure(rows, both.classes, 320), folder / "joined_data_sets.png")


def busy_photos() -> Iterator[Drawn]:
    """Photos of the embedded sample that show a cat, a cup and a coin, in landscape."""
    for seed in range(1000):
        drawn = draw_photo(np.random.default_rng(seed))
        if {name for name, _ in drawn.objects} == {"cat", "cup", "coin"} and drawn.ids_HW.shape == (160, 208):
            yield drawn


def labelled(folder: Path, names: tuple[str, ...], drawn: Drawn) -> Path:
    """A plain folder of one photo whose mask knows these classes only; the rest is background to its people."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    ids_HW = np.zeros_like(drawn.ids_HW)
    for i, name in enumerate(names):
        ids_HW[drawn.ids_HW == CLASSES.index(name)] = i
    cv2.imwrite(str(folder / "images" / f"{folder.name}.png"), drawn.image_HW3[..., ::-1])
    cv2.imwrite(str(folder / "masks" / f"{folder.name}.png"), ids_HW)
    colours = [CLASSES.colours[CLASSES.index(name)] for name in names]
    classes = l2m.Classes(names, tuple(colours), background="background")
    (folder / "classes.json").write_text(json.dumps(classes.to_json()))
    return folder


def large(image_HW3: np.ndarray) -> np.ndarray:
    return cv2.resize(image_HW3, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)


def larger(index_HW: np.ndarray) -> np.ndarray:
    return cv2.resize(index_HW, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
