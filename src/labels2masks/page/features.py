"""What the frozen encoder sees in every photo of a project: computed once by another process, kept on the disk.

    .page/features/<encoder>/encoder.json     where the cells of each level lie
    .page/features/<encoder>/<photo>.maps     the levels' maps, float16, one array after another

The maps are kept at their own strides, a quarter of what all features at cells of 8 pixels would take; a linear
classifier is applied to each level first, and its few scores are what is brought to the cells. A photo is known by its
content, an encoder by its name and weights: photos that moved, and a page that was killed, find what was computed.

`python -m labels2masks.page.features` computes what a line of JSON asks for and answers with a line for each photo. A
photo that takes the decoder down takes that process down, and no other.

Legend: H, W = pixels that the encoder saw; h, w = cells; P = chosen cells; D = features; C = classes.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..files import write_atomically
from ..formats.dataset import Photo
from ..formats.image import read_image
from ..grid import Grid, interpolated, interpolation

SEEN = 512
"""Long side at which the encoder sees photos; larger ones are shrunk."""
STRIDE = 8
CELLS = Grid(STRIDE, STRIDE, STRIDE / 2, STRIDE / 2)
HEAD = 1 << 16
ENCODER = "encoder.json"


@dataclass(frozen=True)
class Maps:
    """One photo as the encoder saw it. levels: float32 h x w x D each, on `grids`; a constant 1 is the last feature."""

    height: int
    width: int
    levels: tuple[np.ndarray, ...]
    grids: tuple[Grid, ...]

    @property
    def cells(self) -> tuple[int, int]:
        """(h, w): cells of `CELLS` that cover the photo."""
        return -(-self.height // STRIDE), -(-self.width // STRIDE)

    @property
    def features(self) -> int:
        return 1 + sum(level.shape[2] for level in self.levels)

    def all(self) -> np.ndarray:
        """float32 P x D: the features of every cell, row by row."""
        h, w = self.cells
        parts = []
        for level, grid in zip(self.levels, self.grids, strict=True):
            here = grid.in_cells_of(CELLS)
            top_h, bottom_h, down_h = interpolation(here.stride_y, here.centre_y, level.shape[0], h)
            left_w, right_w, across_w = interpolation(here.stride_x, here.centre_x, level.shape[1], w)
            down_h11, across_w1 = down_h[:, None, None], across_w[:, None]
            rows_hlD = (1 - down_h11) * level[top_h] + down_h11 * level[bottom_h]
            parts.append((1 - across_w1) * rows_hlD[:, left_w] + across_w1 * rows_hlD[:, right_w])
        return np.concatenate([*parts, np.ones((h, w, 1), np.float32)], axis=2).reshape(h * w, -1)

    def scores(self, weights_DC: np.ndarray) -> np.ndarray:
        """float32 Chw on `CELLS`: the features of every cell times the weights."""
        h, w = self.cells
        scores_Chw, start = np.zeros((weights_DC.shape[1], h, w), np.float32), 0
        for level, grid in zip(self.levels, self.grids, strict=True):
            end = start + level.shape[2]
            of_level_Chw = np.moveaxis(level @ weights_DC[start:end], -1, 0)
            scores_Chw += interpolated(of_level_Chw, grid.in_cells_of(CELLS), h, w)
            start = end
        return scores_Chw + weights_DC[-1][:, None, None]


class Store:
    """The maps that lie on the disk. encoder, weights: as `l2m train` takes them."""

    def __init__(self, folder: Path, encoder: str, weights: str):
        self.encoder, self.weights = encoder, weights
        known = _head(Path(weights)) if Path(weights).is_file() else weights
        self.folder = folder / hashlib.sha256(json.dumps([encoder, known, SEEN]).encode()).hexdigest()[:16]

    def file(self, photo: Photo) -> Path:
        """Where the maps of this photo lie, or will. Raises DataError where the photo can not be opened."""
        return self.folder / f"{hashlib.sha256(f'{_head(photo.image)} {photo.levels}'.encode()).hexdigest()[:32]}.maps"

    def read(self, file: Path) -> Maps:
        """Raises DataError for what is not there or damaged."""
        try:
            grids = json.loads((self.folder / ENCODER).read_text(encoding="utf-8"))["grids"]
            with open(file, "rb") as opened:
                height, width = np.load(opened, allow_pickle=False).tolist()
                levels = tuple(np.load(opened, allow_pickle=False).astype(np.float32) for _ in grids)
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise DataError(f"{file}: no features ({error}); delete the file, it is computed again") from None
        return Maps(height, width, levels, tuple(Grid(**grid) for grid in grids))


def compute(store: Store, photos: Sequence[tuple[str, str, object]], tell) -> None:
    """Write the maps of the photos, (image, file, levels) each.

    tell(None, None) when the encoder is there, then tell(number, None, or why the photo could not be read) for each.
    """
    import torch

    from ..cues.features import FrozenFeatures
    from ..encoders import build_encoder
    from ..prediction.views import resized, shrinking

    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))  # a core is left to the person who draws meanwhile
    torch.manual_seed(0)  # an encoder without weights is the same each time
    frozen = FrozenFeatures(build_encoder(store.encoder, None if store.weights == "none" else store.weights))
    grids = [asdict(frozen.encoder.grids[i]) for i in frozen.levels]
    write_atomically(store.folder / ENCODER, json.dumps({"encoder": store.encoder, "grids": grids}))
    tell(None, None)
    for number, (image, file, levels) in enumerate(photos):
        try:
            image_HW3 = read_image(image, tuple(levels) if isinstance(levels, list) else levels)  # type: ignore[arg-type]
        except DataError as error:
            tell(number, str(error))
            continue
        height, width = image_HW3.shape[:2]
        image_HW3 = resized(image_HW3, *shrinking(height, width, SEEN))
        with torch.inference_mode():
            maps = frozen.encoder(torch.from_numpy(image_HW3.copy()).permute(2, 0, 1)[None].float())
            levels_hwD = [maps[i][0].permute(1, 2, 0).numpy().astype(np.float16) for i in frozen.levels]

        def write(opened, shape=image_HW3.shape[:2], levels_hwD=levels_hwD) -> None:
            for array in (np.array(shape, np.int32), *levels_hwD):
                np.save(opened, np.ascontiguousarray(array), allow_pickle=False)

        write_atomically(file, write)
        tell(number, None)


def main() -> None:
    """A line {"folder", "encoder", "weights", "photos"} comes in; [null, null] and [number, reason] a photo go out."""
    if hasattr(os, "nice"):
        os.nice(5)
    asked = json.loads(sys.stdin.readline())
    store = Store(Path(asked["folder"]), asked["encoder"], asked["weights"])
    compute(store, asked["photos"], lambda number, why: print(json.dumps([number, why]), flush=True))


def _head(path: Path) -> str:
    """Size and a hash of the first 64 KiB. Raises DataError."""
    try:
        with open(path, "rb") as file:
            return f"{os.fstat(file.fileno()).st_size} {hashlib.sha256(file.read(HEAD)).hexdigest()}"
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


if __name__ == "__main__":
    main()
