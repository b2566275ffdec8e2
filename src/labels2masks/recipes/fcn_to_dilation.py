"""The settings of FCN, SegNet, U-Net and the dilated networks; those in stages are lists, one entry a run.

As in `published`, schedules are passes over the photos, and `bias` is 2 as in Caffe's solvers. FCN's release sums its
loss over the pixels of one photo, ours is their mean: over 500 x 375 pixels its rates are 187,500 times as large here,
and its weight decay as many times smaller, which gives the same steps. A photo with fewer labelled pixels weighs as
much as any other, where the release gives it less.

All of them score one view of the whole photo.
"""

from __future__ import annotations

from typing import Any

from ..training.settings import Augment, Loss, Optimiser, Settings

SBD_TRAIN, VOC_TRAINAUG, CAMVID_TRAIN = 8498, 10_582, 367
_PIXELS = 500 * 375
_PLAIN: dict[str, Any] = {"settle": 0, "rotate": 0, "rare": 0, "colour": 0, "hue": 0, "scale": (1.0, 1.0)}


def fcn32s() -> Settings:
    """Long et al. 2017: VGG16, 100,000 whole photos, one a step, 1e-10 on the sum of the loss, momentum 0.99.

    Whole photos stand in frames of 500 x 500, void around them.
    """
    return Settings(
        network="fcn32s",
        encoder=None,
        epochs=100_000 / SBD_TRAIN,
        crop=(500, 500),
        batch=1,
        augment=Augment(**_PLAIN, flip=False),
        optimiser=_sgd(1e-10 * _PIXELS, momentum=0.99, decay=5e-4 / _PIXELS),
        loss=Loss(class_weights="none"),
    )


def fcn16s() -> list[Settings]:
    """Long et al. 2017: 32s, and from it as many photos at a hundredth of the rate."""
    return [fcn32s(), _slower(fcn32s(), "fcn16s", 0.01)]


def fcn8s() -> list[Settings]:
    """Long et al. 2017: 32s, from it 16s, from that 8s, each at a hundredth of the rate of the one before."""
    return [*fcn16s(), _slower(fcn32s(), "fcn8s", 0.0001)]


def fcn8s_at_once() -> Settings:
    """Long et al. 2017: 8s in one stage of 300,000 photos; pool4 and pool3 are scaled down. 65.4 mIoU."""
    changes = {"network": "fcn8s", "options": {"at_once": True}, "epochs": 300_000 / SBD_TRAIN}
    return fcn32s().model_copy(update=changes)


def segnet() -> Settings:
    """Badrinarayanan et al. 2017: 40,000 steps of four whole photos of CamVid at 0.001, mirrored, classes balanced."""
    return _camvid("segnet", steps=40_000, batch=4, rate=1e-3)


def segnet_basic() -> Settings:
    """Badrinarayanan et al. 2017: twelve whole photos of CamVid at 0.1; 16,000 steps gave 47.2 mIoU elsewhere."""
    return _camvid("segnet_basic", steps=16_000, batch=12, rate=0.1)


def segnet_basic_layerwise() -> list[Settings]:
    """Badrinarayanan et al. 2015 (1505.07293): the outer pair first, then, that frozen, the next pair within it ..."""
    stages = []
    for depth in range(1, 5):
        frozen = tuple(f"{part}.{pair}" for pair in range(depth - 1) for part in ("encoders", "decoders"))
        stage = _camvid("segnet_basic", steps=4000, batch=12, rate=0.1)
        stages.append(stage.model_copy(update={"options": {"depth": depth}, "frozen": frozen}))
    return stages


def unet() -> Settings:
    """Ronneberger et al. 2015: one large tile a step, momentum 0.99, turned, deformed elastically; border weights.

    The paper tells the deformation (10 px on 3 x 3 points), the weight map (10, 5 px) and a dropout, which stands in
    the network. It gives no rate, no number of steps, no range of turns and greys, and no weights of the classes, so
    those are ours; the loss is a mean over the tile, theirs a sum. `--set loss.cells=NAME` says which class is cells
    where the data set names no background.
    """
    return Settings(
        network="unet",
        encoder=None,
        crop=(388, 388),
        batch=1,
        augment=Augment(**_PLAIN | {"rotate": 180.0, "colour": 0.2, "elastic": 10.0}),
        optimiser=_sgd(1e-4, momentum=0.99, decay=0.0),
        loss=Loss(class_weights="none", border=10.0, sigma=5.0),
    )


def dilated_frontend() -> Settings:
    """Yu and Koltun 2016: VGG16, 60,000 steps of 14 crops at 0.001, mirrored.

    The release's crops of 500 have labels on their inner 128 pixels alone, and photo around them; here every pixel has
    its label, and what lies around the crop is mirrored.
    """
    return Settings(
        network="dilated_frontend",
        encoder=None,
        epochs=60_000 * 14 / VOC_TRAINAUG,
        crop=(500, 500),
        batch=14,
        augment=Augment(**_PLAIN),
        optimiser=_sgd(1e-3, momentum=0.9),
        loss=Loss(class_weights="none"),
    )


def dilated_context_basic() -> list[Settings]:
    """Yu and Koltun 2016: the front-end, and on its frozen scores the context module, of C channels.

    Its 24,000 steps are those of Cityscapes; for VOC the paper gives none.
    """
    return _with_context("dilated_context_basic")


def dilated_context_large() -> list[Settings]:
    """Yu and Koltun 2016: the front-end, and on its frozen scores the context module that grows to 32 C channels."""
    return _with_context("dilated_context_large")


def _slower(settings: Settings, network: str, factor: float) -> Settings:
    optimiser = settings.optimiser.model_copy(update={"rate": settings.optimiser.rate * factor})
    return settings.model_copy(update={"network": network, "optimiser": optimiser})


def _with_context(network: str) -> list[Settings]:
    changes = {"network": network, "frozen": ("encoder", "head", "scores"), "epochs": 24_000 * 14 / VOC_TRAINAUG}
    return [dilated_frontend(), dilated_frontend().model_copy(update=changes)]


def _camvid(network: str, steps: int, batch: int, rate: float) -> Settings:
    return Settings(
        network=network,
        encoder=None,
        epochs=steps * batch / CAMVID_TRAIN,
        crop=(360, 480),
        batch=batch,
        batch_norm="recomputed",
        augment=Augment(**_PLAIN),
        optimiser=_sgd(rate, momentum=0.9),
        loss=Loss(class_weights="median_frequency"),
    )


def _sgd(rate: float, momentum: float, decay: float = 5e-4) -> Optimiser:
    """One rate for all weights, twice that for biases; no warm-up, no mean of the weights, no bound on gradients."""
    return Optimiser(
        name="sgd",
        rate=rate,
        encoder=1.0,
        bias=2.0,
        momentum=momentum,
        weight_decay=decay,
        schedule="constant",
        warmup=0,
        ema=0,
        clip=1e6,
    )


FCN_TO_DILATION = (
    fcn32s,
    fcn16s,
    fcn8s,
    fcn8s_at_once,
    segnet,
    segnet_basic,
    segnet_basic_layerwise,
    unet,
    dilated_frontend,
    dilated_context_basic,
    dilated_context_large,
)
