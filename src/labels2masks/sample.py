"""The embedded sample: small photos with mixed labels, drawn on the spot, so that a first run needs no download.

Backgrounds and objects are pieces of the photographs that scikit-image ships (its `data`
folder names their licences, all free to reuse): grass, gravel, brick and wood, on which lie a cat's
head, a coffee cup and ancient coins. Every photo turns, scales, tints and lights them anew
and adds shadow, blur and noise. It is a toy, yet a real one: textures, clutter and
occlusion, and a third of the photos with each kind of label a person can afford.

Legend: H, W = pixels of the photo; h, w = pixels of a piece.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage import data

from .classes import Classes, Vocabulary
from .errors import UsageError
from .files import write_atomically
from .formats import jsonl
from .formats.dataset import Dataset, Photo
from .labels import Box, Boxes, Label, Mask, Point, Points, Scribbles, Stroke, Tags

CLASSES = Classes(
    ("background", "cat", "coin", "cup"),
    colours=((70, 70, 78), (30, 104, 230), (240, 180, 20), (225, 40, 150)),
    background="background",
)
KINDS = ("mask", "boxes", "scribbles", "points", "tags")
"""The kinds of the training photos, in turn. Every photo of the split `val` has a mask."""

HEIGHT, WIDTH = 160, 208

_CAT = (
    "48,18 70,4 120,0 300,0 345,2 372,12 374,35 356,70 362,125 352,160 335,190 322,220 300,250 270,280 "
    "236,282 190,270 150,252 105,228 66,206 40,170 34,120 38,60"
)
_CUP = (
    "80,215 92,165 122,120 172,82 178,62 205,34 250,19 300,17 345,28 388,58 402,66 424,72 422,90 408,118 "
    "440,146 470,190 481,238 470,285 436,330 388,362 330,383 270,386 208,374 150,345 108,305 86,262"
)
_COINS = (
    *((155, 51, 22), (215, 51, 22), (44, 54, 20), (276, 53, 19), (270, 119, 24), (45, 124, 20), (205, 124, 19)),
    *((336, 124, 19), (102, 126, 19), (212, 193, 23), (102, 196, 21), (341, 42, 27), (115, 265, 20), (301, 263, 24)),
)
"""Outlines in scikit-image's pictures, traced by hand: (x, y) polygons of the head and of the saucer with its cup;
centre and radius of fourteen coins."""


def make_sample(folder: str | Path, train: int = 24, val: int = 8, seed: int = 0) -> Path:
    """Write the sample into a new folder and return it: images/, masks/, labels.jsonl with splits train and val.

    Equal arguments give equal bytes. Raises UsageError where the folder already holds something.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty: name a new folder for the sample")
    photos = []
    for i in range(train + val):
        rng = np.random.default_rng((seed, i))
        name = f"photo{i:02d}"
        drawn = draw_photo(rng)
        path = write_atomically(folder / "images" / f"{name}.jpg", _encoded(drawn.image_HW3, "JPEG"))
        kind = KINDS[i % len(KINDS)] if i < train else "mask"
        mask_path = folder / "masks" / f"{name}.png"
        if kind == "mask":
            write_atomically(mask_path, _encoded(drawn.ids_HW, "PNG"))
        photos.append(Photo(name, path, (_label(drawn, kind, mask_path, rng),), Vocabulary.same(CLASSES)))
    names = tuple(p.name for p in photos)
    splits = {"train": names[:train], "val": names[train:]}
    jsonl.write(Dataset(CLASSES, tuple(photos), splits, root=folder), folder / "labels.jsonl")
    return folder


@dataclass(frozen=True)
class Drawn:
    """One photo with its truth. objects: (class name, bool HW of the visible part), the last one on top."""

    image_HW3: np.ndarray
    ids_HW: np.ndarray
    objects: tuple[tuple[str, np.ndarray], ...]


