"""The table that a person fills in: audit.csv, a row for each pixel, in whatever form a spreadsheet gives it back.

    number,photo,x,y,answer,audit
    1,kitchen/03,212,87,,k5d0c9a1be4f2

`audit` is the same in every row: a table of another audit is refused. Commas, semicolons and tabs part columns; UTF-8,
UTF-16 and Windows-1252 are read; rows may stand in any order. What is written back has every cell that was read, those
of columns that somebody added, too.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..classes import Classes
from ..errors import DataError, did_you_mean
from ..files import write_atomically

COLUMNS = ("number", "photo", "x", "y", "answer", "audit")
NEEDED = ("number", "x", "y", "answer", "audit")
UNCLEAR = -1
"""The answer that a pixel can not be named, as `-1` where classes are indices."""
_UNCLEAR_WORDS = ("unclear", "void", "?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Pixel:
    """One pixel to name: column x and row y of a photo. number: from 1; stratum: see `pixel_sample`."""

    number: int
    photo: str
    x: int
    y: int
    stratum: int


class Words:
    """What a person may write for each class, and for a pixel that can not be named."""

    def __init__(self, classes: Classes):
        self.names = classes.names
        self._index = {_plain(name): i for i, name in enumerate(classes.names)}
        free = [word for word in _UNCLEAR_WORDS if word not in self._index]
        self.unclear = free[0] if free else "unclear (not a class)"
        self._index |= dict.fromkeys([*free, self.unclear], UNCLEAR)

    def meant(self, text: str) -> int:
        """The class's index, or `UNCLEAR`. Capitals and spaces do not matter. Raises DataError without a place."""
        if text in self.names:
            return self.names.index(text)
        if _plain(text) not in self._index:
            raise DataError(f"unknown class {text!r}{did_you_mean(text, [*self.names, self.unclear])}")
        return self._index[_plain(text)]

    def word(self, answer: int) -> str:
        return self.unclear if answer == UNCLEAR else self.names[answer]


class Table:
    """The file, cell by cell."""

    def __init__(self, path: Path, header: Sequence[str], delimiter: str = ","):
        self.path, self.header, self.delimiter = path, list(header), delimiter
        self.rows: list[list[str]] = []
        self.lines: list[int] = []
        self.place = {name.strip().casefold(): i for i, name in reversed(list(enumerate(self.header)))}

    @classmethod
    def new(cls, path: Path) -> Table:
        return cls(path, COLUMNS)

    @classmethod
    def read(cls, path: Path) -> Table:
        """Raises DataError for what is no such table."""
        text = _text(path)
        try:
            found = next((t for d in ",;\t" if not _missing(t := cls._parsed(path, text, d))), None)
        except csv.Error as error:
            raise DataError(f"{path}: not a table ({error}); save it as CSV again") from None
        if found is None:
            missing = min((_missing(cls._parsed(path, text, d)) for d in ",;\t"), key=len)
            raise DataError(
                f"{path}, line 1: no column {missing[0]!r}; expected {', '.join(COLUMNS)} as they were written"
            )
        return found

    @classmethod
    def _parsed(cls, path: Path, text: str, delimiter: str) -> Table:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        table = cls(path, next(reader, []), delimiter)
        for row in reader:
            if any(cell.strip() for cell in row):
                table.rows.append(row + [""] * (len(table.header) - len(row)))
                table.lines.append(reader.line_num)
        return table

    def cell(self, row: int, column: str) -> str:
        return self.rows[row][self.place[column]].strip()

    def answers(self, pixels: Sequence[Pixel], key: str, words: Words) -> dict[int, int]:
        """number -> answer, of the rows that have one. Raises DataError with the line of whatever is wrong."""
        found: dict[int, int] = {}
        for number, row in self.by_number(pixels, key).items():
            if text := self.cell(row, "answer"):
                try:
                    found[number] = words.meant(text)
                except DataError as error:
                    raise DataError(f"{self._where(row)}: {error}") from None
        return found

    def by_number(self, pixels: Sequence[Pixel], key: str) -> dict[int, int]:
        """number -> row, every row checked to be the pixel of that number of the audit `key`."""
        place: dict[int, int] = {}
        for row in range(len(self.rows)):
            given = self.cell(row, "audit")
            if given != key:
                raise DataError(
                    f"{self._where(row)}: a row of another audit ({given or 'nothing'} in the column 'audit', {key} "
                    "in this folder); take it out"
                )
            text = self.cell(row, "number")
            if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= len(pixels)):
                raise DataError(f"{self._where(row)}: number {text!r}; expected 1 to {len(pixels)}")
            number = int(text)
            pixel = pixels[number - 1]
            if (self.cell(row, "x"), self.cell(row, "y")) != (str(pixel.x), str(pixel.y)):
                raise DataError(
                    f"{self._where(row)}: number {number} is the pixel {pixel.x}, {pixel.y}, not "
                    f"{self.cell(row, 'x')}, {self.cell(row, 'y')}; rows must stay as they were written"
                )
            if number in place:
                raise DataError(
                    f"{self._where(row)}: number {number} is in line {self.lines[place[number]]} too; keep one of them"
                )
            place[number] = row
        return place

    def add(self, pixels: Sequence[Pixel], key: str) -> None:
        """Rows without an answer for the pixels that have none yet."""
        there = self.by_number(pixels, key)
        for pixel in pixels:
            if pixel.number not in there:
                photo = f"./{pixel.photo}" if pixel.photo.startswith(_FORMULA) else pixel.photo
                cells = {"number": pixel.number, "photo": photo, "x": pixel.x, "y": pixel.y, "audit": key}
                self.rows.append([str(cells.get(name.strip().casefold(), "")) for name in self.header])
                self.lines.append(0)

    def write(self) -> None:
        text = io.StringIO()
        table = csv.writer(text, delimiter=self.delimiter, lineterminator="\n")
        table.writerows([self.header, *self.rows])
        write_atomically(self.path, text.getvalue().encode("utf-8", "replace"))

    def _where(self, row: int) -> str:
        return f"{self.path}, line {self.lines[row]}"


def in_order(answers: Mapping[int, int], pixels: Sequence[Pixel]) -> int:
    """How many pixels from number 1 on have an answer. With those behind a gap it were no random sample."""
    return next((p.number - 1 for p in pixels if p.number not in answers), len(pixels))


def _missing(table: Table) -> list[str]:
    return [name for name in NEEDED if name not in table.place]


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise DataError(f"{path}: damaged text in UTF-16; save it as CSV in UTF-8") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")
