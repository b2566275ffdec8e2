"""COCO's JSON as a file: a part for each split, lists that are written while they are made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ..files import write_atomically
from .coco_file import split_of
from .dataset import Dataset, Photo
from .notes import Notes
from .written import size_of


def parts_of(data: Dataset, task: str, notes: Notes) -> dict[str, list[Photo]]:
    """File name without suffix -> its photos: one file for each split, and one for the photos of none."""
    photos = {p.name: p for p in data.photos}
    made: dict[str, list[Photo]] = {}
    taken: set[str] = set()
    for split, names in data.splits.items():
        stem = re.sub(r"[^\w.-]+", "__", split)
        while split_of(stem) in taken:
            stem += "_"
        taken.add(split_of(stem))
        if split_of(stem) != split:
            notes.add("split names that are no file names, or end in a year, are changed", f"split {split!r}")
        if here := [photos[n] for n in names if n in photos]:
            made[f"{task}_{stem}"] = here
        else:
            notes.add("empty splits", f"split {split!r}")
    listed = {p.name for photos_of in made.values() for p in photos_of}
    if rest := [p for p in data.photos if p.name not in listed]:
        made[task] = rest
    return made


def write_lists(file: Path, **lists: Iterable[Mapping[str, Any]]) -> Path:
    """A JSON object of lists, an item a line. The lists may be made while they are written, one after the other."""

    def write(out: BinaryIO) -> None:
        out.write(b"{")
        for place, (key, items) in enumerate(lists.items()):
            out.write(f'{"," if place else ""}\n"{key}": ['.encode())
            for i, item in enumerate(items):
                out.write(f"{',' if i else ''}\n{json.dumps(item, separators=(',', ':'))}".encode())
            out.write(b"\n]")
        out.write(b"\n}\n")

    return write_atomically(file, write)


def images_of(photos: Sequence[Photo], files: Mapping[str, Path]) -> Iterator[dict[str, Any]]:
    """The entries of `photos`, numbered from 1. files: photo's name -> file below the image folder."""
    for image_id, photo in enumerate(photos, 1):
        height, width = size_of(photo)
        yield {"id": image_id, "file_name": files[photo.name].as_posix(), "height": height, "width": width}
