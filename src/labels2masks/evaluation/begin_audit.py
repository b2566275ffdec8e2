"""Begin an audit, or go on with one: predict, count the strata, draw the pixels, lay out the table.

A run that was cut off goes on: maps that are there are kept, and `draw.json` says from the first moment whose they are.

Legend: H, W = pixels; P = photos; K = strata that could be.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..classes import Classes, Vocabulary
from ..errors import DataError, UsageError
from ..files import write_atomically
from ..formats.dataset import Dataset, Photo
from ..formats.image import read_mask
from ..formats.listing import class_list
from ..prediction.ahead import ahead
from ..prediction.model import FILE, load_model, model_file
from ..progress import track
from .answers import Table
from .audit import DRAW, STRATA, Audit, open_audit
from .pixel_sample import Drawn, draw, strata_count, strata_map
from .protocol import OF_TRAINING
from .sources import open_source, read_json

CLICKS = 800
"""Pixels to name where nobody says how many: on photos of animals a band of 4 points to either side."""

Maps = Callable[[Photo], np.ndarray]


def begin_audit(run: Any, data: Dataset, out: Path | str, clicks: int | None = None, seed: int | None = None) -> Audit:
    """Draw the pixels, or go on with the audit in `out`; one that has fewer than `clicks` gets more of the same order.

    run: run folder, `Run`, model file, or a folder of masks as `predict` writes them. clicks: None = 800, or as many as
    were drawn. seed: None = 0, or the one it was begun with.
    Raises UsageError for a wrong call or an audit of something else, DataError where no photo could be read.
    """
    folder = Path(out)
    if clicks is not None and clicks < 1:
        raise UsageError(f"--clicks takes 1 or more, got {clicks}")
    found = read_json(folder / DRAW)
    if not found and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and holds no audit; name another --out")
    seed = found.get("seed", 0) if seed is None else seed
    card = {"version": 1, "seed": seed, "source": _identity(run, data)}
    if not found:
        write_atomically(folder / DRAW, _text(card))  # whose maps the folder will hold
    elif found.get("seed") != seed:
        raise UsageError(f"{folder} was drawn with --seed {found.get('seed')}; leave --seed out or name another --out")
    elif {key: found.get(key) for key in card} != card:
        raise UsageError(f"{folder} holds an audit of another model or other masks; name another --out")
    if "pixels" in found:
        audit = open_audit(folder)
        _same_photos(audit, data)
        if clicks is None or clicks <= len(audit.pixels):
            return _with_table(audit)
    write_atomically(folder / DRAW, _text(card | _drawn(run, data, folder, clicks or CLICKS, seed, found)))
    return _with_table(open_audit(folder))


def _identity(run: Any, data: Dataset) -> dict[str, str]:
    """The hash of what predicts, or of all that was predicted."""
    if not _is_masks(run):
        return {"model": hashlib.sha256(model_file(getattr(run, "path", None) or run).read_bytes()).hexdigest()}
    content = hashlib.sha256(json.dumps(_classes(run, data).to_json()).encode())
    for photo in data:
        file = Path(run) / f"{photo.name}.png"
        content.update(json.dumps(photo.name).encode() + (file.read_bytes() if file.is_file() else b""))
    return {"masks": content.hexdigest()}


def _classes(run: Any, data: Dataset) -> Classes:
    """The classes that are predicted."""
    if not _is_masks(run):
        return load_model(run).classes
    card = read_json(Path(run) / "prediction.json")
    classes = Classes.from_json(card["classes"]) if "classes" in card else class_list(Path(run))[0]
    if classes is None and len(data.classes) < 2:
        raise UsageError(
            f"{run} is no finished run (no {FILE}), and nothing says what the ids of masks in it mean: finish the run, "
            "or put a classes.txt beside the masks, a name a line"
        )
    return classes or data.classes


def _is_masks(run: Any) -> bool:
    return isinstance(run, str | Path) and Path(run).is_dir() and not (Path(run) / FILE).is_file()


def _drawn(run: Any, data: Dataset, folder: Path, clicks: int, seed: int, before: Mapping[str, Any]) -> dict[str, Any]:
    """The rest of draw.json. before: what it held."""
    run = run if _is_masks(run) else load_model(run)
    classes = _classes(run, data)
    same = Vocabulary.same(classes)
    photos = tuple(replace(photo, labels=(), vocabulary=same) for photo in data)
    if not photos:
        raise DataError(f"{data.root or 'the data set'} has no photos")
    source = open_source(run, replace(data, classes=classes, photos=photos))
    left_out = {s["image"] for s in before.get("skipped", ())} if "pixels" in before else set()

    def made(photo: Photo) -> np.ndarray:
        return strata_map(*source.mask(photo))

    maps = made if _is_masks(run) else lambda photo: _kept(folder / STRATA / f"{photo.name}.png", photo, made)

    def one(photo: Photo) -> tuple[str, np.ndarray, bytes]:
        try:
            stratum_HW = maps(photo)
        except DataError as error:
            return str(error), np.empty(0), b""
        table_K = np.bincount(stratum_HW.ravel(), minlength=strata_count(len(classes)))
        return "", table_K, hashlib.sha256(stratum_HW.tobytes()).digest()

    asked = [photo for photo in photos if photo.name not in left_out]
    workers = min(4, os.cpu_count() or 1)
    results = list(track(ahead(one, asked, workers), "looking at the masks", len(asked)))
    read = [(photo, r) for photo, r in zip(asked, results, strict=True) if not r[0]]
    if not read:
        raise DataError(f"none of the {len(asked)} photos could be read; the first: {results[0][0]}")
    pixels_PK = np.stack([table_K for _, (_, table_K, _) in read])
    content = hashlib.sha256(json.dumps([seed, classes.names, [photo.name for photo, _ in read]]).encode())
    for _, (_, _, digest) in read:
        content.update(digest)
    key = "k" + content.hexdigest()[:12]
    if "pixels" in before and key != before["key"]:
        raise DataError(f"{folder}: the masks are not those that the audit was drawn from; name another --out")
    drawn = draw(pixels_PK, clicks, seed)
    places = located(drawn, [photo for photo, _ in read], maps)
    skipped = [{"image": p.name, "reason": r[0]} for p, r in zip(asked, results, strict=True) if r[0]]
    return {
        "key": key,
        "classes": classes.to_json(),
        "photos": [photo.name for photo, _ in read],
        "skipped": [*before.get("skipped", ()), *skipped],
        "strata": {str(s): int(count) for s, count in enumerate(pixels_PK.sum(axis=0)) if count},
        "pixels": [[d.photo, x, y, d.stratum] for d, (x, y) in zip(drawn, places, strict=True)],
        "protocol": {key: value for key, value in source.card.items() if key in OF_TRAINING and value is not None},
        "seen_in_training": sum(photo.name in source.trained_on for photo, _ in read),
    }


def located(drawn: Sequence[Drawn], photos: Sequence[Photo], maps: Maps) -> list[tuple[int, int]]:
    """(x, y) of each, every map looked at once."""
    of_photo: dict[int, list[int]] = {}
    for k, d in enumerate(drawn):
        of_photo.setdefault(d.photo, []).append(k)
    places = [(0, 0)] * len(drawn)
    for p, of_this in track(of_photo.items(), "drawing", len(of_photo)):
        stratum_HW = maps(photos[p])
        for k in of_this:
            at = int(np.flatnonzero(stratum_HW == drawn[k].stratum)[drawn[k].rank])
            places[k] = (at % stratum_HW.shape[1], at // stratum_HW.shape[1])
    return places


def _kept(path: Path, photo: Photo, make: Maps) -> np.ndarray:
    """The map that an earlier call made, or this one."""
    if path.is_file():
        return read_mask(path).astype(np.uint16)
    stratum_HW = make(photo)
    small = stratum_HW.astype(np.uint8) if stratum_HW.max() < 256 else stratum_HW
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
    return stratum_HW


def _same_photos(audit: Audit, data: Dataset) -> None:
    then = {*audit.photos, *(s["image"] for s in audit.skipped)}
    now = {photo.name for photo in data}
    if then != now:
        raise UsageError(
            f"{audit.folder} was drawn from other photos ({len(now - then)} are new, {len(then - now)} are gone); "
            "name another --out"
        )


def _with_table(audit: Audit) -> Audit:
    """With a row for every pixel in the table; a table that has them all is left as it lies."""
    table = Table.read(audit.table) if audit.table.is_file() else Table.new(audit.table)
    before = len(table.rows)
    table.add(audit.pixels, audit.key)
    if len(table.rows) > before or not audit.table.is_file():
        table.write()
    return audit


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True) + "\n"
