"""What a person takes away, as one file each under exports/: labels, masks, a model, a report.

    labels.<format>         in every format that `l2m convert` writes; folders as .zip
    masks-<format>          the masks that the page shows, at full size; undecided pixels are void
    model.onnx              the newest run, or the instant model where there is none
    report.html             of the same run

Nothing is overwritten: the second export of a kind is called labels-2 and so on.
"""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..classes import Vocabulary
from ..errors import DataError
from ..files import write_atomically
from ..formats import jsonl
from ..formats.convert import WRITERS
from ..formats.dataset import Dataset
from ..labels import Mask
from .jobs import Job

if TYPE_CHECKING:
    from .engine import Engine
    from .project import Project

FORMATS = {
    "labels": tuple(WRITERS),
    "masks": ("png", *(name for name in WRITERS if name not in ("csv", "scribblesup"))),
    "model": ("onnx",),
    "report": ("html",),
}


def exported(job: Job, project: Project, engine: Engine, what: str, form: str, run: Path | None) -> Path:
    """Write one export; returns its file. run: for a model or a report. Raises DataError."""
    folder = project.folder / "exports"
    folder.mkdir(exist_ok=True)
    if what == "model":
        path = _free(folder, "model", ".onnx")
        job.run("export", str(run), "--onnx", str(path), share=(0.7, 1.0))
        return path
    if what == "report":
        assert run is not None
        return write_atomically(_free(folder, "report", ".html"), (run / "report.html").read_bytes())
    place = project.private / "exporting"
    shutil.rmtree(place, ignore_errors=True)
    try:
        source = project.flush() if what == "labels" else _masks(job, project, engine, place / "source")
        if form == "png":
            return _packed(place / "source" / "masks", _free(folder, "masks", ".zip"))
        single = ".jsonl" if form == "jsonl" else ""
        made = place / f"{what}{single}"
        result = job.run("convert", str(source), str(made), "--to", form, share=(0.6, 0.9))
        left_out = result.get("left_out") or []
        written = made if made.exists() else Path(str(result.get("path")))
        if written.is_file():
            path = _free(folder, f"{what}-{form}", written.suffix)
            shutil.move(written, path)
        else:
            path = _packed(written, _free(folder, f"{what}-{form}", ".zip"))
        job.say(f"{len(left_out)} things do not fit into {form}, the first: {left_out[0]}" if left_out else "")
        return path
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _masks(job: Job, project: Project, engine: Engine, place: Path) -> Path:
    """A label file with the masks of all photos that have one, full size; returns it."""
    made = []
    classes = project.classes
    ids = np.full(256, classes.void_id, np.int32)
    ids[: len(classes)] = classes.file_ids
    for i in range(len(project)):
        photo = project.photo(i)
        job.say(f"masks: {i + 1}/{len(project)}", 0.6 * (i + 1) / len(project))
        shown = engine.mask(i, max(project.size(i)))
        if shown is None:
            continue
        path = jsonl.write_mask(place / "masks" / f"{photo.name}.png", ids[shown[0]], classes)
        made.append(replace(photo, labels=(Mask(path=path),), vocabulary=Vocabulary.same(classes)))
    if not made:
        raise DataError("no photo has a mask yet: features are being computed")
    write_atomically(place / "masks" / "classes.txt", "".join(f"{name}\n" for name in classes.names))
    jsonl.write(Dataset(classes, tuple(made), root=place), place / "labels.jsonl")
    return place / "labels.jsonl"


def _packed(folder: Path, path: Path) -> Path:
    """The folder's files in one .zip, in order; photos are not squeezed again."""

    def write(file) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
            for part in sorted(p for p in folder.rglob("*") if p.is_file()):
                packed.write(part, part.relative_to(folder).as_posix())

    return write_atomically(path, write)


def _free(folder: Path, name: str, suffix: str) -> Path:
    """A name that is not taken."""
    names = (f"{name}{f'-{n}' if n > 1 else ''}{suffix}" for n in range(1, 100_000))
    return next(folder / n for n in names if not (folder / n).exists())
