"""Every system of the field's first decade on one trunk and with equal steps: CamVid, train -> val.

    python benchmarks/networks.py [--systems NAME ...] [--seeds N ...] [--steps N] [--out FOLDER] [--json FILE]
    python benchmarks/networks.py --published [--systems NAME ...]

All but SegNet-Basic stand on tf_efficientnet_lite0 with ImageNet weights, and all are trained by the recipe `everyday`,
so that they differ in their layers only: photos shrunk to a long side of 320, whole crops of 192x256 throughout,
batch 4, float32, one thread. The last weights are scored on all 101 photos of val at full size. Heads whose papers
have stride 8 stand at 16 here, as DeepLab v3's does: a step at 8 takes four times as long. The dilated networks keep 8,
and their context modules learn as in the paper, for as many steps more on the frozen scores of one front-end.
SegNet-Basic has a trunk of its own, no pretraining, and a step of 17 times FCN's: it gets a quarter of the steps.

One unit is one system with one seed. Its line is kept in the JSON file as soon as it is done; a unit that the file has
is not run again. First comes one seed of every system, then the further seeds of those whose order is claimed (PAIRS).

none_16      the trunk at stride 16 and a 1x1 convolution: what all that stand at 16 have without their heads.
EXPERIMENTS  run when named: front-end and context learn together from the start; the front-end learns on, alone;
             DeepLab v2 at a quarter of the rate; none_16 and DeepLab v3 on whole photos at full size.
--published  no training: images a second, parameters and multiply-adds of the papers' own forms, random weights.

Seconds are of the process, so that other programs on the machine hardly count. One photo is 480x360.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from accuracy import DATA, followed, row
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import labels2masks as l2m
from labels2masks import networks
from labels2masks.evaluation.receptive_field import receptive_field
from labels2masks.files import write_atomically
from labels2masks.networks.saved import load_network
from labels2masks.prediction import predict_mask
from labels2masks.recipes import everyday
from labels2masks.training.plan import Plan, make_plan
from labels2masks.training.settings import Settings, with_settings

TRUNK = "tf_efficientnet_lite0"
THIN = ("pole", "sign", "pedestrian", "bicyclist")
RESULTS = Path(__file__).with_name("results") / "networks.json"
HEIGHT, WIDTH = 360, 480
TIMED = 5


@dataclass(frozen=True)
class System:
    """share: of the steps. after: the system whose run with seed 0 this one goes on from, whatever its own seed;
    frozen: parts that then do not learn. memory_format: the faster one, contiguous where the last stages are dilated.
    changes: settings that differ from those of all others, for experiments.
    """

    network: str
    options: dict[str, Any] = field(default_factory=dict)
    encoder: str | None = TRUNK
    share: float = 1
    memory_format: str = "channels_last"
    after: str | None = None
    frozen: tuple[str, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)


_NONE_16 = {"network": "deeplab_v3_cascaded", "options": {"blocks": 0}}
_ON_FRONT_END: dict[str, Any] = {
    "memory_format": "contiguous",
    "after": "dilated_frontend",
    "frozen": ("encoder", "head", "scores"),
}

AT_16 = {"output_stride": 16}
LARGE: dict[str, Any] = {"size": 480, "crop": (352, 480)}
SYSTEMS = {
    **{name: System(name) for name in ("fcn32s", "fcn16s", "fcn8s")},
    "none_16": System("deeplab_v3_cascaded", {"blocks": 0}),
    "deeplab_v3": System("deeplab_v3"),
    **{name: System(name, AT_16) for name in ("deeplab_v2", "deeplab_v1_largefov", "deeplab_v1_msc")},
    **{name: System(name, AT_16) for name in ("parsenet", "pspnet")},
    **{name: System(name) for name in ("deeplab_v3_cascaded", "deeplab_v3plus", "linear", "segnet", "unet")},
    "refinenet": System("refinenet"),
    "image_pyramid_max": System("image_pyramid", _NONE_16),
    "image_pyramid_attention": System("image_pyramid", {**_NONE_16, "fusion": "attention"}),
    "dilated_frontend": System("dilated_frontend", memory_format="contiguous"),
    **{name: System(name, **_ON_FRONT_END) for name in ("dilated_context_basic", "dilated_context_large")},
    "segnet_basic": System("segnet_basic", encoder=None, share=0.25),
}
EXPERIMENTS = {
    "dilated_context_at_once": System("dilated_context_basic", memory_format="contiguous"),
    "dilated_frontend_twice": System("dilated_frontend", memory_format="contiguous", after="dilated_frontend"),
    "deeplab_v2_slower": System("deeplab_v2", AT_16, changes={"optimiser.rate": 0.000375}),
    "none_16_large": System(**_NONE_16, changes=LARGE),
    "deeplab_v3_large": System("deeplab_v3", changes=LARGE),
}
PAIRS = [
    ("fcn32s", "fcn16s"),
    ("fcn16s", "fcn8s"),
    ("none_16", "deeplab_v2"),
    ("none_16", "deeplab_v3"),
    ("dilated_frontend", "dilated_context_basic"),
]
"""(without, with): the classic order says that the second is better."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [*SYSTEMS, *EXPERIMENTS]
    parser.add_argument("--systems", nargs="+", metavar="NAME", help=f"of {', '.join(known)}; or published names")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for the runs")
    parser.add_argument("--json", type=Path, default=RESULTS, help="the file that holds what is done")
    parser.add_argument("--published", action="store_true", help="the papers' own forms: speed and size only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = json.loads(options.json.read_text()) if options.json.exists() else []
    if options.published:
        names = options.systems or [name for name, entry in networks.NETWORKS.items() if entry.parameters]
        units: Sequence[tuple[str, int | None]] = [(name, None) for name in names]
    else:
        units = in_order(options.systems or list(SYSTEMS), options.seeds, every=options.systems is not None)
    plan = None
    for name, seed in units:
        if any(_key(done) == (name, seed, None if seed is None else options.steps) for done in rows):
            continue
        if seed is None:
            rows.append(published(name))
        else:
            plan = plan or planned(l2m.open(DATA / "camvid"))
            rows.append(unit(name, seed, options.steps, plan, options.out))
        write_atomically(options.json, json.dumps(rows, indent=1) + "\n")
        print(line(rows[-1]), flush=True)
    print(differences(rows, options.steps))


def in_order(names: Sequence[str], seeds: Sequence[int], every: bool) -> list[tuple[str, int]]:
    """One seed of all, then the other seeds: of those in PAIRS, or of every system where they were named."""
    first, *others = seeds
    paired = [name for name in names if every or any(name in pair for pair in PAIRS)]
    return [(name, first) for name in names] + [(name, seed) for seed in others for name in paired]


def planned(data: l2m.Dataset) -> tuple[l2m.Dataset, Plan]:
    """The plan that all units share. Nothing is measured: formats are given, steps are counted."""
    base = with_settings(
        everyday(),
        {
            "options": {},
            "size": 320,
            "crop": (192, 256),
            "batch": 4,
            "precision": "float32",
            "memory_format": "channels_last",
            "threads": 1,
            "workers": 0,
            "augment.settle": 0,
        },
    )
    return data, make_plan(data, base, "train", "none", None, lambda settings, classes: (settings, 1.0, 1.0))[0]


def unit(name: str, seed: int, steps: int, planned: tuple[l2m.Dataset, Plan], out: Path) -> dict[str, Any]:
    """Train one system, time it, score it."""
    data, plan = planned
    system = {**SYSTEMS, **EXPERIMENTS}[name]
    weights = str(out / f"{system.after}-{steps}-0") if system.after else "auto"
    own = {key: getattr(system, key) for key in ("network", "options", "encoder", "memory_format", "frozen")}
    settings = with_settings(plan.settings, {**own, "weights": weights, "seed": seed, **system.changes})
    trained = round(system.share * steps)
    began = time.monotonic()
    own_plan = plan.model_copy(update={"settings": settings, "steps": trained})
    run, seconds = followed(data, own_plan, out / f"{name}-{steps}-{seed}")
    step_seconds = seconds and seconds / trained
    minutes = (time.monotonic() - began) / 60
    scores = l2m.evaluate(run, data, split="val", threads=1)
    network, _ = load_network(run.folder)
    network.working_size = None
    told = {
        "system": name,
        "seed": seed,
        "steps": steps,
        "steps_trained": trained,
        "after": system.after,
        "batch": settings.batch,
        "crop": settings.crop,
        "size": settings.size,
        "boundary_f1": scores["boundary_f1"],
        "thin": statistics.mean(scores["per_class"][thin]["iou"] for thin in THIN),
        "iou": {of: values["iou"] for of, values in scores["per_class"].items()},
        "images_per_second": 1 / photo_seconds(network),
        "steps_per_second": step_seconds and 1 / step_seconds,
        "minutes": minutes,
        "all_minutes": (time.monotonic() - began) / 60,
        **facts(settings, len(data.classes)),
    }
    return row(f"CamVid val mIoU of {name}", 100 * scores["miou"], "%", "none: one trunk, equal steps", None, told)


def published(name: str) -> dict[str, Any]:
    """Speed and size of a paper's own form, 21 classes, with random weights."""
    network = networks.build(name, 21).eval()
    told = {"system": name, **facts(Settings(network=name, encoder=None, weights="none"), 21)}
    speed = 1 / photo_seconds(network, timed=1)
    return row(f"images a second of {name} as published", speed, "images/s", "none", None, told)


def facts(settings: Settings, classes: int) -> dict[str, Any]:
    """What follows from the layers: parameters, field of the scores, multiply-adds of one photo."""
    with torch.device("meta"):
        network = networks.build(settings.network, classes, settings.encoder, settings=settings.options).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, HEIGHT, WIDTH))
    last = receptive_field(network, stages=True)[-1]
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "multiply_adds": counter.get_total_flops() // 2,
        "stride": network.grid.stride_y,
        "field": last.field and last.field[0],
        "whole_image": last.whole_image,
    }


