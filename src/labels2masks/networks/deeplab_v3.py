"""DeepLab v3: Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation",
arXiv 1706.05587. The parallel form: atrous pyramid pooling with image-level features, no decoder.

    encoder, output stride 16, last stage with multi-grid (1, 2, 4)
      |- 1x1 w, 3x3 w at rates 6, 12, 18, image mean 1x1 w      rates doubled at output stride 8
    concat 5w -> 1x1 w, dropout 0.1 -> 1x1 C                    scores at the output stride

w = 256 in the paper. There is no 3x3 convolution between pooling and scores: torchvision's and VainF's
versions have one (590,336 parameters more).

Legend: N = images, C = classes, h, w = cells.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from ..encoders import build_encoder
from ..grid import Grid
from .blocks import initialise
from .deeplab_v3plus import AtrousPyramidPooling, spread


class DeepLabV3(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NChw at the encoder's output stride (`grid`), any size from 1x1."""

    smallest = 1
    working_size: int | None = None
    finite_field = False

    def __init__(
        self,
        classes: int,
        encoder: str = "resnet50",
        weights: str | Path | None = None,
        output_stride: int = 16,
        width: int = 256,
        multi_grid: tuple[int, ...] = (),
    ) -> None:
        """multi_grid: factors on the dilation of the units of the last ResNet stage (section 3.2)."""
        super().__init__()
        self.name, self.classes = "deeplab_v3", classes
        self.encoder_name: str | None = encoder
        self.settings = {"output_stride": output_stride, "width": width, "multi_grid": list(multi_grid)}
        self.encoder = build_encoder(encoder, weights, output_stride)
        if multi_grid:
            spread(self.encoder.features.layer4, tuple(multi_grid))
        self.grid: Grid = self.encoder.grids[-1]
        self.pooling = AtrousPyramidPooling(self.encoder.channels[-1], width, 16 / output_stride, separable=False)
        self.classifier = nn.Conv2d(width, classes, 1)
        initialise(self.pooling, self.classifier)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.classifier(self.pooling(self.encoder(images_N3HW)[-1]))

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


def deeplab_v3_resnet101(classes: int, weights: str | Path | None = None) -> DeepLabV3:
    """The paper's ResNet-101 model: 58,040,661 parameters for 21 classes; 77.21 mIoU on VOC 2012 val (table 5).

    The stem is the 7x7 one of the ImageNet weights that exist, where the authors' own network has three 3x3.
    """
    network = DeepLabV3(classes, "resnet101", weights, multi_grid=(1, 2, 4))
    network.name, network.encoder_name, network.settings = "deeplab_v3_resnet101", None, {}
    return network
