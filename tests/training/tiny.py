"""A network that takes milliseconds a step, and plans that need no measuring, for the tests of training."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from labels2masks import files, networks
from labels2masks.formats.dataset import Dataset
from labels2masks.formats.open import open_dataset
from labels2masks.grid import Grid
from labels2masks.networks import Entry
from labels2masks.prediction import network as prediction
from labels2masks.training import loop, train
from labels2masks.training.plan import Plan, make_plan
from labels2masks.training.settings import Settings, with_settings

FAST = {
    "network": "tiny",
    "encoder": None,
    "weights": "none",
    "batch": 4,
    "crop": [32, 48],
    "threads": 1,
    "workers": 0,
    "precision": "float32",
    "memory_format": "contiguous",
    "optimiser.rate": 1e-3,
}


class Tiny(nn.Module):
    """Two convolutions with batch normalisation and dropout between: all that a resume can get wrong."""

    smallest, working_size, finite_field = 1, None, True

    def __init__(self, classes: int, encoder: str | None = None, weights: object = None):
        super().__init__()
        self.name, self.encoder_name, self.classes, self.settings = "tiny", encoder, classes, {}
        self.grid = Grid().after(3, 2, 1)
        self.encoder = nn.Conv2d(3, 8, 3, 2, 1)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.1)
        self.scores = nn.Conv2d(8, classes, 1)

    def forward(self, images_N3HW: torch.Tensor) -> torch.Tensor:
        return self.scores(self.dropout(torch.relu(self.norm(self.encoder(images_N3HW / 128 - 1)))))

    def training_scores(self, images_N3HW: torch.Tensor) -> list:
        return [(1.0, self(images_N3HW), self.grid)]


TINY = Entry(Tiny, False, "none", 2026)


def settings(**changes: object) -> Settings:
    return with_settings(Settings(), {**FAST, **{k.replace("__", "."): v for k, v in changes.items()}})


def plan_for(data: Dataset, steps: int = 6, every: int = 3, val: str = "none", **changes: object) -> Plan:
    """A plan of so many steps; `optimiser__rate=1` changes a setting of a part."""
    made, _ = make_plan(data, settings(**changes), None, val, None, lambda s, classes: (s, 0.01, 0.01))
    return made.model_copy(update={"steps": steps, "checkpoint_every": every})


def write_plan(path: Path, plan: Plan) -> Path:
    path.write_text(plan.model_dump_json())
    return path


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: t.clone() for name, t in network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


class Moments:
    """`act` is told of each moment of a run by its number: every call by which files are written.

    Those are open, write (half of the bytes are on the disk by then), fsync, replace, and fsync of the folder.
    """

    def __init__(self, act: Callable[[int], object], patch: pytest.MonkeyPatch):
        self.act, self.count = act, 0
        system = {name: self.before(getattr(os, name)) for name in ("fsync", "replace")}
        patch.setattr(files, "os", SimpleNamespace(**{**vars(os), **system}))
        patch.setattr(files, "open", self.opened, raising=False)

    def now(self) -> None:
        self.count += 1
        self.act(self.count)

    def before(self, function: Callable) -> Callable:
        def told(*arguments: object, **named: object) -> object:
            self.now()
            return function(*arguments, **named)

        return told

    def opened(self, path: Path, mode: str) -> io.BufferedWriter:
        self.now()
        return _ToldWriter(self.now, io.FileIO(path, mode))


class _ToldWriter(io.BufferedWriter):
    """Tells of its first write when half of it is on the disk."""

    def __init__(self, now: Callable[[], None], raw: io.FileIO):
        super().__init__(raw)
        self.now: Callable[[], None] | None = now

    def write(self, content: bytes) -> int:
        now, self.now, half = self.now, None, len(content) // 2
        if now:
            super().write(content[:half])
            self.flush()
            now()
            return half + super().write(content[half:])
        return super().write(content)


def train_apart(data: str, plan: str, out: str, moment: int | None, delay: float | None) -> None:
    """Train in a process of its own, which leads its group, and kill the group `delay` seconds after a moment.

    moment: counts writes, steps and predictions; None = never. delay: 0 = at once; None = stop there, alive.
    """
    os.setsid()
    networks.NETWORKS["tiny"] = TINY
    train.__globals__["_tensorboard"] = lambda folder, step: None

    def kill() -> None:
        os.killpg(os.getpgrp(), signal.SIGKILL)

    def act(count: int) -> None:
        if count == moment:
            if delay is None:
                time.sleep(600)
            elif delay == 0:
                kill()
            threading.Timer(delay or 0, kill).start()

    moments = Moments(act, pytest.MonkeyPatch())
    loop.step_loss = moments.before(loop.step_loss)
    prediction.forward = moments.before(prediction.forward)
    train(open_dataset(data), out=out, plan=plan, resume=True, say=lambda text: None)