def photo_seconds(network: nn.Module, timed: int = TIMED) -> float:
    """Median seconds of the process from one photo of 480x360 to its mask, after one that warms up."""
    image_HW3 = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    seconds = []
    for _ in range(1 + timed):
        began = time.process_time()
        predict_mask(network, image_HW3)
        seconds.append(time.process_time() - began)
    return statistics.median(seconds[1:])


def differences(rows: Sequence[dict[str, Any]], steps: int) -> str:
    """For each pair: mIoU and boundary F1 of the second less the first, seed by seed."""
    of = {(r["settings"]["system"], r["settings"].get("seed")): r for r in rows if r["settings"].get("steps") == steps}
    lines = []
    for without, better in PAIRS:
        seconds = [r for (system, _), r in sorted(of.items()) if system == better]
        pairs = [(of.get((without, _compared(r, without))), r) for r in seconds]
        miou = ", ".join(f"{b['value'] - a['value']:+.1f}" for a, b in pairs if a)
        edges = (100 * (b["settings"]["boundary_f1"] - a["settings"]["boundary_f1"]) for a, b in pairs if a)
        lines.append(f"{better} - {without}: mIoU {miou}; boundary F1 {', '.join(f'{d:+.1f}' for d in edges)}")
    return "\n".join(lines)


def _compared(row: dict[str, Any], without: str) -> int:
    """The seed of the other run of a pair: its own, or that of the run that it went on from."""
    return 0 if row["settings"]["after"] == without else row["settings"]["seed"]


def line(row: dict[str, Any]) -> str:
    """A unit for a person."""
    s = row["settings"]
    size = f"{s['parameters'] / 1e6:6.2f} M, {s['multiply_adds'] / 1e9:6.2f} G multiply-adds, field {s['field']}"
    if "seed" not in s:
        return f"{s['system']:24s} {row['value']:6.2f} images/s, {size}"
    scores = f"mIoU {row['value']:5.2f}, boundary F1 {100 * s['boundary_f1']:5.2f}, thin {100 * s['thin']:5.2f}"
    speed = f"{s['images_per_second']:5.2f} images/s, {s['all_minutes']:.1f} min"
    return f"{s['system']:28s} seed {s['seed']}: {scores}, {size}, {speed}"


def _key(row: dict[str, Any]) -> tuple[str, int | None, int | None]:
    s = row["settings"]
    return s["system"], s.get("seed"), s.get("steps")


if __name__ == "__main__":
    main()
