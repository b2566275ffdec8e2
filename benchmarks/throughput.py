"""Where the time of an image goes, and images a second against torchvision's reference recipe for segmentation.

    python benchmarks/throughput.py [--quick] [--parts stages training loader] [--pairs N] [--threads N]

stages    CPU milliseconds of one image in decode, augment, step (a training image) and decode, predict, evaluate (a
          scored one), with the recipe `everyday` on CamVid and VOC animals; the largest is named the bottleneck.
training  Images a second from files to updated weights, CamVid. One network, both sides: torchvision's own, random
          weights, crops of 480, its recipe's zooms (short side 260 to 1040), flips, SGD and losses (0.5 x auxiliary).
              theirs, as shipped     files opened by PIL, v2 transforms, DataLoader, default memory format, float32
              theirs, at its best    the faster loader (PIL or tensors), the fastest memory format and precision
              ours                   our loader, candidate loss and loop, the faster memory format, freed memory kept
          Both load with the same number of workers.
loader    The same crops alone, no network: from files to normalised floats and class indices; ours keeps freed memory.
          Peer: the faster of PIL images and tensors through v2 transforms and DataLoader.

The recipe is told in torchvision_recipe.py. Zooms have equal limits; theirs are drawn evenly, ours evenly in octaves.
All in steady state: queues are as full when the clock stops as when it starts. Sides take turns; ratios are medians
over the turns.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from accuracy import DATA, row
from torch import Tensor, nn
from torchvision_recipe import (
    CROP,
    FORMATS,
    MEAN,
    SHORT_SIDE,
    STD,
    WARM,
    Side,
    reference_batches,
    reference_network,
    reference_training,
)

import labels2masks as l2m
from labels2masks.evaluation.boundary import boundary_f1
from labels2masks.evaluation.confusion import count
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.formats.dataset import Photo
from labels2masks.formats.image import image_size
from labels2masks.grid import Grid
from labels2masks.prediction import predict_mask
from labels2masks.recipes import everyday
from labels2masks.training.batches import Crops, Stream, loader
from labels2masks.training.dilated_depthwise import use_fast_backward
from labels2masks.training.loop import Heads, fit, step_loss
from labels2masks.training.memory import freed_memory_kept, lay_out
from labels2masks.training.optimiser import make_optimiser
from labels2masks.training.plan import make_plan
from labels2masks.training.settings import Augment, Loss, Optimiser, Settings
from labels2masks.training.start import built

PARTS = ["stages", "loader", "training"]
NETWORKS = ["deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large", "fcn_resnet50"]
DRAINED = 8
"""Batches of the loader alone before the clock starts: what waited in a queue is used up."""


def masked(name: str, photos: int) -> l2m.Dataset:
    """The first photos of the training split."""
    data = l2m.open(DATA / name)
    return replace(data, photos=data.split("train").photos[:photos], splits={})


def zooms(photos: Sequence[Photo]) -> Augment:
    """The recipe's zooms and flips as ours, and nothing else."""
    short = statistics.median(min(image_size(p.image)) for p in photos)
    return Augment(scale=(SHORT_SIDE[0] / short, SHORT_SIDE[1] / short), settle=0, rotate=0, rare=0, colour=0, hue=0)


class InOurLoop(nn.Module):
    """torchvision's network as our loop wants one: bytes in, scores at their own stride out."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(3, 1, 1), persistent=False)

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        maps = self.network.backbone((images_N3HW - self.mean) / self.std)
        if not hasattr(self.network, "aux_classifier"):
            heads = [(1.0, self.network.classifier(maps))]
        else:
            heads = [(1.0, self.network.classifier(maps["out"])), (0.5, self.network.aux_classifier(maps["aux"]))]
        strides = [images_N3HW.shape[2] / scores.shape[2] for _, scores in heads]
        return [(w, scores, Grid.square(s, s / 2)) for (w, scores), s in zip(heads, strides, strict=True)]


class _Enough(Exception):
    """The clock has stopped: leave the loop."""


def ours(name: str, data: l2m.Dataset, settings: Settings) -> Side:
    """`training.loop.fit` itself, with a plan that goes on beyond what is timed."""
    assert settings.batch
    plan, _ = make_plan(data, settings, None, "none", None, lambda s, classes: (s, 1.0, 1.0))
    network = InOurLoop(reference_network(name, len(data.classes)))

    def run(steps: int) -> float:
        longer = plan.model_copy(update={"steps": WARM + steps + 8, "checkpoint_every": 10**9})
        times: list[float] = []

        def tell(step: int, numbers: dict[str, float]) -> None:
            times.append(time.perf_counter())
            if step == WARM + steps:
                raise _Enough

        with freed_memory_kept(), tempfile.TemporaryDirectory() as folder, contextlib.suppress(_Enough):
            fit(network, data.photos, longer, Path(folder), tell=tell)
        return steps * settings.batch / (times[-1] - times[WARM - 1])

    return run


def precisions() -> list[str]:
    """float32, and bfloat16 where the processor computes it rather than imitates it."""
    return ["float32", "bfloat16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else ["float32"]


def fastest(sides: dict[str, Side], steps: int) -> tuple[str, Side]:
    found = {name: side(steps) for name, side in sides.items()}
    best = max(found, key=found.__getitem__)
    return best, sides[best]


def in_turns(sides: dict[str, Side], steps: int, pairs: int) -> dict[str, list[float]]:
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(pairs):
        for name, side in sides.items():
            time.sleep(1)  # the workers of the side before fill their queues and rest
            speeds[name].append(side(steps))
    return speeds


def against(claim: str, ours: list[float], peer: str, theirs: list[float], settings: dict) -> dict:
    """A row whose ratio is the median over the turns."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    speeds = statistics.median(ours), statistics.median(theirs)
    made = row(
        claim, speeds[0], "images/s", peer, round(speeds[1], 2), settings | {"turns": [round(r, 3) for r in ratios]}
    )
    return made | {"ratio": round(statistics.median(ratios), 3)}