def draw_photo(rng: np.random.Generator) -> Drawn:
    """A ground with one to four objects, lit from one side, a little blurred and noisy."""
    height, width = (HEIGHT, WIDTH) if rng.random() < 0.75 else (WIDTH, HEIGHT)
    canvas_HW3 = _ground(rng, height, width)
    angle = rng.uniform(0, 2 * np.pi)
    light_y, light_x = np.sin(angle), np.cos(angle)
    names = [n for n in ("cup", "cat") if rng.random() < 0.55] + ["coin"] * int(rng.integers(0, 4))
    placed: list[tuple[str, np.ndarray]] = []
    for name in names or ["cat"]:
        for _ in range(12):
            piece_HW3, alpha_HW = _placed(rng, name, height, width)
            solid_HW = alpha_HW > 0.5
            hidden = max((np.count_nonzero(m & solid_HW) / np.count_nonzero(m) for _, m in placed), default=0.0)
            if hidden < 0.25 and solid_HW.sum() > 80:
                break
        else:
            continue
        shift = np.array([[1, 0, -5 * light_x], [0, 1, -5 * light_y]])
        shadow_HW = cv2.GaussianBlur(cv2.warpAffine(alpha_HW, shift, (width, height)), (0, 0), 4)
        canvas_HW3 *= 1 - 0.55 * shadow_HW[..., None]
        canvas_HW3 += alpha_HW[..., None] * (piece_HW3 - canvas_HW3)
        placed = [(n, m & ~solid_HW) for n, m in placed] + [(name, solid_HW)]
    y_HW, x_HW = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    canvas_HW3 *= (1 + 0.22 * (light_y * y_HW + light_x * x_HW) - 0.12 * (y_HW**2 + x_HW**2))[..., None]
    canvas_HW3 = cv2.GaussianBlur(canvas_HW3, (0, 0), rng.uniform(0.3, 0.8))
    canvas_HW3 = canvas_HW3 * rng.uniform(0.85, 1.15) + rng.normal(0, 3, canvas_HW3.shape)
    ids_HW = np.zeros((height, width), np.uint8)
    for name, solid_HW in placed:
        ids_HW[solid_HW] = CLASSES.index(name)
    return Drawn(np.clip(canvas_HW3, 0, 255).astype(np.uint8), ids_HW, tuple(placed))


@cache
def _grounds() -> tuple[np.ndarray, ...]:
    """Four textures in colour; the grey ones run from a dark to a bright tint."""

    def tinted(grey_hw: np.ndarray, dark: tuple[int, int, int], bright: tuple[int, int, int]) -> np.ndarray:
        low, high = np.percentile(grey_hw, (1, 99))
        share_hw1 = np.clip((grey_hw[..., None] - low) / (high - low), 0, 1)
        return (np.array(dark) * (1 - share_hw1) + np.array(bright) * share_hw1).astype(np.float32)

    return (
        tinted(data.grass(), (22, 38, 14), (172, 190, 104)),
        tinted(data.gravel(), (48, 44, 42), (196, 188, 178)),
        tinted(data.brick(), (98, 48, 38), (206, 160, 138)),
        data.coffee()[:150, 455:].astype(np.float32),
    )


