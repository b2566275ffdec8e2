"""The strong view of a crop: the same pixels at the same places, in other colours, blurred, partly hidden.

Colours, grey and blur with the strengths and shares of Yang et al. 2023 (UniMatch, after Sohn et al. 2020, FixMatch).
Its rectangles, which show another photo there, are blank here: what lies in them is asked all the same and has to be
told from what is around it (Hoyer et al. 2023, "MIC: Masked Image Consistency"), and no photo gets a class of another.

Legend: H, W = pixels of the crop.
"""

from __future__ import annotations

from math import exp, log, sqrt

import cv2
import numpy as np

from .augment import FILL, GREY, recoloured
from .settings import Augment

COLOURED, GREYED, BLURRED, HIDDEN = 0.8, 0.2, 0.5, 0.5
"""Shares of the crops."""

COLOURS = Augment(colour=0.5, hue=0.25)
SIGMA = (0.1, 2.0)
"""Of the blur, in pixels."""
AREA, ASPECT = (0.02, 0.4), (0.3, 1 / 0.3)
"""Of the hidden rectangle: share of the crop, height over width."""


def strong_view(image_HW3: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A disturbed copy of a crop, uint8 RGB."""
    seen_HW3 = image_HW3.copy()
    if draw.random() < COLOURED:
        seen_HW3 = recoloured(seen_HW3, COLOURS, draw)
    if draw.random() < GREYED:
        seen_HW3 = cv2.transform(seen_HW3, np.tile(GREY, (3, 1)))
    if draw.random() < BLURRED:
        seen_HW3 = cv2.GaussianBlur(seen_HW3, (0, 0), draw.uniform(*SIGMA))
    if draw.random() < HIDDEN:
        height, width = seen_HW3.shape[:2]
        area, aspect = draw.uniform(*AREA) * height * width, exp(draw.uniform(log(ASPECT[0]), log(ASPECT[1])))
        tall, wide = min(height, round(sqrt(area * aspect))), min(width, round(sqrt(area / aspect)))
        top, left = draw.integers(height - tall + 1), draw.integers(width - wide + 1)
        seen_HW3[top : top + tall, left : left + wide] = FILL
    return seen_HW3
