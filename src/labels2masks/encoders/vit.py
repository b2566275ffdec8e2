"""Plain vision transformers (timm vit_*, DINOv2, DINOv3, CLIP, SigLIP, EVA) as an encoder of maps of one stride.

A plain ViT has one resolution, so its "pyramid" is the patch map after each quarter of its blocks, four maps on one
Grid: stride p, first centre p / 2 for patches of p pixels. Networks that look for a finer level take the
first map, as in linear probing and DPT (Ranftl et al., arXiv 2103.13413). The image is padded to whole patches;
timm resamples position embeddings to the image's number of patches.

Legend: N = images, H, W = pixels, D = channels, h, w = patches.
"""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..grid import Grid
from .pyramid import normalisation, pad_to_whole
from .weights import load_weights

MODULES = ("timm.models.vision_transformer", "timm.models.eva", "timm.models.beit", "timm.models.deit")


def is_plain_vit(name: str) -> bool:
    """Whether timm builds `name` as a transformer of one resolution."""
    return timm.is_model(name) and timm.models.model_entrypoint(name).__module__ in MODULES


class PlainViT(nn.Module):
    """forward(images_N3HW float32, 0..255, RGB) -> four maps_NDhw of one Grid, any size from 1x1."""

    finite_field = False

    def __init__(self, name: str, weights: str | Path | None = None) -> None:
        """weights: None (random), "auto", "hub", or a safetensors file with timm's key names."""
        super().__init__()
        self.name = name
        try:
            self.features = timm.create_model(name, num_classes=0, dynamic_img_size=True, pretrained=weights == "hub")
        except TypeError:
            raise UsageError(f"encoder {name} is made for one image size only; take a vit_* encoder") from None
        if weights is not None and weights != "hub":
            load_weights(self.features, name, weights)
        mean, std = normalisation(name, self.features.pretrained_cfg)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        blocks = len(self.features.blocks)
        self.after_blocks = [blocks * quarter // 4 - 1 for quarter in (1, 2, 3, 4)]
        self.stride = int(self.features.patch_embed.patch_size[0])
        self.channels = (self.features.num_features,) * 4
        self.grids = (Grid.square(float(self.stride), self.stride / 2),) * 4

    def forward(self, images_N3HW: Tensor) -> list[Tensor]:
        x = pad_to_whole((images_N3HW - self.mean) / self.std, self.stride)
        return self.features.forward_intermediates(
            x, indices=self.after_blocks, norm=True, output_fmt="NCHW", intermediates_only=True
        )
