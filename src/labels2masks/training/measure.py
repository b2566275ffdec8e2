"""How fast does this machine train? Precision and memory format are chosen by trying them."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from ..formats.dataset import Dataset
from . import processes
from .batches import Crops, Step, Stream, loader
from .dilated_depthwise import use_fast_backward
from .loop import Heads, make_optimiser, step_loss
from .settings import Settings
from .start import built


def measure(data: Dataset, settings: Settings, classes: int) -> tuple[Settings, float, float]:
    """The fastest of the four combinations of precision and memory format here; its seconds a step with whole crops,
    and with those from before the run settles.

    The four are compared on two crops (where bfloat16 is emulated, whole batches would take minutes), the best one is
    then timed on this process's share of a batch. A combination that a setting fixes is not varied.
    """
    assert settings.crop and settings.batch and settings.threads
    torch.set_num_threads(settings.threads)
    machine = processes.accelerator()
    labelled = [p for p in data if p.labels][: 4 * settings.batch]
    crops = Crops(labelled, settings.augment, settings.crop, settings.size, {}, settings.seed)

    def batch(count: int, settles: int | None) -> Step:
        return next(iter(loader(crops, Stream(len(labelled), count, 0, 1, settings.seed, settles), 0)))

    settles = 0 if settings.augment.settle else None
    small, best = batch(2, settles), (float("inf"), settings)
    for precision in [settings.precision] if settings.precision else ["float32", "bfloat16"]:
        for memory in [settings.memory_format] if settings.memory_format else ["channels_last", "contiguous"]:
            tried = settings.model_copy(update={"precision": precision, "memory_format": memory})
            seconds = _step_seconds(small, tried, classes, machine.device, give_up=best[0])
            best = min(best, (seconds, tried), key=lambda pair: pair[0])
    share = max(1, settings.batch // machine.num_processes)
    whole = _step_seconds(batch(share, settles), best[1], classes, machine.device)
    early = _step_seconds(batch(share, None), best[1], classes, machine.device) if settings.augment.settle else whole
    return best[1], whole, early


def _step_seconds(batch: Step, s: Settings, classes: int, device: torch.device, give_up: float = float("inf")) -> float:
    """Seconds of one training step; infinity where the first takes ten times `give_up`."""
    network = built(s.model_copy(update={"weights": "none"}), classes).to(device)
    if s.memory_format == "channels_last":
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    use_fast_backward(network)
    optimiser = make_optimiser(network, s)
    heads = Heads(network).train()

    def step() -> None:
        loss, _ = step_loss(heads, batch, s, None, device)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    start = time.perf_counter()
    step()
    return float("inf") if time.perf_counter() - start > 10 * give_up else measured(step)


def measured(step: Callable[[], None], repeats: int = 2) -> float:
    """Least seconds of `step`: what else the machine did meanwhile only adds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times)
