"""A network that takes milliseconds a step, and plans that need no measuring, for the tests of training."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import nn

from labels2masks import networks
from labels2masks.formats.dataset import Dataset
from labels2masks.formats.open import open_dataset
from labels2masks.grid import Grid
from labels2masks.networks import Entry
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


def train_apart(data: str, plan: str, out: str, seconds_a_step: float) -> None:
    """For a process of its own, which leads its group so that all of it can be killed."""
    os.setsid()
    networks.NETWORKS["tiny"] = TINY
    train.__globals__["_tensorboard"] = lambda folder, step: None
    plain = loop.step_loss

    def slow(*arguments, **named):
        time.sleep(seconds_a_step)
        return plain(*arguments, **named)

    loop.step_loss = slow
    train(open_dataset(data), out=out, plan=plan, resume=True, say=lambda text: None)
