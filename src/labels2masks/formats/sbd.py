"""SBD, the Semantic Boundaries Dataset: masks of VOC's 20 classes for 11,355 of its photos, as MATLAB files.

Hariharan et al. 2011, "Semantic contours from inverse detectors". `img/*.jpg`, `cls/*.mat` with
GTcls.Segmentation (uint8, 0 = background), `train.txt`, `val.txt`, in the folder itself or in `dataset/`, as the
archive unpacks. There is no void in them; 255, where somebody's copy has it, is.

Neither `inst/*.mat` (objects) nor GTcls.Boundaries is read or written: this tool says what a pixel is. Masks of SBD
as PNG beside VOC's own, in SegmentationClassAug/, are read with VOC.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from ..classes import Vocabulary
from ..errors import DataError
from ..files import write_atomically
from ..labels import Mask
from ..progress import track
from .dataset import Dataset, Photo
from .listing import CLASS_FILES, class_list, images_below, read_list
from .mask_files import MASKS, ids_in, mask_notes, write_lists
from .matlab import struct_file
from .voc import CLASSES, eight_bits, write_class_list
from .written import Written, empty_folder, file_names, place_photo

LAYOUT = "img/ with cls/*.mat and train.txt, val.txt, maybe in dataset/"
HOLDS = MASKS


def recognises(path: Path) -> bool:
    return _root(path) is not None


def read(path: Path) -> Dataset:
    """Raises DataError for lists with photos that are not there and masks without a photo; broken masks when loaded."""
    root = _root(path) or path
    classes = class_list(root)[0] or CLASSES
    vocabulary = Vocabulary.same(classes)
    images = images_below(root / "img")
    masks = {file.stem: file for file in sorted((root / "cls").glob("*.mat"))}
    if not masks.keys() <= images.keys():
        raise DataError(f"{masks[min(masks.keys() - images.keys())]}: a mask without a photo in {root / 'img'}")
    photos = (Photo(n, file, (Mask(masks[n]),) if n in masks else (), vocabulary) for n, file in images.items())
    lists = (file for file in sorted(root.glob("*.txt")) if file.name not in CLASS_FILES and _is_list(file))
    return Dataset(classes, tuple(photos), {f.stem: read_list(f, images, "img/") for f in lists}, root, "sbd")


def write(data: Dataset, path: Path | str) -> Written:
    """Raises UsageError where `path` holds something or classes are more than 255, DataError for broken masks."""
    notes = mask_notes(data, "sbd")
    classes = eight_bits(data.classes, "sbd", notes)
    root = empty_folder(path)
    names = file_names(data, notes, flat=True)
    ids = dict(zip(classes.names, classes.file_ids, strict=True))
    (root / "cls").mkdir()
    write_class_list(classes, root)
    for photo in track(data.photos, "writing photos"):
        name = names[photo.name]
        if place_photo(photo, root / "img" / name, notes).suffix not in (".jpg", ".jpeg"):
            notes.add("photos that are no JPEG keep their format: SBD's readers look for .jpg", f"photo {photo.name!r}")
        ids_HW = ids_in(photo, ids, classes.void_id, notes)
        if ids_HW is not None:
            there = np.setdiff1d(ids_HW, [0, classes.void_id]).astype(np.uint8)
            fields = {"Segmentation": ids_HW.astype(np.uint8), "CategoriesPresent": there[:, None]}
            write_atomically(root / "cls" / f"{name}.mat", struct_file("GTcls", fields))
    write_lists(data, names, root, notes)
    return Written(root, notes.lines())


def _root(path: Path) -> Path | None:
    for root in (path, path / "dataset", path / "benchmark_RELEASE" / "dataset"):
        masks = root / "cls"
        if (root / "img").is_dir() and masks.is_dir() and all(f.suffix == ".mat" for f in islice(masks.iterdir(), 20)):
            return root
    return None


def _is_list(file: Path) -> bool:
    return "readme" not in file.name.lower() and "license" not in file.name.lower()
