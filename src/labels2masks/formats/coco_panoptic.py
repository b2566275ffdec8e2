"""COCO's panoptic masks: a JSON file, and beside it a folder with a PNG for each photo.

    annotations/panoptic_val2017.json, annotations/panoptic_val2017/000000000139.png

A pixel's segment is red + 256 green + 65536 blue; the JSON says the category of each segment (Kirillov et al. 2019,
"Panoptic Segmentation"). 0, segments that are not listed, and crowds are void. A photo that has a PNG is complete.
No background is added: every pixel has a category or is void; one called "background" is it.

Written are masks, one segment a class, and outlines, one segment each; outlines that leave something out lie on void.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import UsageError
from ..files import write_atomically
from ..labels import Label, Mask, Region, Regions, is_mask
from ..labels.outlines import filled
from ..labels.rasterise import check_size
from .coco_categories import categories_of, classes_of, id_of
from .coco_file import CocoFile, Entry, coco_files, dataset_of, read_files
from .coco_written import images_of, parts_of, write_lists
from .dataset import Dataset, Photo
from .drawn import PhotoFiles, on_upright
from .marks import drawable_size
from .notes import Notes
from .written import Written, empty_folder, file_names, left_out, place_photo, same_source, size_of

LAYOUT = "COCO's panoptic_*.json beside a folder of PNG, or a folder with annotations/panoptic_*.json"
HOLDS = frozenset({"mask", "regions"})


def recognises(path: Path) -> bool:
    return next(coco_files(path, "panoptic"), None) is not None


def read(path: Path) -> Dataset:
    """Raises DataError where a file is no COCO JSON or none of its images is there."""
    notes = Notes()
    pictures: dict[Path, PhotoFiles] = {}
    found: dict[tuple[Path, str], tuple[Path, dict[int, str]]] = {}

    def take(listed: CocoFile, i: int, value: Mapping[str, Any]) -> None:
        where = f"{listed.path.name}, annotations[{i}]"
        image_id, text = id_of(value.get("image_id")), value.get("file_name")
        if listed.entries.get(image_id) is None:
            if image_id not in listed.entries:
                notes.add("annotations of images that are not listed are left out", where)
            return
        if listed.path not in pictures:
            beside = listed.path.with_suffix("")
            pictures[listed.path] = PhotoFiles.below(beside if beside.is_dir() else listed.path.parent)
        file = pictures[listed.path].find(text) if isinstance(text, str) else None
        if file is None:
            notes.add("annotations whose PNG is not there are left out", f"{where}, {str(text)[:80]!r}")
        else:
            found[listed.path, image_id] = file[1], _segments(value.get("segments_info"), notes, where)

    files = read_files(path, "panoptic", notes, take)
    classes = classes_of(str(path), [f.categories.values() for f in files], None)
    ids = dict(zip(classes.names, classes.file_ids, strict=True))

    def labels(listed: CocoFile, image_id: str, entry: Entry, before: tuple[Label, ...]) -> tuple[Label, ...]:
        if (listed.path, image_id) not in found:
            return before
        where = f"photo {entry.name!r}"
        png, segments = found.pop((listed.path, image_id))
        if any(i not in listed.categories for i in segments.values()):
            notes.add("segments of categories that are not listed are void", where)
        known = {s: ids[c.name] for s, i in segments.items() if (c := listed.categories.get(i)) and not c.is_void}
        size = drawable_size(png, notes, where)
        return on_upright((Mask(png, segments=known),), entry.image, size, notes, where) if size else before

    return dataset_of(path, "coco_panoptic", files, classes, labels, notes)


def _segments(value: Any, notes: Notes, where: str) -> dict[int, str]:
    """Segment -> category id; crowds are left out."""
    made: dict[int, str] = {}
    for item in value if isinstance(value, list) else ():
        segment = item.get("id") if isinstance(item, dict) else None
        if type(segment) is not int or not 0 < segment < 2**24:
            notes.add("segments without an id from 1 to 2^24 - 1 are void", where)
        elif item.get("iscrowd") != 1:
            made[segment] = id_of(item.get("category_id"))
    return made


def write(data: Dataset, path: Path | str) -> Written:
    """A folder: images/, annotations/panoptic_<split>.json with the PNG in a folder of the same name.

    Raises UsageError where something is there already, DataError for photos and masks that can not be read.
    """
    if Path(path).suffix.lower() == ".json":
        raise UsageError(f"{path}: coco_panoptic writes a folder, with annotations/ and images/; name a folder")
    same_source(data, "coco_panoptic")
    folder = empty_folder(path)
    notes = left_out(data, HOLDS, "coco_panoptic")
    names = file_names(data, notes)
    images = folder / "images"
    files = {p.name: place_photo(p, images / names[p.name], notes).relative_to(images) for p in data.photos}
    things = {m.name for p in data.photos for x in p.labels if isinstance(x, Regions) for m in x.marks}
    categories = [c | {"isthing": int(c["name"] in things)} for c in categories_of(data.classes, data.classes.names, 0)]
    for stem, photos in parts_of(data, "panoptic", notes).items():
        write_lists(
            folder / "annotations" / f"{stem}.json",
            images=images_of(photos, files),
            annotations=_annotations(photos, names, folder / "annotations" / stem, notes),
            categories=categories,
        )
    return Written(folder, notes.lines())


def _annotations(photos: list[Photo], names: Mapping[str, str], folder: Path, notes: Notes) -> Iterator[dict[str, Any]]:
    for image_id, photo in enumerate(photos, 1):
        segment_HW, infos = _painted(photo, notes)
        if not infos:
            notes.add("photos without a mask or an outline have no annotation", f"photo {photo.name!r}")
            continue
        name = f"{names[photo.name]}.png"
        _write_segments(folder / name, segment_HW)
        yield {"image_id": image_id, "file_name": name, "segments_info": infos}


def _write_segments(path: Path, segment_HW: np.ndarray) -> None:
    picture = Image.fromarray((segment_HW[..., None] >> np.array([0, 8, 16]) & 255).astype(np.uint8))
    write_atomically(path, lambda out: picture.save(out, "PNG"))


def _painted(photo: Photo, notes: Notes) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """(int32 HW of segments from 1, 0 = void; what the JSON says of each)."""
    source, where = photo.vocabulary.source, f"photo {photo.name!r}"
    segment_HW = np.zeros(size_of(photo), np.int32)
    said: list[tuple[str, bool]] = []

    def paint(pixels_HW: np.ndarray, name: str, crowd: bool = False) -> None:
        said.append((name, crowd))
        segment_HW[pixels_HW] = len(said)

    for label in photo.labels:
        if is_mask(label, source):
            (mask,) = replace(photo, labels=(label,)).labels_loaded()
            assert isinstance(mask, Mask)
            ids_HW = check_size(mask, segment_HW.shape)
            whole = source.names if isinstance(label, Mask) else (source.background,)
            for name in (n for n in whole if n is not None):
                paint(ids_HW == source.file_ids[source.index(name)], name)
        elif isinstance(label, Mask):
            notes.add("masks that narrowing left undecided, which coco_panoptic has no place for", where)
        if isinstance(label, Regions):
            notes.add("outlines become pixels, and overlaps their upper one", where)
            if label.complete and not is_mask(label, source):
                notes.add("what outlines promise of some classes but not of all", where)
            for region in sorted(label.marks, key=lambda r: not r.crowd):  # crowds lie below all others
                if region.name in source.names:
                    paint(_inside(region, segment_HW.shape), region.name, region.crowd)
                else:
                    notes.add("outlines of a group of classes, for which COCO has no category", where)
    infos = []
    for segment, (name, crowd) in enumerate(said, 1):
        rows, columns = np.nonzero(segment_HW == segment)
        if len(rows):
            x, y = int(columns.min()), int(rows.min())
            infos.append(
                {
                    "id": segment,
                    "category_id": source.file_ids[source.index(name)],
                    "area": len(rows),
                    "bbox": [x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1],
                    "iscrowd": int(crowd),
                }
            )
    return segment_HW, infos


def _inside(region: Region, shape: tuple[int, ...]) -> np.ndarray:
    made_HW = np.zeros(shape, bool)
    for polygon in region.polygons:
        made_HW |= filled(polygon, shape[0], shape[1])
    return made_HW
