"""What each cue knows of a photo: precision and recall of its pixels, alone and together.

    python benchmarks/cues.py [--photos 100] [--saliency RUN] [--json FILE] [--quick]

VOC animals, `train`: evenly taken photos, 7 classes (background and six others; true pixels of other classes are void
and not counted). The masks are only looked at for this table; nothing is tuned by it, and every threshold is a
published one. Pixels are counted over all photos together.

precision, recall      of "this is one of the six classes", whichever
by class               the same, but only a pixel of the right class is right; for cues that tell classes apart

class maps             of a linear classifier on the pooled features of a frozen EfficientNet-Lite0, learnt from the
                       tags of the 437 photos; four scales, mirrored, from a share of their own maximum on
saliency               at 0.5, as our steps take it, and at twice the map's mean (Achanta et al. 2009)
saliency network       --saliency RUN: a network that learnt from class-agnostic boxes through GrabCut
best superpixels       oracle: every superpixel takes what most of it truly is; on every fourth photo of these
best proposals         oracle: for each true region the selective-search proposal of largest overlap, on the photo at
                       half its size, for every fourth photo of these
peer                   Otsu's threshold; of class maps and unions with them: class maps from 0.2 of their maximum on
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from accuracy import DATA, row
from mixed_labels import CLASSES

import labels2masks as l2m
from labels2masks.cues.cam import SCALES, Classifier, class_maps, tag_loss
from labels2masks.cues.proposals import selective_search
from labels2masks.cues.saliency import boundary_connectivity, minimum_barrier, spectral_residual
from labels2masks.cues.superpixels import felzenszwalb, slic
from labels2masks.cues.threshold import threshold_saliency
from labels2masks.encoders import build_encoder
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Photo
from labels2masks.formats.image import read_image
from labels2masks.labels import kind_name
from labels2masks.narrowing.guide_labeller import guided
from labels2masks.prediction.model import load_model
from labels2masks.progress import track

RESULTS = Path(__file__).with_name("results") / "cues.json"
LABEL_FILES = ("points_human.json", "tags.json", "boxes_animalpose.json")
ENCODER = "tf_efficientnet_lite0"
SIDE, STEPS = 320, 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--saliency", type=Path, help="a run of two classes, background first")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="four photos, a classifier of 24")
    options = parser.parse_args()
    if options.quick:
        options.photos = 4
    all_photos = animals()
    photos = all_photos[:: max(len(all_photos) // options.photos, 1)][: options.photos]
    classifier = learnt(all_photos[:: 18 if options.quick else 1])
    network = load_model(options.saliency) if options.saliency else None
    counts: dict[str, np.ndarray] = {}
    for number, photo in enumerate(track(photos, "cues")):
        truth_HW = of_kind(photo, "mask").candidates(*size_of(photo)).labels()
        image_HW3 = read_image(photo.image)
        found = cues_of(image_HW3, photo, classifier, network)
        found |= oracles(image_HW3, truth_HW) if number % 4 == 0 else {}
        for name, label_HW in found.items():
            counts[name] = counts.get(name, 0) + counted(label_HW, truth_HW)
    rows = []
    for name, (right, by_class, said, there, seen) in counts.items():
        p, r = right / max(said, 1), right / there
        classy = "class maps" in name or "Guide" in name
        peer = peer_of(name) if peer_of(name) != name else ""
        settings = {"photos": int(seen), "precision": round(p, 3), "recall": round(r, 3)}
        if classy:
            settings |= {"precision_by_class": round(by_class / max(said, 1), 3)}
            settings |= {"recall_by_class": round(by_class / there, 3)}
        theirs = counts[peer] if peer else None
        value, other = (None if c is None else 100 * c[0] / max(c[2] + c[3] - c[0], 1) for c in (counts[name], theirs))
        rows.append(row(f"overlap with the object, {name}", value, "%", peer, other and round(other, 2), settings))
        extra = f"   by class {by_class / max(said, 1):.3f} {by_class / there:.3f}" if classy else ""
        print(f"{name:42s} precision {p:.3f}  recall {r:.3f}{extra}")
    write_atomically(options.json, json.dumps(rows, indent=1) + "\n")
    print(json.dumps(rows))


def animals() -> list[Photo]:
    """The photos of `train` with every label there is of them: masks, tags, people's clicks and boxes."""
    with tempfile.TemporaryDirectory() as folder:
        file = l2m.convert(DATA / "voc_animals", Path(folder) / "animals.jsonl", to="jsonl", labels=LABEL_FILES).path
        return list(l2m.open(file, classes=CLASSES, others="void").split("train").photos)


def of_kind(photo: Photo, kind: str) -> Photo:
    return replace(photo, labels=tuple(x for x in photo.labels if kind_name(x) == kind))


def size_of(photo: Photo) -> tuple[int, int]:
    height, width = read_image(photo.image).shape[:2]
    return height, width


def present(photo: Photo) -> torch.Tensor:
    """bool C: the classes that the photo's tags name."""
    facts = of_kind(photo, "tags").candidates(8, 8).facts
    there_C = torch.zeros(len(CLASSES) + 1, dtype=torch.bool)
    there_C[[c for meant in facts.present if len(meant) == 1 for c in meant]] = True
    return there_C


