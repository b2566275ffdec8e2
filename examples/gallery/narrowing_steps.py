"""From boxes and strokes to masks, by the systems of the papers.

    python examples/gallery/narrowing_steps.py [FOLDER]

Each panel is one narrowing step (or two) on the same photo, decided by `ArgMax`: a plain tint where one class is left,
stripes where several still are. The captions say how much is decided and, the truth being known here, how much of that
is wrong. No step sees a mask.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import coffee
import cv2
import numpy as np
from panels import Panel, figure, save, stripes

from labels2masks.classes import Vocabulary
from labels2masks.cues.proposals import selective_search
from labels2masks.cues.superpixels import felzenszwalb
from labels2masks.labels import Candidates, Label, rasterise
from labels2masks.labels.geometry import moved
from labels2masks.narrowing import (
    ArgMax,
    Cues,
    box_inner,
    dense_crf,
    grabcut,
    grabcut_plus,
    m_and_g,
    propagate_labels,
    scribblesup,
)
from labels2masks.narrowing.chain import narrowed

HALF = np.array([[0.5, 0, 0], [0, 0.5, 0]])


def main(folder: Path) -> Path:
    image_HW3 = cv2.resize(coffee.photo(), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    truth_HW = cv2.resize(coffee.mask(), image_HW3.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    boxes, strokes = moved((coffee.BOXES, coffee.SCRIBBLES), HALF, *truth_HW.shape)
    cues = Cues(
        background=coffee.CLASSES.index(coffee.CLASSES.background),
        segments_HW=felzenszwalb(image_HW3),
        proposals_SHW=selective_search(image_HW3, most=300),
    )

    def panel(words: str, label: Label, *steps) -> Panel:
        left: Candidates = rasterise((label,), Vocabulary.same(coffee.CLASSES), *truth_HW.shape)
        if steps:
            left = narrowed(image_HW3, left, cues, steps, ArgMax())
        labels_HW = left.labels()
        wrong = np.mean(labels_HW[labels_HW >= 0] != truth_HW[labels_HW >= 0])
        caption = f"{words}: {left.decided():.0%} decided, {wrong:.1%} of it wrong"
        return caption, stripes(image_HW3, left, coffee.CLASSES)

    few = {"runs": 8}  # of the paper's 150 perturbed cuts
    rows = [
        [
            panel("boxes", boxes),
            panel("Box^i", boxes, box_inner),
            panel("GrabCut", boxes, grabcut),
        ],
        [
            panel("GrabCut+", boxes, partial(grabcut_plus, **few)),
            panel("M & G+", boxes, partial(m_and_g, **few)),
            panel("GrabCut, dense CRF", boxes, grabcut, dense_crf),
        ],
        [
            panel("strokes", strokes),
            panel("ScribbleSup", strokes, scribblesup),
            panel("spread, dense CRF", strokes, propagate_labels, dense_crf),
        ],
    ]
    return save(figure(rows, coffee.CLASSES, 380), folder / "narrowing_steps.png")


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
