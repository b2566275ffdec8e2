"""PASCAL VOC: JPEGImages, SegmentationClass, Annotations (XML boxes), ImageSets (splits and tags).

Everett et al. 2015, "The PASCAL Visual Object Classes Challenge: A Retrospective". A photo
without a mask is a photo with its other labels. In the XML every object of every class
has its box, difficult ones included, so the boxes are complete. Boxes count pixels from 1
and include the last one: (1, 1, 2, 2) covers [0, 2) x [0, 2).

Other data sets use the same folders with their own class list: classes.json, classes.txt
or meta.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from ..classes import Classes, Colour, Vocabulary
from ..errors import DataError
from ..labels import Box, Boxes, Label, Mask, Tags
from .dataset import Dataset, Photo
from .listing import class_list, images_below, made_classes, read_list, read_lists, read_text

LAYOUT = "JPEGImages/ with SegmentationClass/, Annotations/ or ImageSets/"
HOLDS = frozenset({"tags", "boxes", "mask"})
NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
MASK_FOLDERS = ("SegmentationClass", "SegmentationClassAug")


def palette(count: int) -> tuple[Colour, ...]:
    """VOC's colours: the bits of the id are dealt to red, green and blue, highest bit first."""
    return tuple(
        (
            sum((i >> 3 * bit & 1) << 7 - bit for bit in range(8)),
            sum((i >> 3 * bit + 1 & 1) << 7 - bit for bit in range(8)),
            sum((i >> 3 * bit + 2 & 1) << 7 - bit for bit in range(8)),
        )
        for i in range(count)
    )


CLASSES = Classes(NAMES, palette(len(NAMES)), background="background", void_ids=frozenset({255}))


def recognises(path: Path) -> bool:
    return len(_roots(path)) > 0


def read(path: Path) -> Dataset:
    """Raises DataError for lists with photos that are not there, damaged XML and unknown class names."""
    roots = _roots(path)
    if len(roots) > 1:
        raise DataError(
            f"{path}: holds {len(roots)} years of VOC ({', '.join(r.name for r in roots)}): open one of them"
        )
    root = roots[0]
    images = images_below(root / "JPEGImages")
    mask_folder = next((root / f for f in MASK_FOLDERS if (root / f).is_dir()), None)
    masks = images_below(mask_folder) if mask_folder else {}
    objects = {name: _objects(f) for name in images if (f := root / "Annotations" / f"{name}.xml").is_file()}
    classes = _class_list(root, objects.values())
    tags = _tags(root / "ImageSets" / "Main", classes, images)
    everything = frozenset(classes.foreground)
    vocabulary = Vocabulary.same(classes)
    photos = []
    for name, image in images.items():
        labels: list[Label] = []
        if name in tags:
            labels.append(tags[name])
        if name in objects:
            labels.append(Boxes(objects[name], complete=everything))
        if name in masks:
            labels.append(Mask(masks[name]))
        photos.append(Photo(name, image, tuple(labels), vocabulary))
    return Dataset(classes, tuple(photos), _splits(root, images, classes), root, "voc")


def _roots(path: Path) -> list[Path]:
    """The folder itself, or the one(s) of a year below it, as the official archive unpacks."""
    found = []
    for root in (path, *sorted(path.glob("VOC2*")), *sorted(path.glob("VOCdevkit/VOC2*"))):
        others = (*MASK_FOLDERS, "Annotations", "ImageSets")
        if (root / "JPEGImages").is_dir() and any((root / f).is_dir() for f in others):
            found.append(root)
            if root == path:
                break
    return found


def _class_list(root: Path, objects: Iterable[tuple[Box, ...]]) -> Classes:
    classes, source = class_list(root)
    boxed = {box.name for boxes in objects for box in boxes}
    if classes is None:
        foreign = sorted(boxed - set(NAMES))
        if not foreign:
            return CLASSES
        if any((root / f).is_dir() for f in MASK_FOLDERS):
            raise DataError(
                f"{root}: the boxes name {foreign[0]!r}, which is no VOC class, and no file says which id it has in "
                "the masks; list all classes in the order of their ids in classes.txt"
            )
        return made_classes(root, [(n, i) for i, n in enumerate(["background", *sorted(boxed)])], {255})
    unknown = sorted(boxed - set(classes.names))
    if unknown:
        raise DataError(f"{source}: the boxes in Annotations/ name {unknown[0]!r}, which is not in this list; add it")
    if classes.names == NAMES:
        return CLASSES
    return classes


def _objects(path: Path) -> tuple[Box, ...]:
    """The boxes of one XML file; parts of objects are left out."""
    try:
        root = parse(path).getroot()
    except (ParseError, DefusedXmlException, ValueError, OSError) as error:
        raise DataError(
            f"{path}: not a readable VOC annotation ({type(error).__name__}: {error}); export it again"
        ) from error
    return tuple(_box(path, item) for item in root.iter("object"))


def _box(path: Path, item: Element) -> Box:
    name = (item.findtext("name") or "").strip()
    try:
        x0, y0, x1, y1 = (float(item.findtext(f"bndbox/{k}") or "") for k in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        raise DataError(f"{path}: the box of {name!r} needs the numbers xmin, ymin, xmax, ymax") from None
    if not name or not (x0 <= x1 and y0 <= y1):
        raise DataError(
            f"{path}: the box {x0:g}, {y0:g}, {x1:g}, {y1:g} of {name!r} is empty or has no name; correct it"
        )
    return Box.upright(name, x0 - 1, y0 - 1, x1, y1)


def _tags(folder: Path, classes: Classes, images: Mapping[str, Path]) -> dict[str, Tags]:
    """Tags from `class_split.txt`: 1 = present, 0 = present but hard to see, -1 = absent."""
    present: dict[str, set[str]] = {}
    absent: dict[str, set[str]] = {}
    for name in classes.foreground:
        for path in sorted(folder.glob(f"{name}_*.txt")):
            for number, line in enumerate(read_text(path).splitlines(), 1):
                parts = line.split()
                if not parts:
                    continue
                if len(parts) != 2 or parts[1] not in ("-1", "0", "1"):
                    raise DataError(f"{path}, line {number}: {line.strip()!r}; expected a photo name and -1, 0 or 1")
                if parts[0] in images:
                    (absent if parts[1] == "-1" else present).setdefault(parts[0], set()).add(name)
    return {
        name: Tags(
            frozenset(present.get(name, ())),
            frozenset(absent.get(name, ())) - frozenset(present.get(name, ())),
            frozenset(present.get(name, ())) | frozenset(absent.get(name, ())),
        )
        for name in images
        if name in present or name in absent
    }


def _splits(root: Path, images: Mapping[str, Path], classes: Classes) -> dict[str, tuple[str, ...]]:
    """The lists of ImageSets/Segmentation; those of ImageSets/Main too, as `Main/name` where the name is taken."""
    splits = read_lists(root / "ImageSets" / "Segmentation", images, "JPEGImages/")
    main = root / "ImageSets" / "Main"
    of_classes = {f.stem for name in classes.names for f in main.glob(f"{name}_*.txt")}
    for path in sorted(main.glob("*.txt")):
        if path.stem not in of_classes and "_" not in path.stem:
            name = f"Main/{path.stem}" if path.stem in splits else path.stem
            splits[name] = read_list(path, images, "JPEGImages/")
    return splits
