"""Segment proposals by selective search (Uijlings et al. 2013): segments of many sizes, some of which are objects.

Superpixels are joined two by two, the most alike neighbours first, until one is left; every segment on the way is a
proposal. Alike means: colour and gradient histograms that overlap, both small, and filling each other's box. The
published selective search returns boxes; here the segments themselves are kept. No labels are used.

Legend: H, W = pixels; K = superpixels; S = proposals; B = bins.
"""

from __future__ import annotations

import heapq

import cv2
import numpy as np

from ..narrowing.objects import hull_of
from ..narrowing.scribblesup import COLOUR_BINS, GRADIENT_BINS, histograms, neighbours
from .superpixels import felzenszwalb

SCALES = (100.0, 300.0)
"""Of the starting superpixels: two hierarchies, so that one bad early join does not lose an object."""
SMALLEST, LARGEST = 0.002, 0.95
"""Shares of the photo between which a segment is a proposal."""


def selective_search(image_HW3: np.ndarray, most: int = 2000) -> np.ndarray:
    """bool SHW: proposals, the first joined (smallest) first within a scale; the same pixels only once.

    most: of them, taken evenly. S * H * W bytes: ask at a reduced size for large photos.
    """
    found: dict[bytes, np.ndarray] = {}
    for scale in SCALES:
        segments_HW = felzenszwalb(image_HW3, scale)
        area_K = np.bincount(segments_HW.ravel())
        for leaves_K in _joined(image_HW3, segments_HW):
            if SMALLEST <= area_K[leaves_K].sum() / segments_HW.size <= LARGEST:
                packed = np.packbits(leaves_K[segments_HW])
                found.setdefault(packed.tobytes(), packed)
    kept = list(found.values())
    kept = kept[:: max(-(-len(kept) // most), 1)]
    pixels = image_HW3.shape[0] * image_HW3.shape[1]
    proposals = [np.unpackbits(p, count=pixels).astype(bool) for p in kept]
    return np.array(proposals, bool).reshape(-1, *image_HW3.shape[:2])


def _joined(image_HW3: np.ndarray, segments_HW: np.ndarray) -> list[np.ndarray]:
    """bool K for every segment of the hierarchy: the superpixels it is made of."""
    grey_HW = cv2.cvtColor(np.ascontiguousarray(image_HW3), cv2.COLOR_RGB2GRAY).astype(np.float32)
    gradients = np.stack([np.abs(cv2.Sobel(grey_HW, cv2.CV_32F, d, 1 - d, scale=0.25)) for d in (1, 0)], axis=-1)
    colours = list(histograms(image_HW3, segments_HW, COLOUR_BINS) / 3)
    textures = list(histograms(gradients, segments_HW, GRADIENT_BINS) / 2)
    count, pixels = len(colours), segments_HW.size
    areas = list(np.bincount(segments_HW.ravel()).astype(float))
    leaves = list(np.eye(count, dtype=bool))
    boxes = [hull_of(segments_HW == k) for k in range(count)]
    beside: list[set[int]] = [set() for _ in range(count)]
    heap: list[tuple[float, int, int]] = []

    def alike(a: int, b: int) -> float:
        y0, x0, y1, x1 = _hull(boxes[a], boxes[b])
        fill = 1 - ((y1 - y0) * (x1 - x0) - areas[a] - areas[b]) / pixels
        colour, texture = np.minimum(colours[a], colours[b]).sum(), np.minimum(textures[a], textures[b]).sum()
        return float(colour + texture + 1 - (areas[a] + areas[b]) / pixels + fill)

    for a, b in neighbours(segments_HW).tolist():
        beside[a].add(b)
        beside[b].add(a)
        heapq.heappush(heap, (-alike(a, b), a, b))
    alive = [True] * count
    while heap:
        _, a, b = heapq.heappop(heap)
        if not (alive[a] and alive[b]):
            continue
        new = len(leaves)
        part = areas[a] / (areas[a] + areas[b])
        leaves.append(leaves[a] | leaves[b])
        colours.append(part * colours[a] + (1 - part) * colours[b])
        textures.append(part * textures[a] + (1 - part) * textures[b])
        areas.append(areas[a] + areas[b])
        boxes.append(_hull(boxes[a], boxes[b]))
        alive[a] = alive[b] = False
        alive.append(True)
        beside.append({n for n in beside[a] | beside[b] if alive[n]})
        for n in beside[new]:
            beside[n].add(new)
            heapq.heappush(heap, (-alike(n, new), n, new))
    return leaves


def _hull(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])
