"""CamVid (Brostow et al. 2009), with the 11 classes of SegNet (Badrinarayanan et al. 2017) or its own 32.

Four layouts. Indexed masks of the 11 classes, in which 11 is void, and no background: that of the SegNet tutorial,
`train/ trainannot/ val/ valannot/ test/ testannot/`, and `images/ labels/ splits/` with a meta.json. Masks in RGB
named `*_L.png`, of Cambridge's 32 labels, one of them void: `701_StillsRaw_full/ LabeledApproved_full/` with
label_colors.txt as Cambridge published it, and `train/ train_labels/ ...` with class_dict.csv from Kaggle.

The 11 classes are written as in the tutorial, Cambridge's as on Kaggle.
"""

from __future__ import annotations

from pathlib import Path

from ..classes import Classes, Vocabulary
from ..errors import DataError
from ..files import write_atomically
from ..labels import Mask
from ..progress import track
from .dataset import Dataset, Photo
from .listing import class_list, images_below, read_lists
from .mask_files import MASKS, ids_in, known_ids, mask_notes, one_split_each, write_colours, write_grey
from .written import Written, empty_folder, file_names, place_photo

LAYOUT = "train/ + trainannot/, images/ + labels/ + meta.json, or RGB masks *_L.png with CamVid's classes"
HOLDS = MASKS
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
CAMBRIDGE = Classes(
    names=(
        "Animal", "Archway", "Bicyclist", "Bridge", "Building", "Car", "CartLuggagePram", "Child", "Column_Pole",
        "Fence", "LaneMkgsDriv", "LaneMkgsNonDriv", "Misc_Text", "MotorcycleScooter", "OtherMoving", "ParkingBlock",
        "Pedestrian", "Road", "RoadShoulder", "Sidewalk", "SignSymbol", "Sky", "SUVPickupTruck", "TrafficCone",
        "TrafficLight", "Train", "Tree", "Truck_Bus", "Tunnel", "VegetationMisc", "Wall",
    ),
    colours=(
        (64, 128, 64), (192, 0, 128), (0, 128, 192), (0, 128, 64), (128, 0, 0), (64, 0, 128), (64, 0, 192),
        (192, 128, 64), (192, 192, 128), (64, 64, 128), (128, 0, 192), (192, 0, 64), (128, 128, 64), (192, 0, 192),
        (128, 64, 64), (64, 192, 128), (64, 64, 0), (128, 64, 128), (128, 128, 192), (0, 0, 192), (192, 128, 128),
        (128, 128, 128), (64, 128, 192), (0, 0, 64), (0, 64, 64), (192, 64, 128), (128, 128, 0), (192, 128, 192),
        (64, 0, 64), (192, 192, 0), (64, 192, 0),
    ),
    file_ids=(*range(30), 31),
    void_ids=frozenset({30, 255}),
)  # fmt: skip
"""In the order of label_colors.txt, in which "Void", black, is the 31st of 32."""
STILLS, APPROVED = "701_StillsRaw_full", "LabeledApproved_full"
SPLITS = ("train", "val", "test")


def recognises(path: Path) -> bool:
    if any((path / s).is_dir() and (path / f"{s}annot").is_dir() for s in SPLITS):
        return True
    if (path / STILLS).is_dir() and (path / APPROVED).is_dir():
        return True
    try:
        classes, _ = class_list(path)
    except DataError:
        return False
    if classes is None:
        return False
    if any((path / s).is_dir() and (path / f"{s}_labels").is_dir() for s in SPLITS):
        return set(classes.names) <= set(CAMBRIDGE.names)
    names = tuple(n.lower() for n in classes.names)
    return names == CLASSES.names and (path / "images").is_dir() and (path / "labels").is_dir()


def read(path: Path) -> Dataset:
    """Raises DataError for lists with photos that are not there, masks without a photo, a broken colour table."""
    parts = [(path / s, path / f"{s}annot", s) for s in SPLITS if (path / s).is_dir()]
    classes = CLASSES
    if parts and not any(masks.is_dir() for _, masks, _ in parts):
        parts = [(images, path / f"{s}_labels", s) for images, _, s in parts]
        classes = class_list(path)[0] or CAMBRIDGE
    elif (path / STILLS).is_dir():
        parts, classes = [(path / STILLS, path / APPROVED, "")], class_list(path)[0] or CAMBRIDGE
    vocabulary = Vocabulary.same(classes)
    photos: dict[str, Photo] = {}
    splits: dict[str, tuple[str, ...]] = {}
    for image_folder, mask_folder, split in parts or [(path / "images", path / "labels", "")]:
        images = images_below(image_folder)
        masks = {
            name if name in images else name.removesuffix("_L"): f for name, f in images_below(mask_folder).items()
        }
        if not masks.keys() <= images.keys():
            raise DataError(f"{masks[min(masks.keys() - images.keys())]}: a mask without a photo in {image_folder}")
        if repeated := images.keys() & photos.keys():
            raise DataError(f"{images[min(repeated)]}: the photo is in two splits; remove one of them")
        for name, image in images.items():
            labels = (Mask(masks[name]),) if name in masks else ()
            photos[name] = Photo(name, image, labels, vocabulary)
        if split and images:
            splits[split] = tuple(images)
    if not parts and (path / "splits").is_dir():
        splits = read_lists(path / "splits", photos, "images/")
    return Dataset(classes, tuple(photos.values()), splits, path, "camvid")


def write(data: Dataset, path: Path | str) -> Written:
    """Raises UsageError where `path` holds something or a class is none of CamVid's, DataError for broken masks."""
    notes = mask_notes(data, "camvid")
    here = set(data.classes.foreground)
    of_kaggle = not here <= set(CLASSES.names) and here <= set(CAMBRIDGE.names)
    classes = CAMBRIDGE if of_kaggle else CLASSES
    ids = known_ids(data.classes, dict(zip(classes.names, classes.file_ids, strict=True)), "camvid", notes)
    root = empty_folder(path)
    names = file_names(data, notes, flat=True)
    split_of = one_split_each(data, dict(zip(SPLITS, SPLITS, strict=True)), "camvid", notes)
    beside = "_labels" if of_kaggle else "annot"
    for folder in ("train", f"train{beside}"):
        (root / folder).mkdir()
    colours = dict(zip(classes.file_ids, classes.colours, strict=True)) | {classes.void_id: (0, 0, 0)}
    if of_kaggle:
        rows = sorted({**dict(zip(classes.file_ids, classes.names, strict=True)), classes.void_id: "Void"}.items())
        lines = ["name,r,g,b", *(f"{name},{','.join(map(str, colours[i]))}" for i, name in rows)]
        write_atomically(root / "class_dict.csv", "\n".join(lines) + "\n")
    for photo in track(data.photos, "writing photos"):
        name, split = names[photo.name], split_of[photo.name]
        if place_photo(photo, root / split / name, notes).suffix != ".png":
            sentence = "photos that are no PNG keep their format: CamVid's own programs look for .png"
            notes.add(sentence, f"photo {photo.name!r}")
        ids_HW = ids_in(photo, ids, classes.void_id, notes)
        if ids_HW is not None and of_kaggle:
            write_colours(root / f"{split}{beside}" / f"{name}_L.png", ids_HW, colours)
        elif ids_HW is not None:
            write_grey(root / f"{split}{beside}" / f"{name}.png", ids_HW)
    return Written(root, notes.lines())
