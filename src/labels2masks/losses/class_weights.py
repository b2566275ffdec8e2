"""Median-frequency balancing: rare classes weigh as much more as they are rarer than the middle one.

    w_c = median(f) / f_c,  f_c = pixels of c / pixels of the photos in which c occurs

Eigen, Fergus, arXiv 1411.4734, as SegNet takes it (arXiv 1511.00561, section 4). One weight is 1 where an odd number of
classes occurs; there is no cap, a pole on CamVid weighs 30 times as much as road.

Legend: C = classes.
"""

from __future__ import annotations

import numpy as np

CAMVID_RELEASE = (0.2595, 0.1826, 4.5640, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614)
"""The weights in SegNet's release, in the order of its classes: sky, building, pole, road, pavement, tree, sign, fence,
car, pedestrian, bicyclist. On the same 367 photos the formula gives others (sign 3.8467), so other files were counted.
"""


def median_frequency(pixels_C: np.ndarray, beside_C: np.ndarray) -> np.ndarray:
    """weights_C float64; 1 for a class that does not occur.

    pixels_C: pixels of each class. beside_C: all pixels, void included, of the photos in which it occurs.
    """
    occurring = pixels_C > 0
    if not occurring.any():
        return np.ones(len(pixels_C))
    frequency_C = pixels_C / np.maximum(beside_C, 1)
    middle = np.median(frequency_C[occurring])
    return np.where(occurring, middle / np.where(occurring, frequency_C, 1), 1.0)
