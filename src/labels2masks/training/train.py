"""`train`: a data set in, a run folder out.

    runs/<date>-<name>/
        plan.json            every decision, made before the first step
        split.json           training and validation photos
        first_batches.png    what the network is shown
        checkpoints/         the newest two, gone when the run is finished
        metrics.csv          loss, rate, validation, step by step
        tensorboard/         the same for TensorBoard, where it is installed
        folds/0 .. 4/        for small data sets: the runs that give the score
        skipped.jsonl        photos and steps that were left out, with the reason
        metrics.json         the score with its protocol card
        model.safetensors    the network; written last, so a folder that has it is finished
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from .. import networks
from ..errors import DataError, UsageError
from ..evaluation import Confusion, protocol_card
from ..formats.dataset import Dataset, Photo
from ..networks.saved import load_network, save_network, start_from
from ..prediction import predict_mask
from ..progress import duration, status, track
from ..run import Run
from .batches import Crops, Step, Stream, loader
from .dilated_depthwise import use_fast_backward
from .folder import held, run_folder, write_json, write_lines, write_rows
from .loop import Heads, History, fit, make_optimiser, step_loss
from .picture import save_batches
from .plan import Plan, describe, fingerprint, make_plan, measured
from .settings import Settings, with_settings

IN_TRAINING = 150
"""Validation photos looked at while training; the score at the end takes all."""


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
    say: Callable[[str], None] = print,
) -> Run:
    """Train a network on `data` and score it; returns the finished run.

    settings: what a recipe gives; changes: {"optimiser.rate": 3e-4} on top of it.
    train, val: split names; val "auto" takes the data set's own, else sets a fifth aside, or scores by five
        folds below 60 labelled photos; "none" trains without a score.
    group_by: regular expression; photos whose names give the same first group (or match) stay together.
    out: the run's folder, made anew. resume: go on in `out`, or start there if nothing was written yet.
    plan: a plan.json to follow unchanged.
    Raises UsageError, DataError, or TrainingError where the loss is no number.
    """
    settings = with_settings(settings or Settings(), changes or {})
    folder = run_folder(out, Path(data.root).name if data.root else "data", resume)
    with held(folder):
        if (folder / "model.safetensors").exists():
            say(f"{folder} is finished")
            return Run(folder)
        made, plan_is_new = _plan(data, settings, train, val, group_by, folder, plan, say)
        say(describe(made))
        if plan_is_new:
            write_json(folder / "plan.json", made.model_dump(mode="json"))
            write_json(
                folder / "split.json",
                {"train": made.train, "val": made.val, "folds": made.fold_names, "origin": made.split_origin},
            )
        data = _as_planned(data, made)
        began = time.monotonic()
        metrics = _score_by_folds(data, made, folder, say) if made.fold_names else {}
        network, history = _trained(data.subset(made.train).photos, data, made, folder, say)
        if made.val:
            metrics = _score(network, data.subset(made.val).photos, data, "scoring")
        info = {
            "protocol": protocol_card(
                data=made.data,
                split=made.split_origin if metrics else "none: not scored",
                photos=len(made.val) or (len(made.train) if made.fold_names else 0),
                labels=made.kinds,
                labelling_seconds=made.labelling_seconds,
                pretraining=_pretraining(made.settings),
                seed=made.settings.seed,
                working_size=made.settings.size,
                checkpoint="best of the validations (early stopping)" if history.best_step >= 0 else "last",
            ),
        }
        write_json(
            folder / "metrics.json",
            {**metrics, **info, "steps": made.steps, "minutes": round((time.monotonic() - began) / 60, 2)},
        )
        save_network(folder / "model.safetensors", network, _header(made, info))
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        if metrics.get("miou") is not None:
            say(f"mIoU {100 * metrics['miou']:.1f} ({made.split_origin}); the run is in {folder}")
        else:
            say(f"the run is in {folder}")
    return Run(folder)


def _plan(
    data: Dataset,
    settings: Settings,
    train: str | None,
    val: str | None,
    group_by: str | None,
    folder: Path,
    given: Path | str | None,
    say: Callable[[str], None],
) -> tuple[Plan, bool]:
    """(plan, is it new): the folder's own, the given one, or one made from the data."""
    own = folder / "plan.json"
    if own.exists():
        return Plan.model_validate_json(own.read_text()), False
    if given:
        if not Path(given).is_file():
            raise UsageError(f"no plan at {given}; a run keeps its plan in plan.json")
        return Plan.model_validate_json(Path(given).read_text()), True
    with status("making a plan: reading labels, measuring the machine"):
        made, unreadable = make_plan(data, settings, train, val, group_by, lambda s, c: _measure(data, s, c))
    for name, reason in unreadable[:5]:
        say(f"left out: {reason}")
    write_lines(folder / "skipped.jsonl", [{"name": n, "reason": r} for n, r in unreadable])
    return made, True


