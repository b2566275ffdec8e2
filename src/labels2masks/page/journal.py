"""The journal of a project: every change on the disk before it is answered, none of them lost by a kill.

    <photos>/.page/base.jsonl      the labels as they were when the page first opened the folder
    <photos>/.page/journal.jsonl   one change a line, appended and synced
    <photos>/.page/written.json    hashes of the label file that the page wrote last and is about to write
    <photos>/.page/.lock           held by the one process that has the project open

A project is the base with every line of the journal applied, so `labels.jsonl`, which everybody opens, can be made anew
at any time. Whoever changes that file by other means is believed: what is in it then is the new base.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from .. import files
from ..errors import DataError
from ..files import write_atomically

FOLDER, BASE, JOURNAL, WRITTEN = ".page", "base.jsonl", "journal.jsonl", "written.json"

Change = Mapping[str, Any]


class Journal:
    """An append-only file of JSON lines. `note`: a sentence, where the last line was cut off by a kill."""

    def __init__(self, path: Path):
        self.path = path
        self.note = ""
        if not path.is_file():
            write_atomically(path, b"")  # its name, too, is on the disk
        self.changes = list(self._read())
        self._file: BinaryIO = open(path, "ab")  # noqa: SIM115

    def _read(self) -> Iterator[Change]:
        """Every whole line. What a kill left of a last one was never answered: it is cut off the file.

        Raises DataError for a damaged line with others behind it, which no kill leaves.
        """
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self.note = f"{self.path}: a change that was cut off while it was written is left out"
            with open(self.path, "r+b") as file:
                file.truncate(whole)
                os.fsync(file.fileno())
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                change = json.loads(line)
            except (ValueError, RecursionError):
                change = None
            if not isinstance(change, dict):
                raise DataError(
                    f"{self.path}, line {number}: damaged; take the line out, the others stand by themselves"
                )
            yield change

    def append(self, change: Change) -> None:
        """On the disk when this returns. A full disk leaves the journal as it was, and raises OSError."""
        line = json.dumps(change, allow_nan=False).encode() + b"\n"
        end = os.fstat(self._file.fileno()).st_size
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            # What lies in the buffer would follow with the next line, so the file is opened anew.
            os.truncate(self.path, end)
            self._reopened()
            raise

    def _reopened(self) -> None:
        with suppress(OSError):
            self._file.close()
        self._file = open(self.path, "ab")  # noqa: SIM115

    def close(self) -> None:
        self._file.close()


def held(folder: Path) -> AbstractContextManager[None]:
    """Hold the project for this process (see `files.held`)."""
    busy = f"{folder.parent} is open in another `l2m page`; go on in its window, or stop that one first"
    return files.held(folder, busy)
