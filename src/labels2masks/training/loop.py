"""The training loop, read from top to bottom: batch, scores, loss, step, running mean, checkpoint.

Resumed after a kill at any moment it ends bit-equal to a run that was not killed (same plan, machine and
thread count, on a CPU): batches depend on (seed, step), each step seeds its own dropout, learning
rates are functions of the step, and everything else is in the checkpoint.

Legend: N = images of a batch, h, w = cells, H, W = pixels of the crop, C = classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..errors import UsageError
from ..formats.dataset import Photo
from ..grid import Grid
from ..kernels.upsample import upsample
from ..losses import PIXEL_TERMS, TERMS, Batch, candidate_loss, consistency_loss, photo_terms, pixel_terms
from . import processes
from .batches import Crops, Step, Stream, loader
from .checkpoint import load_optimiser, newest_checkpoint, optimiser_tensors, save_checkpoint
from .dilated_depthwise import use_fast_backward
from .frozen_maps import FrozenMaps
from .memory import laid_out, lay_out
from .optimiser import make_optimiser, rate_factor
from .plan import Plan
from .settings import Settings
from .synced import SyncedBatchNorm
from .teacher import check_teacher, make_teacher, trusted

TOO_MANY = 5
"""Steps in a row with a loss that is not a number before the run stops."""

PARTS = ("mask", "ink", "region", *TERMS, *PIXEL_TERMS, "consistency")
"""The means that make a loss, in the order in which processes add up their counts."""


class TrainingError(RuntimeError):
    """The run can not go on; the text says why and what to do."""


@dataclass
class History:
    """Rows for metrics.csv, and what happened on the way. JSON values only: a checkpoint carries it."""

    rows: list[dict[str, float]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    best: float = -1.0
    best_step: int = -1
    stopped_early: bool = False

    def leave_out(self, name: str, reason: str) -> None:
        """Note a photo or step that was left out; a broken photo comes by in every pass and is noted once."""
        entry = {"name": name, "reason": reason}
        if entry not in self.skipped:
            self.skipped.append(entry)


def fit(
    network: nn.Module,
    photos: Sequence[Photo],
    plan: Plan,
    folder: Path,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    tell: Callable[[int, dict[str, float]], None] = lambda step, row: None,
    say: Callable[[str], None] = lambda text: None,
    keep: Callable[[History], None] = lambda history: None,
    maps: FrozenMaps | None = None,
) -> History:
    """Train `network` in place to the end of `plan`, starting from the newest checkpoint in `folder`.

    The network ends with the running mean of its weights (with early stopping: the one of the best
    validation), in eval mode, on the machine's accelerator where there is one.
    validate: called with the network in eval mode; {"mIoU": ...} or any other numbers. Early stopping chooses by the
        one that `select` names.
    tell: called after each step with the step's row. say: called with a line worth reading.
    keep: called with the history beside each checkpoint and before a failure.
    maps: of the photos, where the head alone learns.
    Of several processes only the main one validates, writes checkpoints and calls `keep`.
    Photos without a label take part where `loss.consistency` asks the teacher about them.
    Raises TrainingError after several losses in a row that are not numbers.
    """
    s = plan.settings
    assert s.batch and s.crop and s.threads
    check_teacher(s)
    torch.set_num_threads(s.threads)
    accelerator = processes.accelerator()
    least, shared = divmod(s.batch, accelerator.num_processes)
    if least == 0 or (least == 1 and shared):  # a photo alone may take other ways through a network than two
        raise UsageError(
            f"a batch of {s.batch} is too small for {accelerator.num_processes} processes: --set batch=N, of one photo "
            "for each, or of two and more"
        )
    lay_out(network, s.memory_format)
    network.to(accelerator.device)
    use_fast_backward(network)
    optimiser = make_optimiser(network, s)
    teacher = make_teacher(network) if s.loss.consistency > 0 else None
    mean = {name: t.detach().clone() for name, t in network.state_dict().items()} if s.optimiser.ema > 0 else {}
    if teacher:
        mean = teacher.state_dict()  # the same memory: what the mean becomes, the teacher is
    best: dict[str, Tensor] = {}
    history, start = History(), 0

    found = newest_checkpoint(folder)
    if found:
        tensors, state, complaints = found
        for complaint in complaints:
            say(complaint)
        start = state["step"]
        if tensors:
            network.load_state_dict(_part(tensors, "network."))
            mean = {n: t.to(accelerator.device) for n, t in _part(tensors, "mean.").items()}
            if teacher:
                teacher.load_state_dict(mean)
                mean = teacher.state_dict()
            best = {n: t.to(accelerator.device) for n, t in _part(tensors, "best.").items()}
            load_optimiser(optimiser, tensors)
            history = History(**state["history"])
    trained, optimiser = accelerator.prepare(Heads(network), optimiser)
    unlabelled = 0
    if teacher:
        photos = sorted(photos, key=lambda photo: not photo.labels)
        unlabelled = sum(not photo.labels for photo in photos)
    crops = Crops(photos, s.augment, s.crop, s.size, plan.rarity, s.seed, s.loss, maps)
    stop = start if history.stopped_early else plan.steps
    here, everywhere = accelerator.process_index, accelerator.num_processes
    labelled = len(photos) - unlabelled
    stream = Stream(labelled, s.batch, start, stop, s.seed, plan.settles, here, everywhere, unlabelled)
    weights_C = torch.tensor(plan.class_weights, device=accelerator.device)
    if all(w == 1 for w in plan.class_weights):
        weights_C = None  # type: ignore[assignment]
    # The end is scored anyway; early stopping has to know it too, or the last weights could never be the best.
    looks = s.validations if s.early_stop else s.validations - 1
    validate_at = {round(plan.steps * (k + 1) / s.validations) for k in range(looks)} if validate else set()
    recorded = max(1, plan.steps // 200)
    not_numbers = 0

    for step, batch in enumerate(loader(crops, stream, s.workers or 0), start):
        began = time.perf_counter()
        torch.manual_seed((s.seed << 32) + step)
        _train_mode(network, s)
        for group in optimiser.param_groups:
            group["lr"] = group["base"] * rate_factor(step, plan.steps, s)
        buffers = [b.clone() for b in network.buffers()]
        asked = trusted(step, plan.steps, s.loss.ramp)
        loss, parts = step_loss(trained, batch, s, weights_C, accelerator.device, accelerator, teacher, asked)
        wrong = "" if _everywhere(torch.isfinite(loss), accelerator) else f"the loss is {loss.item()}"
        if not wrong:
            accelerator.backward(loss)
            norm = accelerator.clip_grad_norm_(trained.parameters(), s.optimiser.clip)
            wrong = "" if torch.isfinite(norm) else f"the gradient is {norm.item()}"
        if not wrong:
            not_numbers = 0
            optimiser.step()
        else:
            not_numbers += 1
            with torch.no_grad():  # running statistics of the forward pass may be no numbers either
                for buffer, before in zip(network.buffers(), buffers, strict=True):
                    buffer.copy_(before)
            names = ", ".join(batch.names)
            history.leave_out(names, f"step {step + 1}: {wrong}, the step was skipped")
            say(f"step {step + 1}: {wrong}; the step is skipped. Its photos: {names}")
            if not_numbers >= TOO_MANY:
                if accelerator.is_main_process:
                    keep(history)
                raise TrainingError(
                    f"{TOO_MANY} steps in a row were no numbers ({wrong}), the last with the photos {names}; lower the "
                    f"rate (--set optimiser.rate={s.optimiser.rate / 3:.1g}) or look at these photos"
                )
        optimiser.zero_grad()
        if mean:
            _update_mean(mean, network, step, plan.steps, s.optimiser.ema)
        for name, reason in batch.skipped:
            history.leave_out(name, reason)
        done = step + 1
        row = {"step": done, "loss": float(loss.detach()), **parts, "rate": optimiser.param_groups[0]["lr"]}
        row["seconds"] = round(time.perf_counter() - began, 4)
        if done in validate_at and validate:
            row |= processes.from_main(lambda: _with_weights(network, mean, lambda: validate(network)))
            if s.early_stop:
                best = _keep_best(history, row, s.select, done, mean or network.state_dict(), best)
        last = done == plan.steps
        if done % recorded == 0 or done in validate_at or last:
            history.rows.append(row)
        tell(done, row)
        if s.early_stop and history.best_step >= 0 and not last:
            history.stopped_early = _too_long(history, done, plan, s)
        due = done % plan.checkpoint_every == 0 or done in validate_at or last or history.stopped_early
        if due and accelerator.is_main_process:
            _checkpoint(folder, done, network, mean, best, optimiser, history)
            keep(history)
        if history.stopped_early:
            say(f"stopped early at step {done}: no gain since step {history.best_step}")
            break

    final = best or mean
    if final:
        network.load_state_dict(final)
    if s.batch_norm == "recomputed":
        _recompute_batch_norm(network, crops, s, plan, accelerator.device)
    network.eval()
    return history


class Heads(nn.Module):
    """The network as training sees it, so that DDP wraps a forward that returns every head."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images_N3HW: Tensor, maps: list[Tensor] | None = None) -> list[tuple[float, Tensor, Grid]]:
        """maps: what the frozen encoder sees in the images; the head alone has to look at it."""
        if maps is not None:
            return [(1.0, self.network.head(maps), self.network.grid)]
        return self.network.training_scores(images_N3HW)


