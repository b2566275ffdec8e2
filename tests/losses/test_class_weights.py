"""Median-frequency balancing, by hand and on CamVid."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from labels2masks.formats.image import read_mask
from labels2masks.losses.class_weights import CAMVID_RELEASE, median_frequency


def test_by_hand() -> None:
    """Shares of the photos that have them: a half, a quarter, an eighth; the fourth class occurs nowhere."""
    weights = median_frequency(np.array([50, 50, 12.5, 0]), np.array([100, 200, 100, 0]))
    assert weights.tolist() == [0.5, 1.0, 2.0, 1.0]
    assert median_frequency(np.zeros(2), np.zeros(2)).tolist() == [1, 1]


def test_on_camvid(data_root: Path) -> None:
    camvid = data_root / "camvid"
    names = (camvid / "splits" / "train.txt").read_text().split()
    pixels_C, beside_C = np.zeros(11), np.zeros(11)
    for name in names:
        mask_HW = read_mask(camvid / "labels" / f"{name}.png")
        counts_C = np.bincount(mask_HW.ravel(), minlength=12)[:11]
        pixels_C += counts_C
        beside_C += (counts_C > 0) * mask_HW.size
    weights_C = np.round(median_frequency(pixels_C, beside_C), 4)
    expected = [0.2793, 0.2017, 4.7865, 0.1490, 1.0, 0.4217, 3.8467, 1.9736, 0.7889, 6.3747, 8.8587]
    assert weights_C.tolist() == expected
    assert len(CAMVID_RELEASE) == 11 and CAMVID_RELEASE[6] > 2 * weights_C[6]
