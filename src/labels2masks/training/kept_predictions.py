"""Probabilities of many photos on the disk, small: on at most 128 cells a side, a byte each.

    predictions/<name>.npz      probabilities (bytes Chw, 255 = 1), grid (stride_y, stride_x, centre_y, centre_x), size
    made_for.json               what they were made for: photos, labels, run; a folder of another's is refused

Legend: H, W = pixels; h, w = cells; C = classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ..errors import DataError, UsageError
from ..files import write_atomically
from ..formats.dataset import Photo
from ..formats.label_json import label_to_json
from ..grid import Grid, interpolated
from ..labels import Label, Mask
from ..prediction.views import resampled, scaled
from .folder import write_json
from .plan import fingerprint

CELLS = 128


class KeptPredictions:
    """photo in kept; kept.write(photo, ...); kept.read(photo, height, width). Names are photo names."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __contains__(self, photo: str) -> bool:
        return self._file(photo).exists()

    def _file(self, photo: str) -> Path:
        return self.folder / "predictions" / f"{photo}.npz"

    def write(self, photo: str, probabilities_Chw: np.ndarray, grid: Grid, height: int, width: int) -> None:
        """grid: in pixels of the height x width that the model saw."""
        if max(probabilities_Chw.shape[1:]) > CELLS:
            zoom = max(height, width) / CELLS
            coarse = Grid(zoom, zoom, zoom / 2, zoom / 2)
            h, w = int(np.ceil(height / zoom)), int(np.ceil(width / zoom))
            probabilities_Chw, grid = resampled(probabilities_Chw, grid, coarse, h, w), coarse
        arrays = {
            "probabilities": np.rint(255 * probabilities_Chw).astype(np.uint8),
            "grid": np.array([grid.stride_y, grid.stride_x, grid.centre_y, grid.centre_x]),
            "size": np.array([height, width]),
        }
        write_atomically(self._file(photo), lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))

    def read(
        self, photo: str, height: int, width: int, rows: slice = slice(None), columns: slice = slice(None)
    ) -> np.ndarray:
        """probabilities_CHW float32 at another size of the photo, or of a window of it. DataError where damaged."""
        path = self._file(photo)
        try:
            with np.load(path, allow_pickle=False) as file:
                bytes_Chw, grid, (seen_height, seen_width) = file["probabilities"], Grid(*file["grid"]), file["size"]
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            raise DataError(f"{path}: not readable ({error}); remove it and call again") from None
        grid = scaled(grid, height / seen_height, width / seen_width)
        found_CHW = interpolated(bytes_Chw.astype(np.float32), grid, height, width, rows, columns)
        return found_CHW / np.maximum(found_CHW.sum(axis=0), 1)

    def claim(self, photos: Iterable[Photo], settings: Mapping[str, Any]) -> None:
        """The folder belongs to these photos, labels and settings from now on. UsageError where it has others."""
        digest = hashlib.blake2b(digest_size=16)
        for photo in photos:
            said = [photo.name, _print(photo.image), *map(_said, photo.labels)]
            digest.update(json.dumps(said, sort_keys=True).encode())
        made_for = {**settings, "labels": digest.hexdigest()}
        path = self.folder / "made_for.json"
        if not path.exists():
            if self.folder.exists() and any(p.name != ".lock" for p in self.folder.iterdir()):
                raise UsageError(f"{self.folder} has other content: name another --out")
            write_json(path, made_for)
        elif json.loads(path.read_text(encoding="utf-8")) != made_for:
            raise UsageError(
                f"{self.folder} was made for other photos, labels or settings, or for another run: "
                "name another --out, or remove it"
            )


def _said(label: Label) -> Any:
    if not isinstance(label, Mask):
        return label_to_json(label, str)
    if label.ids_HW is not None:
        return hashlib.blake2b(label.ids_HW.tobytes(), digest_size=16).hexdigest()
    return _print(label.path) if label.path else None


def _print(path: Path) -> str | None:
    try:
        return fingerprint(path)
    except OSError:
        return None  # a file that is gone is named when it is read