def step_loss(
    heads: nn.Module,
    batch: Step,
    s: Settings,
    weights_C: Tensor | None,
    device: torch.device,
    accelerator: Accelerator | None = None,
    teacher: nn.Module | None = None,
    asked: float = 1.0,
) -> tuple[Tensor, dict[str, float]]:
    """(loss, its parts as numbers): over the network's heads, a sum of means over masks, ink, regions, and photos.

    accelerator: where several processes share the batch; None = this process has all of it.
    teacher: who is asked of undecided pixels, in the crops as they are. asked: factor on the weight of its answers.
    A batch in which no pixel is labelled has the loss 0.
    """
    labels: Batch = batch.labels.to(device)
    images = laid_out(batch.images_N3HW.to(device).float(), s.memory_format)
    shown = images if batch.strong_N3HW is None else laid_out(batch.strong_N3HW.to(device).float(), s.memory_format)
    maps = None if batch.maps is None else [level.to(device) for level in batch.maps]
    height, width = images.shape[2:]
    total, parts = images.new_zeros(()), {}
    processes_here = accelerator.num_processes if accelerator else 1
    synced: AbstractContextManager[object] = SyncedBatchNorm() if processes_here > 1 else nullcontext()
    # torch's own autocast: accelerate fixes one precision a process, and the plan measures both.
    with torch.autocast(device.type, torch.bfloat16, enabled=s.precision == "bfloat16"), synced:
        scored = heads(shown, maps)
    told_NCHW = None
    if teacher and (maps or batch.strong_N3HW is not None):  # without a strong view nothing is undecided
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=s.precision == "bfloat16"):
            told_Nchw = teacher.head(maps) if maps else teacher(images)  # the student's dropout is its strong view
            told_NCHW = upsample(told_Nchw.float().contiguous(), teacher.grid, height, width)  # type: ignore[arg-type]
    for head, (head_weight, scores_NChw, grid) in enumerate(scored):
        # Contiguous: of a channels-last map the softmax over classes would transpose the full-size scores.
        scores_NChw = scores_NChw.float().contiguous()
        full_NCHW = upsample(scores_NChw, grid, height, width)
        means = candidate_loss(full_NCHW, labels, weights_C)
        weights = {term: getattr(s.loss, term) for term in (*TERMS, *PIXEL_TERMS)}
        means |= photo_terms(scores_NChw, grid, images, labels, weights) | pixel_terms(full_NCHW, labels, weights)
        if told_NCHW is not None:
            means["consistency"] = consistency_loss(full_NCHW, told_NCHW, labels, s.loss.sure)
        counts = {name: count.detach() for name, (_, count) in means.items()}
        if accelerator and processes_here > 1:
            # All at once and always: a process without clicks must not miss the meeting about clicks.
            every = torch.stack([counts.get(name, total.new_zeros(())).to(total.dtype) for name in PARTS])
            counts = dict(zip(PARTS, accelerator.reduce(every, "sum"), strict=True))
        if not means:
            total = total + 0.0 * scores_NChw.sum()
        for name, (summed, _) in means.items():
            # Every process divides by the count of all, and DDP averages gradients: hence the factor.
            value = summed * processes_here / counts[name].clamp_min(1e-6)
            weight = getattr(s.loss, name) * (asked if name == "consistency" else 1.0)
            total = total + head_weight * weight * value
            if head == 0:
                parts[name] = float(value.detach())
    return total, parts


