"""One training step against segmentation_models.pytorch: the same encoder, size, batch, threads and optimiser.

    python benchmarks/train_step.py [--quick] [--pairs N] [--threads N] [--networks NAME/ENCODER ...]

Needs the extra `[bench]`. Random weights on both sides, drawn images and masks: no data, no download.

ours    all that `train` does in a step: bytes to floats, normalisation, forward pass, scores enlarged to the size of
        the crop, candidate loss, backward pass, clipped gradients, AdamW, running mean of the weights.
theirs  what their examples do: images that are floats and normalised already, forward pass, cross-entropy with
        void left out, backward pass, AdamW.

Each side takes the better of its two memory formats, found on this machine; then the two take turns, and what
counts is the median of the pairs. The rows `.../same` train their own network in our step, so nothing differs but the
step; in the others the network of that name is each library's own (DeepLab v3+ at output stride 16 in both), and
parameters and multiply-adds are printed, so that the work can be compared too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

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
from labels2masks.training.loop import Heads, _update_mean, make_optimiser, step_loss
from labels2masks.training.settings import Settings, with_settings
from labels2masks.training.start import built

CLASSES = 12
FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
THEIRS = {"unet": smp.Unet, "deeplab_v3plus": smp.DeepLabV3Plus}
ENCODERS = {"tf_efficientnet_lite0": "tu-tf_efficientnet_lite0"}
"""timm name -> theirs, where they differ; `tu-` is the same timm network behind their interface."""

CASES = [
    "unet/resnet34",
    "unet/resnet34/same",
    "unet/tf_efficientnet_lite0",
    "deeplab_v3plus/resnet34",
    "deeplab_v3plus/tf_efficientnet_lite0",
    "deeplab_v3plus/tf_efficientnet_lite0/same",
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
    network.to(memory_format=FORMATS[settings.memory_format])  # type: ignore[call-overload]
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


def better_format(make: Callable[[str], Side]) -> Side:
    """The side in the memory format whose second step is faster; the first warms up."""
    sides = [make(name) for name in FORMATS]
    for side in sides:
        side.step()
        side.seconds = seconds_of(side.step)
    return min(sides, key=lambda side: side.seconds)


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


def compared(case: str, batch: int, height: int, width: int, pairs: int, threads: int) -> dict:
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

    one = better_format(our_side)
    other = better_format(lambda memory_format: theirs(peer(), memory_format, images_NHW3, ids_NHW, base))
    times = [(seconds_of(one.step), seconds_of(other.step)) for _ in range(pairs)]
    ratio = statistics.median(b / a for a, b in times)
    fast, slow = (batch / statistics.median(seconds) for seconds in zip(*times, strict=True))
    settings = {
        "batch": batch,
        "size": [height, width],
        "threads": threads,
        "pairs": pairs,
        "formats": [one.memory_format, other.memory_format],
        "ours": work(one),
        "theirs": work(other),
        "spread": [round(min(b / a for a, b in times), 3), round(max(b / a for a, b in times), 3)],
    }
    what = f"training step, {name} on {encoder}" + (", their network in our step" if same else "")
    made = row(what, fast, "images/s", f"segmentation_models.pytorch {smp.__version__}", round(slow, 2), settings)
    return made | {"ratio": round(ratio, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="seconds: small crops, one pair, the first two networks")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=CASES, help="NAME/ENCODER, NAME/ENCODER/same")
    parser.add_argument("--json", action="store_true", help="the last line is JSON (it always is)")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    size, pairs, cases = (8, 288, 384), asked.pairs, asked.networks
    if asked.quick:
        size, pairs, cases = (2, 64, 96), 1, cases[:2]
    rows = []
    for case in cases:
        rows.append(compared(case, *size, pairs, asked.threads))
        r, s = rows[-1], rows[-1]["settings"]
        print(f"{r['ratio']:6.2f}x  {r['value']:6.2f} images/s against {r['peer_value']:6.2f}  {r['claim']}")
        print(f"         ours {s['ours']}, {s['formats'][0]}; theirs {s['theirs']}, {s['formats'][1]}", flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
