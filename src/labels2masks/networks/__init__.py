"""Feature maps -> scores on a Grid, one paper a file.

A network is a `nn.Module`: `network(images_N3HW float32, RGB 0..255) -> scores_NChw` at its own stride, with
    classes, grid     number of score channels; where the cells lie, constant for every input size
    smallest          images from smallest x smallest on
    working_size      long side to which photos are shrunk first, or None
    finite_field      no cell sees the whole image
    training_scores(images_N3HW) -> [(weight, scores_NChw, Grid), ...] what the loss is taken on
    jumps             (True for SegNet, else absent) scores of two runtimes may differ where rounding decides a pool
    name, encoder_name, settings   how `build` makes it again

A new network is a file here, a line in `NETWORKS`, and a recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

from torch import nn

from ..errors import UsageError, did_you_mean
from .deeplab_v1 import DeepLabV1LargeFOV, DeepLabV1MSc
from .deeplab_v2 import DeepLabV2, deeplab_v2_resnet101, deeplab_v2_vgg16
from .deeplab_v3 import DeepLabV3, DeepLabV3Cascaded, deeplab_v3_resnet50, deeplab_v3_resnet101
from .deeplab_v3plus import DeepLabV3Plus, deeplab_v3plus_resnet101
from .dilation import DilatedContextBasic, DilatedContextLarge, DilatedFrontend
from .fcn import FCN8s, FCN16s, FCN32s
from .hypercolumns import Hypercolumns
from .image_pyramid import ImagePyramid, pyramid_of
from .linear import Linear
from .parsenet import ParseNet
from .pspnet import PSPNet, pspnet50, pspnet101
from .refinenet import RefineNet, refinenet50, refinenet101
from .segnet import SegNet, SegNetBasic
from .unet import UNet


@dataclass(frozen=True)
class Entry:
    """A name of the command line. family: takes an encoder. published: score of the paper, where and how measured."""

    make: Callable[..., nn.Module]
    family: bool
    paper: str
    year: int
    published: str | None = None
    parameters: int | None = None


_FCN = "Long, Shelhamer, Darrell, arXiv 1411.4038"
_SEGNET = "Badrinarayanan, Kendall, Cipolla, arXiv 1511.00561"
_DILATED = "Yu, Koltun, arXiv 1511.07122"
_V1 = "Chen et al., arXiv 1412.7062"
_V2 = "Chen et al., arXiv 1606.00915"
_V3 = "Chen, Papandreou, Schroff, Adam, arXiv 1706.05587"
_PSP = "Zhao, Shi, Qi, Wang, Jia, arXiv 1612.01105"
_REFINE = "Lin, Milan, Shen, Reid, arXiv 1611.06612"

NETWORKS: dict[str, Entry] = {
    "fcn32s": Entry(FCN32s, True, _FCN, 2015, "63.6 mIoU, VOC 2011 val without SBD train", 136_152_917),
    "fcn16s": Entry(FCN16s, True, _FCN, 2015, "65.0 mIoU, VOC 2011 val without SBD train", 134_815_994),
    "fcn8s": Entry(FCN8s, True, _FCN, 2015, "65.5 mIoU, VOC 2011 val without SBD train", 134_489_759),
    "segnet": Entry(SegNet, True, _SEGNET, 2017, "60.10 mIoU, CamVid test, 3,500 photos", 29_455_125),
    "segnet_basic": Entry(SegNetBasic, False, _SEGNET, 2017, "47.7 mIoU, CamVid test", 1_416_725),
    "unet": Entry(UNet, True, "Ronneberger, Fischer, Brox, arXiv 1505.04597", 2015, None, 31_033_045),
    "dilated_frontend": Entry(DilatedFrontend, True, _DILATED, 2016, "69.8 mIoU, VOC 2012 val, with COCO", 134_346_581),
    "dilated_context_basic": Entry(
        DilatedContextBasic, True, _DILATED, 2016, "71.3 mIoU, VOC 2012 val, with COCO", 134_374_973
    ),
    "dilated_context_large": Entry(
        DilatedContextLarge, True, _DILATED, 2016, "72.1 mIoU, VOC 2012 val, with COCO", 141_149_720
    ),
    "hypercolumns": Entry(Hypercolumns, True, "ours; hypercolumns: Hariharan et al., arXiv 1411.5752", 2015),
    "linear": Entry(Linear, True, "Hariharan et al., arXiv 1411.5752 (hypercolumns)", 2015),
    "deeplab_v1_largefov": Entry(DeepLabV1LargeFOV, True, _V1, 2015, "62.25 mIoU, VOC 2012 val, no CRF", 20_505_429),
    "deeplab_v1_msc": Entry(DeepLabV1MSc, True, _V1, 2015, "64.21 mIoU, VOC 2012 val, no CRF", 21_711_550),
    "deeplab_v2": Entry(DeepLabV2, True, _V2, 2016),
    "deeplab_v2_vgg16": Entry(deeplab_v2_vgg16, False, _V2, 2016, "68.96 mIoU, VOC 2012 val, no CRF", 37_877_652),
    "deeplab_v2_resnet101": Entry(
        deeplab_v2_resnet101, False, _V2, 2016, "76.35 mIoU, VOC 2012 val, no CRF, COCO", 44_048_532
    ),
    "deeplab_v3": Entry(DeepLabV3, True, _V3, 2017),
    "deeplab_v3_cascaded": Entry(DeepLabV3Cascaded, True, _V3, 2017),
    "deeplab_v3_resnet50": Entry(deeplab_v3_resnet50, False, _V3, 2017, None, 39_048_533),
    "deeplab_v3_resnet101": Entry(deeplab_v3_resnet101, False, _V3, 2017, "77.21 mIoU, VOC 2012 val", 58_040_661),
    "deeplab_v3plus": Entry(DeepLabV3Plus, True, "Chen et al., arXiv 1802.02611", 2018),
    "deeplab_v3plus_resnet101": Entry(
        deeplab_v3plus_resnet101,
        False,
        "Chen et al., arXiv 1802.02611",
        2018,
        "78.85 mIoU, VOC 2012 val",
        59_344_309,
    ),
    "parsenet": Entry(
        ParseNet, True, "Liu, Rabinovich, Berg, arXiv 1506.04579", 2015, "69.8 mIoU, VOC 2012 test", 20_529_002
    ),
    "pspnet": Entry(PSPNet, True, _PSP, 2017),
    "pspnet50": Entry(pspnet50, False, _PSP, 2017, "77.05 mIoU, VOC 2012 val (authors' semseg)", 46_716_373),
    "pspnet101": Entry(pspnet101, False, _PSP, 2017, "79.07 mIoU, VOC 2012 val (authors' semseg)", 65_708_501),
    "refinenet": Entry(RefineNet, True, _REFINE, 2017),
    "refinenet50": Entry(refinenet50, False, _REFINE, 2017, None, 99_060_309),
    "refinenet101": Entry(refinenet101, False, _REFINE, 2017, "83.4 mIoU, VOC 2012 test (abstract)", 118_052_437),
    "image_pyramid": Entry(pyramid_of, True, "Chen et al., arXiv 1511.03339 and 1606.00915", 2016),
}


def build(
    name: str,
    classes: int,
    encoder: str | None = None,
    weights: str | Path | None = None,
    settings: dict | None = None,
) -> nn.Module:
    """The network `name` for that many classes, as the command line means it.

    encoder: a timm name, for families only; None is the paper's form. weights: None, "auto", "hub" or a file.
    settings: further constructor arguments, as a saved network carries them.
    Raises UsageError for an unknown name or option, or an encoder where the paper's form takes none.
    """
    if name not in NETWORKS:
        raise UsageError(f"unknown network {name!r}{did_you_mean(name, NETWORKS)}")
    entry = NETWORKS[name]
    if encoder is not None and not entry.family:
        raise UsageError(f"network {name} is the paper's own form and takes no --encoder (got {encoder!r})")
    taken = [name for name in signature(entry.make).parameters if name not in ("classes", "weights", "encoder")]
    for option in settings or {}:
        if option not in taken:
            raise UsageError(f"network {name} has no option {option!r}{did_you_mean(option, taken)}")
    options = dict(settings or {}) if encoder is None else {"encoder": encoder, **(settings or {})}
    return entry.make(classes=classes, weights=weights, **options)


def available() -> list[dict]:
    """One dictionary a network: name, paper, year, published score, parameters (21 classes), takes_encoder."""
    return [
        {
            "name": name,
            "paper": e.paper,
            "year": e.year,
            "published": e.published,
            "parameters": e.parameters,
            "takes_encoder": e.family,
        }
        for name, e in NETWORKS.items()
    ]


__all__ = [
    "NETWORKS",
    "DeepLabV1LargeFOV",
    "DeepLabV1MSc",
    "DeepLabV2",
    "DeepLabV3",
    "DeepLabV3Cascaded",
    "DeepLabV3Plus",
    "DilatedContextBasic",
    "DilatedContextLarge",
    "DilatedFrontend",
    "FCN8s",
    "FCN16s",
    "FCN32s",
    "ImagePyramid",
    "Hypercolumns",
    "Linear",
    "PSPNet",
    "ParseNet",
    "RefineNet",
    "SegNet",
    "SegNetBasic",
    "UNet",
    "available",
    "build",
    "deeplab_v2_resnet101",
    "deeplab_v2_vgg16",
    "deeplab_v3_resnet50",
    "deeplab_v3_resnet101",
    "deeplab_v3plus_resnet101",
    "pyramid_of",
    "pspnet50",
    "pspnet101",
    "refinenet50",
    "refinenet101",
]
