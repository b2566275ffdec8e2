"""The page on which a person reads the pixels of an audit: each in its surroundings, and where those are in the photo.

It shows the photo alone. What the model said is nowhere on it: who knows the answer of another agrees too often.

Legend: H, W = pixels of the photo; s = side of the cut-out in them; h, w = pixels of a picture on the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from .. import __version__
from ..errors import DataError
from ..evaluation.answers import Pixel
from ..evaluation.audit import ANSWERS, Audit
from ..files import write_atomically
from ..formats.dataset import Dataset
from ..formats.image import read_image
from ..prediction.views import resized
from ..progress import track
from .frame import frame
from .markup import Markup, element
from .pictures import data_uri

SIDE = 160
"""Of the cut-out, in pixels of the photo; an eighth of the longer side where that is more."""
SHOWN = 320
WHOLE = 240
"""Longer side of the whole photo on the page."""
PAD = 128
"""Grey of what lies beyond the photo's border."""
PER_SECTION = 50


def shows_all(path: Path, audit: Audit) -> bool:
    """Whether the page is there, with every pixel of the audit."""
    return path.is_file() and f'id="p{len(audit.pixels)}"' in path.read_text(encoding="utf-8")


def write_sheet(path: Path, audit: Audit, data: Dataset) -> Path:
    """Write the page. A photo that can no longer be read is said in its place."""
    by_name = {photo.name: photo for photo in data}
    of_photo: dict[str, list[Pixel]] = {}
    for pixel in audit.pixels:
        of_photo.setdefault(pixel.photo, []).append(pixel)
    cards: dict[int, Markup] = {}
    for name, pixels in track(of_photo.items(), "cutting out the pixels", len(of_photo)):
        try:
            image_HW3 = read_image(by_name[name].image, by_name[name].levels)
            pictures: Callable[[Pixel], Sequence[Markup]] = _pictures(image_HW3, pixels[0].number)
        except DataError:
            pictures = _unreadable
        for pixel in pixels:
            cards[pixel.number] = _card(pixel, pictures(pixel))
    numbers = [pixel.number for pixel in audit.pixels]
    sections = [numbers[k : k + PER_SECTION] for k in range(0, len(numbers), PER_SECTION)]
    parts = [
        (f"n{part[0]}", f"{part[0]} to {part[-1]}", element("div", *(cards[n] for n in part), class_="clicks"))
        for part in sections
    ]
    return write_atomically(path, frame(f"{len(numbers)} pixels to name", _head(audit), parts, __version__))


def _head(audit: Audit) -> Markup:
    words = audit.words
    named = [element("b", element("bdi", name)) for name in audit.classes.names]
    listed = [part for name in named for part in (", ", name)][1:]
    return element(
        "header",
        element("p", "Audit", class_="over"),
        element("h1", f"{len(audit.pixels)} pixels to name"),
        element(
            "p",
            f"What is the pixel in the middle of the cross? Write it into the column “answer” of {ANSWERS}, in the row "
            "of its number: ",
            *listed,
            ", or ",
            element("b", words.unclear),
            ".",
            class_="about",
        ),
        element(
            "p",
            "Name it as you would draw it in a mask. What you would leave void there (it can not be told, it is a "
            f"border, the list has no word for it) is {words.unclear}: such pixels count for nothing. Take the numbers "
            "in their order and leave none out. You may stop after any.",
            class_="note",
        ),
    )


def _card(pixel: Pixel, pictures: Sequence[Markup]) -> Markup:
    return element(
        "figure",
        element(
            "figcaption", element("strong", pixel.number), " ", element("bdi", pixel.photo), f" at {pixel.x}, {pixel.y}"
        ),
        element("div", *pictures),
        id=f"p{pixel.number}",
    )


def _unreadable(pixel: Pixel) -> Sequence[Markup]:
    return (element("p", "The photo can no longer be read."),)


def _pictures(image_HW3: np.ndarray, first: int) -> Callable[[Pixel], Sequence[Markup]]:
    """pixel -> (the cut-out with a cross, the whole photo with the cut-out's frame).

    first: number of the photo's first pixel, whose card holds the whole photo; the others point there.
    """
    height, width = image_HW3.shape[:2]
    longest = max(height, width)
    s = max(SIDE, longest // 8)
    small = min(1.0, WHOLE / longest)
    h, w = max(round(height * small), 1), max(round(width * small), 1)
    whole = element("image", href=data_uri(resized(image_HW3, h, w)), width=w, height=h, id=f"whole{first}")
    again = element("use", href=f"#whole{first}")

    def pictures(pixel: Pixel) -> Sequence[Markup]:
        left, top = pixel.x - s // 2, pixel.y - s // 2
        close = element("image", href=data_uri(_cut(image_HW3, left, top, s)), width=s, height=s)
        middle, arm, gap = s // 2, s * 0.16, s * 0.028
        lines = [
            _line(middle + 0.5 + dx * a, middle + 0.5 + dy * a, middle + 0.5 + dx * b, middle + 0.5 + dy * b, s)
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))
            for a, b in [(gap, arm)]
        ]
        here = element("rect", x=left * small, y=top * small, width=s * small, height=s * small, class_="here")
        dot = element("circle", cx=(pixel.x + 0.5) * small, cy=(pixel.y + 0.5) * small, r=3, class_="spot")
        return (
            _picture(s, s, SHOWN, f"pixel {pixel.number}", close, *lines),
            _picture(w, h, w, f"where pixel {pixel.number} is", whole if pixel.number == first else again, here, dot),
        )

    return pictures


def _cut(image_HW3: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    """uint8 hw3: the square of the photo, grey where there is none, shrunk to what the page shows."""
    height, width = image_HW3.shape[:2]
    cut = image_HW3[max(top, 0) : top + side, max(left, 0) : left + side]
    bottom, right = max(top + side - height, 0), max(left + side - width, 0)
    cut = cv2.copyMakeBorder(
        cut, max(-top, 0), bottom, max(-left, 0), right, cv2.BORDER_CONSTANT, value=(PAD, PAD, PAD)
    )
    return resized(cut, min(side, SHOWN), min(side, SHOWN))


def _picture(width: int, height: int, shown: int, title: str, *drawn: Markup) -> Markup:
    """What is drawn in `width` x `height` pixels, `shown` wide."""
    return element(
        "svg",
        element("title", title),
        *drawn,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        width=shown,
        height=round(shown * height / width),
        role="img",
    )


def _line(x0: float, y0: float, x1: float, y1: float, side: int) -> Markup:
    """One arm of the cross, dark in light so that it stands out on anything."""
    thick = side / SIDE
    return element(
        "g",
        *(
            element("line", x1=x0, y1=y0, x2=x1, y2=y1, stroke=colour, stroke_width=width * thick)
            for colour, width in (("#ffffff", 2.4), ("#18181c", 1.0))
        ),
    )
