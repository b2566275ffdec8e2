"""The settings of the published systems, one function each, named as the network.

Schedules are in passes over the photos (`epochs`), as the papers' iterations mean them for 10,582 photos of VOC
trainaug; on a smaller set the same number of passes is fewer steps. What a paper does not do is switched off.
"""

from __future__ import annotations

from ..training.settings import Augment, Loss, Optimiser, Settings

VOC_TRAINAUG = 10_582


def deeplab_v3plus_resnet101() -> Settings:
    """Chen et al. 2018: SGD 0.007 poly, 30,000 steps of 16 crops of 513, output stride 16, all batch norms trained."""
    return Settings(
        network="deeplab_v3plus_resnet101",
        encoder=None,
        epochs=30_000 * 16 / VOC_TRAINAUG,
        crop=(513, 513),
        batch=16,
        augment=Augment(scale=(0.5, 2.0), settle=0, rotate=0, rare=0, colour=0, hue=0),
        optimiser=Optimiser(
            name="sgd", rate=0.007, encoder=1.0, weight_decay=1e-4, schedule="poly", warmup=0, ema=0, clip=1e6
        ),
        loss=Loss(class_weights="none"),
    )


def deeplab_v3_resnet101() -> Settings:
    """Chen et al. 2017: the first of its two rounds; the second freezes batch norms at output stride 8 and 0.001."""
    return deeplab_v3plus_resnet101().model_copy(update={"network": "deeplab_v3_resnet101"})


PUBLISHED = (deeplab_v3_resnet101, deeplab_v3plus_resnet101)
