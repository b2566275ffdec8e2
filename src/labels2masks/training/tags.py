"""The classifier behind class activation maps: which classes a photo has, from whatever labels say so.

FOLDER/
    plan.json            settings, classes, photos, steps
    loss.csv             step, loss, rate
    skipped.jsonl        photos that could not be read, with the reason
    classifier.safetensors   the weights; written last, so a folder that has it is finished

As in the released code of IRN (Ahn, Cho and Kwak 2019) and of SEC's and the Guide Labeller's seeders: pretrained
encoder, global average pooling, one layer without bias that learns ten times as fast, the lower half of the encoder
frozen, a few passes. Photos are seen whole, so that what is said of them holds. A few minutes on a laptop: what was
cut off is begun again, not resumed.

It is trained at the encoder's stride of 32 and its maps are looked at with a stride of 16: the dilated encoder gives
the very cells, and those between them.

Legend: N = images; C = classes; H, W = pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from ..classes import Classes
from ..cues.cam import SCALES, Classifier, class_maps, tag_loss
from ..encoders import build_encoder
from ..errors import DataError, UsageError
from ..files import write_atomically
from ..formats.dataset import Photo
from ..labels import VOID_ROW, Candidates
from ..networks.saved import KEY, load_network
from ..prediction.ahead import ahead
from ..prediction.views import resized, shrinking
from ..progress import track
from .augment import training_crop
from .batches import Stream
from .dilated_depthwise import use_fast_backward
from .folder import write_json, write_lines, write_rows
from .optimiser import make_optimiser, rate_factor
from .settings import Augment, Optimiser, Settings
from .start import is_run, pretraining

FILE = "classifier.safetensors"
STRIDE = 16
"""Of the maps; the smallest that every encoder here can have from its own weights."""
LOWER_HALF = tuple(f"encoder.features.{part}" for part in ("conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2"))
"""What stays as it was pretrained in EfficientNets and their kin; other encoders learn from end to end."""


def classifier_settings() -> Settings:
    """Five passes over whole photos of 320 px, mirrored and recoloured; ImageNet's batch statistics stay."""
    return Settings(
        solver="steps",
        frozen=LOWER_HALF,
        epochs=5,
        size=320,
        batch=16,
        batch_norm="frozen",
        augment=Augment(scale=(0.8, 1.25), settle=0, rotate=0, rare=0),
        optimiser=Optimiser(rate=5e-3, encoder=0.1),
    )


def train_classifier(
    photos: Sequence[Photo], folder: Path, weights: str = "auto", settings: Settings | None = None
) -> Path:
    """Train in `folder`, or find it finished there; returns it.

    photos: those to learn from, whatever their labels; nothing of others is looked at. weights: of the encoder, see
    `train`; of an earlier run its encoder is taken. settings: None = `classifier_settings()`.
    Raises UsageError where `folder` has a classifier of other photos or settings, DataError where no photo says which
    classes it has.
    """
    s = (settings or classifier_settings()).model_copy(update={"weights": str(weights)})
    told = [p for p in photos if p.labels]
    if not told:
        raise DataError("no photo has labels that say which classes it shows: nothing to train a classifier on")
    classes = told[0].vocabulary.target
    assert s.batch and s.epochs and s.size
    steps = max(1, round(s.epochs * len(told) / s.batch))
    plan = {
        "settings": s.model_dump(mode="json", exclude={"network", "options", "inference", "loss"}),
        "classes": classes.to_json(),
        "photos": [p.name for p in told],
        "steps": steps,
    }
    if (folder / FILE).exists():
        if json.loads((folder / "plan.json").read_text(encoding="utf-8")) != plan:
            raise UsageError(f"{folder} holds a classifier of another plan: name another folder, or remove it first")
        return folder
    write_json(folder / "plan.json", plan)
    torch.manual_seed(s.seed)
    classifier = _built(s, len(classes))
    rows, skipped, seen_C = _fit(classifier, told, classes, s, steps)
    if not seen_C.any():
        raise DataError("the labels of no photo say which classes it shows: nothing to train a classifier on")
    write_rows(folder / "loss.csv", rows)
    write_lines(folder / "skipped.jsonl", skipped)
    header = {
        "encoder": s.encoder,
        "classes": classes.to_json(),
        "size": s.size,
        "learnt_from": f"a classifier of {len(told)} photos' tags; pretraining: {pretraining(s)}",
    }
    tensors = {name: t.detach().contiguous() for name, t in classifier.state_dict().items()}
    write_atomically(folder / FILE, save(tensors, {KEY: json.dumps(header, sort_keys=True)}))
    return folder


