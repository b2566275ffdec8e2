"""Saliency on ECSSD, 200 photos: what stands out, by classical methods and by a network that learnt from boxes.

    python benchmarks/saliency.py [--minutes 12] [--out FOLDER] [--json FILE] [--quick]

The network never sees a mask. The masks of the 500 training photos are turned into boxes (`simulate`), the boxes into
masks by GrabCut (`masks`), a network of two classes learns from those (`train`), and once more: its scores, inside the
boxes, narrow the person's boxes anew and a second network learns. Its supervision is therefore 500 class-agnostic boxes
and ImageNet. Nothing is chosen on the 200 photos.

MAE     mean absolute error of the map, 0..1, mean over photos
max-F   the largest F (beta^2 = 0.3) over 255 thresholds, of precision and recall averaged over photos
        (Achanta et al. 2009, Borji et al. 2015)
peer    boundary connectivity (Zhu et al. 2014), same photos, same run. Published on ECSSD's other photos: the 0.14 M
        network CSNet x2, trained on masks, reaches MAE 0.0705 and max-F 0.901.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from accuracy import DATA, row

import labels2masks as l2m
from labels2masks.cues.saliency import boundary_connectivity, spectral_residual
from labels2masks.files import write_atomically
from labels2masks.formats.image import read_image, read_mask
from labels2masks.formats.simulated import simulate
from labels2masks.prediction.model import load_model
from labels2masks.progress import track

RESULTS = Path(__file__).with_name("results") / "saliency.json"
BETA2 = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12, help="to train, each of the two rounds")
    parser.add_argument("--out", type=Path, default=Path("runs") / "saliency", help="folder for labels and runs")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="the classical methods on five photos")
    options = parser.parse_args()
    data = l2m.open(DATA / "ecssd")
    photos = data.split("val").photos[:: 40 if options.quick else 1]
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "spectral residual": spectral_residual,
        "boundary connectivity": boundary_connectivity,
    }
    if not options.quick:
        for round_ in (1, 2):
            model = load_model(learnt(options.out, round_, options.minutes))
            ways[f"network from boxes, round {round_}"] = lambda image, m=model: m.predict_scores(image)[1]
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
        settings = {"photos": len(photos), "cpu_seconds_a_photo": round(seconds, 3), "minutes_a_round": options.minutes}
        one = row(f"MAE, {name}", mae, "", peer, round(found[peer][0], 4), settings)
        one |= {"value": round(mae, 4), "ratio": round(found[peer][0] / mae, 3)}
        two = row(f"max-F, {name}", best, "", peer, round(found[peer][1], 4), settings) | {"value": round(best, 4)}
        rows += [one, two]
        print(f"{name:30s} MAE {mae:.4f}  max-F {best:.4f}  {seconds:.2f} s a photo")
    write_atomically(options.json, json.dumps(rows, indent=1) + "\n")
    print(json.dumps(rows))


def learnt(out: Path, round_: int, minutes: float) -> Path:
    """The run of a round; what is there already is kept."""
    run, boxes, narrowed = out / f"round{round_}", out / "boxes", out / f"narrowed{round_}"
    if not (boxes / "labels.jsonl").exists():
        simulate(DATA / "ecssd", boxes, kind="boxes", split="train")
    if not (narrowed / "masks.json").exists():
        steps = ["grabcut"] if round_ == 1 else ["em_fixed", "dense_crf"]
        earlier = out / f"round{round_ - 1}" if round_ > 1 else None
        l2m.masks(boxes, narrowed, steps=steps, split="train", model=earlier)
    if not (run / "model.safetensors").exists():
        how = {"minutes": minutes, "out": run, "resume": run.exists(), "no_photos": True}
        l2m.train(narrowed, train="train", val="none", **how)
    return run


def curves(saliency_HW: np.ndarray, truth_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(precision, recall) at the thresholds 0..254 of 255: object is what lies above."""
    level_HW = np.rint(255 * saliency_HW).astype(int)
    of_object = np.bincount(level_HW[truth_HW], minlength=256)[::-1].cumsum()[::-1][1:]
    of_all = np.bincount(level_HW.ravel(), minlength=256)[::-1].cumsum()[::-1][1:]
    return of_object / np.maximum(of_all, 1), of_object / max(int(truth_HW.sum()), 1)


if __name__ == "__main__":
    main()
