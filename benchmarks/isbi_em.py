"""U-Net on its own task: membranes in electron microscopy (ISBI 2012), 24 slices to train, 6 to score.

    python benchmarks/isbi_em.py [--arms NAME ...] [--seeds N ...] [--steps N] [--out FOLDER] [--json FILE]
    python benchmarks/isbi_em.py --published [--steps 24]

U-Net's decoder on tf_efficientnet_lite0 with ImageNet weights, crops of 256, batch 4, float32, one thread, four arms of
equal steps: plain, with elastic deformation (10 px), with border weights (10, 5 px), with both. The last weights are
scored, masks are the arg-max, nothing is chosen on the six slices.

Rand F     how well cells are told apart, mean over slices (`evaluation.rand`); cells are the connected regions of the
           class `cell`. The paper's measure, on other slices and without its search for a threshold.
also       mIoU and pixel error of all slices together.
peer       Otsu's threshold on the slice blurred by 2 px, same slices, same run.
noise      the difference of an arm to `plain`, slice by slice: mean and standard error over the slices, for each seed.

--published is the paper's network of valid convolutions by the recipe `unet`, 31 million parameters, a tile of 388 a
step: one pass over the 24 slices takes minutes on a CPU, and trains nothing worth its name. Seconds are of the process.

One unit is one arm with one seed. Its line is kept in the JSON file as soon as it is done, and is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from accuracy import DATA, followed, row

import labels2masks as l2m
from labels2masks.evaluation.confusion import Confusion
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.evaluation.rand import rand_scores
from labels2masks.files import write_atomically
from labels2masks.losses.border_weights import separate_cells
from labels2masks.networks.saved import load_network
from labels2masks.prediction import predict_mask
from labels2masks.recipes import everyday
from labels2masks.recipes.fcn_to_dilation import unet
from labels2masks.training.plan import make_plan
from labels2masks.training.settings import Settings, with_settings

RESULTS = Path(__file__).with_name("results") / "isbi_em.json"
ARMS: dict[str, dict[str, float]] = {
    "plain": {},
    "elastic": {"augment.elastic": 10.0},
    "border": {"loss.border": 10.0},
    "both": {"augment.elastic": 10.0, "loss.border": 10.0},
}
PAPER_RAND_F = 96.18
"""100 (1 - 0.0382), Ronneberger et al. 2015, table 1: 30 hidden slices, mean of 7 turned views, best threshold."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=None, help="400; published: 24, one pass")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for the runs")
    parser.add_argument("--json", type=Path, default=RESULTS, help="the file that holds what is done")
    parser.add_argument("--published", action="store_true", help="the paper's own form")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    data = l2m.open(DATA / "isbi_em")
    otsu = scored(data, by_otsu)
    steps = options.steps or (24 if options.published else 400)
    rows = json.loads(options.json.read_text()) if options.json.exists() else []
    for seed in options.seeds:
        for arm in ["published"] if options.published else options.arms:
            settings = settings_of(arm, seed)
            if any(_key(done) == (arm, seed, steps) for done in rows):
                continue
            rows.append(unit(data, arm, settings, steps, otsu, options.out))
            write_atomically(options.json, json.dumps(rows, indent=1) + "\n")
            print(line(arm, seed, rows[-1]["settings"]), flush=True)
    print(line("Otsu", 0, otsu))
    print(differences(rows))
    print(json.dumps(rows))


def settings_of(arm: str, seed: int) -> Settings:
    given = {"threads": 1, "workers": 0, "precision": "float32", "loss.cells": "cell", "seed": seed}
    if arm == "published":
        return with_settings(unet(), given | {"memory_format": "contiguous"})
    family = {
        "network": "unet",
        "options": {},
        "crop": (256, 256),
        "batch": 4,
        "memory_format": "channels_last",
        "augment.settle": 0,
        "augment.scale": (0.8, 1.25),
        "augment.rotate": 180.0,
        "augment.rare": 0,
        "augment.hue": 0,
        "loss.class_weights": "none",
    }
    return with_settings(everyday(), given | family | ARMS[arm])