def training(name: str, steps: int, pairs: int, batch: int, crop: int, threads: int, photos: int) -> list[dict]:
    data = masked("camvid", photos)
    loaders = {tensors: reference_batches(data, batch, crop, threads, tensors) for tensors in (False, True)}
    base = Settings(
        weights="none",
        crop=(crop, crop),
        batch=batch,
        epochs=1,
        threads=threads,
        workers=threads,
        precision="float32",
        augment=zooms(data.photos),
        optimiser=Optimiser(name="sgd", rate=0.01, weight_decay=1e-6, warmup=0, ema=0, clip=1e6),
        loss=Loss(class_weights="none"),
    )
    our_format, our_side = fastest(
        {m: ours(name, data, base.model_copy(update={"memory_format": m})) for m in FORMATS}, 1
    )
    shipped = reference_training(name, data, loaders[False], "contiguous", "float32")
    options = {
        f"{'tensors' if tensors else 'PIL'}, {m}, {p}": reference_training(name, data, loaders[tensors], m, p)
        for tensors, m, p in itertools.product((False, True), FORMATS, precisions())
    }
    best, best_side = fastest(options, 1)
    speeds = in_turns({"ours": our_side, "shipped": shipped, "best": best_side}, steps, pairs)
    settings = {"network": name, "batch": batch, "crop": crop, "threads": threads, "workers": threads, "steps": steps}
    settings["ours"] = our_format
    claim = f"training from files, {name}, CamVid"
    return [
        against(claim, speeds["ours"], "torchvision's reference recipe as shipped", speeds["shipped"], settings),
        against(claim, speeds["ours"], f"the same at its best: {best}", speeds["best"], settings),
    ]


def loading(name: str, batches: int, pairs: int, batch: int, crop: int, workers: int, photos: int) -> list[dict]:
    data = masked(name, photos)
    crops = Crops(data.photos, zooms(data.photos), (crop, crop), None, {}, 0)
    mean, std = 255 * torch.tensor(MEAN).view(3, 1, 1), 255 * torch.tensor(STD).view(3, 1, 1)
    turn = itertools.count()

    def our_batches(count: int) -> Iterator[object]:
        start = 1000 * next(turn)  # other crops each turn, as theirs
        for step in loader(crops, Stream(len(crops), batch, start, start + count, 0), workers):
            images = step.images_N3HW.to(torch.float32, memory_format=torch.contiguous_format)  # as theirs come
            yield images.sub_(mean).div_(std), step.labels

    def speed(given: Iterator[object], count: int) -> float:
        for _ in itertools.islice(given, DRAINED):
            pass
        start = time.perf_counter()
        for _ in itertools.islice(given, count):
            pass
        return count * batch / (time.perf_counter() - start)

    def our_speed(count: int) -> float:
        with freed_memory_kept():  # as in `train`
            return speed(our_batches(DRAINED + count + 8), count)

    sides: dict[str, Side] = {"ours": our_speed}
    for peer, tensors in {"PIL images": False, "tensors": True}.items():
        sides[peer] = partial(speed, reference_batches(data, batch, crop, workers, tensors))
    speeds = in_turns(sides, batches, pairs)
    medians = {k: round(statistics.median(v), 1) for k, v in speeds.items()}
    peer = max(("PIL images", "tensors"), key=medians.__getitem__)
    settings = {"batch": batch, "crop": crop, "workers": workers, "images_per_second": medians}
    claim = f"loader alone (decode + augment), {name}"
    return [against(claim, speeds["ours"], f"v2 transforms on {peer} + DataLoader", speeds[peer], settings)]


