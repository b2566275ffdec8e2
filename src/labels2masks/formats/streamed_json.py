"""A JSON file of any size, one value after the other, in the memory of one value.

Python's own decoder reads each item: it knows the NaN and Infinity that Python writes, numbers of any size, and stops
at values nested too deeply. (A streaming parser that names the path to every value takes memory of the depth squared.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import DataError

CHUNK = 2**20
"""Characters that are read at a time."""

LARGEST = 2**26
"""Characters of one value above which a file is refused: an outline of a million vertices takes a third of that."""

_SPACE = re.compile(r"[ \t\r\n]*")


def streamed(file: Path) -> Iterator[tuple[str | None, int | None, Any]]:
    """(key, i, item) of the lists in a JSON object, (key, None, value) of its other values; (None, i, item) of a list.

    A key that comes twice is yielded twice. Raises DataError where the file is damaged, with the place.
    """
    try:
        with open(file, encoding="utf-8-sig", newline="") as opened:
            yield from _values(_Window(opened, file))
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError:
        raise DataError(f"{file}: not a text file in UTF-8; export it again") from None


def _values(window: _Window) -> Iterator[tuple[str | None, int | None, Any]]:
    if window.skip("["):
        yield from ((None, i, item) for i, item in _items(window, ""))
    elif window.skip("{"):
        while not window.skip("}"):
            key = window.value("a key")
            if not isinstance(key, str) or not window.skip(":"):
                raise window.fail("a key in quotes, and ':'")
            if window.skip("["):
                yield from ((key, i, item) for i, item in _items(window, key))
            else:
                yield key, None, window.value(key)
            if not window.skip(",") and window.next() != "}":
                raise window.fail(f"',' or '}}' after {key!r}")
    else:
        raise window.fail("an object or a list")
    if window.next():
        raise window.fail("the end of the file")


def _items(window: _Window, key: str) -> Iterator[tuple[int, Any]]:
    i = 0
    while not window.skip("]"):
        yield i, window.value(f"{key}[{i}]")
        i += 1
        if not window.skip(",") and window.next() != "]":
            raise window.fail(f"',' or ']' after {key}[{i - 1}]")


class _Window:
    """The piece of the file that is looked at."""

    def __init__(self, opened: Any, file: Path) -> None:
        self._opened, self._file = opened, file
        self._text, self._at, self._before = "", 0, 0
        self._decoder = json.JSONDecoder()

    def next(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self, character: str) -> bool:
        found = self.next() == character
        self._at += found
        return found

    def value(self, what: str) -> Any:
        """The value that begins here. what: its name in an error."""
        self.next()
        while True:
            reason = "something follows that does not belong there"
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                # A number at the end of the window may go on behind it.
                if end < len(self._text) and self._text[end] in ",]}: \n\r\t":
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                reason = error.msg
            except (ValueError, RecursionError) as error:
                raise self.fail(f"{what} of a sane size ({type(error).__name__})") from None
            if len(self._text) - self._at > LARGEST or not self._more():
                raise self.fail(f"{what} ({reason})")

    def fail(self, expected: str) -> DataError:
        place = self._before + self._at
        wanted = " ".join(ascii(expected[:80])[1:-1].split())  # it may hold a key, and that anything
        return DataError(f"{self._file}, character {place}: not valid JSON; expected {wanted}: export it again")

    def _more(self) -> bool:
        """Read on; what was passed is forgotten."""
        rest = self._text[self._at :]
        read = self._opened.read(max(CHUNK, len(rest)))
        self._before += self._at
        self._text, self._at = rest + read, 0
        return bool(read)
