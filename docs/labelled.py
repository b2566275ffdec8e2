"""One photo of the embedded sample and what a person could say of it, for the page about labelling.

The photo and its mask are enlarged three times, so that a click of two pixels is as small in it as in a photo of yours.

Legend: H, W = pixels.
"""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from IPython.display import Image as Shown
from IPython.display import Markdown
from panels import figure, stripes
from PIL import Image, ImageDraw

from labels2masks.classes import Vocabulary
from labels2masks.labels import AreaShares, Label, Mask, Tags, labelling_seconds, rasterise
from labels2masks.labels.seconds import PUBLISHED, TABLES, TODAY
from labels2masks.labels.simulate import simulated
from labels2masks.report.overlay import chip, draw_marks, overlay
from labels2masks.sample import CLASSES, draw_photo

TIMES = 3
NAMES = Vocabulary.same(CLASSES)


def photo() -> tuple[np.ndarray, np.ndarray]:
    """(image_HW3, ids_HW): a cat, a cup and a coin on grass, 480 x 624."""
    drawn = draw_photo(np.random.default_rng((0, 23)))
    height, width = drawn.ids_HW.shape
    size = (TIMES * width, TIMES * height)
    ids_HW = cv2.resize(drawn.ids_HW, size, interpolation=cv2.INTER_NEAREST)
    smooth_HW = cv2.medianBlur(ids_HW, 4 * TIMES + 1)  # without the stairs of the enlargement
    return cv2.resize(drawn.image_HW3, size, interpolation=cv2.INTER_CUBIC), smooth_HW.astype(np.int32)


def show(kind: str, seed: int = 1, **options: Any) -> Shown:
    """The label of a kind on the photo, and beside it what it leaves possible."""
    image_HW3, ids_HW = photo()
    label: Label = Mask(ids_HW=ids_HW)
    if kind != "mask":
        label = simulated(kind, ids_HW, CLASSES, np.random.default_rng(seed), **options)
    candidates = rasterise((label,), NAMES, *ids_HW.shape)
    costs = (labelling_seconds((label,), CLASSES, table) for table in (PUBLISHED, TODAY))
    told = "{:.0f} s by the tools of 2016, {:.0f} s by today's".format(*costs)
    said = (told, _written(image_HW3, label))
    decided = np.mean(candidates.sets_KC.sum(axis=1)[candidates.index_HW] == 1)
    possible = (f"one class left for {decided:.1%} of the pixels", stripes(image_HW3, candidates, CLASSES, period=12))
    buffer = io.BytesIO()
    figure([[said, possible]], CLASSES, 470).save(buffer, format="PNG")
    return Shown(data=buffer.getvalue())


def _written(image_HW3: np.ndarray, label: Label) -> np.ndarray:
    if isinstance(label, Mask) and label.ids_HW is not None:
        return overlay(image_HW3, label.ids_HW, CLASSES, 0.6, 3)
    picture = Image.fromarray(draw_marks(image_HW3, (label,), NAMES, size=2))
    draw, x = ImageDraw.Draw(picture), 14
    words = {n: f"{n} {s:.0%}" for n, s in label.shares.items()} if isinstance(label, AreaShares) else {}
    words = {n: n for n in sorted(label.present)} if isinstance(label, Tags) else words
    for name, text in words.items():
        x = chip(draw, x, image_HW3.shape[0] - 52, text, CLASSES.colours[CLASSES.index(name)], 26)
    return np.asarray(picture)


def seconds_tables() -> Markdown:
    """Both tables with whose figures they are."""
    what = {
        "tags": "a class looked for",
        "points": "a class clicked",
        "scribbles": "a class scribbled",
        "boxes": "an object boxed",
        "extreme": "an object boxed by four extreme clicks",
        "regions": "an object outlined",
        "mask": "an object of a mask",
        "shares": "a class whose share is told",
    }
    lines = ["| one mark | 2016 | whose figure | today | whose figure |", "|---|---|---|---|---|"]
    for key, text in what.items():
        cells = [f"{table.per_mark[key]:g} s | {table.source[key]}" for table in TABLES.values()]
        lines.append(f"| {text} | {' | '.join(cells)} |")
    return Markdown("\n".join(lines))