def _as_planned(data: Dataset, plan: Plan) -> Dataset:
    """The data set, if it still is the one of the plan."""
    if data.classes != plan.class_list:
        raise UsageError(
            f"the plan was made for the classes {list(plan.class_list.names)}, the data has {list(data.classes.names)}"
        )
    changed = [p.name for p in data.subset(plan.train) if fingerprint(p.image) != plan.files[p.name]]
    if changed:
        raise DataError(f"{len(changed)} images changed since the plan was made, the first is {changed[0]}")
    return data


def _build(plan_settings: Settings, classes: int) -> nn.Module:
    """The network with its starting weights; the new layers are drawn from the seed."""
    s = plan_settings
    torch.manual_seed(s.seed)
    weights = None if s.weights == "none" or _is_run(s.weights) else s.weights
    network = networks.build(s.network, classes, encoder=s.encoder, weights=weights)
    network.working_size = s.size  # type: ignore[assignment]
    return network


def _is_run(weights: str) -> bool:
    path = Path(weights)
    if (path / "model.safetensors").is_file():
        return True
    if path.suffix == ".safetensors" and path.is_file():
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            return "labels2masks" in (file.metadata() or {})
    return False


def _trained(
    photos: Sequence[Photo],
    data: Dataset,
    plan: Plan,
    folder: Path,
    say: Callable[[str], None],
) -> tuple[nn.Module, History]:
    """One training run with its curves; resumes from the folder's checkpoints."""
    network = _build(plan.settings, len(data.classes))
    if _is_run(plan.settings.weights):
        report = start_from(network, data.classes, plan.settings.weights)
        new = ", ".join(report["new_classes"]) or "none"
        say(f"started from {plan.settings.weights}: {report['copied']} tensors, classes learnt anew: {new}")
    looked_at = [p for p in data.subset(plan.val) if p.has_mask]
    looked_at = looked_at[:: max(1, len(looked_at) // IN_TRAINING)][:IN_TRAINING]

    def validate(current: nn.Module) -> dict[str, float]:
        miou = _score(current, looked_at, data, "validating").get("miou")
        return {} if miou is None else {"mIoU": miou}

    pictures: list[Step] = []

    def first(step: Step) -> None:
        pictures.append(step)
        if len(pictures) == 2:
            save_batches(folder / "first_batches.png", pictures, data.classes)

    board = _tensorboard(folder / "tensorboard")
    began, last = time.monotonic(), [0.0]
    first_step: list[int] = []
    batch = plan.settings.batch or 1
    with status("training") as show:

        def tell(step: int, row: dict[str, float]) -> None:
            first_step[:] = first_step or [step]
            now = time.monotonic()
            if "mIoU" in row:
                show(f"step {step}: validation mIoU {100 * row['mIoU']:.1f}")
            if board and (step % max(1, plan.steps // 500) == 0 or "mIoU" in row):
                for name, value in row.items():
                    if name not in ("step", "seconds"):
                        board.add_scalar(name, value, step)
            if now - last[0] >= 10 or step == plan.steps:
                last[0] = now
                pace = (step - first_step[0] + 1) / max(now - began, 1e-6)
                left = duration((plan.steps - step) / pace)
                show(
                    f"step {step}/{plan.steps}, loss {row['loss']:.3f}, {pace * batch:.1f} images/s, {left} left"
                )

        history = fit(
            network, photos, plan, folder / "checkpoints", validate if looked_at else None, tell, show, first
        )
    if board:
        board.close()
    write_rows(folder / "metrics.csv", history.rows)
    skipped = folder / "skipped.jsonl"
    earlier = [json.loads(x) for x in skipped.read_text().splitlines()] if skipped.exists() else []
    write_lines(skipped, earlier + [x for x in history.skipped if x not in earlier])
    return network, history


def _score(network: nn.Module, photos: Sequence[Photo], data: Dataset, what: str) -> dict[str, Any]:
    """Scores over the photos that have masks; {} where none has."""
    confusion = Confusion(data.classes)
    for photo in track([p for p in photos if p.has_mask], what):
        _add(confusion, network, photo)
    return confusion.scores() if confusion.counts.any() else {}


def _add(confusion: Confusion, network: nn.Module, photo: Photo) -> None:
    image_HW3, _ = photo.loaded()
    confusion.add(predict_mask(network, image_HW3), photo.candidates(*image_HW3.shape[:2]).labels())


def _score_by_folds(data: Dataset, plan: Plan, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """One confusion matrix over all photos, each predicted by a network that never saw it."""
    confusion = Confusion(data.classes)
    for k, aside in enumerate(plan.fold_names):
        place = folder / "folds" / str(k)
        inner = plan.model_copy(update={"train": [n for n in plan.train if n not in set(aside)], "val": []})
        say(f"fold {k + 1} of {len(plan.fold_names)}: {len(inner.train)} photos, scored on the other {len(aside)}")
        done = place / "model.safetensors"
        if done.exists():
            network, _ = load_network(done)
        else:
            network, _ = _trained(data.subset(inner.train).photos, data, inner, place, say)
            save_network(done, network, _header(inner, {}))
            shutil.rmtree(place / "checkpoints", ignore_errors=True)
        for photo in data.subset(aside):
            if photo.has_mask:
                _add(confusion, network, photo)
    return confusion.scores() if confusion.counts.any() else {}


def _header(plan: Plan, info: dict[str, Any]) -> dict[str, Any]:
    s = plan.settings
    return {
        "network": s.network,
        "encoder": s.encoder,
        "classes": plan.classes,
        "working_size": s.size,
        **info,
    }


def _pretraining(s: Settings) -> str:
    if s.weights == "none":
        return "none"
    if _is_run(s.weights):
        return f"an earlier run: {Path(s.weights).name}"
    named = "the installed package" if s.weights == "auto" else Path(s.weights).name
    return f"encoder {s.encoder or s.network}: ImageNet ({named})"


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))


def _measure(data: Dataset, settings: Settings, classes: int) -> tuple[Settings, float]:
    """The fastest of the four combinations of precision and memory format here, and its seconds a step.

    The four are compared on two crops (where bfloat16 is emulated, whole batches would take minutes), the best one is
    then timed on a whole batch. A combination that a setting fixes is not varied.
    """
    assert settings.crop and settings.batch and settings.threads
    torch.set_num_threads(settings.threads)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    labelled = [p for p in data if p.labels][: 4 * settings.batch]
    crops = Crops(labelled, settings.augment, settings.crop, settings.size, {}, settings.seed)

    def batch(count: int) -> Step:
        return next(iter(loader(crops, Stream(len(labelled), count, 0, 1, settings.seed), 0)))

    small, best = batch(2), (float("inf"), settings)
    for precision in [settings.precision] if settings.precision else ["float32", "bfloat16"]:
        for memory in [settings.memory_format] if settings.memory_format else ["channels_last", "contiguous"]:
            tried = settings.model_copy(update={"precision": precision, "memory_format": memory})
            seconds = _step_seconds(small, tried, classes, accelerator, give_up=best[0])
            best = min(best, (seconds, tried), key=lambda pair: pair[0])
    return best[1], _step_seconds(batch(settings.batch), best[1], classes, accelerator)


def _step_seconds(
    batch: Step, s: Settings, classes: int, accelerator: Accelerator, give_up: float = float("inf")
) -> float:
    """Seconds of one training step; infinity where the first takes ten times `give_up`."""
    network = _build(s.model_copy(update={"weights": "none"}), classes).to(accelerator.device)
    if s.memory_format == "channels_last":
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    use_fast_backward(network)
    optimiser = make_optimiser(network, s)
    heads = Heads(network).train()

    def step() -> None:
        loss, _ = step_loss(heads, batch, s, None, accelerator)
        accelerator.backward(loss)
        optimiser.step()
        optimiser.zero_grad()
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize()

    start = time.perf_counter()
    step()
    return float("inf") if time.perf_counter() - start > 10 * give_up else measured(step)
