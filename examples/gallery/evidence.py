"""From a few strokes to many decided pixels: two witnesses, and rules for how much of what they say to believe.

    python examples/gallery/evidence.py [FOLDER]

How often has the ink of each class the colour of a pixel, and how far away is the nearest ink? Each is evidence, a log
score for each class, and evidences add. `decide` alone turns evidence into a decision, and the rule says how bold it
is. It only ever removes candidates; what stays undecided stays visible, in stripes. The truth is used for one thing,
the share of wrong decisions in the captions.
"""

from __future__ import annotations

import sys
from pathlib import Path

import coffee
import cv2
import numpy as np
from panels import Panel, figure, save, stripes

from labels2masks.classes import Vocabulary
from labels2masks.labels import Candidates, rasterise
from labels2masks.narrowing import ArgMax, Evidence, Portion, Threshold, decide
from labels2masks.report.overlay import draw_marks

BINS = 16
"""Bins an axis of the colour histogram (CIELAB)."""


def main(folder: Path) -> Path:
    image_HW3, truth_HW = coffee.photo(), coffee.mask()
    names = Vocabulary.same(coffee.CLASSES)
    candidates = rasterise((coffee.SCRIBBLES,), names, *truth_HW.shape)
    colour = by_colour(image_HW3, candidates)
    both = colour + by_place(candidates)

    def panel(words: str, decided: Candidates) -> Panel:
        labels_HW = decided.labels()
        wrong = np.mean(labels_HW[labels_HW >= 0] != truth_HW[labels_HW >= 0])
        caption = f"{words}: {decided.decided():.0%} decided, {wrong:.1%} of it wrong"
        return caption, stripes(image_HW3, decided, coffee.CLASSES)

    rows: list[list[Panel]] = [
        [
            ("the photo with its strokes", draw_marks(image_HW3, (coffee.SCRIBBLES,), names, size=2)),
            panel("strokes alone", candidates),
            panel("colour, ArgMax()", decide(candidates, colour, ArgMax())),
        ],
        [
            panel("+ place, ArgMax()", decide(candidates, both, ArgMax())),
            panel("Threshold(0.95)", decide(candidates, both, Threshold(0.95))),
            panel("Portion(0.5)", decide(candidates, both, Portion(0.5))),
        ],
    ]
    return save(figure(rows, coffee.CLASSES, 380), folder / "evidence.png")


def by_colour(image_HW3: np.ndarray, candidates: Candidates) -> Evidence:
    """A smoothed histogram of the ink's colours for each class, read at every pixel and averaged over its surround."""
    lab_HW3 = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2LAB).astype(int) * BINS // 256
    bin_HW = (lab_HW3[..., 0] * BINS + lab_HW3[..., 1]) * BINS + lab_HW3[..., 2]
    inked_HW = candidates.labels()
    scores_CHW = np.empty((candidates.sets_KC.shape[1], *bin_HW.shape), np.float32)
    for c in range(len(scores_CHW)):
        counts = np.bincount(bin_HW[inked_HW == c], minlength=BINS**3).reshape(BINS, BINS, BINS).astype(float)
        for axis in range(3):
            counts = 0.25 * np.roll(counts, 1, axis) + 0.5 * counts + 0.25 * np.roll(counts, -1, axis)
        likelihood = (counts.ravel() + 0.02) / (counts.sum() + 0.02 * BINS**3)
        scores_CHW[c] = cv2.GaussianBlur(np.log(likelihood)[bin_HW].astype(np.float32), (0, 0), 3)
    return among(candidates, scores_CHW)


def by_place(candidates: Candidates, scale: float = 12.0) -> Evidence:
    """Minus the distance to the nearest ink of each class, in steps of `scale` pixels."""
    inked_HW = candidates.labels()
    classes = range(candidates.sets_KC.shape[1])
    distances = [cv2.distanceTransform((inked_HW != c).astype(np.uint8), cv2.DIST_L2, 5) for c in classes]
    return among(candidates, -np.stack(distances) / np.float32(scale))


def among(candidates: Candidates, scores_CHW: np.ndarray) -> Evidence:
    """Fully confident evidence that respects the candidates."""
    allowed_CHW = candidates.allowed()
    return Evidence(np.where(allowed_CHW, scores_CHW, np.float32(-np.inf)), np.ones(allowed_CHW.shape[1:], np.float32))


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
