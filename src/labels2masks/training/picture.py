"""The first batches as a picture: what the network is really shown, crops above, what their labels allow below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..classes import Classes
from ..files import write_atomically
from ..losses import Batch
from .batches import Step

UNDECIDED, VOID = (128, 128, 128), (0, 0, 0)
WIDTH = 240
"""Pixels a crop is shown at."""


def save_batches(path: Path, steps: Sequence[Step], classes: Classes) -> None:
    """PNG: for each batch a row of crops and below it a row of labels. Class colours where one class is possible,
    a mix with grey where several are (the darker, the fewer), grey where all are, black for void."""
    rows = []
    for step in steps:
        labels_NHW3 = label_colours(step.labels, classes)
        images_NHW3 = step.shown_N3HW.permute(0, 2, 3, 1).numpy()
        crops = [_shown(x, cv2.INTER_AREA) for x in images_NHW3]
        below = [
            _shown(cv2.addWeighted(image, 0.35, label, 0.65, 0), cv2.INTER_AREA)
            for image, label in zip(images_NHW3, labels_NHW3, strict=True)
        ]
        rows += [np.concatenate(crops, axis=1), np.concatenate(below, axis=1)]
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, 6), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    _, png = cv2.imencode(".png", cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
    write_atomically(path, png.tobytes())


def label_colours(labels: Batch, classes: Classes) -> np.ndarray:
    """uint8 N H W 3: the candidates as colours."""
    sets_KC = labels.sets_KC.numpy()
    colours_C3 = np.array(classes.colours, float)
    size_K = sets_KC.sum(1)
    mean_K3 = (sets_KC @ colours_C3) / np.maximum(size_K, 1)[:, None]
    grey_K = np.where(size_K > 1, 0.5, 0.0)[:, None]
    table_K3 = (1 - grey_K) * mean_K3 + grey_K * np.array(UNDECIDED)
    table_K3[size_K == sets_KC.shape[1]] = UNDECIDED
    table_K3[size_K == 0] = VOID
    return table_K3.round().astype(np.uint8)[labels.index_NHW.numpy()]


def _shown(image_HW3: np.ndarray, interpolation: int) -> np.ndarray:
    height, width = image_HW3.shape[:2]
    shown = cv2.resize(
        np.ascontiguousarray(image_HW3), (WIDTH, round(height * WIDTH / width)), interpolation=interpolation
    )
    return np.pad(shown, ((0, 0), (0, 4), (0, 0)), constant_values=255)
