"""Cutting an object out: human scribbles and boxes to a mask, against cv2.grabCut alone.

    python benchmarks/cutout.py [--json FILE]

17 photos of `grabcut33`, two people's scribbles each, and boxes: a person's for seven, the object's hull for the other
ten. Wrong pixels among those that the truth knows and nobody scribbled on, in percent, mean over photos. Two classes:
background and object.

    threshold       Otsu's, polarity by the border; knows no label
    cv2.grabCut     boxes: its rectangle mode; scribbles: its mask mode, all else "probably background" or "probably
                    object", whichever of the two is better over all photos (so the peer is chosen on the truth)
    grabcut         our step: boxes in a frame, each class against the ink of the other, fallbacks
    crf             one Gaussian a class fitted on the scribbles (for boxes on inside and outside), then the dense CRF
                    constrained to the candidates
    grabcut+crf     both steps

The sign test counts photos on which a method is better or worse than the peer; two-sided, ties left out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from math import comb
from pathlib import Path

import cv2
import numpy as np
from accuracy import DATA, row

from labels2masks.classes import Classes, Vocabulary
from labels2masks.cues.threshold import gaussian_scores, threshold_saliency
from labels2masks.files import write_atomically
from labels2masks.formats.image import read_image, read_mask
from labels2masks.labels import INK, Box, Boxes, Candidates, rasterise
from labels2masks.narrowing import ArgMax, Cues, Evidence, decide, dense_crf, grabcut
from labels2masks.narrowing.objects import as_evidence

RESULTS = Path(__file__).with_name("results") / "cutout.json"
CLASSES = Classes(("background", "object"), background="background")
GROUND = Cues(background=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=RESULTS)
    file = parser.parse_args().json
    folder = DATA / "grabcut33"
    drawn = json.loads((folder / "boxes.json").read_text())
    rows = []
    for kind in ("boxes", "scribbles1", "scribbles2"):
        errors: dict[str, list[float]] = {}
        by_person = 0
        for path in sorted((folder / "images").iterdir()):
            image_HW3, truth_HW = read_image(path), read_mask(folder / "masks" / f"{path.stem}.png")
            ink_HW = np.full(truth_HW.shape, -1)
            if kind == "boxes":
                by_person += "human_xyxy" in drawn[path.stem]
                box = drawn[path.stem].get("human_xyxy") or drawn[path.stem]["tight_xyxy"]
                candidates = boxed(box, *truth_HW.shape)
            else:
                marks_HW = read_mask(folder / kind / f"{path.stem}.png")
                ink_HW = np.select([marks_HW == 1, marks_HW == 2], [1, 0], -1)
                candidates = inked(ink_HW)
            counted_HW = (truth_HW != 255) & (ink_HW < 0)
            for name, mask_HW in masks(image_HW3, candidates, ink_HW).items():
                errors.setdefault(name, []).append(100 * (mask_HW != truth_HW)[counted_HW].mean())
        peer = min((n for n in errors if n.startswith("cv2.grabCut")), key=lambda n: np.mean(errors[n]))
        for name, found in errors.items():
            better, worse = (int(np.sum(op(np.array(found), errors[peer]))) for op in (np.less, np.greater))
            settings = {
                "labels": kind, "photos": len(found), "boxes_by_people": by_person,
                "median": round(np.median(found), 2),
                "better_on": better, "worse_on": worse, "sign_test_p": round(sign_test(better, worse), 4),
                "per_photo": [round(e, 2) for e in found],
            }  # fmt: skip
            made = row(
                f"wrong pixels, {kind}, {name}", np.mean(found), "%", peer, round(np.mean(errors[peer]), 2), settings
            )
            made["ratio"] = round(float(np.mean(errors[peer]) / max(np.mean(found), 1e-9)), 3)
            rows.append(made)
            print(f"{kind:11s} {name:28s} {np.mean(found):6.2f} %  better {better}, worse {worse}")
    write_atomically(file, json.dumps(rows, indent=1) + "\n")
    print(json.dumps(rows))


def boxed(box: tuple[float, float, float, float], height: int, width: int) -> Candidates:
    marks = (Box.upright("object", *box),)
    return rasterise((Boxes(marks, frozenset({"object"})),), Vocabulary.same(CLASSES), height, width)


def inked(ink_HW: np.ndarray) -> Candidates:
    made = Candidates.open(*ink_HW.shape, len(CLASSES))
    for c in range(len(CLASSES)):
        made = made.state(ink_HW == c, np.arange(len(CLASSES)) == c, INK, 1.0)
    return made


def masks(image_HW3: np.ndarray, candidates: Candidates, ink_HW: np.ndarray) -> dict[str, np.ndarray]:
    """Method -> int HW, 0 or 1."""
    cut = grabcut(image_HW3, candidates, GROUND)
    colours = by_colour(image_HW3, candidates, ink_HW)
    found = {"threshold": threshold_saliency(image_HW3).astype(int)}
    for guess in (cv2.GC_PR_BGD, cv2.GC_PR_FGD) if (ink_HW >= 0).any() else (cv2.GC_PR_FGD,):
        name = "cv2.grabCut, rest object" if guess == cv2.GC_PR_FGD else "cv2.grabCut, rest background"
        found[name] = alone(image_HW3, candidates, guess)
    ways: dict[str, Callable[[], Evidence]] = {
        "grabcut": lambda: cut,
        "crf": lambda: dense_crf(image_HW3, candidates, colours),
        "grabcut+crf": lambda: dense_crf(image_HW3, candidates, cut),
    }
    for name, way in ways.items():
        label_HW = decide(candidates, way(), ArgMax()).labels()
        found[name] = np.where(label_HW < 0, 0, label_HW)
    return found


def by_colour(image_HW3: np.ndarray, candidates: Candidates, ink_HW: np.ndarray) -> Evidence:
    """One Gaussian a class, on its ink, or for a box on what is inside and outside."""
    known_HW = ink_HW if (ink_HW >= 0).any() else np.where(candidates.labels() == 0, 0, 1)
    scores_CHW = gaussian_scores(image_HW3, known_HW, len(CLASSES))
    allowed_CHW = candidates.allowed()
    blank = as_evidence(candidates, np.where(allowed_CHW.all(axis=0), 0, candidates.labels()))
    return Evidence(np.where(allowed_CHW, scores_CHW / 10, np.float32(-np.inf)).astype(np.float32), blank.confidence_HW)


def alone(image_HW3: np.ndarray, candidates: Candidates, guess: int) -> np.ndarray:
    """cv2.grabCut as its documentation calls it, five iterations."""
    label_HW = candidates.labels()
    trimap_HW = np.select([label_HW == 0, label_HW == 1], [cv2.GC_BGD, cv2.GC_FGD], guess).astype(np.uint8)
    cv2.setRNGSeed(0)
    models = np.zeros((2, 65))
    cv2.grabCut(
        np.ascontiguousarray(image_HW3[..., ::-1]), trimap_HW, None, models[:1], models[1:], 5, cv2.GC_INIT_WITH_MASK
    )
    return (trimap_HW == cv2.GC_FGD) | (trimap_HW == cv2.GC_PR_FGD)


def sign_test(better: int, worse: int) -> float:
    """Two-sided p of so uneven a split of better + worse fair coins."""
    n = better + worse
    return min(1.0, 2 * sum(comb(n, k) for k in range(min(better, worse) + 1)) / 2**n) if n else 1.0


if __name__ == "__main__":
    main()
