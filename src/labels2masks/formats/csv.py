"""Tables of tags or area shares: CSV or TSV, in any of the usual layouts.

The first row names the columns, in capitals or not; one of them is the photo (`image`, `filename`, `ImageID` ...), with
or without suffix. Beside it there are

    a column of tags    `cat;dog` or `cat|dog`, or a row for each tag: they are present; others may be there all the
                        same. `Confidence` beside it, as in Open Images: 1 = present, 0 = absent
    a column a class    1, yes, true, x = present; 0, no, false, -1 = absent; empty = nobody looked. Complete for what
                        is filled in. A table with both 0 and -1 means "unsure" by -1
    shares              a column a class too, of numbers between 0 and 1 that make at most 1 in a row: the shares of the
                        photo's area, as `predict --also csv` writes them

and maybe a column `split`. Cells are separated by commas, semicolons or tabs. Several tables in a folder add up; those
that are called train, val and so on are splits. The photos are those that the tables name.

Writing: photos in images/, tags.csv with a column a class, shares.csv to six decimals.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..classes import Vocabulary
from ..errors import DataError
from ..labels import AreaShares, Label, Tags
from .csv_writer import HOLDS, PHOTO, SPLIT, SUMS_TO, TAGS, column_key, write
from .dataset import Dataset, Photo
from .drawn import PhotoFiles, photos_near
from .folder import MASK_FOLDERS, SPLITS
from .marks import foreign_classes, photo_names
from .notes import Notes

__all__ = ["HOLDS", "LAYOUT", "read", "recognises", "write"]

LAYOUT = "a CSV or TSV table of photos and tags (or area shares), or a folder with photos and such a table"
WORDS = {"yes": 1.0, "y": 1.0, "true": 1.0, "x": 1.0, "no": 0.0, "n": 0.0, "false": 0.0}
NOTHING = frozenset({"", "nan", "na", "n/a", "null", "none", "?"})


def recognises(path: Path) -> bool:
    return bool(_tables(path))


def read(path: Path) -> Dataset:
    """Raises DataError for a table without a photo or a class, shares of more than 1, and where no photo is there."""
    files = _tables(path) or [path]
    notes = Notes()
    photos = _Photos(PhotoFiles.below(photos_near(files[0])), notes)
    tables = [_read(file, photos, notes) for file in files]
    if not any(table.seen for table in tables):
        raise DataError(f"{path}: none of its photos is in {photos.files.folder}; the first is {photos.missing!r}")
    labels: dict[str, list[Label]] = {}
    splits: dict[str, dict[str, None]] = {}
    for file, table in zip(files, tables, strict=True):
        for path_of, label in table.labels(file, notes):
            labels.setdefault(path_of, []).extend([label] if label is not None else [])
        by_name = {file.stem: [*table.seen]} if len(files) > 1 and file.stem in SPLITS else {}
        for split, names in (table.splits or by_name).items():
            splits.setdefault(split, {}).update(dict.fromkeys(names))
    classes = foreign_classes(path, dict.fromkeys(n for table in tables for n in table.names))
    vocabulary = Vocabulary.same(classes)
    longest_first = sorted(tables, key=lambda table: -len(table.seen))
    name_of = photo_names(dict.fromkeys(p for table in longest_first for p in table.seen))
    made = tuple(Photo(n, photos.files.by_path[p], tuple(labels[p]), vocabulary) for p, n in name_of.items())
    named = {split: tuple(name_of[p] for p in paths) for split, paths in splits.items()}
    return Dataset(classes, made, named, path, "csv", notes.lines())


def _tables(path: Path) -> list[Path]:
    if path.is_dir():
        if any((path / f).is_dir() for f in MASK_FOLDERS):
            return []  # photos with masks, and a table of something
        files = sorted(f for f in path.iterdir() if f.suffix.lower() in (".csv", ".tsv"))
    else:
        files = [path] if path.suffix.lower() in (".csv", ".tsv") else []
    return [f for f in files if f.is_file() and _is_table(f)]


def _is_table(file: Path) -> bool:
    try:
        with open(file, "rb") as opened:
            head = opened.read(4096).decode("utf-8-sig", "replace")
        rows = list(csv.reader(io.StringIO(head), delimiter=_separator(head)))[:20]
    except (OSError, csv.Error):
        return False
    if not rows or not any(column_key(column) in PHOTO for column in rows[0]):
        return False
    columns = [i for i, column in enumerate(rows[0]) if column_key(column) not in PHOTO | SPLIT]
    full = [row for row in rows[1:-1] or rows[1:] if len(row) == len(rows[0])]  # the last may be cut off
    return any(
        column_key(rows[0][i]) in TAGS or (full and all(_value(row[i]) != _FOREIGN for row in full)) for i in columns
    )


def _separator(head: str) -> str:
    header = head.split("\n", 1)[0]
    return max(",;\t", key=header.count)


_FOREIGN = -2.0


def _value(cell: str) -> float | None:
    """-1..1, None for an empty cell, _FOREIGN for what is none of these."""
    cell = cell.strip().lower()
    if cell in NOTHING:
        return None
    if cell in WORDS:
        return WORDS[cell]
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        return _FOREIGN
    return value if value == -1 or 0 <= value <= 1 else _FOREIGN


class _Photos:
    """The photos that tables name. missing: the first text for which there is none."""

    def __init__(self, files: PhotoFiles, notes: Notes) -> None:
        self.files, self.notes = files, notes
        self.missing = ""
        self._by_stem: dict[str, str | None] = {}
        for path in files.by_path:
            stem = path.rpartition(".")[0]
            for text in {stem, stem.rpartition("/")[2]}:
                self._by_stem[text] = None if text in self._by_stem else path

    def find(self, text: str, where: str) -> str | None:
        """Path below the folder of photos; None, with a note, where there is none or several."""
        found = self.files.find(text)
        if found is None:
            parts = text.replace("\\", "/").split("/")
            tails = ("/".join(parts[i:]) for i in range(len(parts)))
            path = next((p for tail in tails if (p := self._by_stem.get(tail))), None)
            found = self.files.find(path) if path else None
        if found is None:
            self.missing = self.missing or text
            self.notes.add("rows whose photo is not there, or is there several times under that name", where)
            return None
        return found[1].relative_to(self.files.folder).as_posix()


@dataclass
class _Table:
    """What one file says. seen: its photos in order. tags: photo -> class -> 1 or 0, of a table with a column of tags;
    cells: photo -> a number for each of `names`, of one with a column a class."""

    names: dict[str, None] = field(default_factory=dict)
    seen: dict[str, None] = field(default_factory=dict)
    splits: dict[str, dict[str, None]] = field(default_factory=dict)
    tags: dict[str, dict[str, set[bool]]] = field(default_factory=dict)
    cells: dict[str, list[float | None]] = field(default_factory=dict)
    six_decimals: bool = False

    def labels(self, file: Path, notes: Notes) -> Iterator[tuple[str, Label | None]]:
        """The label of every photo, None where nothing is said."""
        values = {v for row in self.cells.values() for v in row if v is not None}
        shares = self.six_decimals or any(0 < v < 1 for v in values)
        unsure = {-1.0} if {0.0, -1.0} <= values else set()
        if unsure:
            notes.add("cells of -1 in a table with 0 too, which mean that somebody was unsure", f"{file}")
        for name in self.seen:
            if name not in self.cells:
                yield name, _tags(self.tags.get(name, {}), notes, name)
                continue
            row = {n: v for n, v in zip(self.names, self.cells[name], strict=True) if v is not None and v not in unsure}
            if not shares:
                yield name, _tags({n: {v == 1} for n, v in row.items()}, notes, name)
                continue
            row = {n: v for n, v in row.items() if v >= 0}
            if sum(row.values()) > SUMS_TO:
                raise DataError(
                    f"{file}: the numbers of photo {name!r} make {sum(row.values()):.3g}; expected shares of its area, "
                    "which make at most 1, or 1 and 0 for tags"
                )
            yield name, AreaShares(row, frozenset(row)) if row else None


def _tags(said: dict[str, set[bool]], notes: Notes, name: str) -> Tags | None:
    if any(len(s) > 1 for s in said.values()):
        notes.add("tags that are said to be both present and absent", f"photo {name!r}")
    known = {n: s for n, s in said.items() if len(s) == 1}
    present = frozenset(n for n, s in known.items() if s == {True})
    return Tags(present, frozenset(known) - present, frozenset(known)) if known else None


def _read(file: Path, photos: _Photos, notes: Notes) -> _Table:
    rows = _rows(file)
    _, header = next(rows, (0, []))
    keys = [column_key(column) for column in header]
    image = next((i for i, key in enumerate(keys) if key in PHOTO), None)
    if image is None:
        raise DataError(f"{file}: no column for the photo in {', '.join(header)[:80]!r}; expected one called 'image'")
    split = next((i for i, key in enumerate(keys) if key in SPLIT), None)
    tagged = next((i for i, key in enumerate(keys) if key in TAGS and i != image), None)
    others = [i for i in range(len(keys)) if i not in (image, split, tagged)]
    table = _Table()

    def photo_of(row: list[str], where: str) -> str | None:
        name = photos.find(row[image].strip(), where)
        if name is not None:
            table.seen[name] = None
            if split is not None and row[split].strip():
                table.splits.setdefault(row[split].strip(), {})[name] = None
        return name

    if tagged is not None:
        confidence = next((i for i in others if keys[i] == "confidence"), None)
        _note_foreign(file, [header[i] for i in others if i != confidence], notes)
        for number, row in rows:
            if (name := photo_of(row, f"{file}, row {number}")) is not None:
                sure = None if confidence is None else _value(row[confidence])
                if sure is not None and sure not in (0.0, 1.0):
                    notes.add(
                        "tags with a confidence other than 0 and 1: say which of them hold", f"{file}, row {number}"
                    )
                    continue
                for tag in filter(None, map(str.strip, re.split(r"[;|]", row[tagged]))):
                    table.names[tag] = None
                    table.tags.setdefault(name, {}).setdefault(tag, set()).add(sure != 0)
        return table

    foreign: set[int] = set()
    filled: set[int] = set()
    otherwise: set[int] = set()  # written than with six decimals
    kept: dict[str, list[float | None]] = {}
    for number, row in rows:
        if (name := photo_of(row, f"{file}, row {number}")) is None:
            continue
        if name in kept:
            notes.add("further rows of a photo", f"{file}, row {number}")
            continue
        kept[name] = [_value(row[i]) for i in others]
        foreign |= {i for i, v in zip(others, kept[name], strict=True) if v == _FOREIGN}
        filled |= (now := {i for i in others if row[i].strip()})
        otherwise |= {i for i in now - otherwise if not re.fullmatch(r"[01]\.\d{6}", row[i].strip())}
    _note_foreign(file, [header[i] for i in others if i in foreign], notes)
    own = [k for k, i in enumerate(others) if i not in foreign and header[i].strip()]
    table.names = dict.fromkeys(header[others[k]].strip() for k in own)
    if len(table.names) < len(own) or not own:
        raise DataError(f"{file}: {'two columns of one name' if own else 'no column of a class'}; expected one a class")
    table.cells = {name: [row[k] for k in own] for name, row in kept.items()}
    table.six_decimals = bool(filled - foreign) and not otherwise - foreign
    return table


def _note_foreign(file: Path, columns: list[str], notes: Notes) -> None:
    if columns:
        notes.add("columns that are neither photo, tags, class nor split are left out", f"{file}: {', '.join(columns)}")


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    """(number from 1, cells) of every row that is not empty, as long as the first."""
    length = 0
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            separator = _separator(opened.readline())
            opened.seek(0)
            for number, row in enumerate(csv.reader(opened, delimiter=separator), 1):
                if any(cell.strip() for cell in row):
                    length = length or len(row)
                    yield number, (row + [""] * length)[:length]
    except UnicodeDecodeError:
        raise DataError(f"{file}: not a text file in UTF-8; save it as CSV UTF-8") from None
    except (OSError, csv.Error) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error
