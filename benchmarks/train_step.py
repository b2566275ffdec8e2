"""One training step against segmentation_models.pytorch: the same encoder, size, batch, threads and optimiser.

    python benchmarks/train_step.py [--quick] [--pairs N] [--threads N] [--networks NAME/ENCODER ...]

Needs the extra `[bench]`. Random weights on both sides, drawn images and masks: no data, no download.

ours    all that `train` does in a step: bytes to floats, normalisation, forward pass, scores enlarged to the size of
        the crop, candidate loss, backward pass, clipped gradients, AdamW, running mean of the weights.
theirs  what their examples do: images that are floats and normalised already, forward pass, cross-entropy with
        void left out, backward pass, AdamW.

Each side takes the best of its memory formats, found on this machine; then they take turns, each in a process of its
own, and what counts is the median of the turns. Ours keeps freed memory, as `train` does (training/memory.py); theirs
is given once as its users run it (the ratio) and once with freed memory kept too (`ratio_both_keep_memory`): what
is left is the network and the step. The rows `.../same` train their own network in our step, so nothing differs but
the step; in the others the network of that name is each library's own (DeepLab v3+ at output stride 16 in both, but
with the paper's two 3x3 convolutions at stride 4 in ours, and one there and one at stride 16 in theirs), and
parameters and multiply-adds are printed, so that the work can be compared too.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import torch
from accuracy import row
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from labels2masks.grid import Grid
from labels2masks.labels import MASK, REGION, VOID, Candidates
from labels2masks.losses import collate
from labels2masks.training.batches import Step
from labels2masks.training.dilated_depthwise import use_fast_backward
from labels2masks.training.loop import Heads, _update_mean, step_loss
from labels2masks.training.memory import MEMORY_FORMATS, freed_memory_kept, lay_out
from labels2masks.training.optimiser import make_optimiser
from labels2masks.training.settings import Settings, with_settings
from labels2masks.training.start import built

CLASSES = 12
FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def their_pspnet(encoder: str, **options: Any) -> nn.Module:
    """Their PSPNet on all five stages at stride 8, as in the paper; their own default stops after the third."""
    network = smp.PSPNet(encoder, encoder_depth=5, upsampling=8, **options)
    network.encoder = smp.encoders.get_encoder(encoder, depth=5, weights=None, output_stride=8)
    return network


THEIRS = {"unet": smp.Unet, "deeplab_v3plus": smp.DeepLabV3Plus, "pspnet": their_pspnet}
ENCODERS = {"tf_efficientnet_lite0": "tu-tf_efficientnet_lite0"}
"""timm name -> theirs, where they differ; `tu-` is the same timm network behind their interface."""

CASES = [
    "unet/resnet34",
    "unet/resnet34/same",
    "unet/tf_efficientnet_lite0",
    "deeplab_v3plus/resnet34",
    "deeplab_v3plus/tf_efficientnet_lite0",
    "deeplab_v3plus/tf_efficientnet_lite0/same",
    "pspnet/resnet34",
    "pspnet/tf_efficientnet_lite0",
]


@dataclass
class Side:
    """One of the two: its step, ready to be timed."""

    step: Callable[[], object]
    network: nn.Module
    memory_format: str
    seconds: float = float("inf")


class InOurStep(nn.Module):
    """Their network as the training loop wants one: bytes in, (weight, scores, grid) out, scores at every pixel."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self.network((images_N3HW - 127.0) / 128.0), Grid())]


