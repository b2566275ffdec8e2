"""One picture of a data set: a legend, and a few photos with everything that is said of them.

Each photo stands as it is with its clicks, strokes and boxes; beside it, where there is a
mask, once more with the mask's tint. Tags and shares are words below it, classes that are
said to be absent are struck through.

Legend: H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ..classes import Colour
from ..errors import DataError
from ..files import write_atomically
from ..formats.dataset import Photo
from ..formats.image import image_size
from ..labels import AreaShares, Label, Mask, Tags, kind_name
from ..labels.geometry import moved
from .overlay import DARK, chip, class_indices, colour_of, draw_marks, font, overlay, shortened, write_names

WIDTH, GAP = 1600, 14
ROW = 240
"""Height of a row; rows are made lower so that they end at the right margin, and never below `LOWEST`."""
LOWEST = 120
PAPER, INK, FAINT, WRONG = (250, 250, 248), DARK, (120, 120, 124), (176, 48, 32)
CHIP = 13
NAME_LINE, WORD_LINE = 22, 24
MOST_SILENT = 4
"""Absent classes shown by name; above that only their number."""


def contact_sheet(
    photos: Sequence[Photo],
    path: Path | str,
    title: str,
    legend: Sequence[tuple[str, Colour, str]] = (),
    remarks: Mapping[str, str] | None = None,
) -> Path:
    """Write the sheet as PNG. legend: (name, colour, remark) of each class. Unreadable photos become a grey panel.

    remarks: what is said of a photo in place of its kinds of labels.
    """
    strips = [_head(title, legend)]
    for row, height in _rows([(p, _aspect(p)) for p in photos]):
        strips.append(_strip(row, height, remarks or {}))
    sheet = Image.new("RGB", (WIDTH, sum(s.height for s in strips) + GAP), PAPER)
    y = 0
    for strip in strips:
        sheet.paste(strip, (0, y))
        y += strip.height
    return write_atomically(path, lambda file: sheet.save(file, format="PNG"))


def _aspect(photo: Photo) -> float:
    """Width by height of all panels of a photo side by side."""
    try:
        height, width = image_size(photo.image)
    except DataError:
        return 1.0
    return min(width / height, 8.0) * (1 + len(photo.masks))


def _rows(items: Sequence[tuple[Photo, float]]) -> list[tuple[list[tuple[Photo, float]], int]]:
    """(photos, height) of each row: as many as fill the width at `ROW`, then as low as it takes."""
    rows: list[tuple[list[tuple[Photo, float]], int]] = []
    row: list[tuple[Photo, float]] = []
    for item in items:
        row.append(item)
        room = WIDTH - 2 * GAP - GAP * (len(row) - 1)
        if (height := room / sum(a for _, a in row)) <= ROW:
            rows.append((row, max(int(height), LOWEST)))
            row = []
    return [*rows, (row, ROW)] if row else rows


def _strip(row: Sequence[tuple[Photo, float]], height: int, remarks: Mapping[str, str]) -> Image.Image:
    spoken = any(isinstance(x, Tags | AreaShares) for p, _ in row for x in p.labels)
    caption = NAME_LINE + (WORD_LINE if spoken else 0)
    strip = Image.new("RGB", (WIDTH, GAP + height + caption), PAPER)
    x = GAP
    for photo, aspect in row:
        width = min(round(height * aspect), WIDTH - GAP - x)
        strip.paste(_item(photo, width, height, caption, remarks.get(photo.name)), (x, GAP))
        x += width + GAP
    return strip


def _head(title: str, legend: Sequence[tuple[str, Colour, str]]) -> Image.Image:
    """Title and one chip a class, broken into lines."""
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    lines: list[list[tuple[str, Colour, str, float]]] = [[]]
    for name, colour, remark in legend:
        width = probe.textlength(name, font(15)) + 15 + probe.textlength(remark, font(14)) + 26
        if lines[-1] and sum(w for *_, w in lines[-1]) + width > WIDTH - 2 * GAP:
            lines.append([])
        lines[-1].append((name, colour, remark, width))
    head = Image.new("RGB", (WIDTH, 56 + 30 * len([x for x in lines if x]) + 6), PAPER)
    draw = ImageDraw.Draw(head)
    draw.text((GAP, 28), shortened(draw, title, WIDTH - 2 * GAP, 24), fill=INK, font=font(24), anchor="lm")
    for k, line in enumerate(lines):
        x = float(GAP)
        for name, colour, remark, width in line:
            after = chip(draw, x, 54 + 30 * k, name, colour, 15)
            draw.text((after, 54 + 30 * k + 11), remark, fill=FAINT, font=font(14), anchor="lm")
            x += width
    return head


def _item(photo: Photo, width: int, height: int, caption: int, remark: str | None) -> Image.Image:
    """One photo: its panel or panels side by side, name and words below."""
    item = Image.new("RGB", (width, height + caption), PAPER)
    draw = ImageDraw.Draw(item)
    labels: tuple[Label, ...] = ()
    try:
        image_HW3, labels = photo.loaded()
        panels = _panels(image_HW3, labels, photo, width, height)
        for k, panel in enumerate(panels):
            item.paste(Image.fromarray(panel), (round(k * width / len(panels)), 0))
    except DataError as error:
        draw.rectangle((0, 0, width, height - 1), fill=(222, 218, 216))
        reason = str(error).rsplit("/", 1)[-1]
        draw.text((width / 2, height / 2 - 12), "not readable", fill=(170, 40, 40), font=font(16), anchor="mm")
        draw.text((width / 2, height / 2 + 10), shortened(draw, reason, width - 12, 12), INK, font(12), anchor="mm")
    said = remark or " + ".join(dict.fromkeys(kind_name(x) for x in photo.labels)) or "no labels"
    if remark:
        said = shortened(draw, said, width * 0.7, 12)
    name = shortened(draw, photo.name, width - (draw.textlength(said, font(12)) + 12 if remark else 0), 13)
    draw.text((0, height + 12), name, fill=INK, font=font(13), anchor="lm")
    if draw.textlength(name, font(13)) + draw.textlength(said, font(12)) + 12 <= width + 1:
        draw.text((width, height + 12), said, fill=WRONG if remark else FAINT, font=font(12), anchor="rm")
    _words(draw, labels, photo, width, height + NAME_LINE)
    return item


def _panels(image_HW3: np.ndarray, labels: Sequence[Label], photo: Photo, width: int, height: int) -> list[np.ndarray]:
    """The photo with its marks, then with each mask; `width` is that of all together."""
    masks = [x for x in labels if isinstance(x, Mask) and x.ids_HW is not None]
    for mask in masks:
        if mask.ids_HW is not None and mask.ids_HW.shape != image_HW3.shape[:2]:
            raise DataError(f"{mask.path or 'mask'}: another size than the photo")
    to_h, to_w = height, max(width // (1 + len(masks)) - 2, 1)
    scale_y, scale_x = to_h / image_HW3.shape[0], to_w / image_HW3.shape[1]
    matrix = np.array([[scale_x, 0, 0], [0, scale_y, 0]], np.float64)
    small = cv2.resize(image_HW3, (to_w, to_h), interpolation=cv2.INTER_AREA if scale_y < 1 else cv2.INTER_LINEAR)
    at_scale = moved(labels, matrix, to_h, to_w)
    drawn = draw_marks(small, at_scale, photo.vocabulary)
    panels = [write_names(drawn, at_scale, photo.vocabulary, CHIP)]
    for label in at_scale:
        if isinstance(label, Mask) and label.ids_HW is not None:
            index_HW = class_indices(label.ids_HW, photo.vocabulary)
            panels.append(overlay(small, index_HW, photo.vocabulary.target, 0.55))
    return panels


def _words(draw: ImageDraw.ImageDraw, labels: Sequence[Label], photo: Photo, width: int, y: int) -> None:
    """Tags and shares as chips in the caption's second line, as many as fit."""
    words: list[tuple[str, Colour, bool]] = []
    for label in labels:
        if isinstance(label, Tags):
            words += [(n, colour_of(n, photo.vocabulary), False) for n in sorted(label.present)]
            absent = sorted(label.absent)
            if len(absent) <= MOST_SILENT:
                words += [(n, colour_of(n, photo.vocabulary), True) for n in absent]
            else:
                words.append((f"not {len(absent)} others", (225, 225, 225), False))
        elif isinstance(label, AreaShares):
            words += [(f"{n} {s:.0%}", colour_of(n, photo.vocabulary), False) for n, s in _by_share(label.shares)]
    x = 0
    for k, (text, colour, outlined) in enumerate(words):
        left = len(words) - k
        needed = draw.textlength(text, font(CHIP)) + CHIP + (24 if left > 1 else 0)
        if x + needed > width and k:
            draw.text((x, y + CHIP * 0.75), f"+{left}", fill=FAINT, font=font(12), anchor="lm")
            break
        x = chip(draw, x, y, text, colour, CHIP, outlined)


def _by_share(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda item: -item[1])
