"""What else is known of a photo: the hints that a narrowing step may use beside image and candidates.

Legend: C = classes; H, W = pixels; S = proposed segments.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ..errors import UsageError


@dataclass(frozen=True)
class Cues:
    """Each is optional; a step says which it needs. Maps are of the image's size.

    background: index of the class that means "none of the others"; None where there is none.
    scores_CHW: float32, log-probabilities of a network, of any scale.
    cam_CHW: float32, 0..1 where the class is what the photo's tag means: class activation maps, 0 for absent classes.
    saliency_HW: float32, 0..1: how much a pixel stands out, of whatever class.
    segments_HW: int32, superpixels 0..n-1.
    proposals_SHW: bool, segments that may be objects; they may overlap.
    """

    background: int | None = None
    scores_CHW: np.ndarray | None = None
    cam_CHW: np.ndarray | None = None
    saliency_HW: np.ndarray | None = None
    segments_HW: np.ndarray | None = None
    proposals_SHW: np.ndarray | None = None

    def need(self, name: str, step: str, image_HW3: np.ndarray) -> np.ndarray:
        """The cue; UsageError where it is missing or of another size than the image."""
        value = getattr(self, name)
        given = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        if value is None:
            raise UsageError(f"the step {step!r} needs the cue {name}; given: {', '.join(given) or 'none'}")
        if value.shape[-2:] != image_HW3.shape[:2]:
            raise UsageError(f"{name} is {value.shape}, the image {image_HW3.shape}: cues are of the image's size")
        return value

    def ground(self, step: str) -> int:
        """Index of the background class; UsageError where there is none."""
        if self.background is None:
            raise UsageError(f"the step {step!r} tells objects from background, and no class is background")
        return self.background
