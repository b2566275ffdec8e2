"""The settings of the published systems, one function each, named as the network.

Schedules are in passes over the photos (`epochs`), as the papers' iterations mean them for 10,582 photos of VOC
trainaug; on a smaller set the same number of passes is fewer steps. What a paper does not do is switched off.

The papers learn new layers faster than pretrained ones: `rate` is that of new layers, `encoder` the factor on others.
`bias` is 2 where Caffe's solvers, and v3's, learn biases twice as fast as weights. `inference` is how the paper looks
at photos for its best score; a recipe without it scores one view of the whole photo, as its paper does.

What is everywhere as ours, not as each paper's: the loss is the mean over the labelled pixels of full-size scores (v1
and v2 shrink the labels by 8; v3 found full size better), zooms of a range are drawn evenly in octaves, nothing that
a batch normalisation learns is decayed, and its statistics fade by a tenth a step (v3: 0.0003, PSPNet: 0.05).
"""

from __future__ import annotations

from typing import Any

from ..prediction.views import Views
from ..training.settings import Augment, Loss, Optimiser, Settings

VOC_TRAINAUG = 10_582
_FROM_HALF = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


def deeplab_v1_largefov() -> Settings:
    """Chen et al. 2015: 6,000 steps of 20 crops of 321, VGG16 at 0.001, fc8 at 0.01, falling to a tenth every 2,000."""
    return _voc("deeplab_v1_largefov", 6000, 20, 321, rate=0.01, encoder=0.1, bias=2.0, schedule="step")


def deeplab_v1_msc() -> list[Settings]:
    """Chen et al. 2015: LargeFOV, and from it as many steps in which VGG16 stays and all scores learn at 0.001."""
    heads = _voc("deeplab_v1_msc", 6000, 20, 321, rate=0.001, bias=2.0, schedule="step")
    return [deeplab_v1_largefov(), heads.model_copy(update={"frozen": ("encoder",)})]


def deeplab_v2_vgg16() -> Settings:
    """Chen et al. 2016: 20,000 steps of 10 crops of 321, zooms 0.5 to 1.5, poly. All heads at 0.01, VGG16 at 0.001."""
    return _voc("deeplab_v2_vgg16", 20_000, 10, 321, rate=0.01, encoder=0.1, bias=2.0, zoom=(0.5, 1.5))


def deeplab_v2_resnet101() -> Settings:
    """Chen et al. 2016: as with VGG16, at 0.0025 and 0.00025, five zooms, batch norms frozen.

    The paper starts from COCO. The photo at three sizes, in training and after it, is part of the network.
    """
    zooms = (0.5, 0.75, 1.0, 1.25, 1.5)
    settings = _voc("deeplab_v2_resnet101", 20_000, 10, 321, rate=0.0025, encoder=0.1, bias=2.0, zoom=zooms)
    return settings.model_copy(update={"batch_norm": "frozen"})


def deeplab_v3_resnet50() -> list[Settings]:
    """Chen et al. 2017: see deeplab_v3_resnet101."""
    return _v3("deeplab_v3_resnet50")


def deeplab_v3_resnet101() -> list[Settings]:
    """Chen et al. 2017: 30,000 steps at stride 16 and 0.007, then as many at stride 8 and 0.001, batch norms frozen.

    77.21 is the score of the first round. The second is that of the paper's test server, trained on trainval and with
    photos of rare classes repeated (here the same photos again), and looks at six scales, mirrored too.
    """
    return _v3("deeplab_v3_resnet101")


def deeplab_v3plus_resnet101() -> Settings:
    """Chen et al. 2018: SGD 0.007 poly, 30,000 steps of 16 crops of 513, output stride 16, all batch norms trained.

    78.85 is of one view; `--tta` is for those of several.
    """
    return _voc("deeplab_v3plus_resnet101", 30_000, 16, 513, rate=0.007, bias=2.0, decay=1e-4, zoom=(0.5, 2.0))


def parsenet() -> Settings:
    """Liu et al. 2015: scores at ten times VGG16's rate, poly.

    The paper gives no more: steps, batch, crop and rate are those of DeepLab v2 on the same VGG16. The two learnt
    scales learn as fast as the scores behind them.
    """
    return _voc("parsenet", 20_000, 10, 321, rate=0.01, encoder=0.1, bias=2.0)


def pspnet50() -> Settings:
    """Zhao et al. 2017: see pspnet101."""
    return _pspnet("pspnet50")


def pspnet101() -> Settings:
    """Zhao et al. 2017: 30,000 steps of 16 crops of 473, new layers at 0.1, ResNet at 0.01, turned and blurred.

    Several processes share the statistics of a batch, as the paper's do, in every training here. Prediction takes
    windows of 473 at six scales, mirrored too; the paper first brings every photo to a long side of 512.
    """
    return _pspnet("pspnet101")


def refinenet50() -> Settings:
    """Lin et al. 2017: see refinenet101."""
    return refinenet101().model_copy(update={"network": "refinenet50"})


def refinenet101() -> Settings:
    """Lin et al. 2017: single crops of 400, zooms 0.7 to 1.3, new layers at 5e-4, ResNet at 5e-5, batch norms frozen.

    The authors lower the rate to a tenth by hand and tell no number of steps: here after two thirds of as many passes
    as the plan takes. Theirs enlarge photos by 1.2 before all else; here they stay as they are.
    """
    settings = _voc("refinenet101", 1, 1, 400, rate=5e-4, encoder=0.1, zoom=(0.7, 1.3), schedule="step", drops=(2 / 3,))
    views = Views(scales=(0.4, 0.6, 0.8, 1.0, 1.2))
    return settings.model_copy(update={"batch_norm": "frozen", "epochs": None, "inference": views})


def _v3(network: str) -> list[Settings]:
    first = _voc(network, 30_000, 16, 513, rate=0.007, bias=2.0, decay=1e-4, zoom=(0.5, 2.0))
    second = {
        "options": {"output_stride": 8},
        "batch_norm": "frozen",
        "optimiser": first.optimiser.model_copy(update={"rate": 0.001}),
        "inference": Views(scales=_FROM_HALF, mirror=True),
    }
    return [first, first.model_copy(update=second)]


def _pspnet(network: str) -> Settings:
    settings = _voc(network, 30_000, 16, 473, rate=0.1, encoder=0.1, decay=1e-4, zoom=(0.5, 2.0), rotate=10, blur=0.5)
    return settings.model_copy(update={"inference": Views(scales=_FROM_HALF, mirror=True, window=473)})


def _voc(
    network: str,
    steps: int,
    batch: int,
    crop: int,
    rate: float,
    encoder: float = 1.0,
    bias: float = 1.0,
    decay: float = 5e-4,
    zoom: tuple[float, ...] = (1.0, 1.0),
    rotate: float = 0,
    blur: float = 0,
    **schedule: Any,
) -> Settings:
    """SGD with momentum 0.9 and poly on crops of VOC trainaug, mirrored, and nothing else."""
    return Settings(
        network=network,
        encoder=None,
        epochs=steps * batch / VOC_TRAINAUG,
        crop=(crop, crop),
        batch=batch,
        augment=Augment(scale=zoom, settle=0, rotate=rotate, rare=0, colour=0, hue=0, blur=blur),
        optimiser=Optimiser(
            name="sgd", rate=rate, encoder=encoder, bias=bias, weight_decay=decay, warmup=0, ema=0, clip=1e6, **schedule
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
