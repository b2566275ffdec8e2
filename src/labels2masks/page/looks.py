"""What a network says of photos, kept as small pictures: of a finished run every photo, of one that trains a few.

    <out>/<photo>.npy      uint8 2 or 3 x h x w: class index, confidence 0..255, and the truth where there is one
    <out>/results.json     of a finished run: a row for each photo, see `judged`

`python -m labels2masks.page.looks` reads a line of JSON from standard input, and says `looking: 3/437` or `look 2` on
standard error. Planes are at most `LONGEST` on their long side; 255 is void, undecided or a class of another data set.

Legend: H, W = pixels; h, w = pixels of the small picture.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import DataError
from ..files import write_atomically
from ..formats.dataset import Dataset, Photo
from ..formats.image import read_image
from ..labels import INK
from .shown import UNDECIDED, as_bytes

LONGEST = 512
RESULTS = "results.json"
EVERY = 2.0
"""Seconds between two looks for a newer checkpoint."""


def planes_file(folder: Path, name: str) -> Path:
    """Where the planes of a photo of that name lie."""
    return folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.npy"


def look_at_all(run: Path, data: Dataset, out: Path) -> None:
    """Predict every photo by a finished run; write its planes, and the rows of all."""
    from ..evaluation.sources import open_source
    from ..progress import track

    source = open_source(run, data)
    of_name = np.append(np.where(source.index_M < 0, UNDECIDED, source.index_M), UNDECIDED).astype(np.uint8)
    rows: dict[str, Any] = {}
    for photo in track(data.photos, "looking"):
        try:
            mask_HW, sure_HW = source.mask(photo)
            seen_HW = of_name[mask_HW]
            rows[photo.name] = judged(photo, seen_HW, sure_HW) | {"learnt": photo.name in source.trained_on}
            _write(out, photo, seen_HW, sure_HW)
        except DataError as error:
            rows[photo.name] = {"score": None, "reason": str(error)}
    write_atomically(out / RESULTS, json.dumps(rows, sort_keys=True))


def judged(photo: Photo, seen_HW: np.ndarray, sure_HW: np.ndarray | None) -> dict[str, Any]:
    """{"score": 0..1 or None, "by": "truth", "labels" or None, "confidence", "classes": name -> IoU, "seen": names}.

    By truth: the mean IoU of the classes that are in the photo's mask or in the prediction. By other labels, which is
    agreement and no accuracy: the share of the pixels under clicks and strokes, else of all that the labels narrow,
    whose class is one that they allow.
    """
    classes = photo.vocabulary.target
    result: dict[str, Any] = {"score": None, "by": None, "classes": {}}
    result["confidence"] = None if sure_HW is None else float(sure_HW.mean())
    result["seen"] = [n for c, n in enumerate(classes.names) if (seen_HW == c).any()]
    if photo.has_mask:
        truth_HW = _truth(photo, *seen_HW.shape)
        stated_HW = truth_HW != UNDECIDED
        for c, name in enumerate(classes.names):
            found, true = (seen_HW == c) & stated_HW, truth_HW == c
            if found.any() or true.any():
                result["classes"][name] = float((found & true).sum() / (found | true).sum())
        if result["classes"]:
            result |= {"score": float(np.mean(list(result["classes"].values()))), "by": "truth"}
    elif photo.labels:
        candidates = photo.candidates(*seen_HW.shape)
        allowed_KC = np.pad(candidates.sets_KC, ((0, 0), (0, 256 - len(classes))))
        narrowed_K = candidates.sets_KC.any(axis=1) & ~candidates.sets_KC.all(axis=1)
        for counted_K in (narrowed_K & (candidates.source_K == INK), narrowed_K):
            here_HW = np.asarray(counted_K)[candidates.index_HW]
            if here_HW.any():
                agrees = allowed_KC[candidates.index_HW[here_HW], seen_HW[here_HW]].mean()
                return result | {"score": float(agrees), "by": "labels"}
    return result


def follow(run: Path, data: Dataset, out: Path) -> Iterator[int]:
    """Look at the photos of `data` each time that the run has a newer checkpoint; yields how often. Never ends."""
    last, looks = None, 0
    while True:
        found = sorted(run.rglob("checkpoints/step-*.safetensors"), key=lambda p: p.stat().st_mtime_ns)
        if found and found[-1] != last:
            last = found[-1]
            try:
                _look_at_few(run, last, data, out)
            except (DataError, OSError, KeyError):  # it is gone again, or another one already is there
                continue
            looks += 1
            yield looks
        time.sleep(EVERY)


def _look_at_few(run: Path, checkpoint: Path, data: Dataset, out: Path) -> None:
    from ..prediction import predict_confidence
    from ..training.checkpoint import newest_checkpoint
    from ..training.plan import read_plan
    from ..training.start import built

    plan = read_plan(next(f for p in checkpoint.parents if (f := p / "plan.json").is_file()))
    tensors, _, _ = newest_checkpoint(checkpoint.parent) or ({}, {}, [])
    network = built(plan.settings.model_copy(update={"weights": "none"}), len(plan.class_list))
    for part in ("network.", "mean."):  # the running mean, where there is one, is what the run will end with
        weights = {name.removeprefix(part): value for name, value in tensors.items() if name.startswith(part)}
        network.load_state_dict(weights, strict=part == "network.")
    for photo in data.photos:
        mask_HW, sure_HW = predict_confidence(network, read_image(photo.image, photo.levels))
        _write(out, photo, mask_HW.astype(np.uint8), sure_HW)


def _write(out: Path, photo: Photo, seen_HW: np.ndarray, sure_HW: np.ndarray | None) -> None:
    height, width = seen_HW.shape
    planes = [seen_HW, as_bytes(sure_HW if sure_HW is not None else np.ones((height, width), np.float32))]
    if photo.has_mask:
        planes.append(_truth(photo, height, width))
    scale = min(1.0, LONGEST / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_NEAREST) for plane in planes])
    write_atomically(planes_file(out, photo.name), lambda file: np.save(file, small, allow_pickle=False))


def _truth(photo: Photo, height: int, width: int) -> np.ndarray:
    """uint8 HW, 255 where the photo's masks say nothing."""
    from ..evaluation.evaluate import truth_mask

    truth_HW = truth_mask(photo, height, width)
    return np.where(truth_HW < 0, UNDECIDED, truth_HW).astype(np.uint8)


def main() -> None:
    """A line {"run", "data", "out", "photos": names or null} comes in; names: follow the run while it trains."""
    from ..formats.open import open_dataset

    asked = json.loads(sys.stdin.readline())
    data, run, out = open_dataset(asked["data"]), Path(asked["run"]), Path(asked["out"])
    if asked["photos"] is None:
        look_at_all(run, data, out)
        return
    for looks in follow(run, data.subset(asked["photos"]), out):
        print(f"look {looks}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
