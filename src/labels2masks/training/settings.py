"""Every setting of a training run, typed, in one place. `--set a.b=value` reaches all of them.

A recipe is a function that returns `Settings`; a plan is `Settings` completed from the data and
the machine. What is None here is chosen by the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import UsageError, did_you_mean
from ..prediction.views import Views

Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Augment(_Strict):
    """scale: smallest and largest zoom, drawn log-uniformly; more than two are drawn from as they are.
    rotate: degrees to either side. rare: share of crops centred on a pixel of a class drawn by rarity.
    colour: how much brightness, contrast and saturation change, 0 = not; hue: how much hue does, as a share of a turn.
    blur: share of the crops that are blurred, by a Gaussian of 5x5 pixels (PSPNet's release: half of them).
    settle: share of the steps, the last ones, with whole crops and zooms within the square root of `scale`; the
    steps before them have crops of four fifths of the sides, hence are cheaper. The network ends on what prediction
    will show it (small first: Tan and Le 2021, EfficientNetV2; last at the test's size: Touvron et al. 2019, FixRes).
    0 = whole crops and the same zooms throughout, as in the papers of the field.
    elastic: an elastic deformation, as the standard deviation of its nine points in pixels of the crop (U-Net: 10),
    0 = none; photos without a mask are shown whole and keep their form."""

    scale: Annotated[tuple[Above0, ...], Field(min_length=2)] = (0.7, 2.0)
    settle: float = Field(0.3, ge=0, le=1)
    flip: bool = True
    rotate: float = 10.0
    rare: float = 0.3
    colour: float = 0.3
    hue: float = 0.03
    blur: Share = 0.0
    elastic: float = Field(0.0, ge=0, allow_inf_nan=False)


class Optimiser(_Strict):
    """encoder: factor on the learning rate of the encoder's pretrained weights; 1.0 without weights.
    bias: factor on the rate of the biases of convolutions and linear layers (Caffe's solvers: 2); neither they nor
    what a normalisation learns are decayed.
    drops: shares of the run after which the schedule "step" takes a tenth of its rate.
    warmup: share of the steps. ema: share of the steps that the running mean of the weights spans, 0 = off.
    clip: largest gradient norm."""

    name: Literal["adamw", "sgd"] = "adamw"
    rate: float = Field(1.5e-3, gt=0)
    encoder: float = 0.3
    bias: float = Field(1.0, ge=0)
    weight_decay: float = 0.01
    momentum: float = 0.9
    schedule: Literal["poly", "cosine", "constant", "step"] = "poly"
    drops: tuple[Share, ...] = (1 / 3, 2 / 3)
    warmup: float = 0.05
    ema: float = 0.05
    clip: float = 1.0


class Loss(_Strict):
    """Weights of the three means, and of what else is asked of a photo (see `losses.photo_terms`), 0 = off.
    seed, expand, constrain: SEC (Kolesnikov and Lampert 2016: 1 each). image, point, objectness: What's the Point
    (Bearman et al. 2016: 1 each), its prior of objects made from the photo (see `training.objectness`). Both take the
    place of `mask`, `ink`, `region` and `presence`, which are then 0. What is asked of a whole photo is asked where a
    crop shows all of it: always without a mask; with one, narrowed ones too, where `size` is no more than `crop` and no
    zoom is above 1.
    consistency: weight of weak-to-strong consistency (1 as in FixMatch and UniMatch). The crops that labels leave
    undecided, those of photos without any label among them, are shown to the network disturbed, and the running mean of
    the weights, which sees them as they are, says what it should have said: where the mean is `sure` (FixMatch: 0.95),
    among the classes that the labels leave possible. ramp: share of the run after which that counts in full.
    class_weights: "auto" weighs by the root of the inverse expected share, within 1 / cap .. cap; "median_frequency" as
    SegNet, without a cap.
    border: what a mask's pixel between two touching cells weighs more, at most (U-Net: 10), 0 = off; it falls with the
    distance to both, `sigma` pixels. cells: the class whose connected regions are cells; None = all but background."""

    mask: float = 1.0
    ink: float = 1.0
    region: float = 1.0
    presence: float = Field(0.1, ge=0)
    seed: float = Field(0.0, ge=0)
    expand: float = Field(0.0, ge=0)
    constrain: float = Field(0.0, ge=0)
    image: float = Field(0.0, ge=0)
    point: float = Field(0.0, ge=0)
    objectness: float = Field(0.0, ge=0)
    tightness: float = Field(0.0, ge=0)
    shares: float = Field(0.0, ge=0)
    crf: float = Field(0.0, ge=0)
    consistency: float = Field(0.0, ge=0, allow_inf_nan=False)
    sure: Share = 0.95
    ramp: Share = 0.2
    class_weights: Literal["auto", "median_frequency", "none"] = "auto"
    cap: float = 2.0
    border: float = Field(0.0, ge=0, allow_inf_nan=False)
    sigma: Above0 = 5.0
    cells: str | None = None


class Ridge(_Strict):
    """Of the solver "ridge". shrinkage: of each feature's own second moment. ink: how much clicks and strokes together
    count, all regions together counting 1. From few clicks more of both serves better: the page takes 0.1 and 10."""

    shrinkage: float = Field(0.01, gt=0, allow_inf_nan=False)
    ink: Above0 = 1.0


class Settings(_Strict):
    """options: further arguments of the network's class. frozen: parts of the network, by their names in it, that
    keep weights and running statistics (see `training.stages`).
    solver: "steps" of gradient descent; "frozen": steps of the head alone, on maps of the encoder that are made once
    (see `training.frozen_maps`); or "ridge": the network `linear` in closed form (see `training.instant`).
    maps: with "frozen", a folder to keep those maps in for further runs; None = in the run, gone when it is finished.
    epochs and minutes None: the plan takes 60 epochs, on a machine without a GPU at most 30 minutes.
    batch_norm: statistics of each batch (train), all of it as the weights have it, scale and shift too (frozen), or
    statistics recomputed over the training photos at the end. early_stop: validations without a gain before stopping,
    0 = never. select: what the best of them is chosen by, agreement with weak labels kept aside or, so that the score
    is too good, mIoU on the validation masks (see `training.validation`).
    inference: how the run's score, `predict` and `evaluate` look at photos unless told otherwise."""

    network: str = "deeplab_v3plus"
    options: dict[str, Any] = {}
    encoder: str | None = "tf_efficientnet_lite0"
    weights: str = "auto"
    frozen: tuple[str, ...] = ()
    solver: Literal["steps", "frozen", "ridge"] = "steps"
    maps: str | None = None
    epochs: Above0 | None = None
    minutes: Above0 | None = None
    size: Count | None = None
    crop: tuple[Count, Count] | None = None
    batch: Count | None = None
    batch_norm: Literal["train", "frozen", "recomputed"] = "train"
    validations: int = Field(3, gt=0)
    early_stop: int = Field(0, ge=0)
    select: Literal["agreement", "mIoU"] = "agreement"
    precision: Literal["float32", "bfloat16"] | None = None
    memory_format: Literal["contiguous", "channels_last", "mixed"] | None = None
    threads: Count | None = None
    workers: Annotated[int, Field(ge=0)] | None = None
    seed: int = Field(0, ge=0, lt=2**31)
    augment: Augment = Augment()
    optimiser: Optimiser = Optimiser()
    loss: Loss = Loss()
    ridge: Ridge = Ridge()
    inference: Views = Views()


def with_settings(base: Settings, changes: Mapping[str, Any]) -> Settings:
    """`base` with {"a.b": value} changed, checked by type. UsageError names the field and what it takes."""
    tree = base.model_dump()
    for path, value in changes.items():
        *parents, last = path.split(".")
        node: Any = tree
        for part in parents:
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            raise UsageError(f"no setting {path!r}{did_you_mean(path, _paths(base.model_dump()))}")
        node[last] = value
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"setting {'.'.join(map(str, first['loc']))} = {first['input']!r}: {first['msg']}") from None


def _paths(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    return [
        path
        for name, value in tree.items()
        for path in (_paths(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name])
    ]