@dataclass(frozen=True)
class TagMaps:
    """maps(image_HW3 uint8, candidates) -> float32 CHW, 0..1: where each class that the photo's labels name is seen.

    Classes that they do not name are 0. size: long side in px of the unscaled view. learnt_from: in words.
    Safe to call from several threads.
    """

    classifier: Classifier
    classes: Classes
    size: int
    learnt_from: str

    def __call__(self, image_HW3: np.ndarray, candidates: Candidates, scales: Sequence[float] = SCALES) -> np.ndarray:
        height, width = image_HW3.shape[:2]
        small_HW3 = resized(image_HW3, *shrinking(height, width, self.size))
        image_3HW = torch.from_numpy(small_HW3.copy()).permute(2, 0, 1).float()
        present_C = torch.from_numpy(tags_of(candidates, self.classes)[0])
        maps_Chw = class_maps(self.classifier, image_3HW, present_C, scales)
        full_1CHW = nn.functional.interpolate(maps_Chw[None], size=(height, width), mode="bilinear")
        return full_1CHW[0].numpy()


def load_tag_maps(folder: Path | str, classes: Classes) -> TagMaps:
    """The classifier of a finished folder. UsageError where there is none or its classes are others, DataError where
    the file is damaged."""
    file = Path(folder) / FILE
    if not file.is_file():
        raise UsageError(f"no classifier in {folder}: expected {FILE}, which `masks` makes where class maps are needed")
    try:
        with safe_open(file, "pt") as opened:
            info = json.loads(opened.metadata()[KEY])
        names = Classes.from_json(info["classes"]).names
        classifier = Classifier(build_encoder(info["encoder"], None, STRIDE), len(names))
        classifier.load_state_dict(load(file.read_bytes()))
    except Exception as error:
        raise DataError(f"{file} is no readable classifier ({str(error).splitlines()[0][:200]})") from None
    if names != classes.names:
        raise UsageError(f"{folder} tells {', '.join(names)}, the data has {', '.join(classes.names)}")
    return TagMaps(classifier.eval(), classes, info["size"], info["learnt_from"])


def tags_of(candidates: Candidates, classes: Classes) -> tuple[np.ndarray, np.ndarray]:
    """(present_C, known_C), bool: what the labels of a photo say of each class, whatever their kind.

    Present where a tag, mark or decided pixel names it; known absent where no pixel can be it. Background, and "one of
    several", are not known.
    """
    used_K = np.flatnonzero(np.bincount(candidates.index_HW.ravel(), minlength=len(candidates.sets_KC)))
    sets_KC = candidates.sets_KC[used_K[used_K != VOID_ROW]]
    present_C = sets_KC[sets_KC.sum(axis=1) == 1].any(axis=0)
    for meant in candidates.facts.present:
        if len(meant) == 1:
            present_C[list(meant)] = True
    known_C = present_C | (~sets_KC.any(axis=0) if len(sets_KC) else False)
    if classes.background is not None:
        ground = classes.index(classes.background)
        present_C[ground] = known_C[ground] = False
    return present_C, known_C


def frozen_in(network: nn.Module, names: Sequence[str]) -> tuple[str, ...]:
    """`names`, without `LOWER_HALF` in a network whose encoder has not all of its parts."""
    parts = dict(network.named_modules())
    halves = all(name in parts for name in LOWER_HALF)
    return tuple(name for name in names if halves or name not in LOWER_HALF)


