"""Draw what is said of a photo upon it: masks as tint and outline, clicks, strokes and boxes as themselves.

Legend: H, W = pixels of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..classes import Classes, Colour, Vocabulary
from ..labels import Box, Boxes, Label, Point, Points, Region, Regions, Scribbles, Stroke

WHITE, DARK = (255, 255, 255), (24, 24, 28)
SHIFT = 4
"""Fractional bits of the coordinates that OpenCV draws at."""


def overlay(
    image_HW3: np.ndarray, mask_HW: np.ndarray, classes: Classes, alpha: float = 0.5, outline: int = 1
) -> np.ndarray:
    """uint8 HW3: the photo tinted in the colours of the classes, with outlines between them.

    mask_HW: class indices 0..C-1; anything else (negative, C and above) is void: greyed and without tint.
    alpha: opacity of the tint, 0..1; the background class is left clear. outline: its width in pixels, 0 = none.
    """
    if image_HW3.shape[:2] != mask_HW.shape:
        raise ValueError(f"the mask is {mask_HW.shape}, the image {image_HW3.shape[:2]}: they must be equal")
    count = len(classes)
    index_HW = np.where((mask_HW < 0) | (mask_HW >= count), count, mask_HW)
    colour_K3 = np.array([*classes.colours, (128, 128, 128)], np.float32)
    alpha_K = np.full(count + 1, alpha, np.float32)
    if classes.background is not None:
        alpha_K[classes.index(classes.background)] = 0.0
    weight_HW1 = alpha_K[index_HW][..., None]
    mixed_HW3 = image_HW3 * (1 - weight_HW1) + colour_K3[index_HW] * weight_HW1
    drawn_HW3 = (mixed_HW3 + 0.5).astype(np.uint8)
    if outline > 0:
        drawn_HW3[_edges(index_HW, outline)] = WHITE
    return drawn_HW3


def _edges(index_HW: np.ndarray, width: int) -> np.ndarray:
    """bool HW: pixels beside a pixel of another class, `width` pixels wide."""
    edge_HW = np.zeros(index_HW.shape, np.uint8)
    edge_HW[:, 1:] |= index_HW[:, 1:] != index_HW[:, :-1]
    edge_HW[1:] |= index_HW[1:] != index_HW[:-1]
    if width > 1:
        edge_HW = cv2.dilate(edge_HW, np.ones((width, width), np.uint8))
    return edge_HW.astype(bool)


def class_indices(ids_HW: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """int32 HW: file ids of a source as indices of its target; -1 where they mean nothing or several classes."""
    row_of_id = np.full(max(int(ids_HW.max(initial=0)), 0) + 2, -1, np.int32)  # last entry: negative ids
    for name, file_id in zip(vocabulary.source.names, vocabulary.source.file_ids, strict=True):
        meant = vocabulary.meaning(name)
        if file_id < len(row_of_id) - 1 and len(meant) == 1:
            row_of_id[file_id] = vocabulary.target.index(min(meant))
    return row_of_id[np.where(ids_HW < 0, len(row_of_id) - 1, ids_HW)]


def draw_marks(image_HW3: np.ndarray, labels: Sequence[Label], vocabulary: Vocabulary, size: int = 1) -> np.ndarray:
    """uint8 HW3: outlines, boxes, strokes and clicks over the photo, in the colours of their classes.

    size: 1 for photos of a few hundred pixels, more for larger ones. "Not this" marks are crossed out.
    """
    drawn = np.ascontiguousarray(image_HW3).copy()
    for label in labels:
        if isinstance(label, Regions):
            for region in label.marks:
                _outline(drawn, region, colour_of(region.name, vocabulary), size)
    for label in labels:
        if isinstance(label, Boxes):
            for box in label.marks:
                _ring(drawn, box, colour_of(box.name, vocabulary), size)
    for label in labels:
        if isinstance(label, Scribbles):
            for stroke in label.marks:
                _stroke(drawn, stroke, colour_of(stroke.name, vocabulary), size)
    for label in labels:
        if isinstance(label, Points):
            for point in label.marks:
                _click(drawn, point, colour_of(point.name, vocabulary), size)
    return drawn


def colour_of(name: str, vocabulary: Vocabulary) -> Colour:
    """The colour of what a source name means; white for a group, grey for what means nothing."""
    meant = vocabulary.meaning(name)
    if len(meant) == 1:
        return vocabulary.target.colours[vocabulary.target.index(min(meant))]
    return WHITE if meant else (150, 150, 150)


def text_on(colour: Colour) -> Colour:
    """Black or white, whichever is easier to read on a colour."""
    red, green, blue = colour
    return DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else WHITE


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def chip(
    draw: ImageDraw.ImageDraw, x: float, y: float, text: str, colour: Colour, size: int, outlined: bool = False
) -> int:
    """A word on a rounded patch of its colour; returns the x behind it. outlined: only the rim has the colour."""
    face = font(size)
    width = ceil(draw.textlength(text, face)) + size
    patch = (x, y, x + width, y + round(size * 1.5))
    if outlined:
        draw.rounded_rectangle(patch, size // 3, fill=WHITE, outline=(150, 150, 150))
        draw.line((x + 4, y + size * 0.75, x + width - 4, y + size * 0.75), fill=(150, 150, 150))
    else:
        draw.rounded_rectangle(patch, size // 3, fill=colour)
    fill = (110, 110, 110) if outlined else text_on(colour)
    draw.text((x + size / 2, y + size * 0.75), text, fill=fill, font=face, anchor="lm")
    return int(x + width + size // 3)


def shortened(draw: ImageDraw.ImageDraw, text: str, width: float, size: int) -> str:
    """The text, its middle left out where it would be wider than `width` pixels."""
    face, kept = font(size), len(text)
    shown = text
    while kept > 3 and draw.textlength(shown, face) > width:
        kept -= 1
        shown = text[: kept // 2] + "…" + text[len(text) - (kept - kept // 2) :]
    return shown


def write_names(image_HW3: np.ndarray, labels: Sequence[Label], vocabulary: Vocabulary, size: int = 12) -> np.ndarray:
    """uint8 HW3: the class names at the upper left corner of boxes and outlines, inside the image."""
    picture = Image.fromarray(image_HW3)
    draw = ImageDraw.Draw(picture)
    face = font(size)
    for label in labels:
        for mark in label.marks if isinstance(label, Boxes | Regions) else ():
            x0, y0, _, _ = mark.bounds
            width = draw.textlength(mark.name, face) + size
            x = min(max(x0, 0), max(picture.width - width, 0))
            y = min(max(y0, 0), max(picture.height - size * 1.5, 0))
            chip(draw, x, y, mark.name, colour_of(mark.name, vocabulary), size)
    return np.asarray(picture)


def _fixed(xy: Sequence[tuple[float, float]] | np.ndarray) -> np.ndarray:
    """Continuous coordinates for OpenCV, whose integers are pixel centres."""
    clipped = np.clip(np.asarray(xy, np.float64) - 0.5, -30000, 30000)
    return np.rint(clipped * 2**SHIFT).astype(np.int32)


def _outline(drawn: np.ndarray, region: Region, colour: Colour, size: int) -> None:
    for polygon in region.polygons:
        rings = [_fixed(ring_N2) for ring_N2 in polygon]
        cv2.polylines(drawn, rings, True, DARK, 1 + 2 * size, cv2.LINE_AA, SHIFT)
        cv2.polylines(drawn, rings, True, colour, 2 * size, cv2.LINE_AA, SHIFT)


def _ring(drawn: np.ndarray, box: Box, colour: Colour, size: int) -> None:
    corners = [_fixed(box.corners)]
    cv2.polylines(drawn, corners, True, DARK, 2 + 2 * size, cv2.LINE_AA, SHIFT)
    cv2.polylines(drawn, corners, True, colour, 2 * size, cv2.LINE_AA, SHIFT)
    for x, y in box.extremes:
        _click(drawn, Point(box.name, x, y), colour, size)


def _stroke(drawn: np.ndarray, stroke: Stroke, colour: Colour, size: int) -> None:
    line = [_fixed(stroke.xy if len(stroke.xy) > 1 else (*stroke.xy, *stroke.xy))]
    width = max(round(stroke.width), 2 * size)
    cv2.polylines(drawn, line, False, WHITE, width + 2 * size, cv2.LINE_AA, SHIFT)
    cv2.polylines(drawn, line, False, colour, width, cv2.LINE_AA, SHIFT)
    if stroke.negative:
        middle = stroke.xy[len(stroke.xy) // 2]
        _cross(drawn, middle, size)


def _click(drawn: np.ndarray, point: Point, colour: Colour, size: int) -> None:
    x, y = map(int, _fixed([(point.x, point.y)])[0])
    for radius, paint in ((6 * size, DARK), (5 * size, WHITE), (4 * size, colour)):
        cv2.circle(drawn, (x, y), radius << SHIFT, paint, -1, cv2.LINE_AA, SHIFT)
    if point.negative:
        _cross(drawn, (point.x, point.y), size)


def _cross(drawn: np.ndarray, xy: tuple[float, float], size: int) -> None:
    arm = 7 * size
    for dx, dy in ((arm, arm), (arm, -arm)):
        ends = _fixed([(xy[0] - dx, xy[1] - dy), (xy[0] + dx, xy[1] + dy)])
        cv2.polylines(drawn, [ends], False, (220, 30, 30), 2 * size, cv2.LINE_AA, SHIFT)
