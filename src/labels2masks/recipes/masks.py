"""The verb `masks`: labels in, masks out, no final network.

    l2m masks boxes.jsonl narrowed/                    what suits the labels of each photo
    l2m masks boxes.jsonl narrowed/ --recipe boxes-sdi
    l2m masks boxes.jsonl narrowed/ --steps grabcut,dense_crf
    l2m masks tags.jsonl narrowed/ --steps from_maps --maps clip/ --sure 0.8
    l2m train narrowed/                                a network from what is left

Photos are read once, in threads.

Legend: C = classes; H, W = pixels.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..cues.proposals import selective_search
from ..cues.saliency import boundary_connectivity
from ..cues.superpixels import felzenszwalb
from ..errors import DataError, UsageError
from ..files import write_atomically
from ..formats.dataset import Dataset, Photo
from ..formats.image import read_image
from ..formats.narrowed import write_narrowed, write_set, written_as
from ..formats.open import open_dataset
from ..labels import Mask
from ..narrowing import STEPS, Cues, Threshold, map_cues
from ..narrowing.chain import narrowed
from ..prediction.ahead import ahead
from ..prediction.model import Model, load_model
from ..progress import track
from .auto import chosen
from .chains import NOTHING, Chain, said

SUMMARY = "masks.json"


def masks(
    data: Dataset | Path | str,
    out: Path | str,
    recipe: str = "auto",
    steps: Sequence[str] | None = None,
    split: str | None = None,
    model: Path | str | None = None,
    threads: int | None = None,
    maps: Path | str | None = None,
    sure: float | None = None,
) -> dict[str, Any]:
    """Narrow the labels of every photo without a mask, and write a data set that `open` reads (`formats.narrowed`).

    recipe: a name of `chains.CHAINS`, or "auto": by the labels of each photo. steps: names of `narrowing.STEPS`, in
        place of a recipe. split: narrow the photos of this split only; all others keep their labels as they are.
    model: a run whose scores are a cue, for the steps that use them.
    threads: photos in hand at once; None = one for each core.
    maps: a folder of maps or masks that other tools made (see `formats.maps`), which are cues in place of our own.
    sure: decide only where the evidence is as certain, 0..1; None: as the recipe does, or everywhere.

    Returns {"out", "labels" (the file to train on), "photos", "narrowed", "chains" (in words), "decided_before",
    "decided_after" (share of the pixels that have one candidate), "images_per_second", "skipped"}.
    Raises UsageError for unknown names, for merged classes, and for a missing cue.
    """
    data = data if isinstance(data, Dataset) else open_dataset(data)
    for vocabulary in {id(p.vocabulary): p.vocabulary for p in data.photos}.values():
        written_as(vocabulary)
    folder = Path(out)
    if (folder / SUMMARY).exists():
        raise UsageError(f"{folder} holds masks already: name another folder, or remove it first")
    if sure is not None and not 0 <= sure <= 1:
        raise UsageError(f"--sure {sure:g}; expected a share, 0..1")
    photos = data.split(split).photos if split is not None else data.photos
    chains = {p.name: chosen(recipe, steps, p) for p in photos}
    if sure is not None:
        chains = {name: replace(chain, rule=Threshold(sure)) for name, chain in chains.items()}
    todo = [p for p in photos if chains[p.name].name != NOTHING.name]
    if not todo:
        raise DataError(
            f"{data.root or 'the data set'}: no photo has labels that masks could be made of: {said(chains.values())}"
        )
    loaded = load_model(model) if model is not None else None
    began = time.monotonic()

    def one(photo: Photo) -> tuple[str, Mask | None, tuple[float, float], str]:
        try:
            return photo.name, *_narrowed(photo, chains[photo.name], loaded, maps, folder), ""
        except DataError as error:
            return photo.name, None, (0.0, 0.0), str(error)

    found: dict[str, Mask] = {}
    shares, skipped = [], []
    for name, label, decided, reason in track(ahead(one, todo, threads or os.cpu_count() or 1), "masks", len(todo)):
        if label is None:
            skipped.append({"name": name, "reason": reason})
            continue
        found[name] = label
        shares.append(decided)
    file = write_set(data, found, folder)
    before, after = np.mean(shares or [(0.0, 0.0)], axis=0)
    result = {
        "out": str(folder),
        "labels": str(file),
        "photos": len(photos),
        "narrowed": len(found),
        "chains": said(chains.values()),
        "decided_before": round(float(before), 4),
        "decided_after": round(float(after), 4),
        "images_per_second": round(len(todo) / max(time.monotonic() - began, 1e-9), 2),
        "skipped": skipped,
    }
    write_atomically(folder / SUMMARY, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return result


def _narrowed(
    photo: Photo, chain: Chain, model: Model | None, maps: Path | str | None, folder: Path
) -> tuple[Mask, tuple[float, float]]:
    image_HW3 = read_image(photo.image, photo.levels)
    candidates = photo.candidates(*image_HW3.shape[:2])
    given = None if maps is None else map_cues(maps, photo)
    cues = _cues(image_HW3, chain, photo, model, given)
    if maps is not None and cues.cam_CHW is None and "cam_CHW" in chain.cues:
        raise DataError(f"{maps}: no map of a class for photo {photo.name!r}")
    left = narrowed(image_HW3, candidates, cues, [STEPS[s].run for s in chain.steps], chain.rule)
    return write_narrowed(photo, left, folder), (candidates.decided(), left.decided())


def _cues(image_HW3: np.ndarray, chain: Chain, photo: Photo, model: Model | None, given: Cues | None) -> Cues:
    """What the chain's steps ask for: what is given, else our own. UsageError where it can not be made."""
    wanted = {c for s in chain.steps for c in (*STEPS[s].cues, *STEPS[s].further)}
    if "cam_CHW" in chain.cues and model is None and given is None:
        raise UsageError(
            f"{chain.name} needs class maps: give a model that has learnt the tags with --model RUN (such as "
            "`l2m train DATA --recipe instant`), or another tool's with --maps FOLDER"
        )
    logs_CHW = None
    if model is not None and wanted & {"scores_CHW", "cam_CHW"}:
        logs_CHW = np.log(np.maximum(model.predict_scores(image_HW3), 1e-6)).astype(np.float32)
    own: dict[str, Callable[[], np.ndarray | None]] = {
        "scores_CHW": lambda: logs_CHW,
        "cam_CHW": lambda: None if logs_CHW is None else np.exp(logs_CHW),
        "saliency_HW": lambda: boundary_connectivity(image_HW3),
        "segments_HW": lambda: felzenszwalb(image_HW3),
        "proposals_SHW": lambda: selective_search(image_HW3),
    }
    classes = photo.vocabulary.target
    made: dict[str, Any] = {
        name: value if (value := getattr(given, name, None)) is not None else make()
        for name, make in own.items()
        if name in wanted
    }
    return Cues(None if classes.background is None else classes.index(classes.background), **made)


def masks_text(result: dict[str, Any]) -> str:
    """What `masks` returned, for a person."""
    lines = [
        result["chains"],
        f"{result['narrowed']} photos, {result['images_per_second']:.1f} a second: decided "
        f"{100 * result['decided_before']:.1f} % of the pixels before, {100 * result['decided_after']:.1f} % after",
        *(f"left out: {s['name']}: {s['reason']}" for s in result["skipped"][:5]),
        f"train on it: l2m train {result['out']}",
    ]
    return "\n".join(lines)
