"""Class activation maps: which pixels made a classifier say a class is there.

    class_maps   Zhou et al. 2016, "Learning Deep Features for Discriminative Localization": the classes' weights after
                 global average pooling, applied to the maps before it; over scales and mirrored, as in segmentation
                 (Ahn and Kwak 2018; Ahn, Cho and Kwak 2019)
    layer_cam    Jiang et al. 2021, "LayerCAM": positive gradient times activation at any layer of any classifier

Legend: N = images; C = classes; D = channels; H, W = pixels; h, w = cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SCALES = (1.0, 0.5, 1.5, 2.0)
QUICK_SCALES = (1.0, 0.5, 1.5)
"""Without the largest, which takes more than half of the time."""
EPSILON = 1e-5


class Classifier(nn.Module):
    """An encoder, global average pooling, one linear layer without bias: scores_NC of a photo's tags.

    encoder: images_N3HW -> list of maps, the last one used, `channels[-1]` wide (see `encoders`).
    """

    def __init__(self, encoder: nn.Module, classes: int):
        super().__init__()
        self.encoder = encoder
        self.weigh = nn.Conv2d(encoder.channels[-1], classes, 1, bias=False)

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.weigh(self.encoder(images_N3HW)[-1].mean(dim=(2, 3), keepdim=True)).flatten(1)

    def maps(self, images_N3HW: Tensor) -> Tensor:
        """float NChw, 0 and above: the same weights before the pooling."""
        return F.relu(self.weigh(self.encoder(images_N3HW)[-1]))


def tag_loss(scores_NC: Tensor, present_NC: Tensor, known_NC: Tensor) -> tuple[Tensor, Tensor]:
    """(sum, count): binary cross-entropy over the tags that are known, present or absent."""
    loss_NC = F.binary_cross_entropy_with_logits(scores_NC, present_NC.to(scores_NC), reduction="none")
    return (loss_NC * known_NC).sum(), known_NC.sum().to(loss_NC)


@torch.no_grad()
def class_maps(
    classifier: Classifier, image_3HW: Tensor, present_C: Tensor, scales: Sequence[float] = SCALES, flip: bool = True
) -> Tensor:
    """float32 CHW, 0..1: sum over scales and mirrored views, each present class by its own maximum, absent ones 0.

    image_3HW: float RGB, 0..255. present_C: bool, what the photo's tags say. The classifier is used in `eval` mode.
    """
    classifier.eval()
    height, width = image_3HW.shape[1:]
    summed_CHW = torch.zeros(len(present_C), height, width, device=image_3HW.device)
    for scale in scales:
        size = (max(round(height * scale), 32), max(round(width * scale), 32))
        view_13hw = F.interpolate(image_3HW[None], size=size, mode="bilinear", antialias=True)
        for mirrored in (False, True) if flip else (False,):
            maps_1Chw = classifier.maps(view_13hw.flip(3) if mirrored else view_13hw)
            maps_1Chw = maps_1Chw.flip(3) if mirrored else maps_1Chw
            summed_CHW += F.interpolate(maps_1Chw, size=(height, width), mode="bilinear", align_corners=False)[0]
    summed_CHW *= present_C[:, None, None].to(summed_CHW)
    return summed_CHW / (summed_CHW.amax(dim=(1, 2), keepdim=True) + EPSILON)


def layer_cam(classifier: nn.Module, layer: nn.Module, image_3HW: Tensor, of_class: int) -> Tensor:
    """float32 HW, 0..1: LayerCAM of one class at one layer, by its own maximum; 0 where nothing speaks for it.

    classifier: images_N3HW -> scores_NC. A layer followed by pooling or a stride shows a grid: take the one before.
    """
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, output: kept.append(output))
    try:
        with torch.enable_grad():
            # Frozen layers too have a gradient where the photo has one.
            score = classifier(image_3HW[None].detach().requires_grad_())[0, of_class]
            (gradient_1Dhw,) = torch.autograd.grad(score, kept[0])
    finally:
        hook.remove()
    map_11hw = F.relu((F.relu(gradient_1Dhw) * kept[0]).sum(dim=1, keepdim=True)).detach()
    map_HW = F.interpolate(map_11hw, size=image_3HW.shape[1:], mode="bilinear", align_corners=False)[0, 0]
    return map_HW / map_HW.max().clamp_min(1e-12)
