"""torchvision's reference recipe for segmentation, over our photos, for `throughput.py` to measure against.

Facts of the recipe: pytorch/vision, references/segmentation (presets, train.py, README). RandomResize of the short side
to half .. twice 520, flip, RandomCrop 480 with padding, normalisation; a DataLoader; cross-entropy, 0.5 x that of the
auxiliary head; SGD with momentum 0.9; `-b 4 --aux-loss --wd 0.000001` for the MobileNets. As shipped: PIL images,
default memory format, float32. Its 16 workers are for other machines; here both sides have the same number.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.io import ImageReadMode, decode_image
from torchvision.models import segmentation
from torchvision.transforms import v2

import labels2masks as l2m
from labels2masks.formats.dataset import Photo
from labels2masks.labels import Mask

CROP, SHORT_SIDE = 480, (260, 1040)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FORMATS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
PASSES = 100

WARM = 2
"""Training steps before the clock starts."""

Side = Callable[[int], float]
"""Runs so many steps and returns its images a second."""


class Files(torch.utils.data.Dataset):
    """(image_3HW float32, ids_HW int64) of our photos, opened by PIL or decoded to tensors, transformed by v2."""

    def __init__(self, photos: Sequence[Photo], void: int, crop: int, tensors: bool):
        masks = [next(x.path for x in p.labels if isinstance(x, Mask)) for p in photos]
        self.files, self.tensors = list(zip([p.image for p in photos], masks, strict=True)), tensors
        self.transform = v2.Compose(
            [
                v2.RandomResize(*SHORT_SIDE),
                v2.RandomHorizontalFlip(0.5),
                v2.RandomCrop(crop, pad_if_needed=True, fill={tv_tensors.Mask: void, "others": 0}),
                v2.ToImage(),
                v2.ToDtype({tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64, "others": None}, scale=True),
                v2.Normalize(MEAN, STD),
                v2.ToPureTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = self.files[index]
        ids = tv_tensors.Mask(torch.from_numpy(np.array(Image.open(mask))))
        if self.tensors:
            return self.transform(tv_tensors.Image(decode_image(str(image), mode=ImageReadMode.RGB)), ids)
        return self.transform(Image.open(image).convert("RGB"), ids)


def reference_batches(
    data: l2m.Dataset, batch: int, crop: int, workers: int, tensors: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """So many passes that no turn meets the end of one, where their queue would run dry."""
    files = Files(data.photos * PASSES, data.classes.void_id, crop, tensors)
    return iter(DataLoader(files, batch, shuffle=True, num_workers=workers, drop_last=True))


def reference_network(name: str, classes: int) -> nn.Module:
    torch.manual_seed(0)
    heads = {} if name.startswith("lraspp") else {"aux_loss": True}
    return segmentation.__dict__[name](weights=None, weights_backbone=None, num_classes=classes, **heads)


def reference_training(
    name: str,
    data: l2m.Dataset,
    batches: Iterator[tuple[Tensor, Tensor]],
    memory_format: str,
    precision: str,
) -> Side:
    """Training as `train.py` does it, in one memory format and precision."""
    network = reference_network(name, len(data.classes)).to(memory_format=FORMATS[memory_format]).train()  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-6)

    def step(images: Tensor, target: Tensor) -> float:
        images = images.contiguous(memory_format=FORMATS[memory_format])
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            scores = network(images)
            losses = {k: F.cross_entropy(s, target, ignore_index=data.classes.void_id) for k, s in scores.items()}
            loss = losses["out"] + 0.5 * losses["aux"] if "aux" in losses else losses["out"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    def run(steps: int) -> float:
        for images, target in itertools.islice(batches, WARM):
            step(images, target)
        start, seen = time.perf_counter(), 0
        for images, target in itertools.islice(batches, steps):
            step(images, target)
            seen += len(images)
        return seen / (time.perf_counter() - start)

    return run
