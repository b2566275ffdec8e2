"""A photo of any size -> class scores block by block, with memory for one tile of the photo.

A photo of up to TILE x TILE pixels (after shrinking to the network's working size) is one block, seen whole. A larger
one is seen in overlapping tiles:

    |<------------- TILE ------------->|
                        | CONTEXT | RAMP | CONTEXT |
                        |<------------- TILE ------------->|

Of the pixels that two tiles share, those of CONTEXT next to a tile's edge are only looked at; across RAMP the scores
fade from one tile to the next, with weights that sum to 1. Tiles begin at multiples of the network's strides, so
their cells are those of the whole photo, and a network that looks no further than CONTEXT gives exactly the scores of
the whole photo. With a wider finite field that holds where the field lies inside the tile. What pools over the
whole image is told by `whole`. Attention sees its tile only.

Blocks meet at cell centres: the last row and column of cells of a block are the first of the next, so every
pixel is interpolated between the cells that it would have in one large map.

Legend: H, W = pixels; h, w = cells; C = classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np

from ..grid import Grid
from ..kernels.upsample_argmax import upsample_argmax, upsample_confusion
from .sliding import Forward, softmax
from .views import Tta, check_image, resampled, resized, scaled, scores_on_grid, shrinking, upsampled, views_of

TILE, CONTEXT, RAMP = 2048, 256, 64
"""Pixels. Taken for granted: strides of at most CONTEXT, and tiles of which only neighbours overlap."""

ALIGNED = 32
"""The largest stride inside any network here; `grid` tells only that of its scores."""

Whole = Callable[[np.ndarray], Forward]
"""The whole photo, shrunk to at most TILE x TILE -> a forward pass for its tiles that pools over all of it."""


@dataclass(frozen=True)
class Block:
    """Pixels [top, top + height) x [left, left + width) of the photo; `grid` counts from the first of them."""

    top: int
    left: int
    height: int
    width: int
    scores_Chw: np.ndarray
    grid: Grid

    @property
    def place(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclass
class Seams:
    """Cells that two tiles both named, and those of them that they named differently: 0 where tiles change nothing."""

    tiles: int = 1
    cells: int = 0
    differing: int = 0

    def compare(self, one_Chw: np.ndarray, other_Chw: np.ndarray) -> None:
        if one_Chw.size:
            self.cells += one_Chw[0].size
            self.differing += int((one_Chw.argmax(axis=0) != other_Chw.argmax(axis=0)).sum())


def score_blocks(
    forward: Forward,
    grid: Grid,
    image_HW3: np.ndarray,
    smallest: int = 1,
    working_size: int | None = None,
    tta: Tta = False,
    whole: Whole | None = None,
    seams: Seams | None = None,
) -> Iterator[Block]:
    """Blocks that cover the photo, each pixel once. Arguments as for `views.scores_on_grid`, which sees every tile.

    whole: for networks that pool over the image; seen through a window they pool over that. seams: is told how well
    neighbouring tiles agree.
    Holds one tile and, along one row of tiles, the scores of the RAMP. Views of `tta` are averaged tile by tile.
    """
    check_image(image_HW3)
    views = views_of(tta)
    height, width = image_HW3.shape[:2]
    h, w = shrinking(height, width, working_size)
    if max(h, w) <= TILE:
        yield Block(0, 0, height, width, *scores_on_grid(forward, grid, image_HW3, smallest, working_size, views))
        return
    seen_HW3 = resized(image_HW3, h, w)
    if whole is not None and views.window is None:
        forward = whole(resized(seen_HW3, *shrinking(h, w, TILE)))
    # As in one pass, the densest view gives the cells.
    seen = scaled(grid, 1 / max(views.scales), 1 / max(views.scales))
    rows, columns = _spans(h, seen.stride_y, seen.centre_y), _spans(w, seen.stride_x, seen.centre_x)
    full = scaled(seen, height / h, width / w)
    tops, lefts = (
        _edges(rows, full.stride_y, full.centre_y, height),
        _edges(columns, full.stride_x, full.centre_x, width),
    )
    seams = seams or Seams()
    seams.tiles = len(rows) * len(columns)
    above_Crw: np.ndarray | None = None  # what the row of tiles above leaves for this one, all columns
    for row, (top, bottom) in zip(rows, pairwise(tops), strict=True):
        below_Crw: np.ndarray | None = None
        beside_Chr: np.ndarray | None = None  # the same of the tile to the left
        for column, (left, right) in zip(columns, pairwise(lefts), strict=True):
            tile_HW3 = np.ascontiguousarray(seen_HW3[row.start : row.end, column.start : column.end])
            scores_Chw = _weighted(*scores_on_grid(forward, grid, tile_HW3, smallest, None, views), seen, row, column)
            if beside_Chr is not None:
                shared_Chr = scores_Chw[:, :, : beside_Chr.shape[2]]
                seams.compare(shared_Chr[:, :, 1:], beside_Chr[:, :, 1:])
                shared_Chr += beside_Chr
            beside_Chr = scores_Chw[:, :, column.final - column.first - 1 :].copy()
            scores_Chw = scores_Chw[:, :, : column.final - column.first]
            here = slice(column.first, column.final)
            if above_Crw is not None:
                shared_Crw = scores_Chw[:, : above_Crw.shape[1]]
                seams.compare(shared_Crw[:, 1:], above_Crw[:, 1:, here])
                shared_Crw += above_Crw[:, :, here]
            if below_Crw is None:
                below_Crw = np.empty((len(scores_Chw), row.last - row.final + 1, columns[-1].last), np.float32)
            below_Crw[:, :, here] = scores_Chw[:, row.final - row.first - 1 :]
            found = full.cropped(row.first, column.first)
            found = replace(found, centre_y=found.centre_y - top, centre_x=found.centre_x - left)
            yield Block(top, left, bottom - top, right - left, scores_Chw[:, : row.final - row.first], found)
        above_Crw = below_Crw


def mask_of(blocks: Iterable[Block], height: int, width: int, dtype: type = np.int32) -> np.ndarray:
    """mask_HW: the winning class of every pixel."""
    mask_HW: np.ndarray = np.empty((height, width), dtype)
    for b in blocks:
        mask_HW[b.place] = upsample_argmax(b.scores_Chw, b.grid, b.height, b.width)
    return mask_HW


def confidence_of(blocks: Iterable[Block], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(mask_HW int32, confidence_HW float32: the probability of the winning class)."""
    mask_HW, confidence_HW = np.empty((height, width), np.int32), np.empty((height, width), np.float32)
    for b in blocks:
        mask_HW[b.place], confidence_HW[b.place] = upsample_argmax(
            b.scores_Chw, b.grid, b.height, b.width, confidence=True
        )
    return mask_HW, confidence_HW


