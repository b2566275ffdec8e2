"""What a frozen encoder sees of each photo, kept on disk: a head learns from it without passing photos through again.

    photo -- working size -- encoder -> its maps, once, float16, about 0.6 MB for 500x375 on EfficientNet-Lite2
    crop  -- the same zoom, mirror and move as the crop's pixels, by linear interpolation of the maps

The maps are those of the photo as it is: what changes its colours, turns or deforms it has no place here. Where a crop
reaches beyond the photo the outermost cells are repeated; those pixels are void.

Legend: H, W = pixels of the crop; D = channels; h, w = cells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..errors import DataError, UsageError
from ..files import write_atomically
from ..formats.dataset import Photo
from ..formats.image import image_size, read_image
from ..grid import Grid
from ..networks.hypercolumns import Hypercolumns
from ..prediction.views import resized, shrinking
from ..progress import track
from .plan import fingerprint
from .settings import Settings


def check_frozen(s: Settings, network: nn.Module) -> None:
    """UsageError for settings that frozen maps can not follow, and for another network."""
    if not isinstance(network, Hypercolumns):
        raise UsageError(f"the solver 'frozen' trains the network 'hypercolumns', not {s.network!r}")
    for name in ("rotate", "colour", "hue", "blur", "elastic"):
        if getattr(s.augment, name):
            raise UsageError(f"the solver 'frozen' learns from photos as they are: --set augment.{name}=0")


class FrozenMaps:
    """The maps of photos at the working size, in `folder`/<encoder and weights>; made where they are missing.

    network: with `encoder`, `levels` and `head`. size: the long side that photos are shrunk to, None = as they are.
    """

    def __init__(self, network: Hypercolumns, size: int | None, folder: Path):
        self.encoder, self.size = network.encoder, size
        self.levels = network.levels
        self.grids: list[Grid] = [network.encoder.grids[i] for i in self.levels]
        self.folder = folder / f"{_weights_id(network.encoder)}-{size or 'full'}"

    def make(self, photos: Sequence[Photo]) -> None:
        """Fill the folder. Photos that can not be read are left to whoever asks for them."""
        missing = [p for p in photos if not self._file(p).is_file()]
        self.encoder.eval()
        for photo in track(missing, "what the frozen encoder sees", len(missing)):
            try:
                image_HW3 = read_image(photo.image, photo.levels)
            except DataError:
                continue
            small_HW3 = resized(image_HW3, *shrinking(image_HW3.shape[0], image_HW3.shape[1], self.size))
            with torch.inference_mode():
                image_13HW = torch.from_numpy(small_HW3.copy()).permute(2, 0, 1)[None].float()
                found = self.encoder(image_13HW.to(next(self.encoder.parameters()).device))
            arrays = {str(i): found[i][0].half().cpu().numpy() for i in self.levels}
            write_atomically(self._file(photo), lambda file, arrays=arrays: np.savez(file, **arrays))  # type: ignore[misc]

    def crop(self, photo: Photo, matrix_23: np.ndarray, crop: tuple[int, int]) -> list[np.ndarray]:
        """float32 Dhw of each level: at the cells of a crop of H x W = `crop`, made by x' = M x of the photo's pixels.

        Raises DataError for a photo that could not be read.
        """
        try:
            with np.load(self._file(photo), allow_pickle=False) as file:
                maps = [file[str(i)] for i in self.levels]
        except OSError:
            raise DataError(f"{photo.image}: can not be read") from None
        size = image_size(photo.image)
        shrunk = np.array(shrinking(*size, self.size)) / size
        cropped = []
        for map_Dhw, grid in zip(maps, self.grids, strict=True):
            h, w = map_Dhw.shape[1:]
            y, x = (matrix_23[1, 1], matrix_23[1, 2], shrunk[0]), (matrix_23[0, 0], matrix_23[0, 2], shrunk[1])
            rows_Hh = _interpolating(crop[0], h, grid.stride_y, grid.centre_y, y)
            columns_Ww = _interpolating(crop[1], w, grid.stride_x, grid.centre_x, x)
            cropped.append(rows_Hh @ map_Dhw.astype(np.float32) @ columns_Ww.T)
        return cropped

    def _file(self, photo: Photo) -> Path:
        levels = "" if photo.levels is None else repr(photo.levels)
        name = hashlib.blake2b((fingerprint(photo.image) + levels).encode(), digest_size=12).hexdigest()
        return self.folder / name[:2] / f"{name}.npz"


def _interpolating(side: int, cells: int, stride: float, centre: float, way: tuple[float, float, float]) -> np.ndarray:
    """float32, cells of a crop's side x cells of the map: linear interpolation at where they come from.

    way: zoom and move from pixels of the photo to those of the crop, and the shrinking to those of the working size.
    """
    zoom, move, shrunk = way
    in_crop = centre + stride * np.arange(-(-side // int(stride)))
    position = np.clip(((in_crop - move) / zoom * shrunk - centre) / stride, 0, cells - 1)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(cells))).astype(np.float32)


def _weights_id(encoder: nn.Module) -> str:
    """Of an encoder and its weights: equal ones see the same."""
    found = hashlib.blake2b(digest_size=8)
    for name, value in encoder.state_dict().items():
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
