"""How fast does this machine train? Precision and memory format are chosen by trying them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from statistics import median

import torch

from ..formats.dataset import Dataset
from . import processes
from .batches import Crops, Step, Stream, loader
from .dilated_depthwise import use_fast_backward
from .frozen_maps import check_frozen
from .loop import Heads, step_loss
from .memory import MEMORY_FORMATS, lay_out
from .optimiser import make_optimiser
from .settings import Settings
from .start import built
from .teacher import make_teacher

SECONDS_A_PHOTO = 0.1
"""What a pass of the solver "ridge" takes about, a photo of 500 pixels on two cores."""

TIMED = 5
"""Steps to time; the first, which makes room and plans, does not count."""


def measure(data: Dataset, settings: Settings, classes: int) -> tuple[Settings, float, float]:
    """The fastest of the four combinations of precision and memory format here; its seconds a step with whole crops,
    and with those from before the run settles.

    The four are compared on two crops (where bfloat16 is emulated, whole batches would take minutes). The best one is
    then timed on this process's share of batches, with the loader at work beside it, as it will be.
    A combination that a setting fixes is not varied.
    """
    s = settings
    if s.solver == "ridge":  # it takes no steps; a pass over the photos is about this much each
        return (
            s.model_copy(update={"precision": "float32", "memory_format": "contiguous"}),
            SECONDS_A_PHOTO,
            SECONDS_A_PHOTO,
        )
    if s.solver == "frozen":
        s = s.model_copy(update={"precision": "float32", "memory_format": "contiguous"})
        seconds = _head_seconds(data, s, classes)
        return s, seconds, seconds
    assert s.crop and s.batch and s.threads
    torch.set_num_threads(s.threads)
    machine = processes.accelerator()
    labelled = [p for p in data if p.labels][: 4 * s.batch]
    others = [p for p in data if not p.labels][: 4 * s.batch] if s.loss.consistency > 0 else []
    crops = Crops([*labelled, *others], s.augment, s.crop, s.size, {}, s.seed, s.loss)

    def batches(count: int, steps: int, settles: int | None, share: int = 1) -> Iterator[Step]:
        stream = Stream(len(labelled), count, 0, steps, s.seed, settles, 0, share, len(others))
        return loader(crops, stream, s.workers or 0)

    settles = 0 if s.augment.settle else None
    small, best = next(batches(2, 1, settles)), (float("inf"), s)
    for precision in [s.precision] if s.precision else ["float32", "bfloat16"]:
        for memory in [s.memory_format] if s.memory_format else MEMORY_FORMATS:
            tried = s.model_copy(update={"precision": precision, "memory_format": memory})
            seconds = _step_seconds([small] * 3, tried, classes, machine.device, give_up=best[0])
            best = min(best, (seconds, tried), key=lambda pair: pair[0])
    chosen, processes_here = best[1], machine.num_processes
    whole = _step_seconds(batches(s.batch, TIMED, settles, processes_here), chosen, classes, machine.device)
    early = whole
    if s.augment.settle:
        early = _step_seconds(batches(s.batch, TIMED, None, processes_here), chosen, classes, machine.device)
    return chosen, whole, early


def _head_seconds(data: Dataset, s: Settings, classes: int) -> float:
    """Seconds of a step of the head, on maps of the right size that show nothing."""
    assert s.crop and s.batch and s.threads
    torch.set_num_threads(s.threads)
    labelled = [p for p in data if p.labels][: s.batch]
    network = built(s.model_copy(update={"weights": "none"}), classes)
    check_frozen(s, network)
    crops = Crops(labelled, s.augment, s.crop, s.size, {}, s.seed, s.loss)
    batch = next(loader(crops, Stream(len(labelled), s.batch, 0, 1, s.seed), 0))
    with torch.no_grad():
        seen = network.encoder(batch.images_N3HW[:1].float())  # type: ignore[operator]
    maps = [seen[i].expand(s.batch, -1, -1, -1).contiguous() for i in network.levels]  # type: ignore[union-attr]
    return _step_seconds([replace(batch, maps=maps)] * 3, s, classes, torch.device("cpu"))


def _step_seconds(
    batches: Iterable[Step], s: Settings, classes: int, device: torch.device, give_up: float = float("inf")
) -> float:
    """Seconds of a step, the wait for its batch included; infinity where the first takes ten times `give_up`."""
    network = built(s.model_copy(update={"weights": "none"}), classes).to(device)
    lay_out(network, s.memory_format)
    use_fast_backward(network)
    optimiser = make_optimiser(network, s)
    heads, teacher = Heads(network).train(), make_teacher(network) if s.loss.consistency > 0 else None
    times, before = [], time.perf_counter()
    for batch in batches:
        loss, _ = step_loss(heads, batch, s, None, device, teacher=teacher)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        times.append(now - before)
        if times[0] > 10 * give_up:
            return float("inf")
        before = now
    return median(times[1:])
