"""Predictions of every labelled photo by a model that has not learnt from it. Can be killed and called again.

    photos the run did not learn from       its own network
    photos of a run scored by folds         the network of the fold that lacks them
    photos the run learnt from              ridge regression on the frozen encoder, in five folds; or, where minutes
                                            are given for it, five networks trained by the run's own plan

Beside the predictions the folder holds folds/<k>/ with the sums of the ridge regression, or the network of the fold.

Legend: H, W = pixels; C = classes; D = features; P = cells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cues.features import CELLS, FrozenFeatures
from ..encoders import build_encoder
from ..errors import DataError, UsageError
from ..files import write_atomically
from ..formats.dataset import Dataset, Photo
from ..formats.image import read_image
from ..formats.splitting import folds
from ..prediction.model import FILE, load_model
from ..prediction.sliding import softmax
from ..prediction.views import resized, scores_on_grid, shrinking
from ..progress import duration, track
from ..run import Run
from .kept_predictions import KeptPredictions
from .plan import Plan, fingerprint
from .ridge import Sums, candidates_at, probabilities, targets
from .start import is_run
from .train import trained_without

FOLDS = 5
LOOKED_AT = 512
"""Long side that the frozen encoder sees photos at; larger ones are shrunk."""
LARGEST = 2048
"""Long side that the run's network sees photos at, where it has no working size of its own."""
ENCODER = "tf_efficientnet_lite0"
"""Where the run's own encoder did not start from ImageNet: the one of the extra `weights`."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class HeldOut:
    """predictions: of the photos in `by`. by: photo -> who predicted it. skipped: photo -> why it could not be read."""

    predictions: KeptPredictions
    by: Mapping[str, str]
    skipped: Mapping[str, str]


def predict_held_out(
    run: Run, plan: Plan, data: Dataset, folder: Path, minutes: float | None, group_by: str | None, say: Say
) -> HeldOut:
    """Predict the labelled photos of `data`; what `folder` holds already is kept.

    minutes: for networks trained by the run's plan; None = ridge regression. group_by: regular expression; photos whose
    names it matches alike are in one fold.
    Raises UsageError where the folder belongs to something else, DataError where there is too little to learn from.
    """
    photos = {p.name: p for p in data if p.labels}
    own_fold = {
        name: k
        for k, names in enumerate(plan.fold_names)
        if (run.folder / "folds" / str(k) / FILE).is_file()
        for name in names
    }
    trained_on = set(plan.train)
    learnt = [n for n in photos if n in trained_on and n not in own_fold]
    if minutes is not None and learnt and is_run(plan.settings.weights):
        raise UsageError(
            f"the run went on from {plan.settings.weights}, which may have learnt from the photos that a fold leaves "
            "out: leave out --minutes"
        )
    parts = _parts(data.subset(learnt), group_by) if learnt else []
    kept = KeptPredictions(folder)
    settings = {"run": fingerprint(run.folder / FILE), "minutes": minutes, "folds": parts}
    kept.claim(photos.values(), settings)
    skipped: dict[str, str] = {}
    held = [n for n in photos if n not in set(learnt)]
    if left := sum(n not in kept for n in held):
        say(f"{left} photos that the run did not learn from: predicted by its own network")
    for k in sorted({own_fold.get(n, -1) for n in held}):
        place = run.folder if k < 0 else run.folder / "folds" / str(k)
        _by_network(place, [photos[n] for n in held if own_fold.get(n, -1) == k], kept, skipped)
    if any(n not in kept for n in learnt):
        if minutes is None:
            _by_ridge(plan, photos, parts, kept, say, skipped)
        else:
            _by_folds(plan, data, parts, kept, minutes, say, skipped)
    light = "ridge regression" if minutes is None else "a network of the run's plan"
    by = {n: f"{light}, trained without it" if n in trained_on and n not in own_fold else "the run" for n in photos}
    return HeldOut(kept, {n: who for n, who in by.items() if n not in skipped}, skipped)


def _parts(data: Dataset, group_by: str | None) -> list[list[str]]:
    """Folds of all photos. Those with masks and those without are dealt out one after the other: each has both."""
    masks = [p.name for p in data if p.has_mask]
    others = [p.name for p in data if not p.has_mask]
    parts: list[list[str]] = [[] for _ in range(FOLDS)]
    for names in (masks, others):
        try:
            dealt = folds(data.subset(names), FOLDS, 0, group_by) if names else []
        except DataError:  # fewer groups of near duplicates than folds
            dealt = [tuple(names[k::FOLDS]) for k in range(FOLDS)]
        for part, more in zip(parts, dealt, strict=False):
            part.extend(more)
    parts = [part for part in parts if part]
    if len(parts) < 2:
        raise DataError(f"{data.root or 'the data set'}: one labelled photo can not be predicted from the others")
    return parts


def _by_network(place: Path, photos: Sequence[Photo], kept: KeptPredictions, skipped: dict[str, str]) -> None:
    left = [p for p in photos if p.name not in kept]
    if not left:
        return
    model = load_model(place)
    for photo in track(left, "predicting"):
        try:
            image_HW3 = read_image(photo.image, photo.levels)
        except DataError as error:
            skipped[photo.name] = str(error)
            continue
        image_HW3 = _shrunk(image_HW3, LARGEST)
        seen = (model.forward, model.grid, image_HW3, model.smallest, model.working_size, model.views)
        scores_Chw, grid = scores_on_grid(*seen)
        kept.write(photo.name, softmax(scores_Chw), grid, *image_HW3.shape[:2])


def _by_folds(
    plan: Plan,
    data: Dataset,
    parts: Sequence[Sequence[str]],
    kept: KeptPredictions,
    minutes: float,
    say: Say,
    skipped: dict[str, str],
) -> None:
    """Networks of the run's own plan, with as many steps as the minutes allow."""
    steps = max(1, round(60 * minutes / len(parts) / max(plan.seconds_per_step, 1e-9)))
    learnt = [n for part in parts for n in part]
    short = plan.model_copy(
        update={
            "train": learnt,
            "fold_names": [],
            "steps": steps,
            "checkpoint_every": min(plan.checkpoint_every, steps),
        }
    )
    say(
        f"{len(learnt)} photos that the run learnt from: {len(parts)} networks of {steps} steps (the run had "
        f"{plan.steps}), about {duration(60 * minutes)} in all"
    )
    for k, part in enumerate(parts):
        if all(n in kept for n in part):
            continue
        say(f"fold {k + 1} of {len(parts)}: {len(learnt) - len(part)} photos, the other {len(part)} are predicted")
        place = kept.folder / "folds" / str(k)
        trained_without(part, data, short, place, say)
        _by_network(place, data.subset(part).photos, kept, skipped)


