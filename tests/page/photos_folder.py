"""What the tests of the page share: a folder of small photos, marks as the browser sends them, a project, a client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from labels2masks.formats.label_json import Field
from labels2masks.page.events import Events
from labels2masks.page.photos import Decoder
from labels2masks.page.project import Project
from labels2masks.page.server import app, guarded

TOKEN = "a-token-for-the-tests"
PORT = 8765
DECODER = Decoder()
"""One for all projects of the tests: a process takes a moment to start."""
ORIGIN = f"http://127.0.0.1:{PORT}"


def write_photos(folder: Path, count: int = 3, height: int = 48, width: int = 64) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)).save(folder / f"p{i}.png")
    return folder


def mark(mark_id: str, kind: str = "point", name: str = "cat", xy: Sequence[Any] = ((5, 6),), **more: Any) -> dict:
    return {"id": mark_id, "kind": kind, "name": name, "xy": [list(p) for p in xy], **more}


def added(project: Project, i: int, *marks: dict, base: int | None = None, remove: Sequence[str] = ()) -> int:
    base = project.version(i) if base is None else base
    return project.change_marks(i, base, Field(list(marks), "marks"), remove)


@contextmanager
def opened(folder: Path, *classes: str) -> Iterator[Project]:
    project = Project(folder, classes, DECODER)
    try:
        yield project
    finally:
        project.close()


@contextmanager
def served(project: Project, engine: Any = None, jobs: Any = None) -> Iterator[TestClient]:
    """A client with the token and the right origin, in front of a guarded page without a socket."""
    page = app(project, engine, jobs, Events())
    headers = {"X-Token": TOKEN, "Origin": ORIGIN}
    with TestClient(guarded(page, "127.0.0.1", PORT, TOKEN), ORIGIN, headers=headers) as client:
        yield client
    page.state.pictures.close()
