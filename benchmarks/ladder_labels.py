"""The label sets of `ladder.py`: VOC animals with one kind of label on its 437 training photos, MSRC-21 likewise."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from accuracy import DATA

import labels2masks as l2m
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.formats import jsonl
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.formats.image import image_size
from labels2masks.labels import Boxes, Label, Mask, Points, Tags

CLASSES = ("cat", "cow", "dog", "horse", "person", "sheep")
UNBOXED = "person"
"""The class that nobody boxed."""
VOC, MSRC = DATA / "voc_animals", DATA / "msrc21"
LABEL_FILES = ("points_human.json", "boxes_animalpose.json", "tags.json")


@cache
def voc() -> Dataset:
    """The photos with all that people said of them."""
    with tempfile.TemporaryDirectory() as place:
        file = l2m.convert(VOC, Path(place) / "all.jsonl", to="jsonl", labels=LABEL_FILES).path
        return replace(l2m.open(file, classes=CLASSES, others="void"), root=VOC)


@cache
def simulated(root: Path, kind: str) -> dict[str, tuple[Label, ...]]:
    """Photo -> its label of that kind, without mistakes, made from its mask; strokes one an object."""
    with tempfile.TemporaryDirectory() as place:
        per = "object" if kind == "scribbles" else "class"
        made = l2m.simulate(root, Path(place) / "cheap.jsonl", kind=kind, split="train", per=per)
        return {p.name: p.labels for p in l2m.open(made.path)}


def _kept(photo: Photo, *kinds: type[Label]) -> tuple[Label, ...]:
    return tuple(x for x in photo.labels if isinstance(x, kinds))


def _boxes(photo: Photo) -> tuple[Label, ...]:
    """People's boxes and the simulated ones of the class that they left out."""
    theirs = next(iter(_kept(photo, Boxes)), Boxes(()))
    ours = [b for x in simulated(VOC, "boxes")[photo.name] for b in x.marks if b.name == UNBOXED]  # type: ignore[union-attr]
    assert isinstance(theirs, Boxes)
    every = replace(theirs, marks=(*theirs.marks, *ours), complete=theirs.complete | {UNBOXED})
    return (*_kept(photo, Tags), every)


KINDS: dict[str, Callable[[Photo], tuple[Label, ...]]] = {
    "masks": lambda photo: _kept(photo, Mask),
    "boxes": _boxes,
    "boxes_without_persons": lambda photo: _kept(photo, Tags, Boxes),
    "scribbles": lambda photo: simulated(VOC, "scribbles")[photo.name],
    "clicks": lambda photo: _kept(photo, Tags, Points),
    "clicks_alone": lambda photo: _kept(photo, Points),
    "tags": lambda photo: _kept(photo, Tags),
    "shares": lambda photo: simulated(VOC, "shares")[photo.name],
}
"""What is kept of a photo, or made for it."""


def labelled(kind: str, out: Path) -> Dataset:
    """The data set with that kind of label in its split train, and masks in val_dev; written once to `out`/<kind>.

    kind: one of KINDS; "masks-50", "masks-100": masks on so many photos of train, no label on the rest of it and of
    train_aug600; "msrc-<kind>": MSRC-21, with simulated labels.
    """
    file = out / kind / "labels.jsonl"
    if not file.exists():
        source, _, rest = kind.partition("-")
        made = _msrc(rest) if source == "msrc" else _some_masks(int(rest)) if rest else _voc(kind)
        (out / kind).mkdir(parents=True, exist_ok=True)
        jsonl.write(made, file)
    if kind.startswith("msrc"):
        return l2m.open(file)
    return l2m.open(file, classes=CLASSES, others="void")


def _with(data: Dataset, learnt: Sequence[Photo], val: str) -> Dataset:
    scored = [replace(p, labels=_kept(p, Mask)) for p in data.split(val)]
    splits = {"train": tuple(p.name for p in learnt), val: tuple(p.name for p in scored)}
    return replace(data, photos=(*learnt, *scored), splits=splits)


def _voc(kind: str) -> Dataset:
    return _with(voc(), [replace(p, labels=KINDS[kind](p)) for p in voc().split("train")], "val_dev")


def _some_masks(count: int) -> Dataset:
    names = voc().splits["train"]
    masked = {str(n) for n in np.random.default_rng(0).permutation(names)[:count]}
    rest = voc().subset([*names, *voc().splits["train_aug600"]])
    return _with(voc(), [replace(p, labels=_kept(p, Mask) if p.name in masked else ()) for p in rest], "val_dev")


def _msrc(kind: str) -> Dataset:
    data = l2m.open(MSRC)
    if kind == "masks":
        return _with(data, [replace(p, labels=_kept(p, Mask)) for p in data.split("train")], "val")
    labels = simulated(MSRC, kind)
    return _with(data, [replace(p, labels=labels[p.name]) for p in data.split("train")], "val")


def labelled_truth(data: Dataset) -> Callable[[Photo], np.ndarray]:
    """photo -> truth_HW of a training photo, -1 = void: for figures about labels, never to learn from."""
    root = MSRC if "msrc" in str(data.photos[0].image) else VOC
    source = l2m.open(root) if root == MSRC else voc()
    by_name = {p.name: replace(p, labels=_kept(p, Mask)) for p in source}
    return lambda photo: truth_mask(by_name[photo.name], *image_size(photo.image))
