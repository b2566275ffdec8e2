"""Data + machine + settings -> a plan: every decision a run rests on, shown before it starts and kept in plan.json.

`--resume` and `--plan FILE` use a plan unchanged: same plan, seed, machine and thread count give
the same weights.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from ..classes import Classes
from ..errors import DataError, UsageError
from ..formats.dataset import Dataset, Photo
from ..formats.image import image_size
from ..formats.splitting import apart_from, folds, make_split
from ..labels import Boxes, Mask, kind_name, labelling_seconds, rasterise
from ..losses.class_weights import median_frequency
from .settings import Settings
from .teacher import check_teacher

LOOKED_AT = 2000
"""Photos whose labels are read to make the plan; a larger set is sampled."""

SMALLEST_SIDE = 16
"""Pixels that the smallest labelled objects keep at the working size."""


class Plan(BaseModel):
    """The run, decided. `settings` has no None left but `epochs`, `minutes` and `size`.

    train, val: photo names. fold_names: the photos of each fold where a small set is scored by folds.
    unlabelled: photos without a label that take part too (see `settings.Loss`, consistency).
    class_weights: one for each class. rarity: file id -> pull on crops.
    card: what the protocol card says of the recipe, and `asked`, its name.
    files: photo name -> fingerprint (size and hash of the first 64 KiB).
    """

    model_config = ConfigDict(extra="forbid")

    version: int = 1
    settings: Settings
    data: str
    classes: dict[str, Any]
    train: list[str]
    val: list[str]
    split_origin: str
    fold_names: list[list[str]]
    kinds: dict[str, int]
    labelling_seconds: float
    class_shares: list[float]
    class_weights: list[float]
    rarity: dict[int, float]
    steps: int
    checkpoint_every: int
    seconds_per_step: float
    seconds_per_early_step: float
    expected_minutes: float
    notes: list[str]
    files: dict[str, str]
    versions: dict[str, str]
    unlabelled: list[str] = []
    card: dict[str, str] = {}

    @property
    def class_list(self) -> Classes:
        return Classes.from_json(self.classes)

    @property
    def settles(self) -> int | None:
        """The step from which crops are whole and zooms mild (`Augment.settle`); None = there is no such change."""
        settle = self.settings.augment.settle
        return round((1 - settle) * self.steps) if settle else None

    def seconds_to(self, step: int) -> float:
        """Seconds that the first `step` steps were expected to take."""
        early = min(step, self.settles or 0)
        return early * self.seconds_per_early_step + (step - early) * self.seconds_per_step


def make_plan(
    data: Dataset,
    settings: Settings,
    train: str | None,
    val: str | None,
    group_by: str | None,
    measure: Callable[[Settings, int], tuple[Settings, float, float]],
) -> tuple[Plan, list[tuple[str, str]]]:
    """(plan, unreadable photos with their reasons).

    measure: settings with crop and batch -> the fastest precision and memory format, seconds a step with whole crops,
        and with the smaller ones from before the run settles.
    Raises UsageError for unknown splits, DataError where there is nothing to learn from.
    """
    check_teacher(settings)
    train_names, val_names, origin = split_names(data, train, val or "auto", group_by, settings.seed)
    photos = [p for p in data.subset(train_names) if p.labels]
    unlabelled = [p for p in data.subset(train_names) if not p.labels] if settings.loss.consistency > 0 else []
    if not photos:
        raise DataError(
            f"{data.root}: none of the {len(train_names)} training photos has a label; "
            "draw some, or point to the folder that has them (see `l2m check`)"
        )
    seen = _look(photos, data.classes)
    bad = {name for name, _ in seen.unreadable}
    photos = [p for p in photos if p.name not in bad]
    if not photos:
        raise DataError(f"none of the training photos can be read; the first: {seen.unreadable[0][1]}")

    notes = [*data.notes, *seen.notes]
    if unlabelled and origin in (FOLDS, ASIDE):
        scored = [p for p in photos if p.has_mask] if origin == FOLDS else data.subset(val_names).photos
        apart = apart_from(scored, unlabelled, group_by)
        if len(apart) < len(unlabelled):
            alike = len(unlabelled) - len(apart)
            notes.append(f"{alike} photos without a label belong together with photos to score by, and are left out")
        unlabelled = apart
    settings = _sized(settings, seen)
    settings = settings.model_copy(update={"threads": settings.threads or available_cores()})
    settings = settings.model_copy(
        update={"workers": settings.workers if settings.workers is not None else min(4, max(1, available_cores() // 2))}
    )
    fold_names: list[list[str]] = []
    if origin == FOLDS:
        origin = f"5 folds: {len(photos)} labelled photos are too few to set some aside"
        try:
            fold_names = [list(f) for f in folds(data.subset([p.name for p in photos]), 5, settings.seed, group_by)]
        except DataError as error:
            if group_by:
                raise
            origin = "none: too few photos have masks"
            notes.append(f"there will be no score: {error}")
    settings, seconds, early_seconds = measure(settings, len(data.classes))
    settle = settings.augment.settle
    mean_seconds = (1 - settle) * early_seconds + settle * seconds if settle else seconds
    trainings = 1 + len(fold_names)
    assert settings.batch
    a_pass = len(photos) + min(len(unlabelled), len(photos))  # samples, see `batches.Stream`
    by_epochs = (60 if settings.epochs is None else settings.epochs) * a_pass / settings.batch
    minutes = settings.minutes
    if minutes is None and settings.epochs is None and not torch.cuda.is_available():
        minutes = 30.0
    by_minutes = minutes * 60 * 0.9 / mean_seconds / trainings if minutes else float("inf")
    steps = max(1, round(min(by_epochs, by_minutes) if settings.minutes is None else by_minutes))
    if settings.solver == "ridge":
        steps = 2 * len(photos)  # passes, a photo at a time
    shares = seen.shares / (seen.shares.sum() or 1.0)
    weights = np.ones(len(shares))
    if settings.loss.class_weights == "auto":
        weights = class_weights(shares, settings.loss.cap)
    elif settings.loss.class_weights == "median_frequency":
        weights = median_frequency(seen.pixels, seen.beside)
    rarity = 1 / np.sqrt(np.maximum(shares, 1e-4))
    plan = Plan(
        settings=settings,
        data=str(data.root or ""),
        classes=data.classes.to_json(),
        train=[p.name for p in photos],
        val=list(val_names),
        split_origin=origin,
        fold_names=fold_names,
        kinds=seen.kinds,
        labelling_seconds=round(seen.seconds * len(photos) / max(seen.count, 1), 1),
        class_shares=[round(float(s), 6) for s in shares],
        class_weights=[round(float(w), 4) for w in weights],
        rarity={int(i): round(float(r), 4) for i, r in _by_source_id(photos, data.classes, rarity).items()},
        steps=steps,
        checkpoint_every=max(1, min(steps, round(60 / mean_seconds))),
        seconds_per_step=round(seconds, 4),
        seconds_per_early_step=round(early_seconds, 4),
        expected_minutes=round(steps * mean_seconds * trainings / 60 / 0.9, 1),
        notes=notes,
        files={p.name: fingerprint(p.image) for p in [*photos, *unlabelled]},
        versions={"torch": torch.__version__, "numpy": np.__version__, "opencv": cv2.__version__},
        unlabelled=[p.name for p in unlabelled],
    )
    return plan, seen.unreadable


def describe(plan: Plan) -> str:
    """The plan in the words a person reads before the run starts."""
    s = plan.settings
    shares = ", ".join(
        f"{n} {100 * share:.1f}%" for n, share in zip(plan.class_list.names, plan.class_shares, strict=True)
    )
    kinds = ", ".join(f"{count} with {kind}" for kind, count in sorted(plan.kinds.items()))
    passes = plan.steps * (s.batch or 1) / (len(plan.train) + min(len(plan.unlabelled), len(plan.train)))
    way = (
        f"{plan.steps} steps of {s.batch} crops ({passes:.1f} passes), {s.optimiser.name} {s.optimiser.rate:g} "
        f"{s.optimiser.schedule}, {s.precision}, {s.memory_format}, {s.threads} threads"
    )
    solvers = {"steps": way, "frozen": f"of the head alone, on maps of the encoder that are made once: {way}"}
    solvers["ridge"] = "ridge regression on frozen features, in closed form"
    lines = [
        f"data      {len(plan.train)} training photos ({kinds}), {len(plan.val)} for validation: {plan.split_origin}",
        f"          and {len(plan.unlabelled)} photos without a label, about which the teacher is asked"
        if plan.unlabelled
        else "",
        f"labels    about {plan.labelling_seconds / 3600:.1f} hours of a person's time",
        f"classes   {shares}",
        f"network   {s.network}" + (f" on {s.encoder}, weights {s.weights}" if s.encoder else ""),
        f"size      {'as they are' if s.size is None else f'long side {s.size} px'}, crops {s.crop[0]}x{s.crop[1]}"
        if s.crop
        else "",
        f"training  {solvers[s.solver]}",
        f"time      about {plan.expected_minutes:.1f} minutes ({plan.seconds_per_step:.2f} s a step on this machine)",
        *(f"note      {note}" for note in plan.notes),
    ]
    return "\n".join(line for line in lines if line)


def read_plan(path: Path) -> Plan:
    """The plan in a file. UsageError where there is none, or one that does not read, with the field."""
    try:
        return Plan.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"no plan at {path}; a run keeps its plan in plan.json") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(
            f"{path} is no plan that reads: {field}: {first['msg']}; start anew with another --out"
        ) from None


def changed_photos(data: Dataset, plan: Plan) -> list[Photo]:
    """The training photos whose files are gone or are not those that the plan was made with."""
    return [
        p
        for p in data.subset([*plan.train, *plan.unlabelled])
        if not p.image.is_file() or fingerprint(p.image) != plan.files.get(p.name)
    ]


def class_weights(shares_C: np.ndarray, cap: float) -> np.ndarray:
    """Root of the inverse share relative to the median class, within 1 / cap .. cap; 1 for a class without a pixel."""
    occurring = shares_C > 0
    if not occurring.any():
        return np.ones(len(shares_C))
    weights_C = np.sqrt(np.median(shares_C[occurring]) / np.maximum(shares_C, 1e-9))
    return np.where(occurring, np.clip(weights_C, 1 / cap, cap), 1.0)


def fingerprint(path: Path) -> str:
    """Size and a hash of the first 64 KiB: enough to notice that a file was exchanged."""
    with open(path, "rb") as file:
        head = file.read(65536)
    return f"{os.path.getsize(path)}-{hashlib.blake2b(head, digest_size=8).hexdigest()}"


def available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


FOLDS = "folds"
ASIDE = "a fifth set aside, stratified by class, near duplicates kept together (split.json)"


def split_names(
    data: Dataset, train: str | None, val: str, group_by: str | None, seed: int
) -> tuple[list[str], list[str], str]:
    """(training names, validation names, where they come from; `FOLDS` where folds shall give the score).

    The same for the same data: who narrows labels before a run must not learn from what the run is scored on.
    """
    if val not in ("auto", "none"):
        val_names = [p.name for p in data.split(val)]
        train_names = (
            [p.name for p in data.split(train)] if train else [p.name for p in data if p.name not in set(val_names)]
        )
        if set(train_names) & set(val_names):
            raise UsageError(f"splits {train!r} and {val!r} share {len(set(train_names) & set(val_names))} photos")
        return train_names, val_names, f"split {val!r} of the data set"
    train = train or ("train" if "train" in data.splits else None)
    train_data = data.split(train) if train else data
    if val == "none":
        return [p.name for p in train_data], [], "none"
    if "val" in data.splits and train != "val" and data.splits["val"]:
        taken = set(data.splits["val"])
        names = [p.name for p in train_data if p.name not in taken]
        return names, list(data.splits["val"]), "split 'val' of the data set"
    labelled = [p.name for p in train_data if p.labels]
    unlabelled = [p.name for p in train_data if not p.labels]
    if not any(p.has_mask for p in train_data):
        return labelled + unlabelled, [], "none: no photo has a mask to score by"
    if len(labelled) < 60:
        return labelled + unlabelled, [], FOLDS
    kept, aside = make_split(train_data.subset(labelled), 0.2, seed, group_by)
    return [*kept, *unlabelled], list(aside), ASIDE


class _Seen:
    """What a look at the labels showed."""

    def __init__(self, classes: int):
        self.shares = np.zeros(classes)
        self.pixels = np.zeros(classes)
        self.beside = np.zeros(classes)  # all pixels of the photos in which a class occurs
        self.present = np.zeros(classes, bool)
        self.kinds: dict[str, int] = {}
        self.heights: list[int] = []
        self.widths: list[int] = []
        self.object_sides: list[float] = []
        self.unreadable: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.seconds = 0.0
        self.count = 0


def _look(photos: Sequence[Photo], classes: Classes) -> _Seen:
    seen = _Seen(len(classes))
    chosen = list(photos)
    if len(chosen) > LOOKED_AT:
        picked = np.random.default_rng(0).choice(len(chosen), LOOKED_AT, replace=False)
        chosen = [chosen[i] for i in sorted(picked)]
        seen.notes.append(f"class shares and sizes were taken from {LOOKED_AT} of {len(photos)} photos")
    for photo in chosen:
        try:
            height, width = image_size(photo.image)
            labels = photo.labels_loaded()
            candidates = rasterise(labels, photo.vocabulary, height, width)
        except DataError as error:
            seen.unreadable.append((photo.name, str(error)))
            continue
        seen.count += 1
        seen.heights.append(height)
        seen.widths.append(width)
        pixels = candidates.expected_shares()
        seen.shares += pixels / (height * width)
        seen.pixels += pixels
        seen.beside += (pixels > 0) * height * width
        for indices in candidates.facts.present:
            seen.present[sorted(indices)] = True
        seen.seconds += labelling_seconds(labels, photo.vocabulary.source)
        for kind in {"inferred masks" if isinstance(x, Mask) and x.sets is not None else kind_name(x) for x in labels}:
            seen.kinds[kind] = seen.kinds.get(kind, 0) + 1
        for label in labels:
            if isinstance(label, Boxes):
                for box in label.marks:
                    x0, y0, x1, y1 = box.bounds
                    seen.object_sides.append(min(x1 - x0, y1 - y0))
            elif isinstance(label, Mask):
                seen.object_sides += _object_sides(candidates.labels(), classes)
    for name, share, present in zip(classes.names, seen.shares, seen.present, strict=True):
        if share == 0 and not present and seen.count:
            seen.notes.append(f"no training label says where class {name!r} is: it can not be learnt")
    if seen.unreadable:
        seen.notes.append(f"{len(seen.unreadable)} photos can not be read and are left out: see skipped.jsonl")
    return seen


def _object_sides(labels_HW: np.ndarray, classes: Classes) -> list[float]:
    """Square roots of the areas of the connected regions that are no crumbs, background left out."""
    sides = []
    for index in np.unique(labels_HW):
        if index < 0 or classes.names[index] == classes.background:
            continue
        count, _, stats, _ = cv2.connectedComponentsWithStats((labels_HW == index).astype(np.uint8))
        areas = stats[1:count, cv2.CC_STAT_AREA]
        sides += list(np.sqrt(areas[areas >= 64]))
    return sides


def _sized(settings: Settings, seen: _Seen) -> Settings:
    """Working size, crop and batch: the smallest objects keep 16 px, a crop shows most of a photo."""
    gpu = torch.cuda.is_available()
    height, width = float(np.median(seen.heights)), float(np.median(seen.widths))
    long_side = max(height, width)
    size = settings.size
    if size is None:
        usual = 768.0 if gpu else 512.0
        smallest = float(np.percentile(seen.object_sides, 5)) if seen.object_sides else long_side
        wanted = max(usual, min(long_side * SMALLEST_SIDE / max(smallest, 1.0), 3 * usual))
        size = round(wanted) if wanted < long_side else None
    scale = min(1.0, size / long_side) if size else 1.0
    crop = settings.crop
    if crop is None:
        tall = np.mean(np.array(seen.heights) > np.array(seen.widths))
        sides = (height * scale, width * scale)
        if 0.1 < tall < 0.9:
            sides = ((sides[0] * sides[1]) ** 0.5,) * 2
        limit = 768 if gpu else 512
        # Nearly a whole photo: zoomed in and moved about by a little, and void hardly ever fills the rest.
        crop = tuple(int(max(32, min(limit, 0.95 * side) // 32 * 32)) for side in sides)  # type: ignore[assignment]
    return settings.model_copy(update={"size": size, "crop": crop, "batch": settings.batch or (16 if gpu else 8)})


def _by_source_id(photos: Sequence[Photo], classes: Classes, rarity_C: np.ndarray) -> dict[int, float]:
    """The pull of each file id, by the rarest class it may mean."""
    pulls: dict[int, float] = {}
    for vocabulary in {id(p.vocabulary): p.vocabulary for p in photos}.values():
        for name, file_id in zip(vocabulary.source.names, vocabulary.source.file_ids, strict=True):
            meant = vocabulary.meaning(name)
            if len(meant) == 1:
                pulls[file_id] = float(rarity_C[classes.index(min(meant))])
    return pulls
