"""Tags in `ImageSets/Main/<class>_<split>.txt` of PASCAL VOC: a photo a line with 1, 0 (there, hard to see) or -1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..classes import Classes
from ..errors import DataError
from ..files import write_atomically
from ..labels import Tags
from .dataset import Dataset
from .listing import read_text
from .notes import Notes
from .written import labels_of, plain_name

REST = "all"
"""The split in a file's name for photos that are in none."""


def read_tags(folder: Path, classes: Classes, images: Mapping[str, object]) -> dict[str, Tags]:
    """Photo -> tags, complete for the classes that a file states. Raises DataError for other lines."""
    present: dict[str, set[str]] = {}
    absent: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*.txt")):
        name = _class_of(path.stem, classes)
        if name is None or not is_of_tags(path):  # train_aug.txt may be a split beside the class "train"
            continue
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            photo, _, said = line.strip().replace("\t", " ").rpartition(" ")
            if said not in ("-1", "0", "1") or not photo.strip():
                raise DataError(f"{path}, line {number}: {line.strip()!r}; expected a photo name and -1, 0 or 1")
            if photo.strip() in images:
                (absent if said == "-1" else present).setdefault(photo.strip(), set()).add(name)
    return {
        photo: Tags(there, missing - there, there | missing)
        for photo in images
        if (there := frozenset(present.get(photo, ()))) | (missing := frozenset(absent.get(photo, ())))
    }


def is_of_tags(path: Path) -> bool:
    """Does a list of ImageSets/Main hold the tags of a class, maybe one that the class list does not know?"""
    first = read_text(path).lstrip().split("\n", 1)[0].split()
    return "_" in path.stem and len(first) > 1 and first[-1] in ("-1", "0", "1")


def _class_of(stem: str, classes: Classes) -> str | None:
    """The longest class name that a file's name begins with: `pole_group_train` is no list of `pole`."""
    return max((n for n in classes.foreground if stem.startswith(f"{n}_")), key=len, default=None)


def write_tags(data: Dataset, names: Mapping[str, str], folder: Path, notes: Notes) -> None:
    """One file for each class and split. names: photo -> file name. A complete class without a tag is absent."""
    splits: dict[str, dict[str, None]] = {}
    for split, listed_photos in data.splits.items():
        stem = plain_name(split.removeprefix("Main/").replace("/", "__"))
        splits.setdefault(stem, {}).update(dict.fromkeys(listed_photos))
    listed = {photo for photos in splits.values() for photo in photos}
    lines: dict[tuple[str, str], list[str]] = {}
    by_name = {photo.name: photo for photo in data.photos}
    for split, photos in [*splits.items(), (REST, dict.fromkeys(n for n in by_name if n not in listed))]:
        for photo in (by_name[n] for n in photos if n in by_name):
            where = f"photo {photo.name!r}"
            said: dict[str, str] = {}
            for tags in labels_of(photo, Tags):
                assert isinstance(tags, Tags)
                said |= dict.fromkeys((tags.absent | tags.complete) - tags.present, "-1")
                said |= dict.fromkeys(tags.present, " 1")
            for name, value in sorted(said.items()):
                if name not in data.classes.foreground or "/" in name or not name.isprintable():
                    notes.add("tags of background, groups and classes that no file can be named by", where)
                else:
                    lines.setdefault((name, split), []).append(f"{names[photo.name]} {value}\n")
    for (name, split), of_class in lines.items():
        write_atomically(folder / f"{name}_{split}.txt", "".join(of_class))
