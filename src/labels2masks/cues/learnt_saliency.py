"""Saliency from a network of two classes: how likely a pixel is of the object, of whatever class that is.

Oh et al. 2017, "Exploiting Saliency for Object Segmentation from Image Level Labels", section 4: a network that learnt
from class-agnostic boxes (`recipes.saliency` trains one). Their map is divided by its own maximum; here it stays a
probability, so that a photo in which nothing stands out says so.

Legend: C = classes; H, W = pixels.
"""

from __future__ import annotations

import numpy as np

from ..classes import Classes
from ..errors import UsageError


def object_class(classes: Classes) -> int:
    """Index of the class that is not background. UsageError unless there are two classes, one of them background."""
    if len(classes) != 2 or classes.background is None:
        raise UsageError(
            f"saliency comes from a run of two classes, background and object, got {', '.join(classes.names)}: "
            "train one with `l2m train BOXES --recipe saliency`"
        )
    return 1 - classes.index(classes.background)


def object_probability(probabilities_CHW: np.ndarray, classes: Classes) -> np.ndarray:
    """float32 HW, 0..1. probabilities_CHW: of such a network. Raises like `object_class`."""
    return np.clip(probabilities_CHW[object_class(classes)], 0, 1).astype(np.float32)
