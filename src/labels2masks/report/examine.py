"""Look at one photo and its labels: what is there, and what is wrong with it.

Legend: H, W = pixels; C = target classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import DataError
from ..formats.dataset import Photo
from ..formats.duplicates import Fingerprint, fingerprint
from ..formats.image import read_image
from ..formats.splitting import present_classes
from ..labels import (
    AreaShares,
    Boxes,
    Label,
    Mask,
    Points,
    Regions,
    Scribbles,
    Tags,
    kind_name,
    labelling_seconds,
    rasterise,
)
from .class_table import Cell, cells_of, region_areas
from .overlay import class_indices
from .suspicious import slips, touching


@dataclass(frozen=True)
class Finding:
    """What was found in one photo. Numbers only, so that 100,000 of them cost little.

    size: (height, width), None where the photo can not be read.
    present_C: classes that any label says are there. pixels_C, void: pixels of the masks.
    marks: kind -> number of marks; seconds: kind -> (seconds, were they measured?).
    complete: kind -> target names for which the labels of that kind are complete.
    ids: ids in the masks. conflicts: pixels at which two statements exclude each other.
    problems: (what, sentence) of each mistake; `what` is one word for the kind of mistake.
    cells: (kind, class) -> marks, pixels and seconds. slips, touching: see `suspicious`.
    """

    name: str
    size: tuple[int, int] | None = None
    print: Fingerprint | None = None
    present_C: np.ndarray | None = None
    pixels_C: np.ndarray | None = None
    void: int = 0
    marks: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, tuple[float, bool]] = field(default_factory=dict)
    complete: dict[str, frozenset[str]] = field(default_factory=dict)
    ids: frozenset[int] = frozenset()
    conflicts: int = 0
    problems: tuple[tuple[str, str], ...] = ()
    cells: dict[tuple[str, int], Cell] = field(default_factory=dict)
    slips: tuple[str, ...] = ()
    touching: bool | None = None


def examine(photo: Photo) -> Finding:
    """Never raises for a broken file: that is what it reports."""
    problems: list[tuple[str, str]] = []
    size, made = None, None
    try:
        image_HW3 = read_image(photo.image, photo.levels)
        size, made = image_HW3.shape[:2], fingerprint(image_HW3)
    except DataError as error:
        problems.append(("photo", str(error)))
    labels: list[Label] = []
    for label in photo.labels:
        try:
            loaded = replace(photo, labels=(label,)).labels_loaded()[0]
            if isinstance(loaded, Mask) and loaded.ids_HW is not None:
                _check_mask(loaded, photo, size)
            labels.append(loaded)
        except DataError as error:
            problems.append(("mask", str(error)))
    if size is not None:
        problems += _outside(labels, *size)
    finding = Finding(photo.name, size, made, present_classes(labels, photo.vocabulary), problems=tuple(problems))
    return _measured(finding, photo, labels)


def _check_mask(mask: Mask, photo: Photo, size: tuple[int, int] | None) -> None:
    """DataError where a mask can not be the photo's."""
    ids_HW, source = mask.ids_HW, photo.vocabulary.source
    if ids_HW is None:
        return
    where = mask.path or photo.name
    if size is not None and ids_HW.shape != size:
        turned = ids_HW.shape == size[::-1]
        raise DataError(
            f"{where}: a mask of {ids_HW.shape[1]}x{ids_HW.shape[0]} pixels for a photo of {size[1]}x{size[0]}; "
            + ("the photo's EXIF turns it and the mask was drawn on the unturned one: turn the mask" if turned else "")
            + ("" if turned else "export it at the photo's size")
        )
    known = {*source.file_ids, *source.void_ids, *(mask.sets or ())}
    unknown = sorted(set(np.unique(ids_HW).tolist()) - known)
    unknown = [i for i in unknown if i >= 0]
    if unknown:
        many = (
            "; so many look like a mask that was resized smoothly or went through a JPEG" if len(unknown) > 12 else ""
        )
        shown = ", ".join(map(str, unknown[:6])) + (", ..." if len(unknown) > 6 else "")
        raise DataError(f"{where}: ids {shown} are neither classes nor void{many}: add them to the class list")


