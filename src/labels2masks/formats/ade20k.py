"""ADE20K as its scene parsing challenge has it: images/{training,validation}/, annotations/{training,validation}/.

Zhou et al. 2017, "Scene Parsing through ADE20K Dataset". Masks are grey PNG, 1..150 a class, 0 "other", which is
void. Classes are named by the first of their words; objectInfo150.txt beside the photos, where it is there, names them
instead. The splits are called train and val here.

The full release (index_ade20k.pkl, thousands of classes, *_seg.png in colours) is refused: its list of classes is a
pickle, and a pickle runs what its author wrote.
"""

from __future__ import annotations

from pathlib import Path

from ..classes import Classes, Vocabulary
from ..errors import DataError
from ..labels import Mask
from ..progress import track
from .dataset import Dataset, Photo
from .listing import images_below, read_text
from .mask_files import MASKS, ids_in, known_ids, mask_notes, one_split_each, write_grey
from .written import Written, empty_folder, file_names, place_photo

LAYOUT = "images/training/ and images/validation/ with annotations/ beside images/"
HOLDS = MASKS
NAMES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet",
    "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water",
    "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence", "desk",
    "rock", "wardrobe", "lamp", "bathtub", "railing", "cushion", "base", "box", "column", "signboard",
    "chest of drawers", "counter", "sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path",
    "stairs", "runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase",
    "blind", "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm",
    "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus", "towel", "light",
    "truck", "tower", "chandelier", "awning", "streetlight", "booth", "television", "airplane", "dirt track",
    "apparel", "pole", "land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster", "stage", "van",
    "ship", "fountain", "conveyer belt", "canopy", "washer", "plaything", "swimming pool", "stool", "barrel",
    "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank", "trade name",
    "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen", "blanket", "sculpture", "hood", "sconce",
    "vase", "traffic light", "tray", "ashcan", "fan", "pier", "crt screen", "plate", "monitor", "bulletin board",
    "shower", "radiator", "glass", "clock", "flag",
)  # fmt: skip
CLASSES = Classes(NAMES, file_ids=tuple(range(1, 151)), void_ids=frozenset({0}))
FOLDERS = {"training": "train", "validation": "val", "testing": "test"}
SPLITS = {split: folder for folder, split in FOLDERS.items()} | {folder: folder for folder in FOLDERS}
INFO = "objectInfo150.txt"
FULL = ("index_ade20k.pkl", "index_ade20k.mat")


def recognises(path: Path) -> bool:
    return _root(path) is not None or _full(path) is not None


def read(path: Path) -> Dataset:
    """Raises DataError for the full release, two photos of one name, masks without a photo, a broken class table."""
    root = _root(path)
    if root is None:
        raise DataError(
            f"{_full(path)}: the full release of ADE20K, whose class list is a pickle; open the scene parsing release "
            "(ADEChallengeData2016) instead: its masks are plain PNG of 150 classes"
        )
    classes = _classes(root / INFO) if (root / INFO).is_file() else CLASSES
    vocabulary = Vocabulary.same(classes)
    photos: dict[str, Photo] = {}
    splits: dict[str, tuple[str, ...]] = {}
    for folder, split in FOLDERS.items():
        images, masks = images_below(root / "images" / folder), images_below(root / "annotations" / folder)
        if not masks.keys() <= images.keys():
            lone = masks[min(masks.keys() - images.keys())]
            raise DataError(f"{lone}: a mask without a photo in {root / 'images' / folder}; move it away")
        for name, image in images.items():
            if name in photos:
                raise DataError(f"{image}: a second photo {name!r}; rename or remove one of them")
            photos[name] = Photo(name, image, (Mask(masks[name]),) if name in masks else (), vocabulary)
        if images:
            splits[split] = tuple(images)
    if not photos:
        raise DataError(f"{root / 'images'}: no photos; expected JPEG files in training/ or validation/")
    return Dataset(classes, tuple(photos.values()), splits, root, "ade20k")


def write(data: Dataset, path: Path | str) -> Written:
    """Raises UsageError where `path` holds something or a class is none of the 150, DataError for broken masks."""
    notes = mask_notes(data, "ade20k")
    ids = known_ids(data.classes, dict(zip(NAMES, CLASSES.file_ids, strict=True)), "ade20k", notes)
    root = empty_folder(path)
    names = file_names(data, notes, flat=True)
    split_of = one_split_each(data, SPLITS, "ade20k", notes)
    for folder in ("images", "annotations"):
        (root / folder / "training").mkdir(parents=True)
    for photo in track(data.photos, "writing photos"):
        below = f"{split_of[photo.name]}/{names[photo.name]}"
        if place_photo(photo, root / "images" / below, notes).suffix != ".jpg":
            sentence = "photos that are no .jpg keep their format: ADE20K's own programs look for .jpg"
            notes.add(sentence, f"photo {photo.name!r}")
        ids_HW = ids_in(photo, ids, 0, notes)
        if ids_HW is not None:
            write_grey(root / "annotations" / f"{below}.png", ids_HW)
    return Written(root, notes.lines())


def _root(path: Path) -> Path | None:
    for root in (path, path / "ADEChallengeData2016"):
        if all(any((root / f / s).is_dir() for s in ("training", "validation")) for f in ("images", "annotations")):
            return root
    return None


def _full(path: Path) -> Path | None:
    folders = (path, *sorted(path.glob("ADE20K_20*")))
    return next((folder / name for folder in folders for name in FULL if (folder / name).is_file()), None)


def _classes(path: Path) -> Classes:
    """Classes from the table: tabs between columns, the id in the first, the names in the last."""
    pairs = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if line.strip() and cells[0].lower() != "idx":
            if not (cells[0].isdecimal() and len(cells[0]) < 6 and 0 < int(cells[0]) < 65536 and len(cells) > 1):
                raise DataError(f"{path}, line {number}: {line.strip()!r}; expected an id above 0, tabs and a name")
            pairs.append((cells[-1].split(",")[0].strip(), int(cells[0])))
    if len({name for name, _ in pairs}) != len(pairs) or len({i for _, i in pairs}) != len(pairs) or not pairs:
        raise DataError(f"{path}: ids and first names must be there and distinct; put the challenge's own file there")
    return Classes(tuple(n for n, _ in pairs), file_ids=tuple(i for _, i in pairs), void_ids=frozenset({0}))
