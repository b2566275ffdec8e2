"""Objects seen from other angles: mIoU against the turn of the photo, trained with turned and tilted photos or without.

    python examples/objects_from_other_angles.py [FOLDER]

One network learns animals three times: from photos as they are; turned by up to 90 degrees to either side (half of the
crops, the setting `augment.rotate`); turned so, and half of the photos tilted: as if photographed from the side, by up
to 45 degrees about an axis in any direction. Then photos are turned and tilted, and predicted again.

Counted are the pixels of the largest circle in the middle of each photo, which a turn keeps in the picture: every
angle is scored on the same things. A tilt bends a flat photo; the other side of a cow it does not show.

Measures for minutes, records, and ends in objects_from_other_angles.svg. Legend: H, W = pixels.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from curves import panel, spread
from experiment import photos, record, score, train

from labels2masks import networks
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.labels import Label, Mask
from labels2masks.listing import table
from labels2masks.report.svg import drawing, standalone
from labels2masks.training.augment import FILL

WAYS = ("as they are", "turned", "turned and tilted")
TURNS, TILTS = (0, 15, 30, 45, 60, 75, 90), (20, 40, 60)
MOST_TURNED, MOST_TILTED = 90.0, 45.0
"""Degrees in training."""
FOCAL = 1.2
"""Distance of the eye from the photo, in long sides: that of an ordinary lens."""
SETTINGS: dict[str, Any] = {"data": "voc_animals", "steps": 140, "batch": 8, "crop": (128, 160), "size": 224}
NETWORK, ENCODER = "linear", "tf_efficientnet_lite0"
SEEDS, EVERY = (0, 1, 2), 6
"""Trainings of each kind; every sixth photo of the validation set is scored at each angle."""


@dataclass(frozen=True)
class Seen(Photo):
    """A photo turned by `turn` degrees, then tilted by `tilt` about an axis `axis` degrees from the horizontal.

    It shrinks as far as its circle needs. Beyond its edge it is void; with `circle` beyond the circle, too.
    """

    turn: float = 0.0
    tilt: float = 0.0
    axis: float = 0.0
    circle: bool = False

    def loaded(self) -> tuple[np.ndarray, tuple[Label, ...]]:
        image_HW3, labels = super().loaded()
        height, width = image_HW3.shape[:2]
        to_33 = view(height, width, self.turn, self.tilt, self.axis)
        return cv2.warpPerspective(image_HW3, to_33, (width, height), borderValue=FILL), labels

    def labels_loaded(self) -> tuple[Label, ...]:
        void = self.vocabulary.source.void_id
        return tuple(replace(x, ids_HW=self._moved(x.ids_HW, void)) for x in super().labels_loaded() if _is_mask(x))

    def _moved(self, ids_HW: np.ndarray, void: int) -> np.ndarray:
        height, width = ids_HW.shape
        if self.circle:
            y_HW, x_HW = np.mgrid[:height, :width]
            beyond_HW = np.hypot(y_HW - (height - 1) / 2, x_HW - (width - 1) / 2) > min(height, width) / 2
            ids_HW = np.where(beyond_HW, void, ids_HW).astype(ids_HW.dtype)
        to_33 = view(height, width, self.turn, self.tilt, self.axis)
        return cv2.warpPerspective(ids_HW, to_33, (width, height), flags=cv2.INTER_NEAREST, borderValue=void)


def view(height: int, width: int, turn: float, tilt: float, axis: float) -> np.ndarray:
    """3x3 map of pixel indices (x, y, 1): the photo as a plane that is turned, tilted, and looked at from its front."""
    focal = FOCAL * max(height, width)
    spin_33 = _about((0, 0, 1), turn)
    lean_33 = _about((np.cos(np.deg2rad(axis)), np.sin(np.deg2rad(axis)), 0), tilt)
    plane_33 = np.column_stack([(lean_33 @ spin_33)[:, :2], [0, 0, focal]])  # x, y on the photo -> space before the eye
    image_33 = np.diag([focal, focal, 1.0]) @ plane_33
    radius = min(height, width) / 2
    around_P = np.deg2rad(np.arange(360))
    seen_3P = image_33 @ np.stack([radius * np.cos(around_P), radius * np.sin(around_P), np.ones(360)])
    seen_2P = seen_3P[:2] / seen_3P[2]
    low_2, high_2 = seen_2P.min(axis=1), seen_2P.max(axis=1)
    shrink = min(1.0, *(np.array([width, height]) / (high_2 - low_2)))
    middle_2 = np.array([width - 1, height - 1]) / 2
    back_33 = np.diag([shrink, shrink, 1.0])
    back_33[:2, 2] = middle_2 - shrink * (low_2 + high_2) / 2
    centred_33 = np.eye(3)
    centred_33[:2, 2] = -middle_2
    return back_33 @ image_33 @ centred_33 / focal


def _about(axis: Sequence[float], degrees: float) -> np.ndarray:
    return cv2.Rodrigues(np.deg2rad(degrees) * np.asarray(axis, float))[0]


def _is_mask(label: Label) -> bool:
    return isinstance(label, Mask)


def seen(data: Dataset, split: str, every: int = 1, **how: Any) -> Dataset:
    """Every such photo of a split, all seen in one way; tilts lean another way in each photo."""
    chosen = data.split(split).photos[::every]
    views = tuple(Seen(**vars(p), **how, axis=137.5 * k % 180, circle=True) for k, p in enumerate(chosen))
    return replace(data, photos=views, splits={split: tuple(p.name for p in views)})


def with_tilted(data: Dataset, split: str, seed: int) -> Dataset:
    """Every photo of the split as it is, and once tilted at random."""
    draw = np.random.default_rng(seed)
    plain = data.split(split).photos
    tilted = [
        Seen(**vars(p) | {"name": f"{p.name} tilted"}, tilt=draw.uniform(0, MOST_TILTED), axis=draw.uniform(0, 360))
        for p in plain
    ]
    every = (*plain, *tilted)
    return replace(data, photos=every, splits={split: tuple(p.name for p in every)})


def measured(
    data: Dataset, splits: tuple[str, str], seed: int, every: int, encoder: str, weights: str, **more: Any
) -> list[dict[str, Any]]:
    """A row for each training: mIoU in percent at each turn and tilt."""
    train_split, val_split = splits
    rows = []
    for way in WAYS:
        torch.manual_seed(seed)
        start = None if weights == "none" else weights
        network = networks.build(NETWORK, len(data.classes), encoder, start)
        shown_to = with_tilted(data, train_split, seed) if way == WAYS[2] else data
        turned = {"augment.rotate": 0.0 if way == WAYS[0] else MOST_TURNED}
        train(network, shown_to, train_split, seed=seed, weights=weights, **turned, **more)
        row: dict[str, Any] = {"trained on photos": way, "seed": seed}
        for kind, angles in {"turn": TURNS, "tilt": TILTS}.items():
            for angle in angles:
                found = score(network, seen(data, val_split, every, **{kind: angle}), val_split)
                row[f"{kind} {angle}"] = 100 * found["miou"]
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    return rows


def shown(rows: Sequence[dict[str, Any]], folder: Path) -> Path:
    """Print the tables and draw the picture."""
    panels = []
    for k, (kind, where) in enumerate({"turn": "degrees turned", "tilt": "degrees tilted"}.items()):
        columns = ["turn 0"] * (kind == "tilt") + [key for key in rows[0] if key.startswith(kind)]
        values = {
            way: {c.split()[1]: [row[c] for row in rows if row["trained on photos"] == way] for c in columns}
            for way in WAYS
        }
        print(f"mIoU, {where}")
        print(
            table([{"trained on photos": w} | {c: spread(v) for c, v in curve.items()} for w, curve in values.items()])
        )
        print()
        panels.append(panel(46 + 500 * k, 40, (310, 190)[k], 250, "mIoU", where, values))
    picture = drawing(880, 340, "mIoU of turned and tilted photos", panels)
    return write_atomically(folder / "objects_from_other_angles.svg", standalone(picture))


def main(folder: Path) -> Path:
    given = dict(SETTINGS)
    data, rows = photos(given.pop("data")), list[dict[str, Any]]()
    about = SETTINGS | {"network": f"{NETWORK} on {ENCODER} (ImageNet)", "every": EVERY}
    for k, seed in enumerate(SEEDS, 1):
        rows += measured(data, ("train", "val_dev"), seed, EVERY, ENCODER, "auto", **given)
        record("objects_from_other_angles", rows, about | {"seeds": SEEDS[:k]})
    return shown(rows, folder)


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
