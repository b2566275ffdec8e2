"""The settings of the published systems, one function each, named as the network.

Schedules are in passes over the photos (`epochs`), as the papers' iterations mean them for 10,582 photos of VOC
trainaug; on a smaller set the same number of passes is fewer steps. What a paper does not do is switched off.

The papers learn new layers faster than pretrained ones: `rate` is that of new layers, `encoder` the factor on others.
"""

from __future__ import annotations

from ..training.settings import Augment, Loss, Optimiser, Settings

VOC_TRAINAUG = 10_582


def deeplab_v1_largefov() -> Settings:
    """Chen et al. 2015: 6,000 steps of 20 crops of 321, fc8 at 0.01, the rest at 0.001. The paper's rate falls to a
    tenth every 2,000 steps, here by poly, which the authors' next paper found 1.2 points better."""
    return _voc("deeplab_v1_largefov", 6000, 20, 321, rate=0.01, encoder=0.1)


def deeplab_v1_msc() -> list[Settings]:
    """Chen et al. 2015: LargeFOV, and from it as many steps in which VGG16 stays and all scores learn at 0.001."""
    heads = _voc("deeplab_v1_msc", 6000, 20, 321, rate=0.001)
    return [deeplab_v1_largefov(), heads.model_copy(update={"frozen": ("encoder",)})]


def deeplab_v2_vgg16() -> Settings:
    """Chen et al. 2016: 20,000 steps of 10 crops of 321, zooms 0.5 to 1.5, poly. All heads at 0.01, VGG16 at 0.001."""
    return _voc("deeplab_v2_vgg16", 20_000, 10, 321, rate=0.01, encoder=0.1, zoom=(0.5, 1.5))


def deeplab_v2_resnet101() -> Settings:
    """Chen et al. 2016: as with VGG16, at 0.0025 and 0.00025, batch norms frozen; the paper starts from COCO."""
    settings = _voc("deeplab_v2_resnet101", 20_000, 10, 321, rate=0.0025, encoder=0.1, zoom=(0.5, 1.5))
    return settings.model_copy(update={"batch_norm": "frozen"})


def deeplab_v3_resnet50() -> Settings:
    """Chen et al. 2017: see deeplab_v3_resnet101."""
    return _voc("deeplab_v3_resnet50", 30_000, 16, 513, rate=0.007, decay=1e-4, zoom=(0.5, 2.0))


def deeplab_v3_resnet101() -> Settings:
    """Chen et al. 2017: the first of its two rounds; the second freezes batch norms at output stride 8 and 0.001."""
    return _voc("deeplab_v3_resnet101", 30_000, 16, 513, rate=0.007, decay=1e-4, zoom=(0.5, 2.0))


def deeplab_v3plus_resnet101() -> Settings:
    """Chen et al. 2018: SGD 0.007 poly, 30,000 steps of 16 crops of 513, output stride 16, all batch norms trained."""
    return _voc("deeplab_v3plus_resnet101", 30_000, 16, 513, rate=0.007, decay=1e-4, zoom=(0.5, 2.0))


def parsenet() -> Settings:
    """Liu et al. 2015: scores at ten times VGG16's rate, poly. The paper gives no more: steps, batch, crop and rate are
    those of DeepLab v2 on the same VGG16."""
    return _voc("parsenet", 20_000, 10, 321, rate=0.01, encoder=0.1)


def pspnet50() -> Settings:
    """Zhao et al. 2017: see pspnet101."""
    return _voc("pspnet50", 30_000, 16, 473, rate=0.1, encoder=0.1, decay=1e-4, zoom=(0.5, 2.0), rotate=10)


def pspnet101() -> Settings:
    """Zhao et al. 2017: 30,000 steps of 16 crops of 473, new layers at 0.1, ResNet at 0.01, turned by up to 10 degrees.
    The paper blurs as well, and sums batch statistics over its processes."""
    return _voc("pspnet101", 30_000, 16, 473, rate=0.1, encoder=0.1, decay=1e-4, zoom=(0.5, 2.0), rotate=10)


def refinenet50() -> Settings:
    """Lin et al. 2017: see refinenet101."""
    return refinenet101().model_copy(update={"network": "refinenet50"})


def refinenet101() -> Settings:
    """Lin et al. 2017: single crops of 400, zooms 0.7 to 1.3, new layers at 5e-4, ResNet at 5e-5, batch norms frozen.
    The paper lowers the rate by hand and tells no number of steps: here poly, and as many passes as the plan takes."""
    settings = _voc("refinenet101", 1, 1, 400, rate=5e-4, encoder=0.1, zoom=(0.7, 1.3))
    return settings.model_copy(update={"batch_norm": "frozen", "epochs": None})


def _voc(
    network: str,
    steps: int,
    batch: int,
    crop: int,
    rate: float,
    encoder: float = 1.0,
    decay: float = 5e-4,
    zoom: tuple[float, float] = (1.0, 1.0),
    rotate: float = 0,
) -> Settings:
    """SGD with momentum 0.9 and poly on crops of VOC trainaug, mirrored, and nothing else."""
    return Settings(
        network=network,
        encoder=None,
        epochs=steps * batch / VOC_TRAINAUG,
        crop=(crop, crop),
        batch=batch,
        augment=Augment(scale=zoom, settle=0, rotate=rotate, rare=0, colour=0, hue=0),
        optimiser=Optimiser(
            name="sgd", rate=rate, encoder=encoder, weight_decay=decay, schedule="poly", warmup=0, ema=0, clip=1e6
        ),
        loss=Loss(class_weights="none"),
    )


PUBLISHED = (
    deeplab_v1_largefov,
    deeplab_v1_msc,
    deeplab_v2_vgg16,
    deeplab_v2_resnet101,
    deeplab_v3_resnet50,
    deeplab_v3_resnet101,
    deeplab_v3plus_resnet101,
    parsenet,
    pspnet50,
    pspnet101,
    refinenet50,
    refinenet101,
)
