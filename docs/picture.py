"""Draw docs/picture.webp, the first thing a visitor of the project sees, from what `l2m demo` wrote.

    l2m demo --out demo && python docs/picture.py demo

The picture here shows a run on the demo's photos of known length, whatever the machine: 330 steps of 8 crops.

    l2m train demo/data --epochs 110 --set optimiser.rate=2e-3 --set crop=[128,128] --set batch=8

Left: photos that the demo trains on, one with each kind of label; the area shares are worked out from a mask.
Right: the first photos of its split `val`, which the network never saw, with the masks it predicts. The photos are put
together from photographs that scikit-image ships, all free to reuse (see labels2masks/sample.py).

Legend: H, W = pixels. Lengths are in pixels of the finished picture; `S` times as many are drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

import labels2masks as l2m
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Photo
from labels2masks.formats.image import image_size, read_image
from labels2masks.formats.splitting import present_classes
from labels2masks.labels import AreaShares, Label, Mask, Tags, kind_name, labelling_seconds
from labels2masks.labels.geometry import moved
from labels2masks.report.overlay import chip, class_indices, draw_marks, font, overlay

S = 2
WIDTH, HEIGHT, MARGIN = 1660, 476, 34
TILE_W, TILE_H, GAP, CAPTION = 188, 145, 14, 34
TOP = 92
BLOCK = 3 * TILE_W + 2 * GAP
PAPER, INK, FAINT = (250, 250, 248), (24, 24, 28), (108, 108, 114)
BARS = ((14, 156), (20, 116), (28, 80), (38, 50), (28, 80), (20, 116), (14, 156))
"""Width and height of the feature maps in the drawing of a network."""


def main(demo: Path, path: Path) -> Path:
    data, run = l2m.open(demo / "data"), l2m.Run(demo / "run")
    sheet = Image.new("RGB", (WIDTH * S, HEIGHT * S), PAPER)
    draw = ImageDraw.Draw(sheet)
    right = WIDTH - MARGIN - BLOCK

    _title(draw, MARGIN, "Photos with the labels you could afford", "the time is what one photo costs a person")
    for k, (photo, label) in enumerate(_one_of_each(data)):
        _tile(sheet, draw, MARGIN, k, _labelled(photo, label), f"{kind_name(label)}, {_seconds(photo, label):.0f} s")

    photos = run.metrics["protocol"]["photos"]
    _title(draw, right, "Masks of photos it never saw", f"mIoU {100 * run.metrics['miou']:.0f} on all {photos} of them")
    for k, photo in enumerate(data.split("val").photos[:6]):
        tile, right_share = _predicted(photo, run)
        _tile(sheet, draw, right, k, tile, f"{int(100 * right_share)}% of pixels right")

    _network(draw, MARGIN + BLOCK, right, data.classes)
    small = sheet.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    return write_atomically(path, lambda file: small.save(file, format="WEBP", quality=88, method=6))


def _one_of_each(data: l2m.Dataset) -> list[tuple[Photo, Label]]:
    """For each kind the training photo that shows most classes, in landscape; dearer kinds later."""

    def fits(photo: Photo) -> tuple[bool, int]:
        height, width = image_size(photo.image)
        return width > height, int(present_classes(photo.labels_loaded(), photo.vocabulary).sum())

    by_kind: dict[str, list[Photo]] = {}
    for photo in sorted(data.split("train").photos, key=fits, reverse=True):
        by_kind.setdefault(kind_name(photo.labels[0]), []).append(photo)
    chosen = {kind: (of_kind[0], of_kind[0].labels_loaded()[0]) for kind, of_kind in by_kind.items()}
    photo = by_kind["mask"][1]
    chosen["shares"] = (photo, _shares(photo.labels_loaded()[0], data.classes))
    return [chosen[kind] for kind in ("tags", "shares", "points", "scribbles", "boxes", "mask")]


def _shares(mask: Label, classes: l2m.Classes) -> AreaShares:
    """What a person would have said: shares rounded to five percent."""
    assert isinstance(mask, Mask) and mask.ids_HW is not None
    exact = {n: float(np.mean(mask.ids_HW == classes.file_ids[classes.index(n)])) for n in classes.foreground}
    return AreaShares({n: max(round(20 * share), 1) / 20 for n, share in exact.items() if share > 0})


def _seconds(photo: Photo, label: Label) -> float:
    return labelling_seconds((label,), photo.vocabulary.source)


def _fitted(photo: Photo, labels: Sequence[Label]) -> tuple[np.ndarray, tuple[Label, ...]]:
    """The photo and its labels, cut to fill a tile."""
    image_HW3 = read_image(photo.image)
    height, width = image_HW3.shape[:2]
    scale = max(TILE_W * S / width, TILE_H * S / height)
    matrix_23 = np.array([[scale, 0, (TILE_W * S - scale * width) / 2], [0, scale, (TILE_H * S - scale * height) / 2]])
    pixels = matrix_23.copy()
    pixels[:, 2] += 0.5 * scale - 0.5  # OpenCV's whole numbers are pixel centres
    shown_HW3 = cv2.warpAffine(
        image_HW3, pixels, (TILE_W * S, TILE_H * S), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return shown_HW3, moved(labels, matrix_23, TILE_H * S, TILE_W * S)


def _labelled(photo: Photo, label: Label) -> Image.Image:
    shown_HW3, labels = _fitted(photo, (label,))
    classes = photo.vocabulary.target
    if isinstance(labels[0], Mask) and labels[0].ids_HW is not None:
        index_HW = class_indices(_smooth(labels[0].ids_HW), photo.vocabulary)
        return Image.fromarray(overlay(shown_HW3, index_HW, classes, 0.6, 3))
    tile = Image.fromarray(draw_marks(shown_HW3, labels, photo.vocabulary, size=2))
    draw = ImageDraw.Draw(tile)
    if isinstance(label, Tags):
        x = 9 * S
        for name in sorted(label.present):
            x = chip(draw, x, (TILE_H - 33) * S, name, classes.colours[classes.index(name)], 16 * S)
    if isinstance(label, AreaShares):
        x = 9 * S
        for name, share in sorted(label.shares.items(), key=lambda item: -item[1]):
            x = chip(draw, x, (TILE_H - 33) * S, f"{name} {share:.0%}", classes.colours[classes.index(name)], 16 * S)
    return tile


def _predicted(photo: Photo, run: l2m.Run) -> tuple[Image.Image, float]:
    """(tile, share of the pixels that are right)."""
    mask_HW = run.predict(photo.image)
    shown_HW3, labels = _fitted(photo, (Mask(ids_HW=mask_HW),))
    assert isinstance(labels[0], Mask) and labels[0].ids_HW is not None
    drawn_HW3 = overlay(shown_HW3, _smooth(labels[0].ids_HW), photo.vocabulary.target, 0.6, 3)
    return Image.fromarray(drawn_HW3), float(np.mean(mask_HW == truth_mask(photo, *mask_HW.shape)))


def _smooth(ids_HW: np.ndarray) -> np.ndarray:
    """The staircase of a mask that was enlarged, taken off: for the eye only."""
    return cv2.medianBlur(np.maximum(ids_HW, 0).astype(np.uint8), 7).astype(np.int32)


def _title(draw: ImageDraw.ImageDraw, x: int, text: str, below: str) -> None:
    draw.text((x * S, 34 * S), text, INK, font(27 * S), anchor="lm")
    draw.text((x * S, 66 * S), below, FAINT, font(19 * S), anchor="lm")


def _tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, x: int, k: int, tile: Image.Image, caption: str) -> None:
    """The k-th of six tiles, with round corners, in the block that begins at x."""
    left = x + k % 3 * (TILE_W + GAP)
    top = TOP + k // 3 * (TILE_H + CAPTION + GAP)
    rounded = Image.new("L", tile.size, 0)
    ImageDraw.Draw(rounded).rounded_rectangle((0, 0, tile.width - 1, tile.height - 1), 10 * S, fill=255)
    sheet.paste(tile, (left * S, top * S), rounded)
    draw.text((left * S, (top + TILE_H + 19) * S), caption, INK, font(20 * S), anchor="lm")


def _network(draw: ImageDraw.ImageDraw, left: int, right: int, classes: l2m.Classes) -> None:
    """Feature maps that shrink and grow, an arrow in, an arrow out; below them what all learn to tell apart."""
    middle_y = TOP + 96
    whole = sum(width for width, _ in BARS) + 10 * (len(BARS) - 1)
    x = (left + right - whole) / 2
    for start, end in ((left + 22, x - 20), (x + whole + 20, right - 22)):
        draw.line((start * S, middle_y * S, (end - 9) * S, middle_y * S), fill=INK, width=4 * S)
        tip = ((end, middle_y), (end - 18, middle_y - 11), (end - 18, middle_y + 11))
        draw.polygon([(px * S, py * S) for px, py in tip], fill=INK)
    for k, (width, height) in enumerate(BARS):
        depth = abs(k - len(BARS) // 2) / (len(BARS) // 2)
        colour = tuple(round(a + (b - a) * depth) for a, b in zip((38, 70, 130), (132, 170, 226), strict=True))
        box = (x * S, (middle_y - height / 2) * S, (x + width) * S, (middle_y + height / 2) * S)
        draw.rounded_rectangle(box, 5 * S, fill=colour)
        x += width + 10
    centre = (left + right) / 2 * S
    draw.text((centre, (middle_y + 116) * S), "one network, one loss", INK, font(27 * S), anchor="mm")
    draw.text((centre, (middle_y + 149) * S), "all kinds of labels together", FAINT, font(19 * S), anchor="mm")
    names = list(zip(classes.foreground, classes.colours[1:], strict=True))
    size = 18 * S
    x = centre - sum(draw.textlength(name, font(size)) + size * 4 / 3 for name, _ in names) / 2
    for name, colour in names:
        x = chip(draw, x, (middle_y + 184) * S, name, colour, size)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(__file__).with_name("picture.webp")))
