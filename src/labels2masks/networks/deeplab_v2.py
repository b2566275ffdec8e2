r"""DeepLab v2: Chen, Papandreou, Kokkinos, Murphy, Yuille, "DeepLab: Semantic Image Segmentation with Deep
Convolutional Nets, Atrous Convolution, and Fully Connected CRFs", PAMI 2018, arXiv 1606.00915, without the CRF.

    VGG16 at stride 8 --+-- fc6 3x3 1024, rate  6 -- fc7 1x1 1024 -- fc8 1x1 C --+
                        +-- fc6 3x3 1024, rate 12 -- fc7 1x1 1024 -- fc8 1x1 C --+-- sum = scores at stride 8
                        +-- fc6 3x3 1024, rate 18 -- fc7 1x1 1024 -- fc8 1x1 C --+
                        +-- fc6 3x3 1024, rate 24 -- fc7 1x1 1024 -- fc8 1x1 C --+        37,877,652 parameters

    ResNet-101 at stride 8 -- four 3x3 C of rates 6, 12, 18, 24 -- sum                    44,048,532 parameters
        on the photo at 1, 3/4 and 1/2, the largest score of each class; a loss for each of the three and for that

The pooling is called atrous spatial pyramid pooling (ASPP-L). The release's ResNet has its strides in the 1x1
reductions and dilates all units (`encoders.dilation`); weights trained with strides in the 3x3, torchvision's and
timm's among them, are their own function only in the family: `deeplab_v2` with encoder resnet101.

The family takes any encoder with the ResNet's head and one scale, unless `scales` says more.

Legend: N = images, C = classes, h, w = cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from ..encoders import AtrousVGG16, build_encoder
from ..encoders.dilation import dilate_all_units, stride_in_reduction
from ..grid import Grid
from .blocks import published
from .image_pyramid import Heads, at_scales, check_scales, largest

_RATES = (6, 12, 18, 24)  # cells of 8 pixels


class DeepLabV2(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw at the encoder's output stride (`grid`), any size from 1x1.

    encoder: a timm name, or None for the paper's VGG16. weights: see `encoders`; for VGG16 a safetensors file with
    torchvision's names. scales: of the photo, the first 1. caffe: of VGG16, BGR minus the Caffe mean.
    """

    smallest = 1
    working_size: int | None = None

    def __init__(
        self,
        classes: int,
        encoder: str | None = None,
        weights: str | Path | None = None,
        output_stride: int = 8,
        scales: Sequence[float] = (1,),
        caffe: bool = False,
    ) -> None:
        super().__init__()
        check_scales(scales)
        self.name, self.encoder_name, self.classes = "deeplab_v2", encoder, classes
        self.scales = tuple(scales)
        self.settings: dict = {"scales": list(scales)}
        if encoder is None:
            self.settings["caffe"] = caffe
            self.encoder = AtrousVGG16(weights, _RATES, caffe=caffe)
            self.scores = nn.ModuleList(nn.Conv2d(self.encoder.channels[-1], classes, 1) for _ in _RATES)
        else:
            self.settings["output_stride"] = output_stride
            self.encoder = build_encoder(encoder, weights, output_stride)
            rates = [max(1, round(8 * r / self.encoder.grids[-1].stride_y)) for r in _RATES]
            ins = self.encoder.channels[-1]
            self.scores = nn.ModuleList(nn.Conv2d(ins, classes, 3, padding=r, dilation=r) for r in rates)
        self.grid: Grid = self.encoder.grids[-1]
        self.finite_field = self.encoder.finite_field
        for score in self.scores:
            nn.init.normal_(score.weight, std=0.01)
            nn.init.zeros_(score.bias)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.training_scores(images_N3HW)[0][1]

    def training_scores(self, images_N3HW: Tensor) -> Heads:
        each = [heads[0] for heads in at_scales(self._heads, images_N3HW, self.scales)]
        return each if len(each) == 1 else [(1.0, largest(each), self.grid), *each]

    def _heads(self, images_N3HW: Tensor) -> Heads:
        maps = self.encoder(images_N3HW)
        branches = maps[-len(_RATES) :] if isinstance(self.encoder, AtrousVGG16) else [maps[-1]] * len(_RATES)
        total, *others = (score(x) for score, x in zip(self.scores, branches, strict=True))
        for scores in others:
            total = total + scores
        return [(1.0, total, self.grid)]


def deeplab_v2_vgg16(classes: int, weights: str | Path | None = None) -> DeepLabV2:
    """ASPP-L on VGG16: 37,877,652 parameters for 21 classes; 68.96 mIoU on VOC 2012 val without CRF."""
    return published("deeplab_v2_vgg16", DeepLabV2(classes, None, weights))


def deeplab_v2_resnet101(classes: int, weights: str | Path | None = None) -> DeepLabV2:
    """ASPP on ResNet-101 at three scales: 44,048,532 parameters for 21 classes; 76.35 mIoU on VOC 2012 val, no CRF."""
    network = DeepLabV2(classes, "resnet101", weights, scales=(1, 0.75, 0.5))
    stride_in_reduction(network.encoder.features)
    dilate_all_units(network.encoder.features)
    return published("deeplab_v2_resnet101", network)
