"""The folder of a run: made once, never overwritten, held by one process at a time."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from .. import files
from ..errors import UsageError
from ..files import write_atomically


def run_folder(out: Path | str | None, data_name: str, resume: bool) -> Path:
    """The folder to train in: `out`, or `runs/<date>-<data>` with the first free number.

    Raises UsageError where `out` exists without `resume`, or `resume` names nothing.
    """
    if out is None:
        if resume:
            raise UsageError("--resume needs --out: the folder of the run to go on with")
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", data_name).strip("-.") or "run"
        stem = Path("runs") / f"{datetime.date.today():%Y-%m-%d}-{name}"
        out = next(p for n in range(1, 10_000) if not (p := stem if n == 1 else Path(f"{stem}-{n}")).exists())
    folder = Path(out)
    if folder.exists() and not resume and (not folder.is_dir() or any(p.name != ".lock" for p in folder.iterdir())):
        raise UsageError(f"{folder} exists and a run is never overwritten: name another --out, or add --resume")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def held(folder: Path) -> AbstractContextManager[None]:
    """Hold the run's folder for this process (see `files.held`)."""
    return files.held(folder, f"{folder} is being trained in by another process; wait for it or name another --out")


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV of numbers, columns in the order in which they first appear."""
    rows = list(rows)
    columns = list(dict.fromkeys(c for row in rows for c in row))
    lines = [",".join(columns)] + [",".join(_cell(row.get(c)) for c in columns) for row in rows]
    write_atomically(path, "\n".join(lines) + "\n")


def write_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """JSON lines; no file where there is nothing to say."""
    lines = [json.dumps(v, ensure_ascii=False, sort_keys=True) for v in values]
    if lines:
        write_atomically(path, "\n".join(lines) + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
