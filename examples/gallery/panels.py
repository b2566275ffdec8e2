"""What all pictures of the gallery are made of: candidates as stripes, and rows of captioned panels.

Legend: H, W = pixels; C = classes; K = rows of the table of candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from labels2masks.classes import Classes
from labels2masks.files import write_atomically
from labels2masks.labels import VOID_ROW, Candidates
from labels2masks.report.overlay import chip, font, shortened

PAPER, INK, FAINT = (250, 250, 248), (24, 24, 28), (112, 112, 118)
GAP, CAPTION = 18, 30

Panel = tuple[str, np.ndarray]
"""Caption and image_HW3."""


def stripes(image_HW3: np.ndarray, candidates: Candidates, classes: Classes, period: int = 9) -> np.ndarray:
    """uint8 HW3: every pixel in the colours of the classes it can still be, over a pale photo.

    One candidate is a plain tint, several are diagonal stripes `period` pixels wide, void is dark.
    """
    height, width = candidates.index_HW.shape
    diagonal_HW = (np.arange(height)[:, None] + np.arange(width)) // period
    colours_C3 = np.array(classes.colours, np.float32)
    paint_HW3 = np.full((height, width, 3), 45, np.float32)
    for row in np.unique(candidates.index_HW):
        if row == VOID_ROW:
            continue
        members = np.flatnonzero(candidates.sets_KC[row])
        where_HW = candidates.index_HW == row
        paint_HW3[where_HW] = colours_C3[members[diagonal_HW[where_HW] % len(members)]]
    grey_HW1 = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    return np.clip(0.72 * paint_HW3 + 0.28 * grey_HW1, 0, 255).astype(np.uint8)


def tint(image_HW3: np.ndarray, mask_HW: np.ndarray, classes: Classes) -> np.ndarray:
    """uint8 HW3: like `stripes` where a mask has decided every pixel; -1 (void, undecided) is dark."""
    colours_K3 = np.array([*classes.colours, (45, 45, 45)], np.float32)
    grey_HW1 = cv2.cvtColor(image_HW3, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    return np.clip(0.72 * colours_K3[mask_HW] + 0.28 * grey_HW1, 0, 255).astype(np.uint8)


def figure(rows: Sequence[Sequence[Panel]], classes: Classes, panel_width: int = 300) -> Image.Image:
    """Rows of captioned panels, all `panel_width` wide, above them the classes in their colours."""
    shown = [[(caption, _fitted(image, panel_width)) for caption, image in row] for row in rows]
    width = GAP + max(len(row) for row in rows) * (panel_width + GAP)
    heights = [max(image.shape[0] for _, image in row) + CAPTION for row in shown]
    sheet = Image.new("RGB", (width, 52 + sum(heights) + GAP * len(rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    x = GAP
    for name, colour in zip(classes.names, classes.colours, strict=True):
        x = chip(draw, x, 16, name, colour, 15)
    y = 52
    for row, height in zip(shown, heights, strict=True):
        for k, (caption, image) in enumerate(row):
            left = GAP + k * (panel_width + GAP)
            draw.text((left, y + 13), shortened(draw, caption, panel_width, 15), INK, font(15), anchor="lm")
            sheet.paste(Image.fromarray(image), (left, y + CAPTION - 2))
        y += height + GAP
    return sheet


def save(picture: Image.Image, path: Path) -> Path:
    return write_atomically(path, lambda file: picture.save(file, format="PNG", optimize=True))


def _fitted(image_HW3: np.ndarray, width: int) -> np.ndarray:
    height = round(image_HW3.shape[0] * width / image_HW3.shape[1])
    smaller = width < image_HW3.shape[1]
    return cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
