"""Saliency on ECSSD, 200 photos: what stands out, by classical methods and by a network that learnt from boxes.

    python benchmarks/saliency.py [--out FOLDER] [--json FILE] [--quick]

The network never sees a mask. The masks of the 500 training photos are turned into boxes (`simulate`: exact, one for
each connected object), and the recipe `saliency` learns from those, classes ignored: GrabCut, a network of two classes,
its scores in the same boxes, a second network; the rounds are told apart below. Its supervision is 500 photos' boxes
and ImageNet. The paper's network, DeepLab v2 on ResNet-101, is `l2m train --recipe saliency --network
deeplab_v2_resnet101` and takes a GPU; here the everyday one, on EfficientNet-Lite2. Nothing is chosen
on the 200 photos.

MAE     mean absolute error of the map, 0..1, mean over photos; aim: at most 0.07
max-F   the largest F (beta^2 = 0.3) over 255 thresholds, of precision and recall averaged over photos
        (Achanta et al. 2009, Borji et al. 2015); aim: at least 0.90
peer    boundary connectivity (Zhu et al. 2014), same photos, same run. Published on ECSSD's other photos: the 0.14 M
        network CSNet x2, trained on masks, reaches MAE 0.0705 and max-F 0.901.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from accuracy import DATA, row

import labels2masks as l2m
from labels2masks.cues.learnt_saliency import object_probability
from labels2masks.cues.saliency import boundary_connectivity, minimum_barrier, spectral_residual
from labels2masks.files import write_atomically
from labels2masks.formats.image import read_image, read_mask
from labels2masks.formats.simulated import simulate
from labels2masks.prediction.model import Model, load_model
from labels2masks.progress import track
from labels2masks.recipes.masks import SUMMARY

RESULTS = Path(__file__).with_name("results") / "saliency.json"
ENCODER = "tf_efficientnet_lite2"
BETA2 = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs") / "saliency", help="folder for labels and runs")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="the classical methods on five photos")
    options = parser.parse_args()
    data = l2m.open(DATA / "ecssd")
    photos = data.split("val").photos[:: 40 if options.quick else 1]
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "spectral residual": spectral_residual,
        "minimum barrier": minimum_barrier,
        "boundary connectivity": boundary_connectivity,
    }
    minutes = 0.0
    if not options.quick:
        for number, run in enumerate(rounds := learnt(options.out), 1):
            ways[f"network from boxes, round {number}"] = partial(by_network, load_model(run))
        minutes = round(minutes_of(rounds[-1]), 1)
    found = {}
    for name, way in ways.items():
        began, errors, precision, recall = time.process_time(), [], [], []
        for photo in track(photos, name):
            truth_HW = read_mask(photo.labels[0].path) > 0
            saliency_HW = np.clip(way(read_image(photo.image)), 0, 1)
            errors.append(np.abs(saliency_HW - truth_HW).mean())
            at_each = curves(saliency_HW, truth_HW)
            precision.append(at_each[0])
            recall.append(at_each[1])
        p, r = np.mean(precision, axis=0), np.mean(recall, axis=0)
        best = float(np.max((1 + BETA2) * p * r / np.maximum(BETA2 * p + r, 1e-9)))
        found[name] = (float(np.mean(errors)), best, (time.process_time() - began) / len(photos))
    peer = "boundary connectivity"
    rows = []
    for name, (mae, best, seconds) in found.items():
        settings = {
            "photos": len(photos),
            "cpu_seconds_a_photo": round(seconds, 3),
            "minutes_to_train": minutes if name.startswith("network") else 0,
        }
        one = row(f"MAE, {name}", mae, "", peer, round(found[peer][0], 4), settings)
        one |= {"value": round(mae, 4), "ratio": round(found[peer][0] / mae, 3)}
        two = row(f"max-F, {name}", best, "", peer, round(found[peer][1], 4), settings) | {"value": round(best, 4)}
        rows += [one, two]
        print(f"{name:30s} MAE {mae:.4f}  max-F {best:.4f}  {seconds:.2f} s a photo")
    write_atomically(options.json, json.dumps(rows, indent=1) + "\n")
    print(json.dumps(rows))


def by_network(model: Model, image_HW3: np.ndarray) -> np.ndarray:
    return object_probability(model.predict_scores(image_HW3), model.classes)


def learnt(out: Path) -> tuple[Path, Path]:
    """The runs of both rounds; what is there already is kept."""
    run, boxes = out / "run", out / "boxes"
    if not (boxes / "labels.jsonl").exists():
        simulate(DATA / "ecssd", boxes, kind="boxes", split="train")
    if not (run / "model.safetensors").exists():
        weights = DATA / "weights" / f"{ENCODER}_imagenet_fp16.safetensors"
        how = {"encoder": ENCODER, "weights": weights, "train": "train", "val": "none", "no_photos": True}
        l2m.train(boxes, recipe="saliency", out=run, resume=run.exists(), **how)
    return run / "stages" / "1-network", run


def minutes_of(run: Path) -> float:
    """Of training and of what was narrowed before it, by the files that they left; both rounds of one run."""
    parts = [run, run / "stages" / "1-network", run / "stages" / "1-network" / "stages" / "1-linear"]
    trained = sum(json.loads((p / "metrics.json").read_text())["minutes"] for p in parts if p.exists())
    made = [json.loads(p.read_text()) for p in (run / "narrowed" / SUMMARY, run / "stages" / "1-narrowed" / SUMMARY)]
    return trained + sum(m["narrowed"] / m["images_per_second"] / 60 for m in made)


def curves(saliency_HW: np.ndarray, truth_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(precision, recall) at the thresholds 0..254 of 255: object is what lies above."""
    level_HW = np.rint(255 * saliency_HW).astype(int)
    of_object = np.bincount(level_HW[truth_HW], minlength=256)[::-1].cumsum()[::-1][1:]
    of_all = np.bincount(level_HW.ravel(), minlength=256)[::-1].cumsum()[::-1][1:]
    return of_object / np.maximum(of_all, 1), of_object / max(int(truth_HW.sum()), 1)


if __name__ == "__main__":
    main()
