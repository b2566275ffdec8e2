"""Outlines that lead out of the photo, cut at its border."""

from __future__ import annotations

import numpy as np


def clipped(ring_N2: np.ndarray, height: float, width: float) -> np.ndarray:
    """The part of a ring (x, y) inside [0, width] x [0, height], as float64 N2; empty where it has none.

    Half-plane by half-plane (Sutherland and Hodgman 1974, "Reentrant polygon clipping"): what falls apart stays one
    ring, joined along the border, which encloses the same pixels.
    """
    ring_N2 = np.asarray(ring_N2, np.float64)
    for axis, limit, inward in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        depth_N = inward * (ring_N2[:, axis] - limit)
        if (depth_N >= 0).all():
            continue
        next_N2, next_depth_N = np.roll(ring_N2, -1, axis=0), np.roll(depth_N, -1)
        crosses_N = (depth_N < 0) != (next_depth_N < 0)
        span_N = np.where(crosses_N, depth_N - next_depth_N, 1)
        cut_N2 = ring_N2 + (depth_N / span_N)[:, None] * (next_N2 - ring_N2)
        cut_N2[:, axis] = limit
        both_2N2 = np.stack([ring_N2, cut_N2], axis=1).reshape(-1, 2)
        ring_N2 = both_2N2[np.stack([depth_N >= 0, crosses_N], axis=1).ravel()]
    return ring_N2


def area(ring_N2: np.ndarray) -> float:
    """Pixels that a ring encloses, 0 or more; opposed loops cancel."""
    x_N, y_N = np.asarray(ring_N2, np.float64).T if len(ring_N2) else np.zeros((2, 0))
    return float(abs(np.dot(x_N, np.roll(y_N, -1)) - np.dot(np.roll(x_N, -1), y_N)) / 2)