@cache
def _pieces() -> dict[str, tuple[tuple[np.ndarray, np.ndarray], ...]]:
    """Class name -> (image_hw3 float32, alpha_hw float32 0..1) cut out of scikit-image's photographs."""

    def cut(image_HW3: np.ndarray, polygon_P2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        alpha_HW = cv2.fillPoly(np.zeros(image_HW3.shape[:2], np.float32), [polygon_P2.astype(np.int32)], 1.0)
        x0, y0 = np.maximum(polygon_P2.min(axis=0).astype(int) - 2, 0)
        x1, y1 = polygon_P2.max(axis=0).astype(int) + 3
        return image_HW3[y0:y1, x0:x1].astype(np.float32), alpha_HW[y0:y1, x0:x1]

    def polygon(text: str) -> np.ndarray:
        return np.array([p.split(",") for p in text.split()], float)

    turn_P = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle_P2 = np.stack([np.cos(turn_P), np.sin(turn_P)], axis=1)
    coins_HW3 = np.repeat(data.coins()[..., None], 3, axis=2)
    return {
        "cat": (cut(data.chelsea(), polygon(_CAT)),),
        "cup": (cut(data.coffee(), polygon(_CUP)),),
        "coin": tuple(cut(coins_HW3, np.array([x, y]) + (r - 0.5) * circle_P2) for x, y, r in _COINS),
    }


def _ground(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """float32 HW3: a turned and scaled window of one of the textures, mirrored at its borders."""
    ground_hw3 = _grounds()[int(rng.integers(4))]
    middle = (rng.uniform(0.3, 0.7) * ground_hw3.shape[1], rng.uniform(0.3, 0.7) * ground_hw3.shape[0])
    turn_23 = cv2.getRotationMatrix2D(middle, rng.uniform(-180, 180), rng.uniform(0.6, 1.2))
    turn_23[:, 2] += np.array([width, height]) / 2 - middle
    return cv2.warpAffine(ground_hw3, turn_23, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT)


def _placed(rng: np.random.Generator, name: str, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(image_HW3, alpha_HW): one piece of the class, turned, scaled, tinted, somewhere on the canvas."""
    pieces = _pieces()[name]
    piece_hw3, alpha_hw = pieces[int(rng.integers(len(pieces)))]
    long_side, tilt = {"cat": ((64, 124), 30), "cup": ((62, 118), 40), "coin": ((26, 58), 180)}[name]
    if rng.random() < 0.5:
        piece_hw3, alpha_hw = piece_hw3[:, ::-1], alpha_hw[:, ::-1]
    tint_3 = np.array([1.0, 1.0, 1.0]) + rng.uniform(-0.06, 0.06, 3)
    if name == "coin":
        tint_3 = tint_3 * ((1.1, 0.95, 0.62), (1.05, 1.05, 1.05), (1.1, 0.78, 0.6))[int(rng.integers(3))]
    h, w = alpha_hw.shape
    scale = rng.uniform(*long_side) / max(h, w)
    size = (max(round(w * scale), 1), max(round(h * scale), 1))
    small_hw3 = cv2.resize(np.ascontiguousarray(piece_hw3), size, interpolation=cv2.INTER_AREA) * tint_3.astype(
        np.float32
    )
    small_hw = cv2.resize(np.ascontiguousarray(alpha_hw), size, interpolation=cv2.INTER_AREA)
    turn_23 = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), rng.uniform(-tilt, tilt), 1.0)
    place = rng.uniform(0.12, 0.88) * width, rng.uniform(0.15, 0.85) * height
    turn_23[:, 2] += np.array(place) - np.array(size) / 2
    image_HW3 = cv2.warpAffine(small_hw3, turn_23, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return image_HW3, cv2.warpAffine(small_hw, turn_23, (width, height))


def _label(drawn: Drawn, kind: str, mask_path: Path, rng: np.random.Generator) -> Label:
    """What a careful person would have said of this photo in one kind of label."""
    everything = frozenset(CLASSES.foreground)
    seen = [(name, where_HW) for name, where_HW in drawn.objects if where_HW.sum() > 40]
    if kind == "mask":
        return Mask(mask_path)
    if kind == "tags":
        return Tags(present=frozenset(name for name, _ in seen), complete=everything)
    if kind == "boxes":
        return Boxes(tuple(Box.upright(name, *_bounds(where_HW)) for name, where_HW in seen), complete=everything)
    ground = ("background", drawn.ids_HW == 0)
    if kind == "points":
        marks = tuple(Point(name, *_inside(where_HW, rng)) for name, where_HW in [*seen, ground])
        return Points(marks, complete=everything)
    strokes = tuple(Stroke(name, _stroke(where_HW, rng), width=3.0) for name, where_HW in [*seen, ground])
    return Scribbles(strokes, complete=everything)


def _bounds(where_HW: np.ndarray) -> tuple[float, float, float, float]:
    ys, xs = np.nonzero(where_HW)
    return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)


def _inside(where_HW: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """A pixel centre well inside the region: one of those that are farthest from its border."""
    depth_HW = cv2.distanceTransform(np.pad(where_HW.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    ys, xs = np.nonzero(depth_HW >= 0.6 * depth_HW.max())
    pick = int(rng.integers(len(ys)))
    return float(xs[pick]) + 0.5, float(ys[pick]) + 0.5


def _stroke(where_HW: np.ndarray, rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """A line of up to four vertices that stays inside the region."""
    vertices = [_inside(where_HW, rng)]
    for _ in range(12):
        x, y = _inside(where_HW, rng)
        line_HW = np.zeros(where_HW.shape, np.uint8)
        cv2.line(line_HW, [int(v) for v in vertices[-1]], (int(x), int(y)), 1, thickness=5)
        if len(vertices) < 4 and where_HW[line_HW > 0].all():
            vertices.append((x, y))
    return tuple(vertices)


def _encoded(image: np.ndarray, file_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, file_format, **({"quality": 92} if file_format == "JPEG" else {}))
    return buffer.getvalue()
