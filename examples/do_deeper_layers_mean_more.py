"""Do deeper layers have fewer activations and more meaning? Share of active units and a linear probe, layer by layer.

    python examples/do_deeper_layers_mean_more.py [FOLDER]

The layers are the activations (ReLU6) behind the spatial convolutions of EfficientNet-Lite0: of its stem and of its 16
blocks. Active: the share of units above 0 on the validation photos. Probe: ridge regression from one layer's units
at a place to the class there, so mIoU says how much of the class can be read off linearly (Alain and Bengio,
"Understanding intermediate layers using linear classifier probes", arXiv 1610.01644).

Deeper layers are wider too and see further. So the same is asked of drawn weights: the same layers, widths and fields,
with batch-norm statistics of the photos, but nothing learnt.

Measures for minutes, records, and ends in do_deeper_layers_mean_more.svg.
Legend: D = units of a layer, C = classes, P = places in a photo, h, w = cells of places.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from curves import panel, spread
from experiment import photos, record
from torch import Tensor, nn

import labels2masks as l2m
from labels2masks import Grid
from labels2masks.encoders import build_encoder
from labels2masks.evaluation.bootstrap import band, bootstrap, mean_over_classes
from labels2masks.evaluation.confusion import Confusion, count
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.evaluation.receptive_field import Layer, receptive_field
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Photo
from labels2masks.listing import table
from labels2masks.networks.blocks import enlarge
from labels2masks.report.svg import drawing, standalone

ENCODER = "tf_efficientnet_lite0"
SIZE, STEP, RIDGE = 240, 12, 1e-3
"""Long side of the photos; pixels from one place to the next; share of a unit's variance that is added to it."""
EVERY = 2
"""Of the training photos every second is taken."""
SETTLING = 32
"""Photos from which drawn weights have their batch-norm statistics."""
DRAWN = 2


class Coarsest(nn.Module):
    """The encoder with one output, as `receptive_field` takes it."""

    def __init__(self, weights: str | None) -> None:
        super().__init__()
        self.encoder = build_encoder(ENCODER, weights)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.encoder(images_N3HW)[-1]


class Probe:
    """Ridge regression of one-hot classes on standardised units, from sums over the places."""

    def __init__(self, units: int, classes: int) -> None:
        self.classes, self.places = classes, 0
        self.units_D = torch.zeros(units, dtype=torch.double)
        self.units_DD = torch.zeros(units, units, dtype=torch.double)
        self.class_C = torch.zeros(classes, dtype=torch.double)
        self.both_DC = torch.zeros(units, classes, dtype=torch.double)

    def add(self, units_PD: Tensor, truth_P: Tensor) -> None:
        """truth_P: class indices, -1 = void."""
        units_PD, truth_P = units_PD[truth_P >= 0], truth_P[truth_P >= 0]
        which_PC = nn.functional.one_hot(truth_P, self.classes).float()
        self.places += len(truth_P)
        self.units_D += units_PD.sum(dim=0)
        self.units_DD += units_PD.T @ units_PD
        self.class_C += which_PC.sum(dim=0)
        self.both_DC += units_PD.T @ which_PC

    def solved(self) -> tuple[Tensor, Tensor]:
        """(weight_DC, bias_C), float32."""
        mean_D, share_C = self.units_D / self.places, self.class_C / self.places
        covariance_DD = self.units_DD / self.places - torch.outer(mean_D, mean_D)
        scale_D = covariance_DD.diagonal().clamp_min(1e-8).sqrt()
        with_class_DC = (self.both_DC / self.places - torch.outer(mean_D, share_C)) / scale_D[:, None]
        ridge_DD = covariance_DD / torch.outer(scale_D, scale_D) + RIDGE * torch.eye(len(mean_D), dtype=torch.double)
        weight_DC = torch.linalg.solve(ridge_DD, with_class_DC) / scale_D[:, None]
        return weight_DC.float(), (share_C - mean_D @ weight_DC).float()