def _by_ridge(
    plan: Plan,
    photos: Mapping[str, Photo],
    parts: Sequence[Sequence[str]],
    kept: KeptPredictions,
    say: Say,
    skipped: dict[str, str],
) -> None:
    features = _features(plan)
    learnt = [photos[n] for part in parts for n in part]
    say(
        f"{len(learnt)} photos that the run learnt from: {len(parts)} ridge regressions on {features.encoder.name}, "
        f"about {duration(2 * len(learnt) * _seconds(features, learnt))}"
    )
    sums = []
    for k, part in enumerate(parts):
        file = kept.folder / "folds" / str(k) / "sums.npz"
        if not file.exists():
            made = _summed(features, track([photos[n] for n in part], f"reading fold {k + 1} of {len(parts)}"), plan)
            arrays = {"gram": made.gram_DD, "product": made.product_DC}
            write_atomically(file, lambda f, arrays=arrays: np.savez(f, allow_pickle=False, **arrays))  # type: ignore[misc]
        with np.load(file, allow_pickle=False) as loaded:
            sums.append(Sums(loaded["gram"], loaded["product"]))
    for k, part in enumerate(parts):
        rest = Sums.none(features.count, len(plan.class_list))
        for other in (*sums[:k], *sums[k + 1 :]):
            rest += other
        if not rest.gram_DD[-1, -1]:
            raise DataError(
                "the labels of the training photos decide no pixel (tags and shares never do), and ridge regression "
                "learns from pixels: give --minutes, for networks trained by the run's own plan"
            )
        weights_DC = rest.solved()
        left = [photos[n] for n in part if n not in kept]
        for photo in track(left, f"predicting fold {k + 1} of {len(parts)}"):
            try:
                image_HW3 = _shrunk(read_image(photo.image, photo.levels))
            except DataError as error:
                skipped[photo.name] = str(error)
                continue
            kept.write(photo.name, probabilities(features(image_HW3), weights_DC), CELLS, *image_HW3.shape[:2])


def _features(plan: Plan) -> FrozenFeatures:
    """The run's encoder where it started from ImageNet. UsageError where there is none that did."""
    s = plan.settings
    pretrained = s.encoder is not None and s.weights not in ("none", "hub") and not is_run(s.weights)
    try:
        encoder = build_encoder(s.encoder, s.weights) if pretrained and s.encoder else build_encoder(ENCODER, "auto")
    except UsageError as error:
        raise UsageError(
            f"an encoder that was not trained on these labels is needed: pip install 'labels2masks[weights]', or give "
            f"--minutes for networks trained by the run's own plan ({error})"
        ) from None
    return FrozenFeatures(encoder)


def _summed(features: FrozenFeatures, photos: Iterable[Photo], plan: Plan) -> Sums:
    """Of the readable photos. Cells of rare classes count more, by the root, as in the runs' own losses."""
    seldom_C = 1 / np.sqrt(np.maximum(np.array(plan.class_shares) * len(plan.class_shares), 1e-4))
    made = Sums.none(features.count, len(seldom_C))
    for photo in photos:
        try:
            image_HW3 = read_image(photo.image, photo.levels)
            small_HW3 = _shrunk(image_HW3)
            said = candidates_at(photo, image_HW3.shape[:2], small_HW3.shape[:2])
        except DataError:
            continue  # it is named when it is predicted, or its labels are read
        targets_PC, weight_P = targets(said)
        weight_P = (weight_P * (targets_PC @ seldom_C)).astype(np.float32)
        made.add(features(small_HW3).reshape(-1, features.count), targets_PC, weight_P)
    return made


def _shrunk(image_HW3: np.ndarray, longest: int = LOOKED_AT) -> np.ndarray:
    height, width = image_HW3.shape[:2]
    return resized(image_HW3, *shrinking(height, width, longest))


def _seconds(features: FrozenFeatures, photos: Sequence[Photo]) -> float:
    """For one photo; the first pass of two warms up."""
    for photo in photos:
        try:
            image_HW3 = _shrunk(read_image(photo.image, photo.levels))
        except DataError:
            continue
        features(image_HW3)
        began = time.monotonic()
        features(_shrunk(read_image(photo.image, photo.levels)))
        return time.monotonic() - began
    return 0.0
