"""One photo -> one training crop: image and labels moved together by one affine map.

Everything random is drawn from (seed, epoch, index), so a crop is the same in every worker,
on every resume. Zoom, turn, flip and crop are one matrix, which an elastic deformation joins: the image is resampled
once, drawn labels stay coordinates and are rasterised in the crop, masks are warped nearest. Brightness, contrast,
saturation and hue are one more, on the colours. What each does is what torchvision's v2 transforms do, which the
tests hold it against; a chain of those would resample once for each step, and knows masks and boxes only.

Legend: H, W = pixels of the crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, log

import cv2
import numpy as np

from ..classes import Vocabulary
from ..formats.dataset import Photo
from ..labels import VOID_ROW, Candidates, Label, Mask, rasterise
from ..labels.geometry import moved, pixel_matrix
from ..labels.rasterise import check_size
from .elastic import deformed, displacement, moved_labels
from .objectness import objectness_in_crop
from .settings import Augment

FILL = (124, 116, 104)
"""Colour beyond the photo's edge: the mean of ImageNet; those pixels are void."""

AVERAGED = 0.75
"""Zoom below which bilinear sampling would skip pixels, so that they are averaged."""

GREY = np.array([0.299, 0.587, 0.114])
"""Luma of RGB (BT.601)."""


def early_crop(crop: tuple[int, int]) -> tuple[int, int]:
    """The crop of the steps before the run settles: four fifths of the sides, in steps of 32 px."""
    return tuple(min(side, max(32, round(0.8 * side / 32) * 32)) for side in crop)  # type: ignore[return-value]


def settled(augment: Augment) -> Augment:
    """Half the zoom, in octaves."""
    return augment.model_copy(update={"scale": tuple(zoom**0.5 for zoom in augment.scale)})


@dataclass(frozen=True)
class Crop:
    """image_HW3: uint8 RGB. candidates: HW. name: the photo's. border_HW: see `losses.Batch`.

    strong_HW3: the image as the network is to see it instead (see `strong`). objectness_HW: see `losses.Batch`.
    matrix_23: the map from the photo's pixels to the crop's. maps: what a frozen encoder sees (see `frozen_maps`).
    """

    image_HW3: np.ndarray
    candidates: Candidates
    name: str
    border_HW: np.ndarray | None = None
    strong_HW3: np.ndarray | None = None
    objectness_HW: np.ndarray | None = None
    matrix_23: np.ndarray | None = None
    maps: list[np.ndarray] | None = None


def training_crop(
    photo: Photo,
    augment: Augment,
    crop: tuple[int, int],
    size: int | None,
    rarity: dict[int, float],
    draw: np.random.Generator,
    objects: bool = False,
) -> Crop:
    """A random crop of height x width = `crop`. Raises DataError for unreadable files.

    size: long side in px to which the photo is shrunk before the random zoom, None = as it is.
    rarity: file id -> weight by which a class attracts crops. objects: with `objectness_HW`?
    A photo without a mask is shown whole, so that what is known of the whole image holds.
    """
    image_HW3, labels = photo.loaded()
    matrix_23 = _random_map(image_HW3.shape[:2], labels, augment, crop, size, rarity, draw)
    field_HW2 = None
    if augment.elastic > 0 and any(isinstance(x, Mask) for x in labels):
        field_HW2 = displacement(*crop, draw, augment.elastic)
    objectness_HW = objectness_in_crop(image_HW3, matrix_23, crop, field_HW2) if objects else None
    image, candidates = apply_map(image_HW3, labels, photo.vocabulary, matrix_23, crop, field_HW2)
    image = recoloured(image, augment, draw)
    if augment.blur > 0 and draw.random() < augment.blur:
        image = cv2.GaussianBlur(image, (5, 5), 0)
    return Crop(image, candidates, photo.name, objectness_HW=objectness_HW, matrix_23=matrix_23)


def apply_map(
    image_HW3: np.ndarray,
    labels: Sequence[Label],
    vocabulary: Vocabulary,
    matrix_23: np.ndarray,
    crop: tuple[int, int],
    field_HW2: np.ndarray | None = None,
) -> tuple[np.ndarray, Candidates]:
    """(image_HW3 uint8, Candidates) after x' = M x in a raster of `crop`. Raises DataError for labels that do not fit.

    A map that does not turn is first moved by up to half a pixel of the crop, for image and labels alike: then the
    photo needs resizing only, at a fifth of the cost of a warp.
    field_HW2: an elastic deformation of that raster (see `elastic`). The photo is then mirrored beyond its edges.
    """
    shape = image_HW3.shape[:2]
    if field_HW2 is not None:
        averaged_HW3, averaged_23 = _averaged(image_HW3, matrix_23)
        image_HW3 = deformed(averaged_HW3, field_HW2, matrix_23=averaged_23)
    elif matrix_23[0, 1] == matrix_23[1, 0] == 0 and abs(matrix_23[0, 0]) == matrix_23[1, 1]:
        image_HW3, matrix_23 = _resized(image_HW3, matrix_23, crop)
    else:
        image_HW3 = _warped(image_HW3, matrix_23, crop)
    return image_HW3, _candidates(labels, vocabulary, matrix_23, shape, crop, field_HW2)