def measured(data: l2m.Dataset, val: str, weights: str | None, seed: int) -> list[dict[str, Any]]:
    """A row for each layer, from the stem on, scored on the split `val`. weights: "auto"; None = drawn from the seed.

    low, high: the middle 95 % of mIoU over resampled photos. shortcut: the layer's block adds its input to its result.
    """
    torch.manual_seed(seed)
    network = Coarsest(weights).eval()
    train, val = data.split("train").photos[::EVERY], data.split(val).photos
    if weights is None:
        settle(network, [small(photo)[0] for photo in train[:: max(len(train) // SETTLING, 1)]])
    layers = [layer for layer in receptive_field(network) if layer.name.endswith(("conv_stem", "conv_dw"))]
    classes = len(data.classes)
    probes = [Probe(layer.channels, classes) for layer in layers]
    for photo in train:
        image_HW3, truth_P = small(photo)
        for probe, (_, units_PD) in zip(probes, units(network, layers, image_HW3), strict=True):
            probe.add(units_PD, truth_P)
    found = [probe.solved() for probe in probes]
    active = np.zeros((len(val), len(layers)))
    counts = np.zeros((len(layers), len(val), classes, classes + 1), np.int64)
    for p, photo in enumerate(val):
        image_HW3, truth_P = small(photo)
        for k, (share, units_PD) in enumerate(units(network, layers, image_HW3)):
            weight_DC, bias_C = found[k]
            active[p, k] = share
            counts[k, p] = count((units_PD @ weight_DC + bias_C).argmax(dim=1).numpy(), truth_P.numpy(), classes)
    rows = []
    for k, layer in enumerate(layers):
        confusion = Confusion(data.classes)
        confusion.counts = counts[k].sum(axis=0)
        assert layer.grid and layer.field
        row = {"weights": "drawn" if weights is None else "ImageNet", "seed": seed, "layer": k + 1}
        row |= {"stride": int(layer.grid.stride_y), "units": layer.channels, "field": layer.field[0]}
        row["shortcut"] = getattr(network.get_submodule(layer.name.rpartition(".")[0]), "has_skip", False)
        low, high = band(mean_over_classes(bootstrap(sums(counts[k])[None], 2000)[:, 0])) or (0.0, 0.0)
        scores = {"active": active[:, k].mean(), "mIoU": confusion.miou or 0.0, "low": low, "high": high}
        rows.append(row | {name: 100 * float(value) for name, value in scores.items()})
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


@torch.inference_mode()
def units(network: Coarsest, layers: Sequence[Layer], image_HW3: np.ndarray) -> Iterator[tuple[float, Tensor]]:
    """(share of the layer's units that are above 0, units_PD at the photo's places) of each layer."""
    kept: dict[str, Tensor] = {}

    def keeping(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: kept.update({name: output})

    names = [layer.held[0] for layer in layers if layer.held]
    with ExitStack() as stack:
        for name in names:
            stack.callback(network.get_submodule(name).register_forward_hook(keeping(name)).remove)
        network(as_batch(image_HW3))
    rows, columns = places(*image_HW3.shape[:2])
    like = torch.empty(1, 1, len(rows), len(columns))
    for name, layer in zip(names, layers, strict=True):
        assert layer.grid
        there_1Dhw = enlarge(kept[name], layer.grid, like, Grid.square(STEP, STEP / 2))
        yield float((kept[name] > 0).float().mean()), there_1Dhw[0].flatten(1).T.contiguous()


def small(photo: Photo) -> tuple[np.ndarray, Tensor]:
    """(the photo with long side `SIZE`, uint8 HW3; truth_P int64, the class at its places, -1 = void)."""
    image_HW3 = photo.loaded()[0]
    height, width = image_HW3.shape[:2]
    truth_HW, scale = truth_mask(photo, height, width), SIZE / max(height, width)
    image_HW3 = cv2.resize(image_HW3, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rows, columns = ((at / scale).astype(int) for at in places(*image_HW3.shape[:2]))
    truth_hw = truth_HW[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]
    return image_HW3, torch.from_numpy(truth_hw.ravel()).long()


def as_batch(image_HW3: np.ndarray) -> Tensor:
    return torch.from_numpy(image_HW3).permute(2, 0, 1)[None].float()


def places(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, in pixels of the small photo, at which units and classes are read."""
    return np.arange(STEP / 2, height, STEP), np.arange(STEP / 2, width, STEP)


def settle(network: nn.Module, images: Sequence[np.ndarray]) -> None:
    """Batch-norm statistics as the plain mean over these photos."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.momentum = None
    network.train()
    with torch.inference_mode():
        for image_HW3 in images:
            network(as_batch(image_HW3))
    network.eval()


def sums(counts_PCD: np.ndarray) -> np.ndarray:
    """int P3C for `bootstrap`: right, true and predicted pixels of each photo."""
    right_PC = np.diagonal(counts_PCD, axis1=1, axis2=2)
    return np.stack([right_PC, counts_PCD.sum(axis=2), counts_PCD[:, :, :-1].sum(axis=1)], axis=1)


def shown(rows: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """Print the table and draw the picture; a layer whose block has a shortcut is marked +."""
    of: dict[str, dict[str, list[Mapping[str, Any]]]] = {"ImageNet": {}, "drawn": {}}
    for row in rows:
        of[row["weights"]].setdefault(f"{row['layer']}{'+' * row['shortcut']}", []).append(row)
    told = []
    for layer, (first, *_) in of["ImageNet"].items():
        line = {"layer": layer, **{key: first[key] for key in ("stride", "units", "field")}}
        for key in ("active", "mIoU"):
            line |= {f"{key}, {kind}": spread([row[key] for row in of[kind][layer]]) for kind in of}
        told.append(line | {"95 % over photos": f"{first['low']:.1f}-{first['high']:.1f}"})
    print(table(told))

    def curves(key: str) -> dict[str, dict[str, list[float]]]:
        return {
            f"{kind} weights": {layer: [row[key] for row in found] for layer, found in of[kind].items()} for kind in of
        }

    above = panel(46, 40, 560, 190, "units above 0, %", "", curves("active"))
    axis = "layer, from the stem on; + = its block has a shortcut"
    below = panel(46, 310, 560, 190, "mIoU of a linear probe, %", axis, curves("mIoU"))
    picture = drawing(770, 550, "Active units and linear probes, layer by layer", above, below)
    return write_atomically(folder / "do_deeper_layers_mean_more.svg", standalone(picture))


def main(folder: Path) -> Path:
    data = photos("voc_animals")
    rows = measured(data, "val_dev", "auto", 0)
    for seed in range(DRAWN):
        rows += measured(data, "val_dev", None, seed)
    settings = {"data": "voc_animals", "training photos": f"one in {EVERY}", "encoder": ENCODER, "size": SIZE}
    settings |= {"places": f"every {STEP} pixels", "drawn weights": DRAWN}
    record("do_deeper_layers_mean_more", rows, settings)
    return shown(rows, folder)


if __name__ == "__main__":
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