def _everywhere(flag: Tensor, accelerator: Accelerator) -> bool:
    """Does the flag hold in every process?"""
    return not accelerator.reduce((~flag).float(), "sum").item()


def _train_mode(network: nn.Module, s: Settings) -> None:
    network.train()
    if s.batch_norm == "frozen":
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
    for name in s.frozen:
        network.get_submodule(name).eval()


def _update_mean(mean: dict[str, Tensor], network: nn.Module, step: int, steps: int, span: float) -> None:
    """Running mean of the weights over about `span` of the run, shorter at its start."""
    decay = min(1 - 1 / max(span * steps, 1.0), (1 + step) / (10 + step))
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                mean[name].lerp_(value, 1 - decay)
            else:
                mean[name].copy_(value)


def _with_weights(network: nn.Module, weights: dict[str, Tensor], act: Callable[[], Any]) -> Any:
    """Act with other weights in eval mode, then put the network's own back."""
    own = {n: t.detach().clone() for n, t in network.state_dict().items()} if weights else {}
    if weights:
        network.load_state_dict(weights)
    network.eval()
    try:
        return act()
    finally:
        if own:
            network.load_state_dict(own)


def _keep_best(
    history: History,
    row: dict[str, float],
    select: str,
    done: int,
    weights: dict[str, Tensor],
    best: dict[str, Tensor],
) -> dict[str, Tensor]:
    if row.get(select, -1.0) > history.best:
        history.best, history.best_step = row[select], done
        return {n: t.detach().clone() for n, t in weights.items()}
    return best