def unit(
    data: l2m.Dataset, arm: str, settings: Settings, steps: int, otsu: dict[str, Any], out: Path
) -> dict[str, Any]:
    """Train one arm, score it."""
    plan, _ = make_plan(data, settings, "train", "none", None, lambda s, classes: (s, 1.0, 1.0))
    folder = out / f"isbi_em-{arm}-{steps}-{settings.seed}"
    run, seconds = followed(data, plan.model_copy(update={"steps": steps}), folder)
    network, _ = load_network(run.folder)
    told = {
        "arm": arm,
        "seed": settings.seed,
        "steps": steps,
        "rate": settings.optimiser.rate,
        "batch": settings.batch,
        "crop": settings.crop,
        "encoder": settings.encoder,
        "training_cpu_seconds": seconds and round(seconds, 1),
        **scored(data, lambda image_HW3: predict_mask(network, image_HW3)),
        "otsu": otsu,
        "paper_rand_f": PAPER_RAND_F,
    }
    claim = f"ISBI EM, U-Net {arm}: Rand F of 6 slices"
    return row(claim, told["rand_f"], "%", "Otsu's threshold, blurred", otsu["rand_f"], told)


def by_otsu(image_HW3: np.ndarray) -> np.ndarray:
    """Bright is cell (1), dark membrane (0)."""
    grey_HW = cv2.GaussianBlur(image_HW3[..., 1], (0, 0), 2)
    return cv2.threshold(grey_HW, 0, 1, cv2.THRESH_OTSU)[1].astype(np.int32)


def scored(data: l2m.Dataset, predict: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """Scores of `predict` on val, in percent; `slices` is the Rand F of each."""
    cell, confusion, rand = data.classes.index("cell"), Confusion(data.classes), []
    for photo in data.split("val"):
        image_HW3, _ = photo.loaded()
        mask_HW, truth_HW = predict(image_HW3), truth_mask(photo, *image_HW3.shape[:2])
        confusion.add(mask_HW, truth_HW)
        rand.append([100 * s for s in rand_scores(separate_cells(mask_HW == cell), separate_cells(truth_HW == cell))])
    scores, means = confusion.scores(), [round(statistics.mean(of), 2) for of in zip(*rand, strict=True)]
    return {
        "miou": round(100 * scores["miou"], 2),
        "pixel_error": round(100 * (1 - scores["pixel_accuracy"]), 2),
        "rand_f": means[0],
        "rand_split": means[1],
        "rand_merge": means[2],
        "slices": [round(f, 2) for f, _, _ in rand],
    }


def differences(rows: list[dict[str, Any]]) -> str:
    """Rand F of each arm less that of `plain`, slice by slice: mean +- standard error, for each seed."""
    by_key = {_key(r): r["settings"]["slices"] for r in rows}
    lines = []
    for arm, seed, steps in by_key:
        plain = by_key.get(("plain", seed, steps))
        if plain and arm not in ("plain", "published"):
            apart = [a - b for a, b in zip(by_key[arm, seed, steps], plain, strict=True)]
            error = statistics.stdev(apart) / len(apart) ** 0.5
            mean = statistics.mean(apart)
            lines.append(f"{arm} - plain, seed {seed}: Rand F {mean:+.1f} +- {error:.1f} over {len(apart)} slices")
    return "\n".join(lines)


def line(name: str, seed: int, of: dict[str, Any]) -> str:
    rand = f"Rand F {of['rand_f']:5.1f} (split {of['rand_split']:.1f}, merge {of['rand_merge']:.1f})"
    return f"{name:10s} seed {seed}  {rand}  mIoU {of['miou']:5.1f}  pixel error {of['pixel_error']:5.2f}"


def _key(done: dict[str, Any]) -> tuple[str, int, int]:
    return tuple(done["settings"][name] for name in ("arm", "seed", "steps"))  # type: ignore[return-value]


if __name__ == "__main__":
    main()
