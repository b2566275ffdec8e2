"""A photograph that scikit-image ships, labelled by hand in six kinds: what the gallery draws on.

The photo is `skimage.data.coffee()`: CC0, taken by Rachel Michetti, courtesy of Pikolo Espresso Bar.

Legend: H, W = pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from skimage import data

from labels2masks import AreaShares, Box, Boxes, Classes, Mask, Point, Points, Scribbles, Stroke, Tags

CLASSES = Classes(
    ("table", "cup", "saucer", "spoon"),
    colours=((112, 118, 132), (245, 180, 40), (214, 60, 90), (40, 150, 230)),
    background="table",
)
THINGS = frozenset(CLASSES.foreground)

_BODY = "173,120 178,160 192,195 207,224 232,268 256,281 286,285 318,277 342,258 372,226 386,200 399,160 406,125"
_HANDLE = "222,226 252,234 259,243 243,262 236,288 227,304 214,307 200,301 195,284 203,258 214,240"
_SPOON = "398,76 404,67 414,67 424,76 421,91 410,124 407,108|391,191 384,216 383,240 396,256 360,256 372,238 374,228"


def photo() -> np.ndarray:
    """image_HW3 uint8, 400 x 600."""
    return data.coffee()


def mask() -> np.ndarray:
    """ids_HW int32: the outlines, drawn by hand. What lies on top is filled last."""
    ids_HW = np.zeros((400, 600), np.uint8)
    cv2.ellipse(ids_HW, (278, 227), (201, 161), 0, 0, 360, 2, -1)
    cv2.ellipse(ids_HW, (290, 113), (118, 95), 0, 0, 360, 1, -1)
    _fill(ids_HW, f"{_BODY}|{_HANDLE}", 1)
    cv2.ellipse(ids_HW, (366, 285), (40, 40), 0, 0, 360, 3, -1)
    _fill(ids_HW, _SPOON, 3)
    return ids_HW.astype(np.int32)


TAGS = Tags(present=THINGS, complete=THINGS)
POINTS = Points(
    (Point("cup", 290, 150), Point("saucer", 130, 210), Point("spoon", 366, 285), Point("table", 530, 120)),
    complete=THINGS,
)
SCRIBBLES = Scribbles(
    (
        Stroke("cup", ((195, 90), (230, 160), (290, 195), (350, 175), (390, 100)), 7),
        Stroke("cup", ((275, 130), (315, 165)), 7),
        Stroke("cup", ((205, 200), (250, 255), (300, 268), (345, 225), (375, 185)), 7),
        Stroke("cup", ((235, 245), (215, 290)), 7),
        Stroke("saucer", ((120, 160), (110, 230), (140, 300), (220, 350), (330, 355), (420, 300), (445, 220)), 7),
        Stroke("spoon", ((345, 285), (365, 305), (388, 280), (370, 260)), 7),
        Stroke("spoon", ((412, 80), (409, 105)), 5),
        Stroke("table", ((40, 130), (40, 260), (80, 370)), 7),
        Stroke("table", ((470, 60), (550, 150), (545, 300), (480, 370)), 7),
        Stroke("table", ((25, 60), (70, 25), (120, 20), (160, 50)), 7),
    ),
    complete=THINGS,
)
BOXES = Boxes(
    (
        Box.upright("saucer", 77, 66, 480, 389),
        Box.upright("cup", 172, 18, 409, 308),
        Box.upright("spoon", 326, 67, 425, 326),
    ),
    complete=THINGS,
)
SHARES = AreaShares({"cup": 0.21, "saucer": 0.24, "spoon": 0.03}, complete=THINGS)


def full_mask() -> Mask:
    return Mask(ids_HW=mask())


def _fill(canvas_HW: np.ndarray, outlines: str, value: int) -> None:
    for outline in outlines.split("|"):
        points = np.array([p.split(",") for p in outline.split()], np.int32)
        cv2.fillPoly(canvas_HW, [points], value)