def learnt(photos: list[Photo]) -> Classifier:
    """A classifier of tags: the encoder stays as ImageNet left it, a linear layer learns from its pooled features."""
    classifier = Classifier(build_encoder(ENCODER, "auto", 16).eval(), len(CLASSES) + 1)
    pooled = []
    with torch.inference_mode():
        for photo in track(photos, "classifier"):
            image_HW3 = read_image(photo.image)
            scale = SIDE / max(image_HW3.shape[:2])
            small = cv2.resize(image_HW3, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            image_13HW = torch.from_numpy(small).permute(2, 0, 1)[None].float()
            pooled.append(classifier.encoder(image_13HW)[-1].mean(dim=(2, 3))[0])
    features_ND, present_NC = torch.stack(pooled).clone(), torch.stack([present(p) for p in photos])
    scale = features_ND.std()
    weigh = torch.nn.Linear(features_ND.shape[1], len(CLASSES) + 1, bias=False)
    torch.nn.init.zeros_(weigh.weight)
    optimiser = torch.optim.AdamW(weigh.parameters(), 1e-2, weight_decay=1e-2)
    for _ in range(STEPS):
        total, count = tag_loss(weigh(features_ND / scale), present_NC, torch.ones_like(present_NC))
        optimiser.zero_grad()
        (total / count).backward()
        optimiser.step()
    with torch.no_grad():
        classifier.weigh.weight.copy_((weigh.weight / scale)[..., None, None])
    return classifier


def maps_of(
    classifier: Classifier, image_HW3: np.ndarray, photo: Photo, scales: Sequence[float] = SCALES, flip: bool = True
) -> np.ndarray:
    """float32 CHW, 0..1: class maps of the photo's tags; background's is empty."""
    image_3HW = torch.from_numpy(image_HW3.copy()).permute(2, 0, 1).float()
    return class_maps(classifier, image_3HW, present(photo), scales, flip).numpy()


def cues_of(image_HW3: np.ndarray, photo: Photo, classifier: Classifier, network) -> dict[str, np.ndarray]:
    """Cue -> int HW: 0 = says no object, a class, or 99 for an object of whatever class."""
    anything = 99
    maps_CHW = maps_of(classifier, image_HW3, photo)
    found = {
        f"{word} threshold": anything * (threshold_saliency(image_HW3, word) > 0.5) for word in ("otsu", "triangle")
    }
    salient = {
        "spectral residual": spectral_residual(image_HW3),
        "boundary connectivity": boundary_connectivity(image_HW3),
        "minimum barrier": minimum_barrier(image_HW3),
    }
    if network is not None:
        salient["saliency network"] = network.predict_scores(image_HW3)[1]
    for name, saliency_HW in salient.items():
        found[f"{name} at 0.5"] = anything * (saliency_HW >= 0.5)
        found[f"{name} at twice its mean"] = anything * (saliency_HW >= 2 * saliency_HW.mean())
    for least in (0.2, 0.5, 0.8):
        found[f"class maps at {least}"] = np.where(maps_CHW.max(axis=0) >= least, maps_CHW.argmax(axis=0), 0)
    seeds_HW = found["class maps at 0.2"]
    for name, saliency_HW in salient.items():
        found[f"class maps at 0.2 or {name}"] = np.where(seeds_HW > 0, seeds_HW, anything * (saliency_HW >= 0.5))
    best_HW = salient.get("saliency network", salient["boundary connectivity"])
    marks_HW = np.where(seeds_HW > 0, seeds_HW, -1).astype(np.int32)
    found["Guide Labeller G2 on both"] = np.maximum(guided(image_HW3, best_HW >= 0.5, marks_HW, 0, len(maps_CHW)), 0)
    found["any cue"] = anything * np.any([m > 0 for m in found.values()], axis=0)
    return found


def oracles(image_HW3: np.ndarray, truth_HW: np.ndarray) -> dict[str, np.ndarray]:
    """What superpixels and proposals allow: chosen by the truth."""
    found = {}
    for name, way in {"SLIC": slic, "Felzenszwalb": felzenszwalb}.items():
        segments_HW = way(image_HW3)
        votes_KC = np.zeros((segments_HW.max() + 1, len(CLASSES) + 1), np.int64)
        known_HW = truth_HW >= 0
        np.add.at(votes_KC, (segments_HW[known_HW], truth_HW[known_HW]), 1)
        found[f"best superpixels, {name}"] = votes_KC.argmax(axis=1)[segments_HW]
    half = image_HW3.shape[1] // 2, image_HW3.shape[0] // 2
    small_SHW = selective_search(cv2.resize(image_HW3, half, interpolation=cv2.INTER_AREA))
    truth_hw = cv2.resize(truth_HW.astype(np.int16), half, interpolation=cv2.INTER_NEAREST)
    label_hw = np.zeros(truth_hw.shape, np.uint8)
    for of_class in np.unique(truth_hw[truth_hw > 0]):
        count, parts_hw = cv2.connectedComponents((truth_hw == of_class).astype(np.uint8))
        for i in range(1, count):
            region_hw = parts_hw == i
            shared_S = small_SHW[:, region_hw].sum(axis=1)
            overlap_S = shared_S / (small_SHW[:, truth_hw >= 0].sum(axis=1) + region_hw.sum() - shared_S)
            label_hw[small_SHW[overlap_S.argmax()]] = of_class
    size = truth_HW.shape[::-1]
    found["best proposals, selective search"] = cv2.resize(label_hw, size, interpolation=cv2.INTER_NEAREST)
    return found


def counted(label_HW: np.ndarray, truth_HW: np.ndarray) -> np.ndarray:
    """(right, right by class, said, there, photos) in pixels; void is not counted."""
    known_HW = truth_HW >= 0
    said_HW, there_HW = (label_HW > 0) & known_HW, truth_HW > 0
    both_HW = said_HW & there_HW
    return np.array([both_HW.sum(), (both_HW & (label_HW == truth_HW)).sum(), said_HW.sum(), there_HW.sum(), 1])


def peer_of(name: str) -> str:
    if " or " in name or "Guide" in name or name == "any cue" or name.startswith("class maps"):
        return "class maps at 0.2"
    return "otsu threshold"


if __name__ == "__main__":
    main()
