"""How likely a pixel shows an object, of whatever class: the prior of What's the Point's third term.

Bearman et al. 2016 take the objectness of Alexe et al., which learnt from boxes. Here it is the saliency by boundary
connectivity (Zhu et al. 2014, see `cues.saliency`), which learnt from nothing: what leans on the photo's border is
background. It is made of the whole photo, and moved with its crop.

Legend: H, W = pixels of the crop.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..cues.saliency import boundary_connectivity
from ..labels.geometry import pixel_matrix
from .elastic import deformed

SIDE = 128
"""Pixels of the long side that the photo is shrunk to: 30 ms, and its superpixels have no finer detail to lose."""


def objectness_in_crop(
    image_HW3: np.ndarray, matrix_23: np.ndarray, crop: tuple[int, int], field_HW2: np.ndarray | None = None
) -> np.ndarray:
    """float32 HW, 0..1, in a raster of `crop` after x' = M x; 0 where there is no photo.

    image_HW3: the whole photo. field_HW2: an elastic deformation of that raster.
    """
    height, width = image_HW3.shape[:2]
    shrink = min(1.0, SIDE / max(height, width))
    small = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    of_photo = boundary_connectivity(cv2.resize(image_HW3, small, interpolation=cv2.INTER_AREA))
    of_photo = cv2.resize(of_photo, (width, height), interpolation=cv2.INTER_LINEAR)
    if field_HW2 is not None:
        return deformed(of_photo, field_HW2, 0, matrix_23)
    return cv2.warpAffine(of_photo, pixel_matrix(matrix_23), crop[::-1], flags=cv2.INTER_LINEAR, borderValue=0)
