"""The page of a review: each doubtful label beside what the model says, to be decided with three keys.

Legend: H, W = pixels of the photo; h, w = pixels of what is shown; C = classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import __version__
from ..classes import Classes
from ..errors import DataError
from ..formats.image import read_image
from ..labels import AreaShares, Tags, is_mask, rasterise
from ..labels.geometry import moved
from ..prediction.views import resized
from ..progress import track
from ..training.held_out import HeldOut
from .doubt_rows import Found
from .frame import frame
from .markup import Content, Markup, element
from .overlay import draw_marks, overlay, write_names
from .pictures import data_uri
from .svg import hexed, rectangle

SCRIPT = Path(__file__).with_name("review.js")
SIDE = 400
"""Long side of the pictures."""
AROUND = 0.6
"""What is shown around a doubt, to each side, in sizes of its box; never less than a third of the photo in all."""
LEAST = 1 / 3
FRAME, DARK = (255, 230, 0), (0, 0, 0)
DECISIONS = (("wrong", "the label is wrong"), ("right", "the label is right"), ("unsure", "unsure"))


def review_page(
    title: str,
    found: Sequence[Found],
    rows: Sequence[Mapping[str, Any]],
    listed: int,
    photos: Sequence[tuple[str, float, float]],
    by: Mapping[str, int],
    skipped: Sequence[Mapping[str, str]],
    classes: Classes,
    predicted: HeldOut,
) -> str:
    """The whole HTML file. found, rows: the doubts that are shown. photos: (name, doubt, disagreeing share), sorted."""
    cards = [_card(f, row, classes, predicted) for f, row in zip(track(found, "drawing"), rows, strict=True)]
    parts: list[tuple[str, str, Content]] = [
        (
            "labels",
            "Labels, most doubtful first",
            element("div", *cards, class_="doubts", data_review=_digest(rows)) if cards else None,
        ),
        ("photos", "Photos", _photos(photos)),
        ("made", "How the predictions were made", _made(by, skipped)),
    ]
    about = f"{len(photos)} photos reviewed, {listed} doubts listed, {len(cards)} shown"
    header = element(
        "header",
        element("p", "Label review", class_="over"),
        element("h1", element("bdi", title)),
        element("p", about, class_="about"),
        element(
            "p",
            "Every photo was predicted by a model that has not learnt from it. A doubt is no verdict: the model is "
            "wrong as well. Keys: ",
            *(element("kbd", key) for key in "123"),
            " decide (wrong, right, unsure) and go on, ",
            element("kbd", "j"),
            " and ",
            element("kbd", "k"),
            " go down and up. Decisions stay in this browser; save them to keep them.",
            class_="note",
        ),
        element(
            "p",
            element("span", id="decided"),
            element("button", "Save decisions as CSV", id="save-csv", type="button"),
            element("button", "as JSON", id="save-json", type="button"),
            class_="saving",
        )
        if cards
        else None,
        _legend(classes),
    )
    script = SCRIPT.read_text(encoding="utf-8") if cards else ""
    return frame(f"Labels of {title}", header, parts, __version__, script)


def _legend(classes: Classes) -> Markup:
    """A square of its colour before each class; the background has no tint."""
    tinted = [(n, c) for n, c in zip(classes.names, classes.colours, strict=True) if n != classes.background]
    squares = [
        element("svg", rectangle(0, 0, 12, 12, fill=hexed(colour)), width=12, height=12, aria_hidden="true")
        for _, colour in tinted
    ]
    named = [element("span", square, name) for square, (name, _) in zip(squares, tinted, strict=True)]
    return element("p", *named, class_="legend")


def _digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """Equal for equal reviews: the browser finds the decisions again by it."""
    return hashlib.blake2b(json.dumps(rows).encode(), digest_size=8).hexdigest()


def _card(found: Found, row: Mapping[str, Any], classes: Classes, predicted: HeldOut) -> Markup:
    name = f"d{row['place']}"
    try:
        panels: Content = [
            element("figure", element("img", src=data_uri(picture_hw3), alt=caption), element("figcaption", caption))
            for caption, picture_hw3 in _panels(found, classes, predicted).items()
        ]
    except DataError as error:
        panels = element("p", f"can not be shown: {error}", class_="note")
    choices = [
        element("label", element("input", type="radio", name=name, value=value), f" {said}")
        for value, said in DECISIONS
    ]
    sure = "the model is as sure as where that is the label" if found.confident else ""
    return element(
        "article",
        element(
            "h3",
            element("span", f"{row['place']}", class_="place"),
            element("bdi", found.photo.name),
            element("span", sure, class_="mistakes"),
        ),
        element("p", row["reason"], class_="reason"),
        element("div", panels, class_="panels"),
        element("div", *choices, element("input", class_="remark", placeholder="note", size=24), class_="choices"),
        class_="photo doubt",
        id=name,
        tabindex=-1,
        data_row=json.dumps(row, ensure_ascii=False),
    )


def _panels(found: Found, classes: Classes, predicted: HeldOut) -> dict[str, np.ndarray]:
    """caption -> uint8 hw3: the part of the photo around the doubt, alone, with its label, and with the prediction."""
    photo, (height, width) = found.photo, found.size
    top, bottom = _window(found.doubt.corners[1], found.doubt.corners[3], height)
    left, right = _window(found.doubt.corners[0], found.doubt.corners[2], width)
    scale = min(SIDE / max(bottom - top, right - left), 3.0)
    h, w = max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale))
    image_HW3 = read_image(photo.image, photo.levels)
    shown_hw3 = resized(np.ascontiguousarray(image_HW3[top:bottom, left:right]), h, w)
    zoom_x, zoom_y = w / (right - left), h / (bottom - top)
    matrix_23 = np.array([[zoom_x, 0, -left * zoom_x], [0, zoom_y, -top * zoom_y]], np.float64)
    labels = moved(photo.labels_loaded(), matrix_23, h, w)
    drawn_hw3 = shown_hw3
    masks = [x for x in labels if is_mask(x, photo.vocabulary.source)]
    if masks:
        index_hw = rasterise(masks, photo.vocabulary, h, w, whole=False).labels()
        drawn_hw3 = overlay(shown_hw3, index_hw, classes, 0.45, 2)
    others = [x for x in labels if x not in masks]
    drawn_hw3 = write_names(draw_marks(drawn_hw3, others, photo.vocabulary), others, photo.vocabulary)
    full_h, full_w = round(height * zoom_y), round(width * zoom_x)
    rows, columns = _slice(top * zoom_y, h, full_h), _slice(left * zoom_x, w, full_w)
    p_Chw = predicted.predictions.read(photo.name, full_h, full_w, rows, columns)
    seen_hw = cv2.resize(p_Chw.argmax(axis=0).astype(np.float32), (w, h), interpolation=cv2.INTER_NEAREST).astype(int)
    made = {
        "the photo": shown_hw3,
        _label_caption(photo.labels): drawn_hw3,
        "the model": overlay(shown_hw3, seen_hw, classes, 0.45, 2),
    }
    x0, x1 = (round((x * width - left) * zoom_x) for x in found.doubt.corners[::2])
    y0, y1 = (round((y * height - top) * zoom_y) for y in found.doubt.corners[1::2])
    return {caption: _framed(picture_hw3, x0, y0, x1, y1) for caption, picture_hw3 in made.items()}


def _window(low: float, high: float, pixels: int) -> tuple[int, int]:
    """The part of one side that is shown: around the doubt's share low..high of it."""
    size = min(max((high - low) * (1 + 2 * AROUND), LEAST), 1.0)
    start = min(max((low + high - size) / 2, 0.0), 1 - size)
    first = int(start * pixels)
    return first, max(first + 1, min(pixels, round((start + size) * pixels)))