def _outside(labels: Sequence[Label], height: int, width: int) -> list[tuple[str, str]]:
    """Clicks and strokes that lie off the photo."""
    off = 0
    for label in labels:
        if isinstance(label, Points):
            off += sum(not (0 <= m.x <= width and 0 <= m.y <= height) for m in label.marks)
        elif isinstance(label, Scribbles):
            off += sum(not all(0 <= x <= width and 0 <= y <= height for x, y in m.xy) for m in label.marks)
    return [("outside", f"{off} clicks or strokes reach outside the photo ({width}x{height})")] if off else []


def _marks(label: Tags | Points | Scribbles | Boxes | Regions | AreaShares) -> int:
    """Clicks, strokes, boxes, or classes that were named."""
    if isinstance(label, Tags):
        return len(label.present)
    return len(label.shares) if isinstance(label, AreaShares) else len(label.marks)


def _measured(finding: Finding, photo: Photo, labels: Sequence[Label]) -> Finding:
    vocabulary = photo.vocabulary
    pixels_C = np.zeros(len(vocabulary.target), np.int64)
    void, ids = 0, set[int]()
    mask_HW: np.ndarray | None = None
    areas: dict[int, np.ndarray] = {}
    cells: dict[tuple[str, int], Cell] = {}
    marks: dict[str, int] = {}
    seconds: dict[str, tuple[float, bool]] = {}
    complete: dict[str, frozenset[str]] = {}
    for label in labels:
        kind = kind_name(label)
        if isinstance(label, Mask):
            if label.ids_HW is not None:
                index_HW = class_indices(label.ids_HW, vocabulary)
                count = np.bincount(index_HW.ravel() + 1, minlength=len(pixels_C) + 1)
                void, pixels_C = void + int(count[0]), pixels_C + count[1:]
                ids |= set((np.flatnonzero(np.bincount(label.ids_HW.ravel() + 1)) - 1).tolist())
                stated_HW = (label.ids_HW >= 0) & ~np.isin(label.ids_HW, list(vocabulary.source.void_ids))
                mask_HW = np.where((index_HW < 0) & stated_HW, -2, index_HW)
                areas = region_areas(index_HW, len(pixels_C))
            marks[kind] = marks.get(kind, 0) + 1
        else:
            marks[kind] = marks.get(kind, 0) + _marks(label)
            complete[kind] = complete.get(kind, frozenset()) | vocabulary.complete(label.complete)
        cost = labelling_seconds([label], vocabulary.source)
        before, measured = seconds.get(kind, (0.0, True))
        seconds[kind] = (before + cost, measured and label.seconds is not None)
        for c, more in cells_of(label, vocabulary, cost, areas, mask_HW.size if mask_HW is not None else 0).items():
            marked, pixels, spent = cells.get((kind, c), (0, 0, 0.0))
            cells[kind, c] = marked + more[0], pixels + more[1], spent + more[2]
    conflicts, problems = 0, finding.problems
    if finding.size is not None and len(labels) > 1:
        try:
            conflicts = rasterise(labels, vocabulary, *finding.size).conflicts
        except DataError as error:
            problems = (*problems, ("labels", f"{photo.name}: {error}"))
    found = tuple(slips(labels, vocabulary, mask_HW, areas, *finding.size)) if finding.size is not None else ()
    return replace(
        finding,
        pixels_C=pixels_C,
        void=void,
        marks=marks,
        seconds=seconds,
        complete=complete,
        ids=frozenset(ids),
        conflicts=conflicts,
        problems=problems,
        cells=cells,
        slips=found,
        touching=touching(photo.labels, vocabulary, mask_HW, areas),
    )