def _built(s: Settings, classes: int) -> Classifier:
    """The classifier with its starting weights, what is frozen set so. UsageError for an unknown encoder."""
    if s.encoder is None:
        raise UsageError("a classifier needs an encoder, see `l2m list encoders`")
    if is_run(s.weights):
        earlier, info = load_network(s.weights)
        if info["encoder"] != s.encoder:
            raise UsageError(f"{s.weights} has the encoder {info['encoder']}, the classifier {s.encoder}")
        encoder = earlier.encoder
    else:
        encoder = build_encoder(s.encoder, None if s.weights == "none" else s.weights)
    classifier = Classifier(encoder, classes)
    nn.init.normal_(classifier.weigh.weight, std=0.01)
    for name in frozen_in(classifier, s.frozen):
        classifier.get_submodule(name).requires_grad_(False)
    for part in classifier.modules():
        if s.batch_norm == "frozen" and isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.requires_grad_(False)
    return classifier


def _fit(
    classifier: Classifier, photos: Sequence[Photo], classes: Classes, s: Settings, steps: int
) -> tuple[list[dict[str, float]], list[dict[str, str]], np.ndarray]:
    """Train in place; (rows of the loss curve, skipped photos, bool C: classes that some photo was known to show)."""
    assert s.batch and s.size
    optimiser, rows = make_optimiser(classifier, s), []
    skipped: dict[str, str] = {}
    seen_C = np.zeros(len(classes), bool)
    use_fast_backward(classifier)

    def made(keys: list[tuple[int, int, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        images, tags = [], []
        for epoch, index, _ in keys:
            draw = np.random.default_rng([s.seed, epoch, index])
            try:
                crop = training_crop(photos[index], s.augment, (s.size, s.size), s.size, {}, draw)  # type: ignore[arg-type]
            except DataError as error:
                skipped[photos[index].name] = str(error)
                continue
            images.append(crop.image_HW3)
            tags.append(tags_of(crop.candidates, classes))
        return (
            np.stack(images) if images else np.zeros((0, s.size, s.size, 3), np.uint8),  # type: ignore[arg-type]
            np.array([p for p, _ in tags], bool).reshape(-1, len(classes)),
            np.array([k for _, k in tags], bool).reshape(-1, len(classes)),
        )

    stream = Stream(len(photos), s.batch, 0, steps, s.seed)
    batches: Iterator[Any] = ahead(made, stream, 1)
    for step, (images_NHW3, present_NC, known_NC) in enumerate(track(batches, "learning tags", steps)):
        if not known_NC.any():
            continue
        seen_C |= present_NC.any(axis=0)
        _train_mode(classifier, s)
        for group in optimiser.param_groups:
            group["lr"] = group["base"] * rate_factor(step, steps, s)
        images_N3HW = torch.from_numpy(images_NHW3).permute(0, 3, 1, 2).float()
        total, count = tag_loss(classifier(images_N3HW), torch.from_numpy(present_NC), torch.from_numpy(known_NC))
        loss: Tensor = total / count
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(classifier.parameters(), s.optimiser.clip)
        optimiser.step()
        optimiser.zero_grad()
        rows.append({"step": step + 1, "loss": float(loss.detach()), "rate": optimiser.param_groups[0]["lr"]})
    if not rows:
        reason = next(iter(skipped.values()), "their labels name no class")
        raise DataError(f"no photo could be learnt from: {reason}")
    return rows, [{"name": name, "reason": reason} for name, reason in sorted(skipped.items())], seen_C


def _train_mode(classifier: Classifier, s: Settings) -> None:
    classifier.train()
    for name in frozen_in(classifier, s.frozen):
        classifier.get_submodule(name).eval()
    for part in classifier.modules():
        if s.batch_norm == "frozen" and isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