def _slice(start: float, count: int, full: int) -> slice:
    first = min(max(round(start), 0), max(full - count, 0))
    return slice(first, first + count)


def _framed(picture_hw3: np.ndarray, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    drawn = picture_hw3.copy()
    for colour, thickness in ((DARK, 4), (FRAME, 2)):
        cv2.rectangle(drawn, (x0, y0), (x1 - 1, y1 - 1), colour, thickness, cv2.LINE_AA)
    return drawn


def _label_caption(labels: Sequence[object]) -> str:
    words = []
    for label in labels:
        if isinstance(label, Tags):
            words.append("tags " + (", ".join(sorted(label.present)) or "none"))
        elif isinstance(label, AreaShares):
            words.append(", ".join(f"{n} {s:.0%}" for n, s in label.shares.items()))
    return "the label" + (f" ({'; '.join(words)})" if words else "")


def _photos(photos: Sequence[tuple[str, float, float]], most: int = 50) -> Markup:
    head = element("tr", element("th", "photo"), element("th", "doubt"), element("th", "pixels that disagree"))
    lines = [
        element("tr", element("th", element("bdi", name)), element("td", f"{doubt:.2f}"), element("td", f"{share:.1%}"))
        for name, doubt, share in photos[:most]
    ]
    more = f"The first {most} of {len(photos)}; review.json has all." if len(photos) > most else None
    table = element("div", element("table", element("thead", head), element("tbody", *lines)), class_="scrolled")
    return Markup(table + (element("p", more, class_="note") if more else ""))


def _made(by: Mapping[str, int], skipped: Sequence[Mapping[str, str]]) -> Markup:
    items = [element("li", f"{count} photos: {who}") for who, count in by.items()]
    items += [element("li", f"left out: {s['photo']}: {s['reason']}") for s in skipped[:20]]
    if len(skipped) > 20:
        items.append(element("li", f"and {len(skipped) - 20} more that could not be read, in review.json"))
    return element("ul", *items)
