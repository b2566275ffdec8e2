"""A crop is augmented together with its labels: drawn labels stay drawn, and become candidates in the crop.

    python examples/gallery/augmented_crop.py [FOLDER]

Zoom, turn and flip are one matrix for the photo and for the coordinates of clicks, strokes and boxes. They are filled
in only then, so that a click that is zoomed out does not vanish between two pixels. Beyond the photo is void (dark).
"""

from __future__ import annotations

import sys
from pathlib import Path

import coffee
import numpy as np
from panels import Panel, figure, save, stripes

from labels2masks.classes import Vocabulary
from labels2masks.labels.geometry import moved
from labels2masks.report.overlay import draw_marks
from labels2masks.training.augment import apply_map

CROP = (330, 440)
LABELS = (coffee.BOXES, coffee.SCRIBBLES, coffee.POINTS)
MAPS = {
    "as it was taken": (0.72, 0, 1, (300, 205)),
    "closer": (1.5, 0, 1, (330, 190)),
    "turned and flipped": (0.9, 24, -1, (290, 215)),
    "farther away": (0.42, -8, 1, (300, 200)),
}
"""What happens to the photo: zoom, turn in degrees, flip, and the (x, y) that the crop is centred on."""


def main(folder: Path) -> Path:
    image_HW3, names = coffee.photo(), Vocabulary.same(coffee.CLASSES)
    marks: list[Panel] = []
    possible: list[Panel] = []
    for words, (zoom, degrees, flip, centre) in MAPS.items():
        matrix_23 = centred(zoom, degrees, flip, centre)
        crop_HW3, candidates = apply_map(image_HW3, LABELS, names, matrix_23, CROP)
        marks.append((words, draw_marks(crop_HW3, moved(LABELS, matrix_23, *CROP), names, size=2)))
        possible.append((f"decided {candidates.decided():.1%}", stripes(crop_HW3, candidates, coffee.CLASSES)))
    return save(figure([marks, possible], coffee.CLASSES, 290), folder / "augmented_crop.png")


def centred(zoom: float, degrees: float, flip: int, centre: tuple[float, float]) -> np.ndarray:
    """float64 2x3: x' = M x, which puts `centre` of the photo in the middle of the crop."""
    turn = np.deg2rad(degrees)
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([flip, 1.0])
    middle = np.array([CROP[1], CROP[0]]) / 2
    return np.column_stack([linear, middle - linear @ np.array(centre)])


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
