"""The verb `masks`: labels in, masks out, no final network.

    l2m masks boxes.jsonl narrowed/                    what suits the labels of each photo
    l2m masks boxes.jsonl narrowed/ --recipe boxes-sdi
    l2m masks boxes.jsonl narrowed/ --steps grabcut,dense_crf
    l2m masks tags.jsonl narrowed/ --steps from_maps --maps clip/ --sure 0.8
    l2m masks tags.jsonl narrowed/ --recipe tags-guided --saliency runs/salient
    l2m train narrowed/                                a network from what is left

Photos are read once, in threads. What the steps know beside the labels, and what it learnt from, is in masks.json.

Legend: C = classes; H, W = pixels.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..cues.cam import QUICK_SCALES
from ..cues.learnt_saliency import object_class, object_probability
from ..cues.proposals import selective_search
from ..cues.saliency import boundary_connectivity
from ..cues.superpixels import felzenszwalb
from ..errors import DataError, UsageError
from ..files import write_atomically
from ..formats.dataset import Dataset, Photo
from ..formats.image import read_image
from ..formats.narrowed import write_narrowed, write_set, written_as
from ..formats.open import open_dataset
from ..labels import Candidates, Mask
from ..narrowing import STEPS, Cues, Threshold, map_cues
from ..narrowing.chain import narrowed
from ..prediction.ahead import ahead
from ..prediction.model import FILE, Model, load_model
from ..progress import track
from ..training.stages import train_stages
from ..training.tags import TagMaps, classifier_settings, load_tag_maps, train_classifier
from .auto import chosen
from .chains import NOTHING, Chain, priors, said
from .instant import instant

SUMMARY = "masks.json"
CLASSICAL = "classical"
CLASSIFIER, INSTANT = "classifier", "instant"


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
    saliency: Path | str = CLASSICAL,
    classifier: Path | str | None = None,
    weights: Path | str = "auto",
    encoder: str | None = None,
) -> dict[str, Any]:
    """Narrow the labels of every photo without a mask, and write a data set that `open` reads (`formats.narrowed`).

    recipe: a name of `chains.CHAINS`, or "auto": by the labels of each photo. steps: names of `narrowing.STEPS`, in
        place of a recipe. split: narrow the photos of this split only; all others keep their labels as they are.
    model: a run whose scores are a cue, for the steps that use them; in place of class maps, too. Where the steps need
        scores and nothing gives any, the `instant` classifier learns from these photos first, in `out`/instant.
    threads: photos in hand at once; None = one for each core.
    maps: a folder of maps or masks that other tools made (see `formats.maps`), which are cues in place of our own.
    sure: decide only where the evidence is as certain, 0..1; None: as the recipe does, or everywhere.
    saliency: "classical" (boundary connectivity), or a run of two classes, one of them background (see `saliency`),
        which then is one more witness in chains that ask a network, too.
    classifier: a folder of `training.tags`, whose class activation maps are a cue. Where the steps need class maps and
        nothing gives any, one is trained on these photos first, in `out`/classifier, from these `weights` of `encoder`;
        None = EfficientNet-Lite0.

    Returns {"out", "labels" (the file to train on), "photos", "narrowed", "chains" (in words), "priors" (what the steps
    knew beside the labels, in words), "decided_before", "decided_after" (share of the pixels that have one candidate),
    "images_per_second", "skipped"}.
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
    salient = None if str(saliency) == CLASSICAL else load_model(saliency)
    if salient is not None:
        object_class(salient.classes)
        chains = {name: chain.with_saliency() for name, chain in chains.items()}
    used = [chain for chain in chains.values() if chain.name != NOTHING.name]
    if any("from_maps" in chain.steps for chain in used) and model is None and maps is None and classifier is None:
        raise UsageError("the step 'from_maps' believes maps that are given: --maps FOLDER, --classifier or --model")
    if any("cam_CHW" in chain.cues for chain in used) and model is None and maps is None and classifier is None:
        settings = classifier_settings()
        settings = settings.model_copy(update={"encoder": encoder or settings.encoder})
        classifier = train_classifier(photos, folder / CLASSIFIER, weights=str(weights), settings=settings)
    if any("scores_CHW" in chain.cues for chain in used) and model is None and maps is None:
        light = instant()
        light = light.model_copy(update={"encoder": encoder or light.encoder, "weights": str(weights)})
        learnt = replace(data, photos=tuple(p for p in photos if p.labels), splits={})
        model = train_stages(learnt, [light], out=folder / INSTANT, resume=True, val="none").folder
    loaded = _Models(
        load_model(model) if model is not None else None,
        load_tag_maps(classifier, data.classes) if classifier is not None else None,
        salient,
    )
    known = priors(used, _learnt_maps(loaded, maps), "" if salient is None else _learnt_from(salient))
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
        "priors": known,
        "decided_before": round(float(before), 4),
        "decided_after": round(float(after), 4),
        "images_per_second": round(len(todo) / max(time.monotonic() - began, 1e-9), 2),
        "skipped": skipped,
    }
    write_atomically(folder / SUMMARY, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return result


@dataclass(frozen=True)
class _Models:
    """What has learnt something: scores from labels like these, class maps from tags, what stands out from boxes."""

    scores: Model | None = None
    class_maps: TagMaps | None = None
    salient: Model | None = None


def _learnt_from(model: Model) -> str:
    """Its own supervision, by its protocol card."""
    card = model.info.get("protocol") or {}
    labels = ", ".join(f"{count} photos with {kind}" for kind, count in sorted((card.get("labels") or {}).items()))
    name = model.path.parent.name if model.path and model.path.name == FILE else model.path and model.path.name
    return f"{name}, learnt from {labels or 'unknown labels'}; pretraining: {card.get('pretraining') or 'unknown'}"


def _learnt_maps(models: _Models, maps: Path | str | None) -> str:
    """Where class maps or scores come from, in words; "" = from these labels alone."""
    if maps is not None:
        return f"{Path(maps).name}, made by another tool"
    if models.scores is not None:
        return _learnt_from(models.scores)
    return "" if models.class_maps is None else models.class_maps.learnt_from


def _narrowed(
    photo: Photo, chain: Chain, models: _Models, maps: Path | str | None, folder: Path
) -> tuple[Mask, tuple[float, float]]:
    image_HW3 = read_image(photo.image, photo.levels)
    candidates = photo.candidates(*image_HW3.shape[:2])
    given = None if maps is None else map_cues(maps, photo)
    cues = _cues(image_HW3, candidates, chain, photo, models, given)
    if maps is not None and cues.cam_CHW is None and "cam_CHW" in chain.cues:
        raise DataError(f"{maps}: no map of a class for photo {photo.name!r}")
    left = narrowed(image_HW3, candidates, cues, [STEPS[s].run for s in chain.steps], chain.rule)
    return write_narrowed(photo, left, folder), (candidates.decided(), left.decided())


def _cues(
    image_HW3: np.ndarray, candidates: Candidates, chain: Chain, photo: Photo, models: _Models, given: Cues | None
) -> Cues:
    """What the chain's steps ask for: what is given, else our own."""
    wanted = {c for s in chain.steps for c in (*STEPS[s].cues, *STEPS[s].further)}
    logs_CHW = None
    if models.scores is not None and wanted & {"scores_CHW", "cam_CHW"}:
        logs_CHW = np.log(np.maximum(models.scores.predict_scores(image_HW3), 1e-6)).astype(np.float32)

    def class_maps_CHW() -> np.ndarray | None:
        if models.class_maps is not None:
            return models.class_maps(image_HW3, candidates, QUICK_SCALES)
        return None if logs_CHW is None else np.exp(logs_CHW)

    def saliency_HW() -> np.ndarray:
        if models.salient is None:
            return boundary_connectivity(image_HW3)
        return object_probability(models.salient.predict_scores(image_HW3), models.salient.classes)

    own: dict[str, Callable[[], np.ndarray | None]] = {
        "scores_CHW": lambda: logs_CHW,
        "cam_CHW": class_maps_CHW,
        "saliency_HW": saliency_HW,
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
        f"known beside the labels: {result['priors']}",
        f"{result['narrowed']} photos, {result['images_per_second']:.1f} a second: decided "
        f"{100 * result['decided_before']:.1f} % of the pixels before, {100 * result['decided_after']:.1f} % after",
        *(f"left out: {s['name']}: {s['reason']}" for s in result["skipped"][:5]),
        f"train on it: l2m train {result['out']}",
    ]
    return "\n".join(lines)
