"""CamVid with the 11 classes of SegNet (Badrinarayanan et al. 2017; Brostow et al. 2009).

Two layouts: `images/ labels/ splits/` with a meta.json, and that of the SegNet tutorial:
`train/ trainannot/ val/ valannot/ test/ testannot/`. Masks are indexed, 11 is void, and
there is no background class.
"""

from __future__ import annotations

from pathlib import Path

from ..classes import Classes, Vocabulary
from ..errors import DataError
from ..labels import Mask
from .dataset import Dataset, Photo
from .listing import class_list, images_below, read_lists

LAYOUT = "images/ + labels/ + meta.json with CamVid's classes, or train/ + trainannot/"
HOLDS = frozenset({"mask"})
CLASSES = Classes(
    names=("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"),
    colours=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
    void_ids=frozenset({11}),
)
TUTORIAL = ("train", "val", "test")


def recognises(path: Path) -> bool:
    if any((path / s).is_dir() and (path / f"{s}annot").is_dir() for s in TUTORIAL):
        return True
    if not ((path / "images").is_dir() and (path / "labels").is_dir()):
        return False
    classes, _ = class_list(path)
    return classes is not None and tuple(n.lower() for n in classes.names) == CLASSES.names


def read(path: Path) -> Dataset:
    """Raises DataError for lists with photos that are not there, or masks without a photo."""
    pairs = [(path / s, path / f"{s}annot", s) for s in TUTORIAL if (path / s).is_dir()]
    if not pairs:
        pairs = [(path / "images", path / "labels", "")]
    vocabulary = Vocabulary.same(CLASSES)
    photos: dict[str, Photo] = {}
    splits: dict[str, tuple[str, ...]] = {}
    for image_folder, mask_folder, split in pairs:
        images, masks = images_below(image_folder), images_below(mask_folder)
        if not masks.keys() <= images.keys():
            raise DataError(f"{masks[min(masks.keys() - images.keys())]}: a mask without a photo in {image_folder}")
        if repeated := images.keys() & photos.keys():
            raise DataError(f"{images[min(repeated)]}: the photo is in two splits; remove one of them")
        for name, image in images.items():
            labels = (Mask(masks[name]),) if name in masks else ()
            photos[name] = Photo(name, image, labels, vocabulary)
        if split:
            splits[split] = tuple(images)
    if not any(s for _, _, s in pairs) and (path / "splits").is_dir():
        splits = read_lists(path / "splits", photos, "images/")
    return Dataset(CLASSES, tuple(photos.values()), splits, path, "camvid")