def _too_long(history: History, done: int, plan: Plan, s: Settings) -> bool:
    return done - history.best_step >= s.early_stop * plan.steps / s.validations


def _checkpoint(
    folder: Path,
    done: int,
    network: nn.Module,
    mean: dict[str, Tensor],
    best: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    history: History,
) -> None:
    tensors = {f"network.{n}": t for n, t in network.state_dict().items()}
    tensors |= {f"mean.{n}": t for n, t in mean.items()} | {f"best.{n}": t for n, t in best.items()}
    save_checkpoint(folder, done, tensors | optimiser_tensors(optimiser), {"history": vars(history)})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _recompute_batch_norm(network: nn.Module, crops: Crops, s: Settings, plan: Plan, device: torch.device) -> None:
    """Plain means of the batch statistics over one pass with the final weights (SegNet needs it; caffe-segnet #91)."""
    _train_mode(network, s)
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean
    assert s.batch
    passes = math.ceil(len(crops) / s.batch)
    stream = Stream(len(crops), s.batch, plan.steps, plan.steps + passes, s.seed, plan.settles)
    with torch.no_grad():
        for step, batch in enumerate(loader(crops, stream, 0), plan.steps):
            torch.manual_seed((s.seed << 32) + step)
            network.training_scores(batch.images_N3HW.to(device).float())  # type: ignore[operator]
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