def confusion_of(blocks: Iterable[Block], truth_HW: np.ndarray) -> np.ndarray:
    """confusion_CC int64 of the winners against class indices (negative = void), without even the mask."""
    return np.sum([upsample_confusion(b.scores_Chw, b.grid, truth_HW[b.place]) for b in blocks], axis=0)


def probabilities_of(blocks: Iterable[Block], height: int, width: int) -> np.ndarray:
    """probabilities_CHW float32 of all classes at every pixel."""
    full_CHW: np.ndarray | None = None
    for b in blocks:
        of_block_CHW = softmax(upsampled(b.scores_Chw, b.grid, b.height, b.width))
        if of_block_CHW.shape[1:] == (height, width):
            return of_block_CHW
        if full_CHW is None:
            full_CHW = np.empty((len(of_block_CHW), height, width), np.float32)
        full_CHW[:, *b.place] = of_block_CHW
    assert full_CHW is not None
    return full_CHW


@dataclass(frozen=True)
class _Span:
    """One axis of a tile: pixels [start, end); of the axis's cells it weighs [first, last), [first, final) for good."""

    start: int
    end: int
    first: int
    final: int
    last: int
    skipped: int  # cells of the tile before `first`
    weight: np.ndarray  # of the cells [first, last)


def _spans(pixels: int, stride: float, centre: float) -> list[_Span]:
    cells = math.ceil(pixels / stride)
    # Whole strides of the scores, too: 14 for DINOv2, 16 / 5 for scores of stride 4 at the scale 1.25.
    aligned = math.lcm(ALIGNED, Fraction(stride).limit_denominator(64).numerator)
    step = (TILE - 2 * CONTEXT - RAMP) // aligned * aligned
    starts = range(0, pixels - (TILE - step), step) if pixels > TILE else range(1)
    # In cells: from where to where each tile fades into the next.
    begins = [(start + (TILE - step - RAMP) / 2 - centre) / stride for start in starts[1:]]
    ends = [begin + RAMP / stride for begin in begins]
    firsts = [0, *(math.floor(begin) for begin in begins)]
    finals = [*(math.floor(begin) + 1 for begin in begins), cells]
    lasts = [*(math.ceil(end) for end in ends), cells]
    spans = []
    for i, start in enumerate(starts):
        cell_k = np.arange(firsts[i], lasts[i])
        weight_k = np.ones(len(cell_k))
        if i > 0:
            weight_k *= _rising((cell_k - begins[i - 1]) * stride / RAMP)
        if i < len(begins):
            weight_k *= 1 - _rising((cell_k - begins[i]) * stride / RAMP)
        skipped = firsts[i] - round(start / stride)
        end = min(start + TILE, pixels)
        spans.append(_Span(start, end, firsts[i], finals[i], lasts[i], skipped, weight_k.astype(np.float32)))
    return spans


def _rising(t: np.ndarray) -> np.ndarray:
    """0 up to t = 0, 1 from t = 1, smooth between; rising(1 - t) is 1 - rising(t)."""
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def _edges(spans: Sequence[_Span], stride: float, centre: float, pixels: int) -> list[int]:
    """The first pixel of each block and, last, the number of pixels: blocks meet at the centre of a shared cell."""
    return [0, *(math.ceil(centre + stride * span.first - 0.5) for span in spans[1:]), pixels]


def _weighted(scores_Chw: np.ndarray, found: Grid, seen: Grid, row: _Span, column: _Span) -> np.ndarray:
    """The cells of a tile that are used, moved to the photo's where views at scales have put them elsewhere."""
    h, w = row.skipped + row.last - row.first, column.skipped + column.last - column.first
    if found != seen:
        scores_Chw = resampled(scores_Chw, found, seen, h, w)
    weight_hw = row.weight[:, None] * column.weight
    return scores_Chw[:, row.skipped : h, column.skipped : w] * weight_hw
