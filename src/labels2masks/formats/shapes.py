"""Outlines of the shapes that drawing tools know, and what of a shape lies within the photo.

Coordinates are (x, y), continuous: a photo covers [0, width] x [0, height]. Legend: N = vertices.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import acos, ceil, cos, hypot, pi, radians, sin

import cv2
import numpy as np

from ..labels import Box
from ..labels.kinds import XY
from .clipping import clipped

CLOSE_ENOUGH = 0.05
"""Pixels by which a many-sided outline may miss the circle that it stands for."""
FAR = 1e9
"""Coordinates beyond this are taken as this: products of two of them still are exact enough to cut at the border."""


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.0) -> np.ndarray:
    """N2 on the ellipse around (x, y), turned clockwise; no edge is further than 0.05 px from it up to radius 170,000.

    A chord over the angle 2 a misses a circle of radius r by r (1 - cos a), an ellipse by no more with its larger r.
    """
    radius_x, radius_y = min(radius_x, FAR), min(radius_y, FAR)
    radius = max(radius_x, radius_y, 1.0)
    count = min(max(ceil(pi / acos(1 - CLOSE_ENOUGH / radius)), 16), 4096)
    angle_N = 2 * pi * np.arange(count) / count
    along_N2 = np.stack([radius_x * np.cos(angle_N), radius_y * np.sin(angle_N)], axis=1)
    return turned(along_N2, degrees) + (x, y)


def turned(xy_N2: np.ndarray, degrees: float) -> np.ndarray:
    """The points turned around (0, 0), clockwise as one sees them (y points down)."""
    c, s = round(cos(radians(degrees)), 15), round(sin(radians(degrees)), 15)  # a quarter turn is exact
    return xy_N2 @ np.array([[c, s], [-s, c]])


def turned_corners(x0: float, y0: float, x1: float, y1: float, degrees: float) -> np.ndarray:
    """The corners, 4 x 2, of the box over [x0, x1) x [y0, y1) turned clockwise around its centre."""
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    corners_42 = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)
    return np.round(turned(corners_42 - centre, degrees) + centre, 9)


def as_turned(box: Box) -> tuple[float, float, float, float, float] | None:
    """(x0, y0, x1, y1, degrees) of the upright box that turns into this one; None where it has no right angles."""
    corners_42 = np.array(box.corners, np.float64)
    right, down = corners_42[1] - corners_42[0], corners_42[3] - corners_42[0]
    if right[0] * down[1] < right[1] * down[0]:  # named against the clock
        right, down = down, right
    width, height = hypot(*right), hypot(*down)
    skew = abs(right @ down) + float(np.abs(corners_42[0] + corners_42[2] - corners_42[1] - corners_42[3]).sum())
    if not width or not height or skew > 1e-3 * max(width, height):
        return None
    x, y = corners_42.mean(axis=0)
    degrees = float(np.degrees(np.arctan2(right[1], right[0])) % 360)
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2, degrees


def ring_within(ring_N2: np.ndarray, height: int, width: int) -> np.ndarray:
    """The part of a ring that lies in the photo, with edges along the border where it leaves; may be empty."""
    return clipped(np.clip(ring_N2, -FAR, FAR), height, width)


def lines_within(line_N2: np.ndarray, height: int, width: int) -> list[np.ndarray]:
    """The parts of a drawn line that lie in the photo.

    Liang and Barsky 1984, "A new concept and method for line clipping": of each segment, where it enters and leaves.
    """
    line_N2 = np.clip(line_N2, -FAR, FAR)
    size = np.array([width, height], np.float64)
    if ((line_N2 >= 0) & (line_N2 <= size)).all():
        return [line_N2]
    parts: list[list[np.ndarray]] = []
    for start, end in zip(line_N2[:-1], line_N2[1:], strict=True):
        enter, leave = 0.0, 1.0
        for axis in (0, 1):
            step = end[axis] - start[axis]
            if step:
                at = sorted((-start[axis] / step, (size[axis] - start[axis]) / step))
                enter, leave = max(enter, at[0]), min(leave, at[1])
            elif not 0 <= start[axis] <= size[axis]:
                leave = -1.0
        if enter > leave:
            continue
        if not parts or enter > 0 or (parts[-1][-1] != start).any():
            parts.append([np.clip(start + enter * (end - start), 0, size)])
        parts[-1].append(np.clip(start + leave * (end - start), 0, size) if leave < 1 else end)
    return [np.array(part) for part in parts]


def has_area(ring_N2: np.ndarray) -> bool:
    """Do the points span more than a line, by more than rounding does? A ring that crosses itself does."""
    return len(ring_N2) >= 3 and cv2.contourArea(cv2.convexHull(ring_N2.astype(np.float32))) > 1e-3


def one_ring(rings: Sequence[np.ndarray]) -> np.ndarray:
    """An outer ring and its holes as one ring: a seam, walked forth and back, leads from the first vertex to each hole.

    It encloses the same pixels, since what is crossed twice counts as not crossed.
    """
    outer_N2, *holes = rings
    parts = [outer_N2]
    for hole_N2 in holes:
        parts += [outer_N2[:1], hole_N2, hole_N2[:1]]
    return np.concatenate(parts)


def pairs(xy_N2: np.ndarray) -> tuple[XY, ...]:
    return tuple((float(x), float(y)) for x, y in xy_N2)
