"""A plain folder of photos, with or without masks.

Photos lie in `images/`, or in the folder itself; masks in `masks/` (`labels/`, `annotations/`,
`gt/`) under the photo's name, or beside it (`a.jpg` + `a.png`, `a.png` + `a_mask.png`).
Classes come from classes.json, classes.txt or meta.json, else from the ids found in the
masks. Masks are indexed (grey values, palette indices, 16 bits), or RGB where a file gives the
classes' colours: classes.json, class_dict.csv or label_colors.txt. Splits come from
`splits/*.txt`, from train.txt, val.txt and test.txt, or from folders of these names
(`images/train/`, `train/images/`, or `train/` with `train_labels/`).

Written are `images/`, `masks/` as indexed PNG with a palette (16 bits where an id needs them),
classes.json and `splits/*.txt`; a data set whose classes were chosen or merged, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..classes import Classes, Vocabulary
from ..errors import DataError
from ..files import write_atomically
from ..labels import Mask
from ..progress import track
from .dataset import Dataset, Photo
from .image import mask_palette, read_mask
from .jsonl import write_mask
from .listing import class_list, files_by_name, has_images, images_below, one_file_each, read_list, read_lists
from .mask_files import MASKS, ids_in, mask_notes, write_lists
from .written import Written, empty_folder, file_names, place_photo

LAYOUT = "images/ + masks/, or photos with or without masks beside them"
HOLDS = MASKS
IMAGE_FOLDERS = ("images", "imgs", "image", "img", "photos")
MASK_FOLDERS = ("masks", "mask", "labels", "annotations", "segmentation", "gt")
MASK_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_gt", "_seg", "_L")
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".webp"})
SPLITS = ("train", "training", "trainval", "val", "valid", "validation", "dev", "test", "testing")
PEEKED = 2000
"""Masks whose ids are looked at where no file names the classes; evenly spaced beyond that."""


def recognises(path: Path) -> bool:
    return path.is_dir() and has_images(path)


def read(path: Path) -> Dataset:
    """Raises DataError for a mask without a photo, a list with photos that are not there, no photo at all."""
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for prefix, image_folder, mask_folder in _parts(path):
        found, of_found = _paired(image_folder, mask_folder)
        images |= {prefix + name: file for name, file in found.items()}
        masks |= {prefix + name: file for name, file in of_found.items()}
    if not images:
        raise DataError(f"{path}: no photos; expected JPEG, PNG or TIFF files in images/ or in the folder itself")
    classes, _ = class_list(path)
    classes = classes or _classes_found(list(masks.values()))
    vocabulary = Vocabulary.same(classes)
    photos = tuple(
        Photo(name, file, (Mask(masks[name]),) if name in masks else (), vocabulary) for name, file in images.items()
    )
    return Dataset(classes, photos, _splits(path, images), path, "folder")


def write(data: Dataset, path: Path | str) -> Written:
    """Raises UsageError where `path` holds something, DataError for broken masks."""
    root = empty_folder(path)
    notes = mask_notes(data, "folder")
    names = file_names(data, notes)
    classes = data.classes.with_void_id()
    ids = dict(zip(classes.names, classes.file_ids, strict=True))
    (root / "images").mkdir()
    write_atomically(root / "classes.json", json.dumps(classes.to_json(), ensure_ascii=False, indent=1) + "\n")
    for photo in track(data.photos, "writing photos"):
        place_photo(photo, root / "images" / names[photo.name], notes)
        ids_HW = ids_in(photo, ids, classes.void_id, notes)
        if ids_HW is not None:
            write_mask(root / "masks" / f"{names[photo.name]}.png", ids_HW, classes)
    write_lists(data, names, root / "splits", notes)
    return Written(root, notes.lines())


def _parts(path: Path) -> list[tuple[str, Path, Path | None]]:
    """(prefix of the names, photos, masks): one part, or one for each of train/, val/ and test/."""
    parts: list[tuple[str, Path, Path | None]] = [
        (f"{s}/", images, _below(path / s, MASK_FOLDERS)) for s in SPLITS if (images := _below(path / s, IMAGE_FOLDERS))
    ]
    beside: list[tuple[str, Path, Path | None]] = [
        (f"{s}/", path / s, path / f"{s}_labels") for s in SPLITS if (path / f"{s}_labels").is_dir()
    ]
    return parts or beside or [("", _below(path, IMAGE_FOLDERS) or path, _below(path, MASK_FOLDERS))]


def _below(path: Path, names: tuple[str, ...]) -> Path | None:
    return next((path / n for n in names if (path / n).is_dir()), None)


def _paired(image_folder: Path, mask_folder: Path | None) -> tuple[dict[str, Path], dict[str, Path]]:
    """(photos, masks), both by the photo's name."""
    if mask_folder is None:
        return _beside(files_by_name(image_folder))
    images = one_file_each(files_by_name(image_folder, leave_out=mask_folder))
    masks: dict[str, Path] = {}
    for name, file in images_below(mask_folder).items():
        photo = next((n for n in (name, *_without_ending(name)) if n in images), None)
        if photo is None:
            raise DataError(f"{file}: a mask without a photo of that name in {image_folder}; rename it or move it away")
        if photo in masks:
            raise DataError(f"{file}: {masks[photo].name} is a mask of the same photo; keep one of them")
        masks[photo] = file
    return images, masks


def _beside(files: Mapping[str, list[Path]]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Photos and masks of one folder: `a.jpg` + `a.png`, or `a.png` + `a_mask.png`."""
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for name, found in files.items():
        photo = next((n for n in _without_ending(name) if n in files), None)
        lossy = [f for f in found if f.suffix.lower() in PHOTO_SUFFIXES]
        if photo is not None and len(found) == 1:
            masks[photo] = found[0]
        elif len(found) == 2 and len(lossy) == 1:
            images[name] = lossy[0]
            masks[name] = next(f for f in found if f is not lossy[0])
        else:
            images |= one_file_each({name: found})
    return images, masks


def _without_ending(name: str) -> list[str]:
    return [name.removesuffix(e) for e in MASK_ENDINGS if name.endswith(e) and name != e]


def _classes_found(masks: list[Path]) -> Classes:
    """Classes from the ids in the masks: `class_3`, ..., or background and object where there are only two."""
    found: set[int] = set()
    colours: tuple[tuple[int, int, int], ...] = ()
    failure = None
    for path in masks[:: max(len(masks) // PEEKED, 1)]:
        try:
            found |= set(map(int, np.unique(read_mask(path))))
            colours = colours or mask_palette(path)
        except DataError as error:  # one broken mask is `check`'s to report
            failure = error
    if masks and not found and failure is not None:
        raise failure
    if not found:
        return Classes(("background",), background="background")
    if found <= {0, 255}:
        return Classes(("background", "object"), background="background", file_ids=(0, 255), void_ids=frozenset())
    if found <= {0, 1, 255}:
        return Classes(("background", "object"), background="background")
    ids = sorted(found - {255})
    palette = tuple(colours[i] for i in ids) if len(colours) > max(ids) else ()
    return Classes(tuple(f"class_{i}" for i in ids), palette, file_ids=tuple(ids))


def _splits(path: Path, images: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    splits = {s: names for s in SPLITS if (names := tuple(n for n in images if n.startswith(f"{s}/")))}
    for s in SPLITS:
        if (path / f"{s}.txt").is_file():
            splits[s] = read_list(path / f"{s}.txt", images, str(path))
    return splits | read_lists(path / "splits", images, str(path))
