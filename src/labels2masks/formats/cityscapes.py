"""Cityscapes: leftImg8bit/{train,val,test}/<city>/ with gtFine/ or gtCoarse/ beside it.

Cordts et al. 2016, "The Cityscapes Dataset for Semantic Urban Scene Understanding". Labels have ids 0..33 and -1
(license plate, never in a mask); 19 of them are evaluated and are the classes here, the others are void. Fine labels
go before coarse ones, and of one photo `_labelIds.png` before `_polygons.json`; `_labelTrainIds.png` (0..18, 255) is
read where no photo has labelIds.

Polygons are read as outlines in their order, later ones on top, void labels too ("ego vehicle", "out of roi"), each
half a pixel narrower than Cityscapes' own drawing, whose vertices are pixel centres. Fine ones leave no pixel out,
coarse ones do. "cargroup" is car; a license plate is what lies below it. As their void names no class of the data set,
labels.jsonl and folders of masks hold such a data set, other formats do not.

Written are labelIds. A photo is named by its file, `aachen_000000_000019`, whose first part is its city.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..classes import Classes, Vocabulary
from ..errors import DataError
from ..labels import Label, Mask, Regions
from ..progress import track
from .dataset import Dataset, Photo
from .drawn import on_upright
from .label_json import Field
from .listing import files_by_name, read_json
from .marks import Marks
from .mask_files import ids_in, known_ids, mask_notes, one_split_each, write_grey
from .notes import Notes
from .written import Written, empty_folder, file_names, place_photo

LAYOUT = "leftImg8bit/{train,val,test}/<city>/ with gtFine/ or gtCoarse/"
HOLDS = frozenset({"mask", "regions"})
CLASSES = Classes(
    names=(
        "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation",
        "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ),
    colours=(
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153), (250, 170, 30),
        (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142),
        (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32),
    ),
    file_ids=(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
    void_ids=frozenset({0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30}),
)  # fmt: skip
TRAIN_IDS = Classes(CLASSES.names, CLASSES.colours, void_ids=frozenset({255}))
VOID = {
    "unlabeled": 0, "ego vehicle": 1, "rectification border": 2, "out of roi": 3, "static": 4, "dynamic": 5,
    "ground": 6, "parking": 9, "rail track": 10, "guard rail": 14, "bridge": 15, "tunnel": 16, "polegroup": 18,
    "caravan": 29, "trailer": 30,
}  # fmt: skip
"""Labels that are not evaluated, with their ids."""
DRAWN = Vocabulary(
    Classes((*CLASSES.names, *VOID), file_ids=(*CLASSES.file_ids, *VOID.values())),
    CLASSES,
    {n: frozenset({n}) for n in CLASSES.names} | dict.fromkeys(VOID, frozenset()),
)
"""How polygons are read: a void label is drawn over what lies below it, and then says nothing."""
SPLITS = {"train": "train", "val": "val", "test": "test", "train_extra": "train_extra"}
IMAGE = "leftImg8bit"
TRUTHS = ("gtFine", "gtCoarse")


def recognises(path: Path) -> bool:
    return any((path / IMAGE / split).is_dir() for split in SPLITS)


def read(path: Path) -> Dataset:
    """Raises DataError for no photo, two of one name, polygon files that are broken."""
    files: dict[str, tuple[str, Path]] = {}
    splits: dict[str, tuple[str, ...]] = {}
    for split in SPLITS:
        found = files_by_name(path / IMAGE / split)
        for below, same in found.items():
            name = below.rsplit("/", 1)[-1].removesuffix(f"_{IMAGE}")
            if name in files or len(same) > 1:
                raise DataError(f"{same[-1]}: a second photo {name!r}; rename or remove one of them")
            files[name] = f"{split}/{below}".removesuffix(f"_{IMAGE}"), same[0]
        if found:
            splits[split] = tuple(n.rsplit("/", 1)[-1].removesuffix(f"_{IMAGE}") for n in found)
    if not files:
        raise DataError(f"{path / IMAGE}: no photos; expected <split>/<city>/*_{IMAGE}.png")
    ids, trained = _masks(path, files, "labelIds"), _masks(path, files, "labelTrainIds")
    classes = TRAIN_IDS if trained and not ids else CLASSES
    masks = ids or trained
    vocabulary = Vocabulary.same(classes)
    notes = Notes()
    if ids and (left := sorted(trained.keys() - ids.keys())):
        notes.add("labelTrainIds are not read beside labelIds", f"photo {left[0]!r}", len(left))
    photos = []
    for name, (below, image) in track(files.items(), "reading labels", len(files)):
        if name in masks or classes == TRAIN_IDS:
            labels: tuple[Label, ...] = (Mask(masks[name]),) if name in masks else ()
            photos.append(Photo(name, image, labels, vocabulary))
        else:
            labels = _polygons(path, below, image, notes)
            photos.append(Photo(name, image, labels, DRAWN if labels else vocabulary))
    return Dataset(classes, tuple(photos), splits, path, "cityscapes", notes.lines())


def _masks(path: Path, files: Mapping[str, tuple[str, Path]], kind: str) -> dict[str, Path]:
    """Photo -> the mask of one kind, fine before coarse."""
    found = {}
    for name, (below, _) in files.items():
        for truth in TRUTHS:
            if (file := path / truth / f"{below}_{truth}_{kind}.png").is_file():
                found[name] = file
                break
    return found


def _polygons(path: Path, below: str, image: Path, notes: Notes) -> tuple[Label, ...]:
    for truth in TRUTHS:
        file = path / truth / f"{below}_{truth}_polygons.json"
        if file.is_file():
            regions, size = _regions(Field(read_json(file), str(file)), truth == "gtFine", notes)
            return on_upright([regions], image, size, notes, str(file))
    return ()


def _regions(field: Field, fine: bool, notes: Notes) -> tuple[Regions, tuple[int, int]]:
    """(outlines, (height, width)) of one file; objects that are marked as deleted or have no id are passed over."""
    size = field.at("imgHeight").whole(), field.at("imgWidth").whole()
    marks = Marks(size, notes, field.where)
    for item in field.items("objects"):
        name = item.at("label").text()
        if name not in VOID and (single := name.removesuffix("group")) in CLASSES.names:
            name = single
        if name == "license plate" or ("deleted" in item and item.at("deleted").value):
            continue
        if name not in DRAWN.source.names:
            marks.leave_out(None, "objects of labels that Cityscapes has not are left out")
            continue
        ring_N2 = _ring(item.at("polygon"))
        if ring_N2 is None:
            marks.leave_out(name, "polygons of fewer than three points, or of no two numbers each, are left out")
        else:  # "unlabeled" would be an area to ignore, and those lie below all others; static is void too
            marks.region("static" if name == "unlabeled" else name, [[ring_N2 + 0.5]])
    complete = marks.promised(DRAWN.source)[1] if fine else frozenset()
    return Regions(tuple(marks.regions), complete), size


def _ring(field: Field) -> np.ndarray | None:
    try:
        xy_N2 = np.array([[v.number() for v in vertex.items()] for vertex in field.items()], np.float64)
    except (DataError, ValueError):  # points of different lengths, too
        return None
    return xy_N2 if xy_N2.ndim == 2 and xy_N2.shape[1] == 2 and len(xy_N2) >= 3 else None


def write(data: Dataset, path: Path | str) -> Written:
    """Raises UsageError where `path` holds something or a class is none of Cityscapes', DataError for broken masks."""
    notes = mask_notes(data, "cityscapes")
    ids = known_ids(data.classes, dict(zip(CLASSES.names, CLASSES.file_ids, strict=True)) | VOID, "cityscapes", notes)
    for name in VOID.keys() & set(data.classes.names):
        notes.add("classes that Cityscapes does not evaluate are void where they are read", f"class {name!r}")
    root = empty_folder(path)
    names = file_names(data, notes, flat=True)
    split_of = one_split_each(data, SPLITS, "cityscapes", notes)
    for photo in track(data.photos, "writing photos"):
        name = names[photo.name]
        city = name.split("_")[0] if "_" in name else ""
        below = f"{split_of[photo.name]}/{city or 'photos'}/{name}"
        if place_photo(photo, root / IMAGE / f"{below}_{IMAGE}", notes).suffix != ".png":
            sentence = "photos that are no PNG keep their format: Cityscapes' own programs look for .png"
            notes.add(sentence, f"photo {photo.name!r}")
        ids_HW = ids_in(photo, ids, 0, notes)
        if ids_HW is not None:
            write_grey(root / "gtFine" / f"{below}_gtFine_labelIds.png", ids_HW)
    return Written(root, notes.lines())