def drawn(batch: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(images_NHW3 uint8, ids_NHW int32 with -1 = void): noise, and a mask in patches of 16 pixels."""
    rng = np.random.default_rng(0)
    images_NHW3 = rng.integers(0, 256, (batch, height, width, 3), np.uint8)
    patches = rng.integers(-1, CLASSES, (batch, -(-height // 16), -(-width // 16)), np.int32)
    return images_NHW3, patches.repeat(16, 1).repeat(16, 2)[:, :height, :width]


def as_step(images_NHW3: np.ndarray, ids_NHW: np.ndarray) -> Step:
    """The same batch as our loader hands it over."""
    sets_KC = np.vstack([np.zeros(CLASSES, bool), np.ones(CLASSES, bool), np.eye(CLASSES, dtype=bool)])
    source_K = np.array([VOID, REGION, *[MASK] * CLASSES], np.uint8)
    rows_NHW = np.where(ids_NHW < 0, 0, ids_NHW + 2).astype(np.int32)
    made = [Candidates(rows_HW, sets_KC, source_K, np.ones(len(sets_KC), np.float32)) for rows_HW in rows_NHW]
    return Step(torch.from_numpy(images_NHW3).permute(0, 3, 1, 2), collate(made), [""] * len(made), [])


def ours(network: nn.Module, settings: Settings, batch: Step) -> Side:
    assert settings.memory_format
    lay_out(network, settings.memory_format)
    use_fast_backward(network)
    heads, optimiser = Heads(network).train(), make_optimiser(network, settings)
    mean = {name: t.detach().clone() for name, t in network.state_dict().items()}

    def step() -> None:
        loss, _ = step_loss(heads, batch, settings, None, torch.device("cpu"))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(heads.parameters(), settings.optimiser.clip)
        optimiser.step()
        optimiser.zero_grad()
        _update_mean(mean, network, 10, 100, settings.optimiser.ema)

    return Side(step, network, settings.memory_format)


def theirs(
    network: nn.Module, memory_format: str, images_NHW3: np.ndarray, ids_NHW: np.ndarray, settings: Settings
) -> Side:
    network.to(memory_format=FORMATS[memory_format]).train()  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.optimiser.rate, weight_decay=settings.optimiser.weight_decay
    )
    images = torch.from_numpy(images_NHW3).permute(0, 3, 1, 2).float().sub(127).div(128)
    images = images.contiguous(memory_format=FORMATS[memory_format])
    target = torch.from_numpy(ids_NHW.astype(np.int64))

    def step() -> None:
        loss = F.cross_entropy(network(images), target, ignore_index=-1)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()

    return Side(step, network, memory_format)


def best_format(make: Callable[[str], Side], formats: Iterable[str]) -> Side:
    """The side in the memory format whose third step is fastest; the first two warm up."""
    best = None
    for name in formats:
        side = make(name)
        for _ in range(3):
            side.seconds = seconds_of(side.step)
        best = side if best is None or side.seconds < best.seconds else best
    assert best
    return best


def seconds_of(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def work(side: Side) -> dict[str, float]:
    """Million parameters, and billion multiply-adds of one step as torch counts them (dense arithmetic only)."""
    counter = FlopCounterMode(display=False)
    with counter:
        side.step()
    parameters = sum(p.numel() for p in side.network.parameters())
    return {"parameters_M": round(parameters / 1e6, 2), "multiply_adds_G": round(counter.get_total_flops() / 2e9, 1)}


def serve(pipe: Connection, whose: str, case: str, batch: int, height: int, width: int, threads: int) -> None:
    """A process that takes one step at each request and answers with its seconds.

    whose: ours, theirs, or kept = theirs with freed memory kept.
    """
    torch.set_num_threads(threads)
    name, encoder, *same = case.split("/")
    images_NHW3, ids_NHW = drawn(batch, height, width)
    base = with_settings(
        Settings(), {"network": name, "encoder": encoder, "weights": "none", "precision": "float32", "batch": batch}
    )
    as_given = as_step(images_NHW3, ids_NHW)

    def peer() -> nn.Module:
        return THEIRS[name](ENCODERS.get(encoder, encoder), encoder_weights=None, classes=CLASSES)

    def our_side(memory_format: str) -> Side:
        network = InOurStep(peer()) if same else built(base, CLASSES)
        return ours(network, base.model_copy(update={"memory_format": memory_format}), as_given)

    def their_side(memory_format: str) -> Side:
        return theirs(peer(), memory_format, images_NHW3, ids_NHW, base)

    with nullcontext() if whose == "theirs" else freed_memory_kept():
        side = best_format(our_side, MEMORY_FORMATS) if whose == "ours" else best_format(their_side, FORMATS)
        pipe.send((side.memory_format, work(side)))
        while pipe.recv():
            pipe.send(seconds_of(side.step))


def compared(case: str, batch: int, height: int, width: int, pairs: int, threads: int) -> dict:
    processes = multiprocessing.get_context("spawn")
    pipes, facts, started = {}, {}, []
    for whose in ("ours", "theirs", "kept"):
        pipes[whose], far = processes.Pipe()
        started.append(processes.Process(target=serve, args=(far, whose, case, batch, height, width, threads)))
        started[-1].start()
        facts[whose] = pipes[whose].recv()  # the next one starts when this one has chosen its format

    def seconds(whose: str) -> float:
        pipes[whose].send(True)
        return pipes[whose].recv()

    turns = [{whose: seconds(whose) for whose in pipes} for _ in range(pairs)]
    for pipe, process in zip(pipes.values(), started, strict=True):
        pipe.send(False)
        process.join()
    ratios = {whose: [turn[whose] / turn["ours"] for turn in turns] for whose in ("theirs", "kept")}
    median = {whose: statistics.median(turn[whose] for turn in turns) for whose in pipes}
    settings = {
        "batch": batch,
        "size": [height, width],
        "threads": threads,
        "pairs": pairs,
        "formats": [facts["ours"][0], facts["theirs"][0]],
        "ours": facts["ours"][1],
        "theirs": facts["theirs"][1],
        "spread": [round(min(ratios["theirs"]), 3), round(max(ratios["theirs"]), 3)],
        "ratio_both_keep_memory": round(statistics.median(ratios["kept"]), 3),
    }
    name, encoder, *same = case.split("/")
    what = f"training step, {name} on {encoder}" + (", their network in our step" if same else "")
    peer = f"segmentation_models.pytorch {smp.__version__}"
    made = row(what, batch / median["ours"], "images/s", peer, round(batch / median["theirs"], 2), settings)
    return made | {"ratio": round(statistics.median(ratios["theirs"]), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="seconds: small crops, one pair, the first two networks")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=CASES, help="NAME/ENCODER, NAME/ENCODER/same")
    parser.add_argument("--json", action="store_true", help="the last line is JSON (it always is)")
    asked = parser.parse_args()
    size, pairs, cases = (8, 288, 384), asked.pairs, asked.networks
    if asked.quick:
        size, pairs, cases = (2, 64, 96), 1, cases[:2]
    rows = []
    for case in cases:
        rows.append(compared(case, *size, pairs, asked.threads))
        r, s = rows[-1], rows[-1]["settings"]
        print(f"{r['ratio']:6.2f}x  {r['value']:6.2f} images/s against {r['peer_value']:6.2f}  {r['claim']}")
        print(f"         with freed memory kept by both {s['ratio_both_keep_memory']:.2f}x")
        print(f"         ours {s['ours']}, {s['formats'][0]}; theirs {s['theirs']}, {s['formats'][1]}", flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
