"""`train`: a data set in, a run folder out.

runs/<date>-<name>/
    plan.json            every decision, made before the first step
    split.json           training and validation photos
    first_batches.png    what the network is shown
    checkpoints/         the newest two, gone when the run is finished; likewise maps/, of a frozen encoder
    metrics.csv          loss, rate, validation, step by step
    tensorboard/         the same for TensorBoard
    folds/0 .. 4/        for small data sets: the runs that give the score
    skipped.jsonl        photos and steps that were left out, with the reason
    environment.json     versions and machine
    confusions.npz       what each validation photo contributes to the score
    metrics.json         the score with its protocol card
    model.safetensors    the network; written last, so a folder that has it is finished
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ..errors import DataError, UsageError
from ..evaluation import PerPhoto, protocol_card
from ..evaluation.evaluate import truth_mask
from ..formats.dataset import Dataset, Photo
from ..formats.image import read_image
from ..networks.saved import FILE, load_network, save_network
from ..prediction import predict_confidence
from ..prediction.views import Views
from ..progress import duration, status, track
from ..run import Run
from . import processes
from .batches import Crops, Stream, loader
from .environment import environment
from .folder import held, run_folder, write_json, write_lines, write_rows
from .frozen_maps import FrozenMaps, check_frozen
from .instant import fit_instant
from .loop import History, fit
from .measure import measure
from .memory import freed_memory_kept
from .picture import save_batches
from .plan import Plan, changed_photos, describe, make_plan, read_plan
from .settings import Settings, with_settings
from .start import pretraining, started
from .validation import LOOKS, Looks, agreement_of, chosen_by, kept_aside

Say = Callable[[str], None]


def _on_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def train(
    data: Dataset,
    settings: Settings | None = None,
    *,
    train: str | None = None,
    val: str | None = "auto",
    group_by: str | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    plan: Path | str | None = None,
    changes: dict[str, Any] | None = None,
    card: Mapping[str, str] | None = None,
    say: Say = _on_stderr,
) -> Run:
    """Train a network on `data` and score it; returns the finished run.

    settings: what a recipe gives; changes: {"optimiser.rate": 3e-4} on top of it.
    train, val: split names; val "auto" takes the data set's own, else sets a fifth aside, or scores by five
        folds below 60 labelled photos; "none" trains without a score.
    group_by: regular expression; photos whose names give the same first group (or match) stay together.
    out: the run's folder, made anew. resume: go on in `out` by its own plan, or start there if nothing was
        written yet. plan: a plan.json to follow unchanged.
    card: what the protocol card says of the recipe; a run that goes on has it from its plan.
    say: what a person should read; standard error by default.
    Raises UsageError, DataError, or TrainingError where the loss is no number.
    """
    settings = with_settings(settings or Settings(), changes or {})
    name = Path(data.root).name if data.root else "data"
    main = processes.accelerator().is_main_process
    say = say if main else lambda text: None
    folder = processes.from_main(lambda: run_folder(out, name, resume))
    with ExitStack() as stack:
        stack.enter_context(freed_memory_kept())
        processes.from_main(lambda: stack.enter_context(held(folder)))
        if processes.from_main(lambda: _finished(folder)):
            say(f"{folder} is finished")
            return Run(folder)
        made = processes.from_main(lambda: _plan(data, settings, train, val, group_by, folder, plan, card or {}, say))
        say(describe(made))
        _check_still_the_same(data, made)
        began = time.monotonic()
        scored = _score_by_folds(data, made, folder, say)
        network, history = _trained(data.subset([*made.train, *made.unlabelled]).photos, data, made, folder, say)
        processes.from_main(lambda: _finish(data, made, folder, network, history, scored, began, say))
    return Run(folder)


def _finished(folder: Path) -> bool:
    """Is the run finished? What a kill left half written is cleared away; the caller holds the folder."""
    for part in folder.rglob(".*.part"):
        part.unlink()
    if (folder / "model.safetensors").exists():
        _clear(folder)
        return True
    return False


def _plan(
    data: Dataset,
    settings: Settings,
    train: str | None,
    val: str | None,
    group_by: str | None,
    folder: Path,
    given: Path | str | None,
    card: Mapping[str, str],
    say: Say,
) -> Plan:
    """The folder's own plan, the given one, or one made from the data; the folder has it afterwards."""
    own = folder / "plan.json"
    if own.exists():
        say(f"going on in {folder} by its plan.json; settings given now change nothing")
        return read_plan(own)
    if given:
        made = read_plan(Path(given))
    else:
        with status("making a plan: reading labels, measuring the machine"):
            made, unreadable = make_plan(data, settings, train, val, group_by, lambda s, c: measure(data, s, c))
        for _, reason in unreadable[:5]:
            say(f"left out: {reason}")
        _leave_out(folder, ({"name": n, "reason": r} for n, r in unreadable))
    made = made.model_copy(update={"card": made.card or dict(card)})
    split = {"train": made.train, "val": made.val, "folds": made.fold_names, "origin": made.split_origin}
    if made.unlabelled:
        split["unlabelled"] = made.unlabelled
    write_json(folder / "split.json", split)
    write_json(own, made.model_dump(mode="json"))
    return made


