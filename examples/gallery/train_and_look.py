"""Train on the embedded sample, a few photos with each kind of label, and look at the masks.

    python examples/gallery/train_and_look.py [FOLDER]

The run is made in FOLDER/run. A second call finds it there and only draws; one that was stopped goes on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from panels import figure, save

import labels2masks as l2m
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.formats.image import image_size, read_image
from labels2masks.report.overlay import overlay
from labels2masks.sample import CLASSES, make_sample

SETTINGS = {
    **{"crop": (128, 128), "optimiser.rate": 2e-3, "validations": 1, "workers": 0},
    **{"precision": "float32", "memory_format": "contiguous", "threads": 1},
}
"""What the plan would else choose and measure: a picture of seconds is drawn the same way everywhere."""


def main(folder: Path, epochs: float = 25) -> Path:
    run = trained(folder, epochs)
    columns = []
    aside = [(p, image_size(p.image)) for p in l2m.open(folder / "photos").split("val")]
    for photo in [p for p, (height, width) in aside if width > height][:4]:
        image_HW3 = read_image(photo.image)
        truth_HW, mask_HW = truth_mask(photo, *image_HW3.shape[:2]), run.predict(image_HW3)
        wrong_HW3 = image_HW3 // 3 + 30
        wrong_HW3[mask_HW != truth_HW] = (255, 70, 70)
        columns.append(
            [
                (photo.name, large(image_HW3)),
                ("the truth", shown(image_HW3, truth_HW)),
                ("predicted", shown(image_HW3, mask_HW)),
                (f"{np.mean(mask_HW == truth_HW):.0%} of the pixels right", large(wrong_HW3)),
            ]
        )
    return save(figure(list(zip(*columns, strict=True)), CLASSES, 270), folder / "train_and_look.png")


def trained(folder: Path, epochs: float = 25) -> l2m.Run:
    """The run in `folder`, trained now if there is none."""
    if not (folder / "photos").exists():
        make_sample(folder / "photos")
    return l2m.train(folder / "photos", out=folder / "run", resume=True, epochs=epochs, settings=SETTINGS)


def shown(image_HW3: np.ndarray, mask_HW: np.ndarray) -> np.ndarray:
    larger_HW = cv2.resize(mask_HW.astype(np.int32), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    return overlay(large(image_HW3), larger_HW, CLASSES, alpha=0.6, outline=2)


def large(image_HW3: np.ndarray) -> np.ndarray:
    return cv2.resize(image_HW3, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
