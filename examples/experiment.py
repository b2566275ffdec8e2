"""What the scripts behind docs/questions.md share: real photos, one way to train and to score, figures that are kept.

A question that needs training is measured for minutes, on data that may not be passed on. So a script measures on
request and records; the docs draw what was recorded and say so, and the tests run the same code on a few drawn photos.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import labels2masks as l2m
from labels2masks.errors import UsageError
from labels2masks.evaluation.boundary import BoundaryF1, boundary_f1
from labels2masks.evaluation.confusion import Confusion
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.files import write_atomically
from labels2masks.prediction import predict_mask
from labels2masks.training.loop import fit
from labels2masks.training.plan import Plan, make_plan
from labels2masks.training.settings import Settings, with_settings

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("L2M_DATA", ROOT.parent / "shared" / "data"))
MEASURED = Path(__file__).with_name("measured")
ANIMALS = ("background", "cat", "cow", "dog", "horse", "person", "sheep")


def photos(name: str) -> l2m.Dataset:
    """The data set `name`, `voc_animals` in its seven classes (all others void). UsageError where it is not there."""
    if not (DATA / name).is_dir():
        raise UsageError(f"no data set {name} at {DATA}: set L2M_DATA to the folder that holds {name}/")
    data = l2m.open(DATA / name)
    return data.choose(ANIMALS) if name == "voc_animals" else data


def train(
    network: nn.Module,
    data: l2m.Dataset,
    split: str,
    *,
    steps: int,
    batch: int = 8,
    crop: tuple[int, int] = (192, 256),
    seed: int = 0,
    size: int | None = None,
    **settings: Any,
) -> nn.Module:
    """`network` after `steps` steps of the package's own loop on the photos of `split`, in place.

    Any module that follows the contract of `labels2masks.networks`. The caller draws its first weights, and says
    `weights="auto"` where those of `network.encoder` are pretrained: they then learn at 0.3 of the rate.
    size: long side that photos are shrunk to, in training and from then on in prediction.
    settings: further ones of `training.Settings` by their path, for instance **{"augment.rotate": 90.0}.
    """
    pinned = {"precision": "float32", "memory_format": "channels_last", "threads": 1, "workers": 0, "weights": "none"}
    own = {"batch": batch, "crop": crop, "seed": seed, "size": size}
    chosen = with_settings(Settings(encoder=None, epochs=1), pinned | own | settings)
    plan = _plan(data, split, chosen).model_copy(update={"steps": steps, "checkpoint_every": steps})
    network.working_size = plan.settings.size  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        fit(network, data.subset(plan.train).photos, plan, Path(folder))
    return network


_PLANS: list[tuple[l2m.Dataset, str, Plan]] = []


def _plan(data: l2m.Dataset, split: str, chosen: Settings) -> Plan:
    """A plan reads every label for its class weights, for seconds: one look serves all trainings on equal photos."""
    for known, name, plan in _PLANS:
        same_loss = (plan.settings.loss, plan.settings.size is None) == (chosen.loss, chosen.size is None)
        if known is data and name == split and same_loss:
            return plan.model_copy(update={"settings": chosen})
    plan, _ = make_plan(data, chosen, split, "none", None, lambda s, classes: (s, 1.0, 1.0))
    _PLANS.append((data, split, plan))
    return plan


def score(network: nn.Module, data: l2m.Dataset, split: str, photos: int | None = None) -> dict[str, Any]:
    """`Confusion.scores()` (miou, per_class ...) and boundary_f1 of the first `photos` of `split`, None = all."""
    confusion, outlines = Confusion(data.classes), BoundaryF1(data.classes)
    for photo in data.split(split).photos[:photos]:
        mask_HW = predict_mask(network, photo.loaded()[0])
        truth_HW = truth_mask(photo, *mask_HW.shape)
        confusion.add(mask_HW, truth_HW)
        outlines.add(boundary_f1(mask_HW, truth_HW, len(data.classes)))
    return confusion.scores() | {"boundary_f1": outlines.scores()["boundary_f1"]}


@dataclass(frozen=True)
class Recorded:
    """rows: of one real run. settings: of it (data, steps, seeds ...). commit, machine: where it was made."""

    rows: list[dict[str, Any]]
    settings: dict[str, Any]
    commit: str
    machine: str
    command: str

    def __str__(self) -> str:
        told = ", ".join(f"{k} {tuple(v) if isinstance(v, list) else v}" for k, v in self.settings.items())
        return f"recorded by `{self.command}` at {self.commit} on {self.machine}: {told}"


def record(name: str, rows: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> Path:
    """Keep what examples/NAME.py measured as examples/measured/NAME.json; numbers are kept to four digits."""
    kept = {
        "command": f"python examples/{name}.py",
        "commit": commit(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} thread, torch {torch.__version__}",
        "settings": dict(settings),
        "rows": [{key: round(v, 4) if isinstance(v, float) else v for key, v in row.items()} for row in rows],
    }
    return write_atomically(MEASURED / f"{name}.json", json.dumps(kept, indent=1) + "\n")


def recorded(name: str) -> Recorded:
    """What `record` kept. UsageError where nothing was recorded yet."""
    path = MEASURED / f"{name}.json"
    if not path.is_file():
        raise UsageError(f"nothing recorded for {name}: run `python examples/{name}.py` first, which takes minutes")
    return Recorded(**json.loads(path.read_text(encoding="utf-8")))


def commit() -> str:
    """The short name of the commit in hand; "unknown" outside a checkout."""
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT)
    return asked.stdout.strip() or "unknown"