def stages(name: str, photos: int, batch: int, crop: tuple[int, int], threads: int) -> list[dict]:
    """Rows of CPU milliseconds an image; the largest stage of training and of scoring is the bottleneck."""
    data = masked(name, photos)
    changes = {
        "weights": "none",
        "crop": crop,
        "batch": batch,
        "precision": "float32",
        "memory_format": "channels_last",
    }
    s = everyday().model_copy(update=changes)
    network = built(s, len(data.classes))
    lay_out(network, s.memory_format)
    use_fast_backward(network)
    crops = Crops(data.photos, s.augment.model_copy(update={"settle": 0}), crop, None, {}, 0)
    stream = Stream(len(crops), batch, 0, max(1, photos // batch), 0)
    images = [p.loaded()[0] for p in data]  # also brings the files into memory
    steps = list(loader(crops, stream, 0))
    heads, optimiser = Heads(network).train(), make_optimiser(network, s)

    def trained(count: int) -> None:
        for step in steps[:count]:
            loss, _ = step_loss(heads, step, s, None, torch.device("cpu"))
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            optimiser.zero_grad()

    def scored() -> None:
        for photo, mask_HW in zip(data, masks, strict=True):
            truth_HW = truth_mask(photo, *mask_HW.shape)
            count(mask_HW, truth_HW, len(data.classes))
            boundary_f1(mask_HW, truth_HW, len(data.classes))

    trained(1)
    taken = {
        "decode": cpu_ms(lambda: [p.loaded() for p in data], photos),
        "decode and augment": cpu_ms(lambda: list(loader(crops, stream, 0)), len(steps) * batch),
        "step": cpu_ms(lambda: trained(3), min(3, len(steps)) * batch),
    }
    masks = [predict_mask(network, image_HW3) for image_HW3 in images]
    taken["predict"] = cpu_ms(lambda: [predict_mask(network, x) for x in images], photos)
    taken["evaluate"] = cpu_ms(scored, photos)
    taken["augment"] = taken.pop("decode and augment") - taken["decode"]
    rows = []
    for what, parts in {
        "training": ("decode", "augment", "step"),
        "scoring": ("decode", "predict", "evaluate"),
    }.items():
        total = sum(taken[part] for part in parts)
        largest = max(parts, key=taken.__getitem__)
        settings = {"crop": crop, "batch": batch, "threads": threads, "network": f"{s.network} on {s.encoder}"}
        rows += [
            row(f"CPU time of {what} an image, {name}: {part}", taken[part], "ms", "none", None, settings)
            | {"share": round(taken[part] / total, 3), "bottleneck": part == largest}
            for part in parts
        ]
    return rows


def cpu_ms(work: Callable[[], object], images: int) -> float:
    """CPU milliseconds an image, all threads together."""
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start) / images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="seconds: few photos, one turn, the lightest network")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--networks", nargs="+", default=NETWORKS[:2], choices=NETWORKS)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="training steps a turn")
    parser.add_argument("--threads", type=int, default=2, help="of the step, and workers of the loaders")
    parser.add_argument("--json", action="store_true", help="the last line is JSON (it always is)")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    photos, pairs, steps, batches, networks = 64, asked.pairs, asked.steps, 30, asked.networks
    crop, rectangle = CROP, (288, 384)
    if asked.quick:
        photos, pairs, steps, batches, networks = 8, 1, 1, 2, ["lraspp_mobilenet_v3_large"]
        crop, rectangle = 96, (96, 128)
    sets, rows = ("camvid", "voc_animals"), []
    for part in asked.parts:
        if part == "stages":
            made = [r for d in sets for r in stages(d, photos, 8, rectangle, asked.threads)]
        elif part == "loader":
            made = [r for d in sets for r in loading(d, batches, pairs, 8, crop, asked.threads, photos)]
        else:
            made = [r for n in networks for r in training(n, steps, pairs, 4, crop, asked.threads, photos)]
        for r in made:
            if r["peer_value"] is None:
                note = ", the bottleneck" if r["bottleneck"] else ""
                print(f"{r['value']:8.1f} ms ({100 * r['share']:4.1f} %{note})  {r['claim']}")
            else:
                speeds = f"{r['value']:7.2f} images/s against {r['peer_value']:7.2f}"
                print(f"{r['ratio']:6.2f}x  {speeds}  {r['claim']}; {r['peer']}")
        rows += made
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