def _check_still_the_same(data: Dataset, plan: Plan) -> None:
    """Is the data set the one of the plan?"""
    if data.classes != plan.class_list:
        raise UsageError(
            f"the plan was made for the classes {list(plan.class_list.names)}, the data has {list(data.classes.names)}"
        )
    if changed := changed_photos(data, plan):
        raise DataError(
            f"{changed[0].image}: not the file that the plan was made with, and {len(changed) - 1} more; "
            "put the photos back, or start anew with another --out"
        )


def _leave_out(folder: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Add to skipped.jsonl what is not there yet."""
    path = folder / "skipped.jsonl"
    listed = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    known = {json.dumps(e, sort_keys=True) for e in listed}
    write_lines(path, listed + [e for e in entries if json.dumps(e, sort_keys=True) not in known])


def _trained(photos: Sequence[Photo], data: Dataset, plan: Plan, folder: Path, say: Say) -> tuple[nn.Module, History]:
    """One training run with its curves; resumes from the folder's checkpoints."""
    s = plan.settings
    assert s.crop and s.batch
    main = processes.accelerator().is_main_process
    network = started(s, data.classes, say)
    if s.solver == "ridge":
        history = fit_instant(network, photos, plan, say)  # type: ignore[arg-type]
        _leave_out(folder, history.skipped)
        return network, history
    maps = None
    if s.solver == "frozen":
        check_frozen(s, network)
        network.encoder.requires_grad_(False)  # type: ignore[union-attr]
        maps = FrozenMaps(network, s.size, Path(s.maps) if s.maps else folder / "maps")
        processes.from_main(lambda: maps.make(photos))
    val = data.subset(plan.val).photos
    aside = kept_aside(photos, val, s)
    away = {p.name for p in aside} - {p.name for p in val}
    photos = [p for p in photos if p.name not in away]
    picture = folder / "first_batches.png"
    if main and not picture.exists():
        crops = Crops(photos, s.augment, s.crop, s.size, plan.rarity, s.seed, s.loss)
        unlabelled = len(plan.unlabelled)
        first = Stream(len(photos) - unlabelled, s.batch, 0, 2, s.seed, plan.settles, unlabelled=unlabelled)
        save_batches(picture, list(loader(crops, first, 0)), data.classes)
    looks = Looks(data.classes, [*val, *(p for p in aside if p.name in away)])

    def keep(history: History) -> None:
        write_rows(folder / "metrics.csv", history.rows)
        _leave_out(folder, history.skipped)

    with ExitStack() as stack:
        show = stack.enter_context(status("training") if main else nullcontext(lambda text: None))
        tell = stack.enter_context(_Curves(folder / "tensorboard", plan, show)) if main else lambda step, row: None
        history = fit(network, photos, plan, folder / "checkpoints", looks if looks else None, tell, show, keep, maps)
    return network, history


def _clear(folder: Path) -> None:
    """Away with what a finished run does not need."""
    for part in ("checkpoints", "maps"):
        shutil.rmtree(folder / part, ignore_errors=True)


class _Curves:
    """Called after each step: TensorBoard, and every ten seconds a line with the time left."""

    def __init__(self, folder: Path, plan: Plan, show: Say):
        self.folder, self.plan, self.show = folder, plan, show
        self.board: Any = None
        self.first: tuple[int, float] | None = None  # step and time of the first call: what came before is start-up
        self.shown = float("-inf")

    def __enter__(self) -> _Curves:
        return self

    def __exit__(self, *_: object) -> None:
        if self.board:
            self.board.close()

    def __call__(self, step: int, row: Mapping[str, float]) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first, self.board = (step, now), _tensorboard(self.folder, step)
        if self.board and (step % max(1, self.plan.steps // 500) == 0 or not row.keys().isdisjoint(LOOKS)):
            for name, value in row.items():
                if name not in ("step", "seconds"):
                    self.board.add_scalar(name, value, step)
        for name in LOOKS & row.keys():
            self.show(f"step {step}: validation {name} {100 * row[name]:.1f}")
        if now - self.shown >= 10 or step == self.plan.steps:
            self.shown = now
            self.show(f"step {step}/{self.plan.steps}, loss {row['loss']:.3f}{self._pace(step, now)}")

    def _pace(self, step: int, now: float) -> str:
        """Images a second so far; time left, by the plan's seconds a step and how they have come true so far."""
        assert self.first
        first, began = self.first
        if step == first or now == began:
            return ""
        planned = self.plan.seconds_to(step) - self.plan.seconds_to(first)
        rest = self.plan.seconds_to(self.plan.steps) - self.plan.seconds_to(step)
        pace = (step - first) * (self.plan.settings.batch or 1) / (now - began)
        return f", {pace:.1f} images/s, {duration(rest * (now - began) / planned)} left"


def _tensorboard(folder: Path, step: int) -> Any:
    """A writer that goes on at `step`: what a killed run wrote beyond its last checkpoint is dropped."""
    from torch.utils.tensorboard import SummaryWriter  # takes a second

    return SummaryWriter(str(folder), purge_step=step)


def _add(scored: PerPhoto, network: nn.Module, photos: Iterable[Photo], views: Views) -> list[dict[str, str]]:
    """Score the photos that have masks, as the run will look at them; returns those that could not be read."""
    unreadable: list[dict[str, str]] = []
    for photo, image_HW3, truth_HW in _with_truth(photos, unreadable):
        mask_HW, confidence_HW = predict_confidence(network, image_HW3, views)
        scored.add(photo.name, mask_HW, confidence_HW, truth_HW)
    return unreadable


def _with_truth(
    photos: Iterable[Photo], unreadable: list[dict[str, str]]
) -> Iterator[tuple[Photo, np.ndarray, np.ndarray]]:
    """(photo, image_HW3, truth_HW) of those that have masks; what can not be read goes to `unreadable`."""
    for photo in photos:
        if not photo.has_mask:
            continue
        try:
            image_HW3 = read_image(photo.image, photo.levels)
            truth_HW = truth_mask(photo, *image_HW3.shape[:2])
        except DataError as error:
            unreadable.append({"name": photo.name, "reason": f"not scored: {error}"})
            continue
        yield photo, image_HW3, truth_HW


def _score_by_folds(data: Dataset, plan: Plan, folder: Path, say: Say) -> PerPhoto:
    """All photos, each predicted by a network that never saw it."""
    scored = PerPhoto(data.classes)
    for k, aside in enumerate(plan.fold_names):
        inner = plan.model_copy(update={"settings": _of_fold(plan.settings, k, aside)})
        rest = len(plan.train) - len(aside)
        say(f"fold {k + 1} of {len(plan.fold_names)}: {rest} photos, scored on the other {len(aside)}")
        network = trained_without(aside, data, inner, folder / "folds" / str(k), say)
        if processes.accelerator().is_main_process:
            _leave_out(folder, _add(scored, network, data.subset(aside), plan.settings.inference))
    return scored


def trained_without(aside: Iterable[str], data: Dataset, plan: Plan, place: Path, say: Say) -> nn.Module:
    """A network trained by the plan on all of its photos but those; kept in `place`, and gone on with after a kill."""
    left_out = set(aside)
    inner = plan.model_copy(update={"train": [n for n in plan.train if n not in left_out], "val": []})
    done = place / FILE
    if done.exists():
        network, _ = load_network(done)
    else:
        network, _ = _trained(data.subset([*inner.train, *inner.unlabelled]).photos, data, inner, place, say)
        processes.from_main(lambda: save_network(done, network, _header(inner, {})))
    if processes.accelerator().is_main_process:
        _clear(place)
    return network


def _of_fold(s: Settings, k: int, aside: Sequence[str]) -> Settings:
    """A fold starts from the same fold of an earlier run: that run's own network has seen all the photos."""
    earlier = Path(s.weights) / "folds" / str(k) / "model.safetensors"
    if not earlier.exists():
        return s
    folds = json.loads((Path(s.weights) / "split.json").read_text(encoding="utf-8"))["folds"]
    return s.model_copy(update={"weights": str(earlier)}) if list(folds[k]) == list(aside) else s


def _finish(
    data: Dataset,
    plan: Plan,
    folder: Path,
    network: nn.Module,
    history: History,
    scored: PerPhoto,
    began: float,
    say: Say,
) -> None:
    """Score, write the results, and last of all the network."""
    if plan.val:
        photos = track(data.subset(plan.val).photos, "scoring")
        _leave_out(folder, _add(scored, network, photos, plan.settings.inference))
    scores: dict[str, Any] = {}
    told = {key: plan.card[key] for key in ("recipe", "priors", "thresholds") if key in plan.card}
    val = data.subset(plan.val).photos
    if agreed := agreement_of(network, val, plan.settings.inference):
        scores["agreement"] = agreed
    if scored.confusion.counts.any():
        scores |= scored.confusion.scores() | {"calibration_error": scored.calibration.error}
        scored.save(folder / "confusions.npz")
    card = protocol_card(
        data=plan.card.get("data") or Path(plan.data).name or "joined data sets",  # a name: the file may travel
        split=plan.card.get("split", plan.split_origin) if scores else "none: not scored",
        photos=len(scored.names) or agreed.get("photos", 0),
        labels=plan.kinds,
        labelling_seconds=plan.labelling_seconds,
        pretraining=pretraining(plan.settings),
        seed=plan.settings.seed,
        working_size=plan.settings.size,
        checkpoint=f"best of the validations, by {chosen_by(data.subset(plan.train).photos, val, plan.settings)}"
        if history.best_step >= 0
        else "last",
        tta=str(plan.settings.inference),
        **told,
    )
    if "miou" not in scores:
        card["miou_means"] = None
    minutes = round((time.monotonic() - began) / 60, 2)
    write_json(folder / "environment.json", environment(plan.settings.threads, processes.accelerator().num_processes))
    write_json(folder / "metrics.json", {**scores, "protocol": card, "steps": plan.steps, "minutes": minutes})
    save_network(folder / "model.safetensors", network, _header(plan, {"protocol": card}))
    _clear(folder)
    found = f"mIoU {100 * scores['miou']:.1f} ({card['split']}); " if scores.get("miou") is not None else ""
    if agreed:
        found += f"agreement with the labels of {agreed['photos']} photos without masks {100 * agreed['overall']:.1f}; "
    say(f"{found}the run is in {folder}")


def _header(plan: Plan, info: dict[str, Any]) -> dict[str, Any]:
    s = plan.settings
    header = {"network": s.network, "encoder": s.encoder, "classes": plan.classes, "working_size": s.size}
    return {**header, "inference": asdict(s.inference), **info}
