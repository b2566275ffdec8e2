"""Our own label file, `labels.jsonl`: every kind of label without loss, one photo a line.

The first line is a header, `{"format": "labels2masks", "version": 1, "classes": {...}, ...}`; each
further line is a photo with its labels. `labels.schema.json` beside this module describes both and
has an example of every kind. Coordinates are (x, y) in pixels of the upright image, pixel x
covering [x, x + 1).

Safety: a label file may come from somebody else. Paths in it are relative to the header's
`root` (a folder, relative to the file; "." where it is left out), they may neither be absolute
nor contain `..`, and nothing but an image is ever read through them. So `root` alone says
which folder a file reaches into; a service that takes files from strangers calls
`read(path, confined=True)`, which refuses every root but those inside the file's own folder
and links that lead out of it. Unknown fields are refused, since a mistyped one would lose labels.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..classes import Classes, Vocabulary
from ..errors import DataError, UsageError
from ..files import write_atomically
from ..labels import Label, Mask
from .dataset import VOID_COLOURS, Dataset, Photo
from .label_json import FIELDS, Field, label_from_json, label_to_json
from .written import Written

LAYOUT = "a .jsonl file of ours, or a folder with labels.jsonl"
VERSION = 1
FILE_NAME = "labels.jsonl"
HOLDS = frozenset(FIELDS)


def recognises(path: Path) -> bool:
    file = _file(path)
    if not file.is_file():
        return False
    with open(file, "rb") as lines:
        head = lines.read(4096)
    return file.name == FILE_NAME or (b'"format"' in head and b'"labels2masks"' in head)


def read(path: Path, confined: bool = False) -> Dataset:
    """Raises DataError, naming the line and the field, for anything that is not as the schema says.

    confined: refuse files whose photos or masks lie outside the label file's own folder.
    """
    file = _file(path)
    lines = _lines(file)
    header = Field(next(lines, None), f"{file}, line 1")
    header.expect("format", "labels2masks")
    header.expect("version", VERSION)
    header.only("format", "version", "classes", "vocabularies", "splits", "root")
    try:
        classes = _classes(header.at("classes"))
    except UsageError as error:
        raise DataError(f"{file}, line 1: {error}") from error
    root = Path(os.path.normpath(file.parent / _root(header)))
    if confined:
        _inside(root, file.parent, header.where)
    vocabularies = [_vocabulary(v, classes) for v in header.items("vocabularies", default=True)]
    same = Vocabulary.same(classes)
    photos: dict[str, Photo] = {}
    for number, value in enumerate(lines, 2):
        line = Field(value, f"{file}, line {number}")
        line.only("name", "image", "vocabulary", "labels")
        name = line.at("name").text()
        if _leads_out(name):  # predictions, reviews and audits are written under it
            raise line.at("name").fail("a name such as 'a' or 'train/a', without '..'")
        if name in photos:
            raise DataError(f"{line.where}: a second photo {name!r}; names must be unique")
        vocabulary = same
        if "vocabulary" in line:
            place = line.at("vocabulary").whole()
            if place >= len(vocabularies):
                raise DataError(f"{line.where}: vocabulary {place}, but the header has {len(vocabularies)} (0-based)")
            vocabulary = vocabularies[place]
        image = root / _relative(line.at("image"))
        labels = tuple(_label(item, vocabulary.source, root) for item in line.items("labels"))
        if confined:
            for used in (image, *(x.path for x in labels if isinstance(x, Mask) and x.path)):
                _inside(used, file.parent, line.where)
        photos[name] = Photo(name, image, labels, vocabulary)
    return Dataset(classes, tuple(photos.values()), _splits(header, photos), path, "jsonl")


def write(data: Dataset, path: Path | str) -> Written:
    """Write a data set as one label file; photos and masks stay where they are.

    path: the file, or a folder that gets a labels.jsonl. Masks that are in memory only are
    written as PNG into `masks/` beside it. Raises UsageError where photos and
    file have no folder in common (two drives) or the file exists.
    """
    file = free_file(path)
    folder = file.absolute().parent
    data = _with_void_ids(data)
    photos = [_with_files(p, data.classes, folder) for p in data.photos]
    used = [os.path.abspath(p.image) for p in photos]
    used += [os.path.abspath(x.path) for p in photos for x in p.labels if isinstance(x, Mask) and x.path]
    try:
        root = os.path.commonpath([os.path.dirname(u) for u in used]) if used else str(folder)
        root_text = Path(os.path.relpath(root, folder)).as_posix()
    except ValueError as error:
        raise UsageError(f"{file}: photos, masks and label file must be on one drive") from error
    if root_text.split("/")[0] != "..":
        root, root_text = str(folder), "."
    vocabularies, place_of = _distinct(photos, data.classes)
    header: dict[str, Any] = {"format": "labels2masks", "version": VERSION, "classes": data.classes.to_json()}
    if vocabularies:
        header["vocabularies"] = vocabularies
    here = {p.name for p in photos}
    splits = {s: kept for s, names in data.splits.items() if (kept := [n for n in names if n in here])}
    if splits:
        header["splits"] = splits
    if root_text != ".":
        header["root"] = root_text

    def lines(out: BinaryIO) -> None:
        out.write(_line(header))
        for photo in photos:
            value: dict[str, Any] = {"name": photo.name, "image": _below(photo.image, root)}
            if (place := place_of[id(photo.vocabulary)]) is not None:
                value["vocabulary"] = place
            value["labels"] = [label_to_json(x, lambda mask: _below(mask, root)) for x in photo.labels]
            out.write(_line(value))

    return Written(write_atomically(file, lines))


def free_file(path: Path | str) -> Path:
    """The label file that is written at `path`, the file or its folder. UsageError where it exists."""
    file = Path(path)
    file = file if file.suffix == ".jsonl" else file / FILE_NAME
    if file.exists():
        raise UsageError(f"{file} exists already: name another file, or remove it first")
    return file


def _file(path: Path) -> Path:
    return path / FILE_NAME if path.is_dir() else path


def _lines(file: Path) -> Iterator[Any]:
    """The JSON value of every line. Only a line feed ends a line: names may hold other separators."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number")

    try:
        with open(file, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        yield json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"), parse_constant=refuse)
                    except (ValueError, RecursionError) as error:
                        raise DataError(
                            f"{file}, line {number}: not valid JSON ({error}); correct or write it again"
                        ) from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from error


def _line(value: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:  # a file name that is no text on this system
        return json.dumps(value, allow_nan=False).encode() + b"\n"


def _root(header: Field) -> str:
    root = header.at("root").text() if "root" in header else "."
    if "\0" in root or Path(root).is_absolute() or Path(root).drive or Path(root).root:
        raise header.at("root").fail("a folder relative to the label file")
    return root


def _relative(path: Field) -> str:
    text = path.text()
    if _leads_out(text):
        raise path.fail("a path below the header's root, without '..': say in 'root' where the files are")
    return text


def _leads_out(text: str) -> bool:
    parts = Path(text)
    return bool(
        not parts.parts or "\0" in text or parts.is_absolute() or parts.drive or parts.root or ".." in parts.parts
    )


def _inside(path: Path, folder: Path, where: str) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{where}: {path} is outside the label file's folder; only files below it are allowed here")


def _classes(field: Field) -> Classes:
    field.only("names", "colours", "background", "file_ids", "void_ids", "groups")
    groups = {name: tuple(m.text() for m in members.items()) for name, members in field.pairs("groups", default=True)}
    return Classes(
        names=tuple(n.text() for n in field.items("names")),
        colours=tuple(_colour(c) for c in field.items("colours", default=True)),
        background=field.at("background").text() if field.has_value("background") else None,
        file_ids=tuple(i.whole() for i in field.items("file_ids", default=True)),
        void_ids=frozenset(i.whole() for i in field.items("void_ids")) if "void_ids" in field else frozenset({255}),
        groups=groups,
    )


def _colour(field: Field) -> tuple[int, int, int]:
    parts = [c.whole() for c in field.items()]
    if len(parts) != 3 or max(parts) > 255:
        raise DataError(f"{field.where}: {parts}; expected [red, green, blue], 0..255")
    return parts[0], parts[1], parts[2]


def _vocabulary(field: Field, target: Classes) -> Vocabulary:
    field.only("source", "sets")
    try:
        source = _classes(field.at("source"))
        sets = {name: frozenset(n.text() for n in allowed.items()) for name, allowed in field.pairs("sets")}
        for allowed in sets.values():
            for name in allowed:
                target.index(name)
        if set(sets) != set(source.names):
            raise UsageError("'sets' must say for every class of 'source' what it means")
    except UsageError as error:
        raise DataError(f"{field.where}: {error}") from error
    return Vocabulary(source, target, sets)


def _label(field: Field, source: Classes, root: Path) -> Label:
    return label_from_json(field, source, lambda path: root / _relative(path))


def _splits(header: Field, photos: Mapping[str, Photo]) -> dict[str, tuple[str, ...]]:
    splits = {}
    for split, names_field in header.pairs("splits", default=True):
        names = tuple(n.text() for n in names_field.items())
        unknown = next((n for n in names if n not in photos), None)
        if unknown is not None:
            raise DataError(f"{names_field.where}: no photo {unknown!r} in this file; correct or remove it")
        if not names or len(set(names)) != len(names):
            raise DataError(f"{names_field.where}: a split must be a list of different photos, at least one")
        splits[split] = names
    return splits


def _with_void_ids(data: Dataset) -> Dataset:
    """The data set with an id for void where a mask in memory has void pixels and its classes have no id for them."""

    def is_short(photo: Photo) -> bool:
        masks = (x.ids_HW for x in photo.labels if isinstance(x, Mask) and x.path is None)
        return not photo.vocabulary.source.void_ids and any(ids is not None and (ids < 0).any() for ids in masks)

    if not any(map(is_short, data.photos)):
        return data
    made: dict[int, Vocabulary] = {}
    for old in (photo.vocabulary for photo in data.photos):
        made[id(old)] = made.get(id(old)) or Vocabulary(old.source.with_void_id(), old.target.with_void_id(), old.sets)
    photos = (replace(photo, vocabulary=made[id(photo.vocabulary)]) for photo in data.photos)
    return replace(data, classes=data.classes.with_void_id(), photos=tuple(photos))


def _with_files(photo: Photo, classes: Classes, folder: Path) -> Photo:
    """The photo with every mask in a file: those in memory are written beside the label file."""
    if _leads_out(photo.name):
        raise UsageError(
            f"photo {photo.name!r}: its name must be one such as 'a' or 'train/a', without '..': rename it"
        )
    if photo.vocabulary.target != classes:
        raise UsageError(f"photo {photo.name!r} is read in other classes than the data set; open them together with +")
    labels: list[Label] = []
    for i, label in enumerate(photo.labels):
        if isinstance(label, Mask) and label.path is None:
            if label.ids_HW is None:
                raise UsageError(f"photo {photo.name!r}: a mask with neither a file nor pixels")
            path = folder / "masks" / f"{photo.name}{f'-{i}' if i else ''}.png"
            write_mask(path, label.ids_HW, photo.vocabulary.source)
            label = replace(label, path=path)
        labels.append(label)
    return replace(photo, labels=tuple(labels))


def write_mask(path: Path, ids_HW: np.ndarray, classes: Classes) -> Path:
    """An indexed PNG in file ids (16 bits where an id needs them); negative pixels become void."""
    ids_HW = np.where(ids_HW < 0, classes.void_id, ids_HW)
    if ids_HW.max(initial=0) > 255:
        image = Image.fromarray(ids_HW.astype(np.uint16))
    else:
        image = Image.fromarray(ids_HW.astype(np.uint8))
        colours = np.zeros((256, 3), np.uint8)
        colours[min(classes.void_id, 255)] = VOID_COLOURS[1]
        for file_id, colour in zip(classes.file_ids, classes.colours, strict=True):
            if file_id < 256:
                colours[file_id] = colour
        image.putpalette(colours.tobytes())
    return write_atomically(path, lambda file: image.save(file, format="PNG"))


def _below(path: Path, root: str) -> str:
    return Path(os.path.relpath(os.path.abspath(path), root)).as_posix()


def _distinct(photos: list[Photo], classes: Classes) -> tuple[list[dict[str, Any]], dict[int, int | None]]:
    """(vocabularies as JSON, id of a vocabulary -> its place); None where names are the header's classes."""
    found: list[Vocabulary] = []
    place_of: dict[int, int | None] = {}
    same = Vocabulary.same(classes)
    for photo in photos:
        vocabulary = photo.vocabulary
        if id(vocabulary) in place_of:
            continue
        if vocabulary == same:
            place_of[id(vocabulary)] = None
            continue
        if vocabulary not in found:
            found.append(vocabulary)
        place_of[id(vocabulary)] = found.index(vocabulary)
    made = [{"source": v.source.to_json(), "sets": {n: sorted(s) for n, s in v.sets.items()}} for v in found]
    return made, place_of