def _resized(image_HW3: np.ndarray, matrix_23: np.ndarray, crop: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(the crop, the map moved to whole pixels) for a map that zooms, moves and may mirror."""
    height, width = crop
    mirrored, zoom = matrix_23[0, 0] < 0, float(matrix_23[1, 1])
    x = width - matrix_23[0, 2] if mirrored else matrix_23[0, 2]  # of the crop before it is mirrored
    columns, cut_x, left, x = _axis(x, zoom, image_HW3.shape[1], width)
    rows, cut_y, top, y = _axis(matrix_23[1, 2], zoom, image_HW3.shape[0], height)
    part = image_HW3[rows, columns]
    if round(min(part.shape[:2]) * zoom) > 0:
        how = cv2.INTER_AREA if zoom < AVERAGED else cv2.INTER_LINEAR
        part = cv2.resize(part, None, fx=zoom, fy=zoom, interpolation=how)[cut_y, cut_x]
    else:
        part = part[:0]
    if part.size:
        right, bottom = width - left - part.shape[1], height - top - part.shape[0]
        image_HW3 = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_CONSTANT, value=FILL)
    else:  # the crop lies beside the photo
        image_HW3 = np.full((height, width, 3), FILL, np.uint8)
    move = np.array([width - x if mirrored else x, y])
    return cv2.flip(image_HW3, 1) if mirrored else image_HW3, np.column_stack([matrix_23[:, :2], move])


def _axis(move: float, zoom: float, pixels: int, length: int) -> tuple[slice, slice, int, float]:
    """(part of the photo, cut of that part resized, pixels of the crop before it, the move rounded to these).

    The part reaches beyond the crop by what its outermost pixels are interpolated from.
    """
    first = max(0, floor(-move / zoom) - 1)
    stop = min(pixels, ceil((length - move) / zoom) + ceil(1 / zoom) + 1)
    skipped = round(-move - zoom * first)
    cut = slice(max(0, skipped), max(0, skipped + length))
    return slice(first, max(first, stop)), cut, max(0, -skipped), -(skipped + zoom * first)


def _averaged(image_HW3: np.ndarray, matrix_23: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(image, map from it to the crop), the image shrunk first where the map alone would skip pixels."""
    height, width = image_HW3.shape[:2]
    zoom = float(np.sqrt(abs(np.linalg.det(matrix_23[:, :2]))))
    if zoom >= AVERAGED:
        return image_HW3, matrix_23
    small = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    linear = matrix_23[:, :2] @ np.diag([width / small[0], height / small[1]])
    return cv2.resize(image_HW3, small, interpolation=cv2.INTER_AREA), np.column_stack([linear, matrix_23[:, 2]])


def _warped(image_HW3: np.ndarray, matrix_23: np.ndarray, crop: tuple[int, int]) -> np.ndarray:
    image_HW3, matrix_23 = _averaged(image_HW3, matrix_23)
    return cv2.warpAffine(image_HW3, pixel_matrix(matrix_23), crop[::-1], flags=cv2.INTER_LINEAR, borderValue=FILL)


def _candidates(
    labels: Sequence[Label],
    vocabulary: Vocabulary,
    matrix_23: np.ndarray,
    shape: tuple[int, int],
    crop: tuple[int, int],
    field_HW2: np.ndarray | None,
) -> Candidates:
    """What the labels of a photo of `shape` leave possible in the crop."""
    old_height, old_width = shape
    height, width = crop
    masks = [x for x in labels if isinstance(x, Mask)]
    for mask in masks:
        check_size(mask, shape)
    if masks and len(masks) == len(labels) and old_height * old_width <= 2 * height * width:
        # A small photo with masks alone: its candidates are warped, which spares the crop a second count of ids.
        made = rasterise(labels, vocabulary, old_height, old_width)
        return made.mapped(lambda index_HW: _nearest(index_HW.astype(np.float32), matrix_23, crop, field_HW2))
    if field_HW2 is not None:
        return rasterise(moved_labels(labels, field_HW2, matrix_23), vocabulary, height, width, whole=False)
    outside_HW = None
    if not masks:  # a mask says itself where there is no photo
        outside_HW = _nearest(np.ones(shape, np.uint8), matrix_23, crop) == 0
    corners_42 = np.array([[0, 0], [old_width, 0], [0, old_height], [old_width, old_height]], float)
    corners_42 = corners_42 @ matrix_23[:, :2].T + matrix_23[:, 2]
    whole = bool((corners_42 >= -0.5).all() and (corners_42 <= np.array([width, height]) + 0.5).all())
    return rasterise(moved(labels, matrix_23, height, width), vocabulary, height, width, whole, outside_HW)


def _nearest(
    map_HW: np.ndarray, matrix_23: np.ndarray, crop: tuple[int, int], field_HW2: np.ndarray | None = None
) -> np.ndarray:
    """The map in the crop, 0 (the row of void) where there is no photo."""
    if field_HW2 is not None:
        return deformed(map_HW, field_HW2, VOID_ROW, matrix_23)
    return cv2.warpAffine(map_HW, pixel_matrix(matrix_23), crop[::-1], flags=cv2.INTER_NEAREST, borderValue=VOID_ROW)


def _random_map(
    shape: tuple[int, ...],
    labels: Sequence[Label],
    augment: Augment,
    crop: tuple[int, int],
    size: int | None,
    rarity: dict[int, float],
    draw: np.random.Generator,
) -> np.ndarray:
    height, width = shape[:2]
    mask = next((x for x in labels if isinstance(x, Mask) and x.ids_HW is not None), None)
    base = min(1.0, size / max(height, width)) if size else 1.0
    low, high, *others = augment.scale
    zoom = float(draw.choice(augment.scale)) if others else exp(draw.uniform(log(low), log(high)))
    turn = draw.uniform(-augment.rotate, augment.rotate) if draw.random() < 0.5 else 0.0
    flip = -1.0 if augment.flip and draw.random() < 0.5 else 1.0
    if mask is None:
        fit = min(crop[0] / height, crop[1] / width)
        scale = min(base * zoom, fit)
        turn = 0.0
    else:
        scale = base * zoom
    rad = np.deg2rad(turn)
    linear = scale * np.array([[np.cos(rad), -np.sin(rad)], [np.sin(rad), np.cos(rad)]]) @ np.diag([flip, 1.0])
    centre = _crop_centre((height, width), mask, crop, scale, augment.rare, rarity, draw)
    target = np.array([crop[1] / 2, crop[0] / 2])
    if mask is None:  # anywhere the whole photo still fits
        room = np.maximum(np.array([crop[1] - width * scale, crop[0] - height * scale]), 0)
        target = target + (draw.random(2) - 0.5) * room
    return np.column_stack([linear, target - linear @ centre])


def _crop_centre(
    shape: tuple[int, int],
    mask: Mask | None,
    crop: tuple[int, int],
    scale: float,
    rare: float,
    rarity: dict[int, float],
    draw: np.random.Generator,
) -> np.ndarray:
    """(x, y) of the photo that the crop is centred on: of the whole photo, at random, or on a rare class."""
    height, width = shape
    half = np.array([crop[1], crop[0]]) / 2 / scale
    room_low = np.minimum(half, np.array([width, height]) / 2)
    room_high = np.maximum(np.array([width, height]) - half, np.array([width, height]) / 2)
    centre = draw.uniform(room_low, room_high) if mask is not None else np.array([width, height]) / 2
    if mask is not None and mask.ids_HW is not None and draw.random() < rare:
        thin_HW = mask.ids_HW[::4, ::4]
        present = [int(i) for i in np.unique(thin_HW) if int(i) in rarity]
        if present:
            weights = np.array([rarity[i] for i in present])
            chosen = draw.choice(present, p=weights / weights.sum())
            ys, xs = np.nonzero(thin_HW == chosen)
            k = draw.integers(len(ys))
            near = np.array([xs[k], ys[k]]) * 4 + draw.uniform(-0.25, 0.25, 2) * half
            centre = np.clip(near, room_low, room_high)
    return centre


def recoloured(image_HW3: np.ndarray, augment: Augment, draw: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and saturation by factors within 1 +- colour, hue turned by up to `hue` of a turn.

    Contrast stretches about the image's mean grey, saturation about each pixel's grey, hue turns about the grey axis.
    All are linear in RGB, so together they are one 3x4 matrix. uint8 in, uint8 out, clipped.
    """
    brightness, contrast, saturation = draw.uniform(1 - augment.colour, 1 + augment.colour, 3)
    angle = 2 * np.pi * draw.uniform(-augment.hue, augment.hue)
    if augment.colour == 0 and augment.hue == 0:
        return image_HW3
    grey_33 = np.tile(GREY, (3, 1))
    ones_33 = np.full((3, 3), 1 / 3)
    cross_33 = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turned_33 = np.cos(angle) * (np.eye(3) - ones_33) + np.sin(angle) * cross_33 + ones_33  # Rodrigues, axis (1, 1, 1)
    saturated_33 = saturation * np.eye(3) + (1 - saturation) * grey_33
    linear_33 = brightness * contrast * saturated_33 @ turned_33
    mean_grey = brightness * float(GREY @ np.array(cv2.mean(image_HW3)[:3]))
    return cv2.transform(image_HW3, np.column_stack([linear_33, np.full(3, (1 - contrast) * mean_grey)]))
