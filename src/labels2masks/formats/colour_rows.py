"""Tables of classes and the colours that masks saved as RGB show them in.

class_dict.csv      name,r,g,b           Kaggle's CamVid, and what was made after it
                    Animal,64,128,64
label_colors.txt    64 128 64  Animal    CamVid as Cambridge published it
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from ..classes import Colour
from ..errors import DataError

COLOUR_FILES = ("class_dict.csv", "label_colors.txt")
NAME_COLUMNS = ("name", "class", "class_name", "label")


def colour_rows(path: Path, text: str) -> list[tuple[str, Colour]] | None:
    """(name, colour) of every line of the file's text; None for a CSV of other columns. Raises DataError."""
    found = _of_csv(path, text) if path.suffix == ".csv" else _of_lines(text)
    if found is None:
        return None
    if not found:
        raise DataError(f"{path}: no classes; expected a name and its red, green and blue in every line")
    rows: list[tuple[str, Colour]] = []
    for number, (name, *levels) in found:
        if not name or len(levels) != 3 or not all(v.isdecimal() and len(v) <= 3 and int(v) < 256 for v in levels):
            raise DataError(f"{path}, line {number}: expected a class name and its red, green and blue, 0..255")
        rows.append((name, (int(levels[0]), int(levels[1]), int(levels[2]))))
    return rows


def _of_csv(path: Path, text: str) -> list[tuple[int, list[str]]] | None:
    """(line, [name, r, g, b]), or an empty list where the line is too short."""
    try:
        lines = [[cell.strip() for cell in cells] for cells in csv.reader(text.splitlines())]
    except csv.Error as error:
        raise DataError(f"{path}: not a readable CSV ({error}); export it again") from None
    heads = [head.lower() for head in lines[0]] if lines else []
    name = next((n for n in NAME_COLUMNS if n in heads), None)
    if name is None or not {"r", "g", "b"} <= set(heads):
        return None
    places = [heads.index(head) for head in (name, "r", "g", "b")]
    return [
        (number, [cells[i] for i in places] if len(cells) > max(places) else [""])
        for number, cells in enumerate(lines[1:], 2)
        if any(cells)
    ]


def _of_lines(text: str) -> list[tuple[int, list[str]]]:
    """(line, [name, r, g, b]); a heading such as `r g b name` is passed over."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split(None, 3)
        heading = number == 1 and re.sub("[^a-z]", "", line.lower()).startswith("rgb")
        if parts and not heading:
            found.append((number, [parts[3].strip(), *parts[:3]] if len(parts) == 4 else [""]))
    return found
