"""Pixels <-> outlines and run lengths, both without loss.

Legend: H, W = pixels; P, N = points of a ring; R = runs, or crossings of edges and rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np


def run_lengths(of_class_HW: np.ndarray) -> list[int]:
    """COCO's uncompressed RLE: lengths of runs down the columns, beginning with the run of zeros (maybe 0)."""
    flat = of_class_HW.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return [0, *lengths] if flat.size and flat[0] else lengths


def from_run_lengths(counts: Sequence[int], height: int, width: int) -> np.ndarray:
    """bool HW of an uncompressed RLE. Raises ValueError where the runs are negative or do not sum to height x width."""
    counts_R = np.asarray(counts, np.int64)
    fits = counts_R.ndim == 1 and ((counts_R >= 0) & (counts_R <= height * width)).all()  # before a sum that overflows
    if not fits or int(counts_R.sum()) != height * width:
        raise ValueError(f"{counts_R.size} runs that do not fill {height}x{width} pixels")
    return np.repeat(np.arange(len(counts_R)) % 2 == 1, counts_R).reshape((height, width), order="F")


def filled(polygon: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """bool HW: the pixels whose centres an odd number of the rings holds; a ring is (x, y) N2, closed or not.

    Exact for what `regions` outlines. Every edge toggles, in each row whose centre line it crosses, all pixels to the
    right of the crossing; what was toggled an odd number of times is inside. Work and memory: the rows that the edges
    cross, and the canvas.
    """
    toggled = np.zeros(height * (width + 1), np.uint8)
    for ring_N2 in polygon:
        start_N2 = np.asarray(ring_N2, np.float64)
        end_N2 = np.roll(start_N2, -1, axis=0)
        upper_N2 = np.where((start_N2[:, 1] <= end_N2[:, 1])[:, None], start_N2, end_N2)
        lower_N2 = np.where((start_N2[:, 1] <= end_N2[:, 1])[:, None], end_N2, start_N2)
        first_N = np.clip(np.ceil(upper_N2[:, 1] - 0.5), 0, height).astype(np.int64)
        rows_N = np.clip(np.ceil(lower_N2[:, 1] - 0.5), 0, height).astype(np.int64) - first_N
        edge_R = np.repeat(np.arange(len(rows_N)), rows_N)
        row_R = np.arange(len(edge_R)) - np.repeat(np.cumsum(rows_N) - rows_N - first_N, rows_N)
        (x_R, y_R), (x1_R, y1_R) = upper_N2[edge_R].T, lower_N2[edge_R].T
        crossing_R = x_R + (row_R + 0.5 - y_R) * (x1_R - x_R) / (y1_R - y_R)
        column_R = np.clip(np.ceil(crossing_R - 0.5), 0, width).astype(np.int64)
        np.add.at(toggled, row_R * (width + 1) + column_R, 1)
    toggles_HW = toggled.reshape(height, width + 1)[:, :width]
    return np.cumsum(toggles_HW, axis=1, dtype=np.uint8) % 2 == 1  # a byte that overflows keeps its parity


def regions(of_class_HW: np.ndarray) -> Iterator[tuple[list[list[list[int]]], int]]:
    """([outer ring, holes ...], area in pixels) of each 4-connected region; rings are closed lists of [x, y]."""
    count, labels_HW, stats, _ = cv2.connectedComponentsWithStats(of_class_HW.astype(np.uint8), connectivity=4)
    for region in range(1, count):
        x, y, width, height, area = (int(v) for v in stats[region])
        part_HW = labels_HW[y : y + height, x : x + width] == region
        yield [(ring + (x, y)).tolist() for ring in _rings(part_HW)], area


def _rings(part_HW: np.ndarray) -> list[np.ndarray]:
    """The borders of one region as closed int rings_P2 of (x, y), the outer one first.

    OpenCV walks through pixel centres, where a line one pixel wide has no area. On the picture
    enlarged twice each pixel has its own left and right column, and (column + 1) // 2 is the
    border that a centre lies at: 2x -> x, 2x + 1 -> x + 1.
    """
    doubled_HW = part_HW.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, hierarchy = cv2.findContours(doubled_HW, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outer_first = sorted(range(len(contours)), key=lambda i: hierarchy[0][i][3] >= 0)
    return [_corners((contours[i][:, 0] + 1) // 2) for i in outer_first]


def _corners(ring_P2: np.ndarray) -> np.ndarray:
    """The points at which a closed ring turns, the first one repeated at the end."""
    ring_P2 = ring_P2[(ring_P2 != np.roll(ring_P2, 1, axis=0)).any(axis=1)]
    step_P2 = np.roll(ring_P2, -1, axis=0) - ring_P2
    ring_P2 = ring_P2[(step_P2 != np.roll(step_P2, 1, axis=0)).any(axis=1)]
    return np.concatenate([ring_P2, ring_P2[:1]])
