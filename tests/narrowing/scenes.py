"""A drawn photo with three coloured things, its labels of each kind, and the cues of a network that nearly knows."""

import numpy as np

from labels2masks.classes import Classes, Vocabulary
from labels2masks.labels import Box, Boxes, Points, Scribbles, Stroke, Tags, rasterise
from labels2masks.labels.kinds import Point
from labels2masks.narrowing.cues import Cues

CLASSES = Classes(("background", "disc", "bar"), background="background")
VOCABULARY = Vocabulary.same(CLASSES)
THINGS = frozenset({"disc", "bar"})
H, W = 48, 64
DISC, BAR = (6, 8, 30, 32), (34, 26, 58, 42)
"""(x0, y0, x1, y1)"""


def truth() -> np.ndarray:
    y, x = np.mgrid[:H, :W] + 0.5
    ids_HW = np.zeros((H, W), np.int32)
    ids_HW[(x - 18) ** 2 + (y - 20) ** 2 <= 144] = 1
    ids_HW[26:42, 34:58] = 2
    return ids_HW


def photo() -> np.ndarray:
    colours = np.array([(90, 110, 90), (210, 60, 50), (50, 70, 220)], float)
    noise = np.random.default_rng(0).normal(0, 6, (H, W, 3))
    return np.clip(colours[truth()] + noise, 0, 255).astype(np.uint8)


def boxed():
    marks = (Box.upright("disc", *DISC), Box.upright("bar", *BAR))
    return rasterise((Boxes(marks, THINGS),), VOCABULARY, H, W)


def tagged():
    return rasterise((Tags(THINGS, complete=THINGS),), VOCABULARY, H, W)


def scribbled():
    strokes = (
        Stroke("disc", ((12, 20), (24, 20)), 3),
        Stroke("bar", ((38, 34), (54, 34)), 3),
        Stroke("background", ((4, 44), (30, 44), (60, 8)), 3),
    )
    return rasterise((Tags(THINGS, complete=THINGS), Scribbles(strokes)), VOCABULARY, H, W)


def clicked():
    marks = (Point("disc", 18, 20), Point("bar", 46, 34), Point("background", 50, 8))
    return rasterise((Tags(THINGS, complete=THINGS), Points(marks)), VOCABULARY, H, W)


def all_cues() -> Cues:
    """Class maps of the middles of things, saliency of their surroundings, superpixels, proposals, blurred scores."""
    ids_HW = truth()
    y, x = np.mgrid[:H, :W] + 0.5
    cam_CHW = np.zeros((3, H, W), np.float32)
    cam_CHW[1] = np.exp(-((x - 18) ** 2 + (y - 20) ** 2) / 60)
    cam_CHW[2] = np.exp(-((x - 46) ** 2 + (y - 34) ** 2) / 60)
    scores_CHW = np.log(np.where(np.arange(3)[:, None, None] == ids_HW, 0.8, 0.1)).astype(np.float32)
    segments_HW = (y // 4).astype(np.int32) * (W // 4) + (x // 4).astype(np.int32)
    shifted = [np.roll(ids_HW == c, (dy, dx), (0, 1)) for c in (1, 2) for dy in (-3, 0, 3) for dx in (-3, 0, 3)]
    return Cues(
        background=0,
        scores_CHW=scores_CHW,
        cam_CHW=cam_CHW,
        saliency_HW=np.where(ids_HW > 0, 0.9, 0.1).astype(np.float32),
        segments_HW=segments_HW,
        proposals_SHW=np.stack(shifted),
    )
