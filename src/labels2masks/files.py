"""Writing so that nothing already written is lost: temporary name, fsync, rename."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import UsageError

LOCK = ".lock"


def write_atomically(path: Path | str, write: bytes | str | Callable[[BinaryIO], object]) -> Path:
    """Write a file whole or not at all, and on the disk before it has its name.

    write: the content, or a function that is given the open binary file.
    A kill or a full disk leaves the old file, and no temporary one where the process lives on.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            if callable(write):
                write(file)
            else:
                file.write(write.encode() if isinstance(write, str) else write)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return path


@contextmanager
def held(folder: Path, busy: str) -> Iterator[None]:
    """Hold the folder for this process. The lock is the operating system's: it ends when the process does.

    Raises UsageError with the text `busy` where another process holds it.
    """
    with open(folder / LOCK, "a+b") as file:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(busy) from None
        yield


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows has no such call and does not need it."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
