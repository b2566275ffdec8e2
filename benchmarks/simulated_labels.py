"""Do simulated clicks and boxes resemble those of people? VOC animals: 2507 human clicks, 1437 human boxes.

    python benchmarks/simulated_labels.py [--fit]

Clicks: of every human click that hit its object the distance to the border, as a share of the largest there is in that
object, and the way from the object's centre, in box sides; against clicks simulated on the same objects, `--repeats`
each. Boxes: how far a side lies outside the mask's own box, where a photo has one box of a class. Compared by the
two-sample Kolmogorov-Smirnov statistic (0 = equal distributions, 1 = no overlap).
Peers: a pixel of the object drawn evenly, and its deepest pixel, as clicks are simulated elsewhere; tight boxes.
The constants of labels/simulate.py were fitted on `train` (`--fit` prints the table), those of labels/slips.py read off
`train`; both are checked on `train_aug600`, whose masks are another hand's, without void borders.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from accuracy import DATA, row
from PIL import Image
from scipy.stats import ks_2samp

from labels2masks.classes import Classes
from labels2masks.labels import Box, Boxes, Points, simulate
from labels2masks.labels.simulate import click, simulated
from labels2masks.labels.slips import slipped
from labels2masks.labels.strokes import depth
from labels2masks.labels.truth import Object, Truth, cut, truth_of

ROOT = DATA / "voc_animals"
CLASSES = Classes(tuple(json.loads((ROOT / "meta.json").read_text())["classes"]), background="background")
CONSTANTS = simulate.INWARDS, simulate.SPREAD
BOXED = ("cat", "cow", "dog", "horse", "sheep")


def photos(split: str) -> Iterator[tuple[str, Truth]]:
    for name in (ROOT / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split():
        yield name, truth_of(np.asarray(Image.open(ROOT / "SegmentationClass" / f"{name}.png")).astype(int), CLASSES)


def human_clicks(split: str) -> tuple[list[tuple[Object, int, int]], Counter]:
    """(object, column and row in it) of every click that hit one; how many hit, fell on void, on something else."""
    clicks = json.loads((ROOT / "points_human.json").read_text())
    found, count = [], Counter()
    for name, truth in photos(split):
        height, width = truth.index_HW.shape
        for one in clicks[name]["fg"]:
            x, y = min(int(one["x"]), width - 1), min(int(one["y"]), height - 1)
            of = truth.index_HW[y, x]
            count["hit" if of == one["cls"] else "void" if of < 0 else "other"] += 1
            for o in truth.objects_of(CLASSES.names[one["cls"]]):
                row_, column = y - o.y, x - o.x
                inside = 0 <= row_ < o.part_hw.shape[0] and 0 <= column < o.part_hw.shape[1]
                if inside and o.part_hw[row_, column]:
                    found.append((o, column, row_))
    return found, count


@cache
def measured(one: Object) -> tuple[np.ndarray, float, float]:
    """(depth_hw, x and y of the centre)."""
    ys, xs = np.nonzero(one.part_hw)
    return depth(one.part_hw), float(xs.mean()), float(ys.mean())


def places(chosen: list[tuple[Object, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """(distance to the border as a share of the largest, way from the centre in box sides) of pixels in objects."""
    inwards, away = [], []
    for one, x, y in chosen:
        depth_hw, centre_x, centre_y = measured(one)
        h, w = one.part_hw.shape
        inwards.append(depth_hw[y, x] / depth_hw.max())
        away.append(np.hypot((x - centre_x) / w, (y - centre_y) / h))
    return np.array(inwards), np.array(away)


def drawn(objects: list[Object], repeats: int, how: str) -> list[tuple[Object, int, int]]:
    rng = np.random.default_rng(0)
    chosen = []
    for one in objects * repeats:
        if how == "as people":
            x, y = (int(v) for v in click(one.part_hw, rng))
        elif how == "evenly":
            ys, xs = np.nonzero(one.part_hw)
            pick = rng.integers(len(ys))
            x, y = xs[pick], ys[pick]
        else:
            y, x = np.unravel_index(int(measured(one)[0].argmax()), one.part_hw.shape)
        chosen.append((one, x, y))
    return chosen


def fitted(human: list[tuple[Object, int, int]]) -> None:
    """The two distances for a grid of constants."""
    inwards, away = places(human)
    objects = [one for one, _, _ in human]
    for simulate.INWARDS in (1.0, 1.25, 1.5, 1.75, 2.0, 2.5):
        for simulate.SPREAD in (0.15, 0.2, 0.25, 0.3, 10.0):
            made = places(drawn(objects, 1, "as people"))
            border, centre = (ks_2samp(a, b).statistic for a, b in zip((inwards, away), made, strict=True))
            print(f"INWARDS {simulate.INWARDS:4.2f}  SPREAD {simulate.SPREAD:5.2f}  {border:.3f} {centre:.3f}")


def box_sides(split: str) -> tuple[np.ndarray, np.ndarray]:
    """How far each side lies outside the mask's, of people's boxes and of simulated ones, photo edges left out."""
    people = json.loads((ROOT / "boxes_animalpose.json").read_text())
    rng = np.random.default_rng(0)
    theirs, ours = [], []
    for name, truth in photos(split):
        height, width = truth.index_HW.shape
        for of in BOXED:
            boxes = [b["box_xyxy"] for b in people.get(name, ()) if CLASSES.names[b["cls"]] == of]
            whole = next(cut(of, truth.index_HW == CLASSES.index(of)), None)
            if len(boxes) != 1 or whole is None:
                continue
            (h, w), (x0, y0, x1, y1) = whole.part_hw.shape, boxes[0]
            tight = Box.upright(of, whole.x, whole.y, whole.x + w, whole.y + h)
            if _iou((x0 - 1, y0 - 1, x1, y1), tight.bounds) < 0.7:  # another animal's
                continue
            alone = Truth(truth.index_HW, CLASSES, (whole,))
            made = slipped(Boxes((tight,)), alone, rng).marks
            free = np.array([whole.x > 0, whole.y > 0, whole.x + w < width, whole.y + h < height])
            theirs += list(_outside((x0 - 1, y0 - 1, x1, y1), tight.bounds)[free])
            ours += list(_outside(made[0].bounds, tight.bounds)[free]) if made else []
    return np.array(theirs), np.array(ours)


def _outside(box: Any, tight: Any) -> np.ndarray:
    return np.array([tight[0] - box[0], tight[1] - box[1], box[2] - tight[2], box[3] - tight[3]])


def _iou(a: Any, b: Any) -> float:
    sides = [max(min(a[k + 2], b[k + 2]) - max(a[k], b[k]), 0) for k in (0, 1)]
    both = sides[0] * sides[1]
    return both / sum((*((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)), -both))


def mistakes(split: str) -> dict[str, float]:
    """Of simulated noisy labels: where clicks fall, classes nobody clicked, photos with an animal not boxed."""
    count: Counter = Counter()
    for k, (_, truth) in enumerate(photos(split)):
        ids_HW = truth.index_HW
        label = simulated("points", ids_HW, CLASSES, np.random.default_rng(k), noise=True, per="object")
        assert isinstance(label, Points)
        for mark in label.marks:
            if mark.name != CLASSES.background:
                of = ids_HW[int(mark.y), int(mark.x)]
                count["hit" if of == CLASSES.index(mark.name) else "void" if of < 0 else "other"] += 1
        boxes = simulated("boxes", ids_HW, CLASSES, np.random.default_rng(k), noise=True)
        assert isinstance(boxes, Boxes)
        count["photos with a miss"] += _misses(boxes, truth)
        count["photos"] += 1
    clicks = count["hit"] + count["void"] + count["other"]
    return {
        "clicks": clicks,
        "on_void": round(count["void"] / clicks, 4),
        "on_other": round(count["other"] / clicks, 4),
        "photos_with_a_missed_animal": round(count["photos with a miss"] / count["photos"], 4),
    }


def _misses(boxes: Boxes, truth: Truth) -> bool:
    """Is an animal of 100 pixels or more covered to less than 30 % by the boxes of its class?"""
    for of in BOXED:
        covered_HW = np.zeros(truth.index_HW.shape, bool)
        for x0, y0, x1, y1 in (tuple(map(int, b.bounds)) for b in boxes.marks if b.name == of):
            covered_HW[y0:y1, x0:x1] = True
        if any(o.area >= 100 and covered_HW[o.window][o.part_hw].mean() < 0.3 for o in truth.objects_of(of)):
            return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="print the statistic for a grid of constants on train")
    parser.add_argument("--repeats", type=int, default=5, help="simulated clicks an object")
    parser.add_argument("--splits", nargs="+", default=["train", "train_aug600"])
    parser.add_argument("--json", action="store_true", help="the last line is JSON (it always is)")
    options = parser.parse_args()
    rows = []
    for split in options.splits:
        human, count = human_clicks(split)
        if options.fit and split == "train":
            fitted(human)
            simulate.INWARDS, simulate.SPREAD = CONSTANTS
        objects = [one for one, _, _ in human]
        theirs = places(human)
        found: dict[str, list[float]] = {}
        ours = np.array([])
        for how in ("evenly", "deepest", "as people"):
            made = places(drawn(objects, options.repeats if how != "deepest" else 1, how))
            ours = made[0]
            found[how] = [float(ks_2samp(a, b).statistic) for a, b in zip(theirs, made, strict=True)]
        settings = {
            "clicks": sum(count.values()),
            "hit": count["hit"],
            "on_void": count["void"],
            "on_other": count["other"],
            "human_quantiles_5_25_50_75_95": np.quantile(theirs[0], [0.05, 0.25, 0.5, 0.75, 0.95]).round(3).tolist(),
            "simulated_quantiles": np.quantile(ours, [0.05, 0.25, 0.5, 0.75, 0.95]).round(3).tolist(),
            "critical_at_5_percent": round(1.36 * float(np.sqrt((1 + 1 / options.repeats) / len(human))), 3),
            "deepest_pixel": round(found["deepest"][0], 3),
            "from_the_centre": round(found["as people"][1], 3),
            "from_the_centre_evenly": round(found["evenly"][1], 3),
            "simulated_mistakes": mistakes(split),
        }
        claim = f"distance of clicks to the border, people against simulated, VOC animals {split}"
        rows.append(_row(claim, found["as people"][0], "a pixel drawn evenly", found["evenly"][0], settings))
        sides, made = box_sides(split)
        settings = {
            "sides": len(sides),
            "human_quantiles_5_25_50_75_95": np.quantile(sides, [0.05, 0.25, 0.5, 0.75, 0.95]).round(3).tolist(),
            "simulated_quantiles": np.quantile(made, [0.05, 0.25, 0.5, 0.75, 0.95]).round(3).tolist(),
        }
        tight = float(ks_2samp(sides, np.zeros(1)).statistic)
        claim = f"sides of boxes against the mask's, people against simulated, VOC animals {split}"
        rows.append(_row(claim, float(ks_2samp(sides, made).statistic), "tight boxes", tight, settings))
    for one in rows:
        print(f"{one['claim']}: {one['value']:.3f}, {one['peer']} {one['peer_value']:.3f}\n  {one['settings']}")
    print(json.dumps(rows))


def _row(claim: str, value: float, peer: str, peer_value: float, settings: dict[str, Any]) -> dict:
    """The statistic is a distance: a ratio above 1 says how many times farther the peer is from people."""
    made = row(claim, value, "Kolmogorov-Smirnov statistic", peer, round(peer_value, 3), settings)
    return made | {"value": round(value, 3), "ratio": round(peer_value / value, 2)}


if __name__ == "__main__":
    main()
