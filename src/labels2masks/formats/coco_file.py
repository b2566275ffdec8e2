"""COCO's JSON files: where they are, which photos and classes they list. What `coco` and `coco_panoptic` share.

    annotations/instances_train2017.json    one file a split; photos in images/, in train2017/, or anywhere below
    train/_annotations.coco.json            one file beside the photos of a split
    result.json                             one file; photos beside it or in images/

Ids are numbers or texts, and need not be without gaps. The order of the keys in the file is free.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ..classes import Classes, Vocabulary
from ..errors import DataError
from ..labels import Label
from .coco_categories import Category, category_of, id_of
from .dataset import Dataset, Photo
from .drawn import PhotoFiles, photos_near
from .label_json import Field
from .listing import has_images
from .notes import Notes
from .streamed_json import streamed

MOST_FILES = 32
"""JSON files in a folder above which none is taken for COCO's: tools with a file a photo have many."""

PEEK = 2**15
"""Bytes at either end of a file by which it is known: captions and instances begin alike."""

WORDS = tuple(
    f'"{w}"'.encode() for w in ("images", "annotations", "categories", "image_id", "category_id", "file_name")
)
TASK = re.compile(r"^(instances|person_keypoints|stuff|panoptic|image_info)_(?=.)")
YEAR = re.compile(r"^(train|val|test|test-dev|unlabeled)(19|20)\d\d$")
NO_SPLIT = frozenset({"instances", "panoptic", "annotations", "coco", "result", "labels"})


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of the list and its photo. size: (height, width) that the file states.

    asked: None where the photo was searched for every class; else the ids of those that it was searched for in vain,
    and of those that are not annotated to the last (LVIS, Gupta et al. 2019, "federated").
    """

    name: str
    image: Path
    size: tuple[int, int] | None
    asked: tuple[frozenset[str], frozenset[str]] | None = None


@dataclass
class CocoFile:
    """What one file lists. entries: by id; None where the photo is not there, or two have the id."""

    path: Path
    split: str
    hints: tuple[str, ...]
    entries: dict[str, Entry | None] = field(default_factory=dict)
    categories: dict[str, Category] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def foreground(self) -> frozenset[str]:
        return frozenset(c.name for c in self.categories.values() if not c.is_void and not c.is_background)


def kind_of(file: Path) -> str:
    """'instances', 'panoptic', or '' for what is no COCO file or holds captions only."""
    try:
        with open(file, "rb") as opened:
            text = opened.read(PEEK)
            opened.seek(max(PEEK, opened.seek(0, 2) - PEEK))
            text += opened.read()
    except OSError:
        return ""
    if not re.match(rb"(\xef\xbb\xbf)?\s*{", text) or sum(w in text for w in WORDS) < 3:
        return ""
    if b'"segments_info"' in text or file.name.startswith("panoptic"):
        return "panoptic"
    return "" if b'"caption"' in text and b'"category_id"' not in text else "instances"


def coco_files(path: Path, kind: str) -> Iterator[Path]:
    """The COCO files of one kind at a path, in the order of their names."""
    if path.is_file():
        yield from (path,) if path.suffix.lower() == ".json" and kind_of(path) == kind else ()
        return
    for pattern in ("annotations/*.json", "*.json", "*/_annotations.coco.json"):
        found = sorted(islice(path.glob(pattern), MOST_FILES + 1))
        if len(found) <= MOST_FILES:
            yield from (f for f in found if f.is_file() and kind_of(f) == kind)


def photo_files(path: Path) -> PhotoFiles:
    """Where the photos of the files at `path` are looked for: in images/ if that holds any."""
    root = path if path.is_dir() else path.parent.parent if path.parent.name == "annotations" else photos_near(path)
    inner = root / "images"
    return PhotoFiles.below(inner if inner.is_dir() and has_images(inner) else root)


def read_files(
    path: Path, kind: str, notes: Notes, take: Callable[[CocoFile, int, Mapping[str, Any]], None]
) -> list[CocoFile]:
    """The files at `path`, one a split. take: is given every annotation, when the images are known.

    Categories may only be known when this returns. Raises DataError.
    """
    photos = photo_files(path)
    made: list[CocoFile] = []
    for file in coco_files(path, kind):
        listed = _named(file, path)
        if any(f.split == listed.split for f in made):
            notes.add(
                "files that list a split once more are not read: open them by themselves", f"{file.name} ({kind})"
            )
            continue
        _read(listed, photos, notes, take)
        made.append(listed)
    if not any(entry for listed in made for entry in listed.entries.values()):
        raise DataError(f"{path}: none of the listed images is below {photos.folder}; put the photos there")
    return made


def dataset_of(
    path: Path,
    name: str,
    files: list[CocoFile],
    classes: Classes,
    labels_of: Callable[[CocoFile, str, Entry, tuple[Label, ...]], tuple[Label, ...]],
    notes: Notes,
) -> Dataset:
    """The listed photos in order. labels_of: (file, image's id, entry, the photo's labels so far) -> its labels."""
    vocabulary = Vocabulary.same(classes)
    photos: dict[str, Photo] = {}
    splits: dict[str, dict[str, None]] = {}
    for listed in files:
        for image_id, entry in listed.entries.items():
            if entry is not None:
                before = photos[entry.name].labels if entry.name in photos else ()
                labels = labels_of(listed, image_id, entry, before)
                photos[entry.name] = Photo(entry.name, entry.image, labels, vocabulary)
                if listed.split:
                    splits.setdefault(listed.split, {})[entry.name] = None
    by_split = {split: tuple(names) for split, names in splits.items()}
    return Dataset(classes, tuple(photos.values()), by_split, path, name, notes.lines())


def _named(file: Path, path: Path) -> CocoFile:
    stem = file.stem.removesuffix(".coco")
    tag = file.parent.name if stem == "_annotations" else TASK.sub("", stem)
    split = "" if path.is_file() or stem in NO_SPLIT else split_of(tag)
    hints = (f"images/{tag}", f"{tag}/images", f"images/{split}", f"{split}/images", "images", file.parent.name, "")
    return CocoFile(file, split, tuple(dict.fromkeys(hints)))


def split_of(tag: str) -> str:
    """The split that a file's or folder's name means: "train2017" is train, and "valid", as Roboflow writes, val."""
    return "val" if tag == "valid" else YEAR.sub(r"\1", tag)


def _read(
    listed: CocoFile, photos: PhotoFiles, notes: Notes, take: Callable[[CocoFile, int, Mapping[str, Any]], None]
) -> None:
    waiting = False

    def annotation(i: int | None, value: Any) -> None:
        if i is None:
            raise DataError(f"{listed.path}, annotations: expected a list")
        if isinstance(value, dict):
            take(listed, i, value)
        else:
            notes.add("annotations that are no objects are left out", f"{listed.path.name}, annotations[{i}]")

    for key, i, value in streamed(listed.path):
        if key == "annotations":
            waiting |= not listed.entries
            if not waiting:
                annotation(i, value)
        elif key in ("images", "categories"):
            item = Field(value, f"{listed.path}, {key}[{i}]")
            if i is None or not isinstance(value, dict):
                raise item.fail("a list of objects")
            if key == "images":
                _add_entry(listed, item, photos, notes)
            else:
                category_id, category = category_of(item)
                if listed.categories.setdefault(category_id, category).name != category.name:
                    raise DataError(f"{item.where}: a second category with id {category_id[:20]!r}; give each its own")
        elif key == "info" and isinstance(value, dict):
            listed.info = value
    if not listed.entries or not listed.categories:
        raise DataError(f"{listed.path}: no {'images' if not listed.entries else 'categories'} listed; export it again")
    if waiting:  # the annotations came first
        for key, i, value in streamed(listed.path):
            if key == "annotations":
                annotation(i, value)


def _add_entry(listed: CocoFile, item: Field, photos: PhotoFiles, notes: Notes) -> None:
    value, where = item.value, item.where.removeprefix(f"{listed.path.parent}/")
    image_id = id_of(value.get("id"))
    text = next((t for k in ("file_name", "coco_url", "path") if isinstance(t := value.get(k), str) and t), "")
    if not image_id or not text:
        notes.add("images without an id or a file name are left out", where)
        return
    found = next((f for hint in listed.hints if (f := photos.find(f"{hint}/{text}"))), None)
    if found is None:
        notes.add(
            "images whose photo is not there, or one of several so called, are left out", f"{where}, {text[:80]!r}"
        )
    size = value.get("height"), value.get("width")
    stated = (size[0], size[1]) if all(type(v) is int and 0 < v < 2**31 for v in size) else None
    entry = found and Entry(*found, stated, _asked(value))
    if image_id in listed.entries:
        if (old := listed.entries[image_id]) != entry and (old is None or entry is None or old.name != entry.name):
            notes.add("ids of two images are left out with their annotations", where)
            listed.entries[image_id] = None
        return
    listed.entries[image_id] = entry


def _asked(value: Mapping[str, Any]) -> tuple[frozenset[str], frozenset[str]] | None:
    if "neg_category_ids" not in value and "not_exhaustive_category_ids" not in value:
        return None
    lists = [value.get(k) for k in ("neg_category_ids", "not_exhaustive_category_ids")]
    none, some = (frozenset(map(id_of, ids)) if isinstance(ids, list) else frozenset() for ids in lists)
    return none, some
