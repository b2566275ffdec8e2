"""Strokes as a person draws them through a region: along its middle, from one end towards the other, a little unsteady.

Legend: h, w = pixels of the region's bounding box; P = points of a line; K = values at a point, such as x and y.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from skimage.graph import MCP_Geometric

CELLS = 64
"""Cells along the long side of the grid on which the middle of a region is looked for: finer is no more like a hand."""

WANDER = 0.25
"""How far a hand strays from the middle, standard deviation as a share of the way to the border."""

WAVE = 0.3
"""No further either than this share of the stroke's length gives, so that short strokes do not shake."""


def middle_line(part_hw: np.ndarray) -> np.ndarray:
    """float64 xy_P2: the longest way through the middle of a region, from tip to tip, in pixels of part_hw.

    The two tips are the ends of the longest of all shortest ways inside (found by two sweeps, exact for shapes without
    holes that wind much); between them the cheapest way is taken, where a step costs more the nearer the border is.
    """
    h, w = part_hw.shape
    scale = min(1.0, CELLS / max(h, w))
    size = max(1, round(w * scale)), max(1, round(h * scale))
    small_hw = cv2.resize(part_hw.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
    count, labels_hw, stats, _ = cv2.connectedComponentsWithStats(small_hw.astype(np.uint8), connectivity=8)
    if count > 1:
        small_hw = labels_hw == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    else:  # too thin for the grid
        scale, small_hw = 1.0, part_hw
    depth_hw = depth(small_hw)
    deepest = np.unravel_index(int(depth_hw.argmax()), depth_hw.shape)
    equal_hw = np.where(small_hw, 1.0, -1.0)
    tip = _farthest(equal_hw, deepest)
    other = _farthest(equal_hw, tip)
    central_hw = np.where(small_hw, (0.1 + depth_hw / depth_hw.max()) ** -2.0, -1.0)
    way = MCP_Geometric(central_hw)
    way.find_costs([tip], [other])
    yx_P2 = np.array(way.traceback(other), np.float64)
    return np.clip((yx_P2[:, ::-1] + 0.5) * (w / small_hw.shape[1], h / small_hw.shape[0]), 0.5, (w - 0.5, h - 0.5))


def depth(part_hw: np.ndarray) -> np.ndarray:
    """float32 hw: the way from each pixel of a region to the nearest that is outside, in pixels; 0 outside.

    The edge of the photo ends a region too.
    """
    return cv2.distanceTransform(np.pad(part_hw.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]


def stroke(
    part_hw: np.ndarray,
    length: float,
    width: float,
    true: Callable[[np.ndarray, float], bool],
    rng: np.random.Generator,
) -> tuple[np.ndarray, float] | None:
    """(xy_P2, width): a stroke through the region, or None where even the thinnest would not be true.

    length: the share of the way from tip to tip, above 0 and at most 1. width: of the pen in pixels.
    true: does this line at this width stay inside? A steadier hand, a thinner pen and a shorter line are tried in turn.
    """
    whole_P2 = _evenly(middle_line(part_hw), 64)
    depth_hw = depth(part_hw)
    start = rng.uniform(0, 1 - length)
    waves_2K = rng.normal(size=(2, 3)), rng.uniform(0, 2 * np.pi, (2, 3))
    for shorter in (1.0, 0.7, 0.4, 0.2, 0.0):
        first = start + (1 - shorter) * length / 2
        kept_P2 = whole_P2[round(63 * first) : round(63 * (first + shorter * length)) + 1]
        for pen in sorted({width, (width + 1) // 2, 1.0}, reverse=True):
            for wander in (WANDER, WANDER / 3, 0.0):
                line_P2 = _drawn(kept_P2, depth_hw, wander, *waves_2K)
                if true(line_P2, pen):
                    return line_P2, pen
    deepest_y, deepest_x = np.unravel_index(int(depth_hw.argmax()), depth_hw.shape)
    dot_P2 = np.array([[deepest_x + 0.4, deepest_y + 0.5], [deepest_x + 0.6, deepest_y + 0.5]])
    return (dot_P2, 1.0) if true(dot_P2, 1.0) else None


def _drawn(
    line_P2: np.ndarray, depth_hw: np.ndarray, wander: float, heights_2K: np.ndarray, phases_2K: np.ndarray
) -> np.ndarray:
    """The line as a hand draws it: corners rounded off, straying in slow waves, a vertex every few pixels."""
    line_P2 = _rounded(line_P2)
    x_P, y_P = np.floor(line_P2).astype(int).T
    room_P = depth_hw[np.clip(y_P, 0, depth_hw.shape[0] - 1), np.clip(x_P, 0, depth_hw.shape[1] - 1)]
    room_P = _rounded(room_P[:, None])[:, 0]
    way_P = np.linspace(0, 1, len(line_P2))
    waves_P2 = sum(
        heights_2K[:, k] / (1 + k) ** 1.5 * np.sin((1 + k) * np.pi * way_P[:, None] + phases_2K[:, k]) for k in range(3)
    )
    far_P = wander * np.minimum(room_P, WAVE * np.hypot(*np.diff(line_P2, axis=0).T).sum())
    strayed_P2 = line_P2 + far_P[:, None] * waves_P2
    steps = np.hypot(*np.diff(strayed_P2, axis=0).T).sum() if len(line_P2) > 1 else 0.0
    return _evenly(strayed_P2, int(np.clip(round(steps / 6), 2, 40)))


def _rounded(line_PK: np.ndarray) -> np.ndarray:
    """The line with its corners rounded off; its ends stay."""
    line_PK = line_PK.astype(np.float64)
    for _ in range(16):
        line_PK[1:-1] = 0.25 * line_PK[:-2] + 0.5 * line_PK[1:-1] + 0.25 * line_PK[2:]
    return line_PK


def _evenly(line_P2: np.ndarray, count: int) -> np.ndarray:
    """The line with `count` points at equal distances along it."""
    way_P = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line_P2, axis=0).T))]) if len(line_P2) > 1 else [0.0]
    at = np.linspace(0, way_P[-1], count)
    return np.stack([np.interp(at, way_P, line_P2[:, k]) for k in (0, 1)], axis=1)


def _farthest(costs_hw: np.ndarray, start: tuple) -> tuple:
    """The cell that is hardest to reach from a start."""
    reached_hw, _ = MCP_Geometric(costs_hw).find_costs([start])
    reached_hw[~np.isfinite(reached_hw)] = -1
    return tuple(int(v) for v in np.unravel_index(int(reached_hw.argmax()), reached_hw.shape))
