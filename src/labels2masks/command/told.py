"""What a person is told: a result as text or as one line of JSON, a failure as one line and an exit code."""

from __future__ import annotations

import errno
import json
from typing import Any

from ..errors import DataError, UsageError


def tell(result: Any, as_json: bool, text: str | None = None) -> None:
    """Print the result: as one line of JSON, or for a person as `text`, else a line for each value that is said."""
    if as_json:
        print(json.dumps(_plain(result), allow_nan=False))
    elif text is None:
        for name, value in result.items():
            if isinstance(value, list | tuple) and value:
                print(f"{name.replace('_', ' ')}: {len(value)}, the first: {value[0]}")
            elif not isinstance(value, dict | list | tuple | None):
                print(f"{name.replace('_', ' ')}: {value}")
    elif text:
        print(text)


def _plain(value: Any) -> Any:
    """The same in JSON's words; what it has none for (nan, infinity) is null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if hasattr(value, "tolist"):  # numpy
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value if isinstance(value, str | int | bool | None) else str(value)


def failure(error: BaseException) -> tuple[int, str]:
    """(exit code, one line) for whatever went wrong."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":
        return 130, "stopped from the keyboard; what was written is whole, and `train --resume --out DIR` goes on"
    if hasattr(error, "format_message"):  # the command-line parser's own
        return 2, _line(error.format_message())
    if isinstance(error, UsageError):
        return 2, _line(error)
    if isinstance(error, DataError):
        return 3, _line(error)
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
        name = getattr(error, "filename", None)
        where = f" while writing {name}" if name else ""
        return 4, f"the disk is full{where}; what was written before is whole: make room, call again (train: --resume)"
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return 3, f"{error.filename or 'a file'}: {(error.strerror or str(error)).lower()}"
    return 4, f"{type(error).__name__}: {_line(error)} (--debug shows where)"


def _line(error: object) -> str:
    return " ".join(str(error).split()) or "no reason given"
