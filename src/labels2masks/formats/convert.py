"""Convert a data set into another format, and label files in other people's JSON into labels.

    l2m convert voc_animals animals.jsonl --to jsonl \\
        --labels points_human.json --labels boxes_animalpose.json --labels tags.json

Three layouts of JSON are known by their content, each an object from photo name to labels;
classes are names or the ids of the masks:
    clicks  {"fg": [{"x", "y", "cls"}], "bg": [...]}   as published with "What's the Point"
            (Bearman et al. 2016). People clicked every class that they saw: complete for all.
    boxes   [{"cls", "box_xyxy": [x0, y0, x1, y1]}]    VOC's counting: from 1, last pixel included.
            Complete for the classes that the file boxes anywhere, and for no other.
    tags    ["cat", "dog"]                             Complete for all classes.
A photo that a file does not mention has no label of that file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..classes import Classes
from ..errors import DataError, UsageError, did_you_mean
from ..labels import Box, Boxes, Label, Point, Points, Tags, kind_name
from .dataset import Dataset
from .label_json import FIELDS, Field
from .listing import read_json
from .open import READERS, open_dataset
from .written import Written

WRITERS = {r.__name__.rsplit(".", 1)[-1]: r.write for r in READERS if hasattr(r, "write")}

Kinds = Collection[str] | Mapping[str, Collection[str]]


def convert(
    src: Path | str | Dataset,
    dst: Path | str,
    to: str = "jsonl",
    labels: Sequence[Path | str] = (),
    kinds: Kinds | None = None,
) -> Written:
    """Write the data set `src` to `dst`, with the labels of further JSON files.

    Returns what was written, and what the format could not hold (`left_out`, a sentence each).

    labels: JSON files, each a path or a name inside `src`.
    kinds: label kinds to keep, or split -> kinds for its photos (photos of no such split keep all).
    A label file points to the photos, relative to itself; a format with folders of its own gets them as hard links,
    or as copies where the disk knows no links.
    Raises UsageError for unknown formats and kinds and where `dst` exists, DataError for bad files.
    """
    if to not in WRITERS:
        raise UsageError(f"unknown format {to!r} for --to{did_you_mean(to, WRITERS)}")
    data = src if isinstance(src, Dataset) else open_dataset(src)
    for name in labels:
        data = with_labels(data, _found(Path(name), data))
    if kinds is not None:
        data = keep_kinds(data, kinds)
    return WRITERS[to](data, dst)


def with_labels(data: Dataset, path: Path | str) -> Dataset:
    """The data set with the labels of one JSON file (see above) added. Raises DataError."""
    path = Path(path)
    value = read_json(path)
    if not isinstance(value, dict) or not value:
        raise DataError(f"{path}: expected an object from photo name to labels")
    classes = data.classes
    read = _layout(path, value)
    complete = _boxed(path, value, classes) if read is _boxes else frozenset(classes.foreground)
    photos = []
    for photo in data.photos:
        if photo.name in value:
            if photo.vocabulary.source != classes:
                raise UsageError("add JSON labels before classes are chosen, merged or joined")
            label = read(Field(value[photo.name], f"{path}, {photo.name}"), classes, complete)
            photo = replace(photo, labels=(*photo.labels, label))
        photos.append(photo)
    if not any(p.name in value for p in data.photos):
        raise DataError(f"{path}: names no photo of the data set; the first is {next(iter(value))!r}")
    return replace(data, photos=tuple(photos))


def keep_kinds(data: Dataset, kinds: Kinds) -> Dataset:
    """Only labels of these kinds: for all photos, or split -> kinds for the photos of each split."""
    by_split = kinds if isinstance(kinds, Mapping) else None
    for kind in [k for ks in by_split.values() for k in ks] if by_split is not None else kinds:
        if kind not in FIELDS:
            raise UsageError(f"unknown label kind {kind!r}{did_you_mean(kind, FIELDS)}")
    kept: dict[str, Collection[str]] = {}
    if by_split is None:
        kept = {p.name: kinds for p in data.photos}
    else:
        for split, of_split in by_split.items():
            kept |= {p.name: of_split for p in data.split(split)}
    return replace(
        data,
        photos=tuple(
            replace(p, labels=tuple(x for x in p.labels if kind_name(x) in kept[p.name])) if p.name in kept else p
            for p in data.photos
        ),
    )


def _found(path: Path, data: Dataset) -> Path:
    inside = data.root / path if data.root is not None else path
    return inside if not path.is_file() and inside.is_file() else path


def _layout(path: Path, value: Mapping[str, object]) -> Callable[[Field, Classes, frozenset[str]], Label]:
    first = next((v for v in value.values() if v), None)
    if isinstance(first, dict) and ("fg" in first or "bg" in first):
        return _clicks
    if isinstance(first, list) and isinstance(first[0], str):
        return _tags
    if isinstance(first, list) and isinstance(first[0], dict) and "box_xyxy" in first[0]:
        return _boxes
    raise DataError(f"{path}: none of the known layouts (clicks 'fg'/'bg', boxes 'box_xyxy', lists of class names)")


def _class(field: Field, classes: Classes) -> str:
    if isinstance(field.value, str):
        if field.value not in classes.names:
            raise DataError(f"{field.where}: unknown class {field.value!r}{did_you_mean(field.value, classes.names)}")
        return field.value
    file_id = field.whole()
    if file_id not in classes.file_ids:
        raise DataError(f"{field.where}: id {file_id} is no class; known are {', '.join(map(str, classes.file_ids))}")
    return classes.names[classes.file_ids.index(file_id)]


def _boxed(path: Path, value: Mapping[str, object], classes: Classes) -> frozenset[str]:
    """The classes that a file of boxes boxes anywhere."""
    return frozenset(_class(box.at("cls"), classes) for v in value.values() for box in Field(v, str(path)).items())


def _clicks(field: Field, classes: Classes, complete: frozenset[str]) -> Label:
    marks = [
        Point(_class(click.at("cls"), classes), click.at("x").number(), click.at("y").number())
        for key in ("fg", "bg")
        for click in field.items(key, default=True)
    ]
    return Points(tuple(marks), complete)


def _boxes(field: Field, classes: Classes, complete: frozenset[str]) -> Label:
    marks = []
    for item in field.items():
        corners = [v.number() for v in item.items("box_xyxy")]
        if len(corners) != 4 or corners[0] > corners[2] or corners[1] > corners[3]:
            raise item.at("box_xyxy").fail("[x0, y0, x1, y1] with x0 <= x1 and y0 <= y1")
        x0, y0, x1, y1 = corners
        marks.append(Box.upright(_class(item.at("cls"), classes), x0 - 1, y0 - 1, x1, y1))
    return Boxes(tuple(marks), complete)


def _tags(field: Field, classes: Classes, complete: frozenset[str]) -> Label:
    return Tags(frozenset(_class(name, classes) for name in field.items()), complete=complete)
