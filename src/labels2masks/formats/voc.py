"""PASCAL VOC: JPEGImages, SegmentationClass, Annotations (XML boxes), ImageSets (splits and tags).

Everingham et al. 2015, "The PASCAL Visual Object Classes Challenge: A Retrospective". A photo
without a mask is a photo with its other labels. In the XML every object of every class
has its box, difficult ones included, so the boxes are complete unless one is damaged.
SegmentationObject is not read: objects of one class are not told apart here.

Other data sets use the same folders with their own class list: classes.json, classes.txt
or meta.json. Written are masks as indexed PNG with 255 = void, boxes to a thousandth of a
pixel, and tags; a split goes into ImageSets/Segmentation where all its photos have masks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ..classes import Classes, Colour, Vocabulary
from ..errors import DataError, UsageError
from ..files import write_atomically
from ..labels import Box, Boxes, Label, Mask
from ..progress import track
from .dataset import Dataset, Photo
from .jsonl import write_mask
from .listing import class_list, images_below, made_classes, read_list, read_lists
from .marks import is_void
from .mask_files import ids_in, mask_notes, write_list
from .notes import Notes
from .voc_tags import is_of_tags, read_tags, write_tags
from .voc_xml import Annotation, annotation, boxes_of, counted, has_area, read_annotation
from .written import Written, empty_folder, file_names, labels_of, place_photo, same_source, size_of

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
    found = {name: read_annotation(f) for name in images if (f := root / "Annotations" / f"{name}.xml").is_file()}
    classes = _class_list(root, found.values())
    tags = read_tags(root / "ImageSets" / "Main", classes, images)
    notes = Notes()
    vocabulary = Vocabulary.same(classes)
    photos = []
    for name, image in images.items():
        labels: list[Label] = []
        if name in tags:
            labels.append(tags[name])
        if name in found:
            labels += boxes_of(found[name], image, classes, notes, f"photo {name!r}")
        if name in masks:
            labels.append(Mask(masks[name]))
        photos.append(Photo(name, image, tuple(labels), vocabulary))
    return Dataset(classes, tuple(photos), _splits(root, images), root, "voc", notes.lines())


def write(data: Dataset, path: Path | str) -> Written:
    """Raises UsageError where `path` holds something, classes were chosen or are more than 255, DataError for masks."""
    same_source(data, "voc")
    notes = mask_notes(data, "voc", HOLDS)
    classes = eight_bits(data.classes, "voc", notes)
    root = empty_folder(path)
    names = file_names(data, notes)
    ids = dict(zip(classes.names, classes.file_ids, strict=True))
    for folder in ("JPEGImages", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    write_class_list(classes, root)
    for photo in track(data.photos, "writing photos"):
        name, where = names[photo.name], f"photo {photo.name!r}"
        file = place_photo(photo, root / "JPEGImages" / name, notes)
        if file.suffix not in (".jpg", ".jpeg"):
            notes.add("photos that are no JPEG keep their format: VOC's own programs look for .jpg", where)
        ids_HW = ids_in(photo, ids, classes.void_id, notes)
        if ids_HW is not None:
            write_mask(root / "SegmentationClass" / f"{name}.png", ids_HW, classes)
        if labels_of(photo, Boxes):
            xml = annotation(file.name, size_of(photo), _writable_boxes(photo, classes, notes))
            write_atomically(root / "Annotations" / f"{name}.xml", xml)
    write_tags(data, names, root / "ImageSets" / "Main", notes)
    masked = {photo.name for photo in data.photos if photo.has_mask}
    for split, photos in data.splits.items():
        plain = split.removeprefix("Main/")
        of_masks = plain == split and (f"Main/{split}" in data.splits or masked.issuperset(photos))
        lists = root / "ImageSets" / ("Segmentation" if of_masks else "Main")
        write_list(plain, [names[n] for n in photos if n in names], lists, notes)
    return Written(root, notes.lines())


def eight_bits(classes: Classes, name: str, notes: Notes) -> Classes:
    """VOC's own list where the names are VOC's, else the classes with ids below 255; 255 is void.

    Raises UsageError where there are more than 255.
    """
    if len(classes) > 255:
        raise UsageError(f"{len(classes)} classes: masks of {name} hold 255; convert --to folder, which has 16 bits")
    if classes.names == NAMES and not classes.groups:
        return CLASSES
    ids = classes.file_ids
    if max(ids) > 254:
        notes.add(f"ids above 254: masks of {name} have one byte, so classes are numbered anew", "the class list")
        ids = tuple(range(len(classes)))
    return replace(classes, file_ids=ids, void_ids=frozenset({255}))


def write_class_list(classes: Classes, root: Path) -> None:
    if classes != CLASSES:
        write_atomically(root / "classes.json", json.dumps(classes.to_json(), ensure_ascii=False, indent=1) + "\n")


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


def _class_list(root: Path, annotations: Iterable[Annotation]) -> Classes:
    classes, source = class_list(root)
    boxed = {name for found in annotations for name, _ in found.objects if name and not is_void(name)}
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


def _writable_boxes(photo: Photo, classes: Classes, notes: Notes) -> list[Box]:
    """The boxes that VOC's XML can say; what it can not is noted."""
    where = f"photo {photo.name!r}"
    kept: list[Box] = []
    for label in labels_of(photo, Boxes):
        assert isinstance(label, Boxes)
        if not label.complete.issuperset(classes.foreground):
            notes.add("that boxes are not of all objects: who reads voc takes them to be", where)
        for box in label.marks:
            if box.name not in classes.names or box.name != box.name.strip() or not box.name.isprintable():
                notes.add("boxes of groups, and of names that XML can not hold", where)
                continue
            if not has_area(counted(box)):
                notes.add("boxes without an area", where)
                continue
            if not box.is_upright:
                notes.add("the rotation of boxes: their upright hull is written", where)
            if box.extremes:
                notes.add("extreme clicks of boxes", where)
            kept.append(box)
    return kept


def _splits(root: Path, images: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    """The lists of ImageSets/Segmentation; those of ImageSets/Main too, as `Main/name` where the name is taken."""
    splits = read_lists(root / "ImageSets" / "Segmentation", images, "JPEGImages/")
    for path in sorted((root / "ImageSets" / "Main").glob("*.txt")):
        if not is_of_tags(path):
            name = f"Main/{path.stem}" if path.stem in splits else path.stem
            splits[name] = read_list(path, images, "JPEGImages/")
    return splits
