"""A data set as tables of tags and of area shares. See `csv` for the layout."""

from __future__ import annotations

import csv
import io
import re
from math import isfinite
from pathlib import Path

from ..errors import UsageError
from ..files import write_atomically
from ..labels import AreaShares, Tags
from .dataset import Dataset, Photo
from .drawable import classes_left_out
from .notes import Notes
from .written import Written, empty_folder, file_names, left_out, place_photo, same_source

HOLDS = frozenset({"tags", "shares"})

PHOTO = frozenset(
    {"image", "img", "filename", "file", "path", "imagepath", "filepath", "photo", "picture"}
    | {f"{what}{is_}" for what in ("image", "img", "photo") for is_ in ("id", "name", "file")}
)
TAGS = frozenset({"tag", "tags", "label", "labels", "labelname", "class", "classes", "classname", "category"})
SPLIT = frozenset({"split", "subset", "partition"})

SUMS_TO = 1.001
"""What the shares of a photo may make together, since they are rounded."""


def column_key(column: str) -> str:
    """A column's name as PHOTO, TAGS and SPLIT have it."""
    return re.sub(r"[\s_-]", "", column.lower())


def write(data: Dataset, path: Path | str) -> Written:
    """Write the folder `path`: images/, tags.csv and, where there are any, shares.csv.

    Raises UsageError where the folder exists, the classes were chosen, merged or joined, or a class is called like a
    column of the table.
    """
    same_source(data, "CSV")
    reserved = PHOTO | TAGS | SPLIT
    for name in data.classes.names:
        if column_key(name) in reserved or name != name.strip() or not name:
            raise UsageError(f"a table can not have a column {name!r} for a class: rename the class")
    folder = empty_folder(path)
    notes = left_out(data, HOLDS, "CSV")
    classes_left_out(data, notes, "CSV")
    stems = file_names(data, notes)
    split_of = _one_split(data, notes)
    named = {n for p in data.photos for x in p.labels if isinstance(x, Tags) for n in {*x.present, *x.absent}}
    columns = [n for n in data.classes.names if n != data.classes.background or n in named]
    tags = [["image", *(["split"] if split_of else []), *columns]]
    shares = [["image", *data.classes.names]]
    for photo in data.photos:
        placed = place_photo(photo, folder / "images" / stems[photo.name], notes).relative_to(folder).as_posix()
        said, share_of = _said(photo, notes), _shares(photo, notes)
        tags.append(
            [placed, *([split_of.get(photo.name, "")] if split_of else []), *(said.get(n, "") for n in columns)]
        )
        if share_of:
            shares.append([placed, *(share_of.get(n, "") for n in data.classes.names)])
    for name, rows in (("tags.csv", tags), ("shares.csv", shares)):
        if name == "tags.csv" or len(rows) > 1:
            out = io.StringIO()
            csv.writer(out, lineterminator="\n").writerows(rows)
            write_atomically(folder / name, out.getvalue())
    return Written(folder, notes.lines())


def _one_split(data: Dataset, notes: Notes) -> dict[str, str]:
    made: dict[str, str] = {}
    for split, names in data.splits.items():
        for name in names:
            if made.setdefault(name, split) != split:
                notes.add("further splits of a photo: a row has one", f"photo {name!r}, split {split!r}")
    return made


def _said(photo: Photo, notes: Notes) -> dict[str, str]:
    """class -> "1" or "0"."""
    made: dict[str, str] = {}
    source = photo.vocabulary.source
    for label in photo.labels:
        if isinstance(label, Tags):
            if any(n not in source.names for n in {*label.present, *label.absent}):
                notes.add("tags of a group of classes, which CSV has no place for", f"photo {photo.name!r}")
            denied = {m for n in {*label.absent, *label.complete} for m in source.members(n)} - {source.background}
            made |= dict.fromkeys(denied, "0") | dict.fromkeys(label.present & set(source.names), "1")
    return made


def _shares(photo: Photo, notes: Notes) -> dict[str, str]:
    """class -> its share in decimals."""
    made: dict[str, str] = {}
    source, where = photo.vocabulary.source, f"photo {photo.name!r}"
    for label in photo.labels:
        if isinstance(label, AreaShares):
            kept = {n: s for n, s in label.shares.items() if n in source.names and isfinite(s)}
            if len(kept) < len(label.shares) or not sum(kept.values()) <= SUMS_TO:
                notes.add("shares of a group of classes, or of more than the whole photo", where)
                kept = kept if sum(kept.values()) <= SUMS_TO else {}
            if not label.complete >= set(kept) - {source.background}:
                notes.add("that shares are not complete: read again, they are for the classes they name", where)
            zeros = {m for n in label.complete for m in source.members(n)} - {source.background, *kept}
            made |= {n: f"{s:.6f}" for n, s in (dict.fromkeys(zeros, 0.0) | kept).items()}
    return made
