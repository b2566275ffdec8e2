"""Maps and masks that other tools made of the photos: of classes (CLIP, CAM, a network's scores), of what stands out
(saliency, eye fixations), of segments without a class (Segment Anything). In one folder, by the photos' names:

    <class>/<photo>.png, <photo>/<class>.png        a class's map, or its mask
    <photo>.npz                 an array for each class, (h, w); or one (classes, h, w) with its names in `classes`, as
                                `predict --also scores` writes it
    <photo>.png, <photo>.npz or .npy with one array (h, w)          saliency
    <photo>/0.png, 1.png ...; <photo>.npz or .npy with one array (segments, h, w)       segments, which may overlap

JPEG is read as PNG is. A map covers the whole photo; it may be coarser or finer, or square as networks that stretch
photos to a square make it, and is brought to the photo's size, linearly. Grey of 8 and 16 bits is a part of 255 or
65535, and so is a 1: masks of classes are saved as 0 and 255, in 1 bit, or as bool (read as a mask, the faint map of a
class that is not there would be sure of it). In segments whatever is not 0 is on. Floats have to lie in 0..1.

Safety: sizes are read from the files' heads and compared with the photo's before memory is taken; nothing is
unpickled; a name that is no plain file name (`..`, a drive, a backslash) has no map.

Legend: H, W = pixels of the photo; h, w = of the map; S = segments.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

from ..errors import DataError
from .dataset import Photo
from .image import image_size, mask_palette, read_image, read_mask

PICTURES = (".png", ".jpg", ".jpeg")
ARRAYS = (".npz", ".npy")
MOST_LAYERS = 4096
"""Classes or segments of one photo."""
MOST_BYTES = 2**31
"""Of one array, and of the segments of one photo."""
_FINER = 4
"""How many times the photo's pixels a map may have, for it to be read at all."""


def read_maps(folder: Path | str, photo: Photo, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Class -> float32 HW, 0..1, of the photo's size: those of `classes` for which there is a map.

    Raises DataError for files that are damaged, too large, of another shape than the photo, or not within 0..1.
    """
    folder, size = Path(folder), image_size(photo.image)
    arrays = _arrays(folder, photo, size)
    path = arrays.path
    if path is not None and "classes" in arrays.heads:
        names = [str(n) for n in arrays.read("classes").ravel()]
        (key, shape), *more = [(k, s) for k, s in arrays.heads.items() if k != "classes"] or [("", ())]
        if more or len(shape) != 3 or shape[0] != len(names):
            raise DataError(f"{path}: {len(names)} classes and {arrays.said()}; expected one array (classes, h, w)")
        layers = arrays.read(key)
        return {n: _fitted(layers[i], size, path) for i, n in enumerate(names) if n in classes}
    made = {}
    for name in classes:
        pictures = (_file(folder, PICTURES, photo.name, name), _file(folder, PICTURES, name, photo.name))
        if path is not None and name in arrays.heads:
            made[name] = _fitted(arrays.read(name), size, path)
        elif picture := next((p for p in pictures if p is not None), None):
            made[name] = _fitted(_grey(picture, size), size, picture)
    return made


def read_saliency(folder: Path | str, photo: Photo) -> np.ndarray | None:
    """float32 HW, 0..1: how much a pixel stands out, of whatever class; None where there is no such map. DataError."""
    folder, size = Path(folder), image_size(photo.image)
    arrays = _arrays(folder, photo, size)
    if arrays.path is not None and len(arrays.heads) == 1 and arrays.dimensions() == 2:
        return _fitted(arrays.read(next(iter(arrays.heads))), size, arrays.path)
    picture = _file(folder, PICTURES, photo.name)
    return None if picture is None else _fitted(_grey(picture, size), size, picture)


def read_segments_of(folder: Path | str, photo: Photo) -> np.ndarray | None:
    """bool SHW: segments without a class, in the files' order; None where there are none. DataError."""
    folder, size = Path(folder), image_size(photo.image)
    arrays = _arrays(folder, photo, size)
    if arrays.path is not None and len(arrays.heads) == 1 and arrays.dimensions() == 3:
        layers, path = arrays.read(next(iter(arrays.heads))), arrays.path
        return np.stack([_is_on(layer, size, path) for layer in layers]) if len(layers) else None
    below = _inside(folder, photo.name)
    numbered = [f for f in below.iterdir() if f.stem.isdecimal()] if below is not None and below.is_dir() else []
    files = sorted((f for f in numbered if f.suffix.lower() in PICTURES), key=lambda f: int(f.stem))
    if len(files) > min(MOST_LAYERS, MOST_BYTES // (size[0] * size[1])):
        raise DataError(f"{below}: {len(files)} segments are too many for a photo of {size[1]}x{size[0]}")
    return np.stack([_is_on(_grey(f, size), size, f) for f in files]) if files else None


def _is_on(values_hw: np.ndarray, size: tuple[int, int], path: Path) -> np.ndarray:
    """bool HW of a segment."""
    return _fitted(values_hw if values_hw.dtype.kind == "f" else values_hw > 0, size, path) >= 0.5


def _inside(folder: Path, *names: str) -> Path | None:
    """The path below the folder; None where a name is none that could lie there."""
    parts = [part for name in names for part in name.split("/")]
    if any(part in ("", ".", "..") or set(part) & {"\\", ":", "\0"} for part in parts):
        return None
    return folder.joinpath(*parts)


def _file(folder: Path, suffixes: Sequence[str], *names: str) -> Path | None:
    path = _inside(folder, *names)
    return None if path is None else next((f for s in suffixes if (f := path.with_name(path.name + s)).is_file()), None)


def _fitted(values_hw: np.ndarray, size: tuple[int, int], path: Path) -> np.ndarray:
    """float32 HW in 0..1 of a map in the types that are read."""
    height, width = size
    if values_hw.ndim != 2 or not values_hw.size or values_hw.dtype.kind not in "fiub":
        raise DataError(f"{path}: {values_hw.dtype} {values_hw.shape}; expected one map, (h, w)")
    h, w = values_hw.shape
    if h != w and abs(h - height * w / width) >= 2 and abs(w - width * h / height) >= 2:
        raise DataError(f"{path}: a map of {w}x{h} for a photo of {width}x{height}; expected its shape, or a square")
    if values_hw.dtype.kind in "iu":
        if values_hw.dtype not in (np.uint8, np.uint16):
            raise DataError(f"{path}: values in {values_hw.dtype}; expected floats, bool, uint8 or uint16")
        values_hw = values_hw / np.float32(np.iinfo(values_hw.dtype).max)
    made_hw = values_hw.astype(np.float32)
    if not (np.isfinite(made_hw).all() and made_hw.min() >= 0 and made_hw.max() <= 1.001):
        raise DataError(f"{path}: values that are not within 0..1; save probabilities, or scale the scores to 0..1")
    if (h, w) != size:
        shrink = h > height
        made_hw = cv2.resize(made_hw, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    return np.clip(made_hw, 0, 1)


def _grey(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The values of a picture: bool, uint8 or uint16, as its bits are."""
    h, w = image_size(path)
    _check_size((h, w), size, path)
    try:
        values_hw = read_mask(path)
    except DataError:  # JPEG or RGB
        rgb_hw3 = read_image(path)
        if (rgb_hw3 != rgb_hw3[..., :1]).any():
            raise DataError(f"{path}: a coloured picture; expected grey: save the map, not a rendering of it") from None
        return rgb_hw3[..., 0]
    with open(path, "rb") as opened:
        head = opened.read(25)
    bits = head[24] if head[1:4] == b"PNG" else 8
    if mask_palette(path):
        if values_hw.max() > 1:
            raise DataError(f"{path}: indexed colours; expected grey of 8 or 16 bits, or a mask of two colours")
        bits = 1
    return values_hw.astype({1: np.bool_, 16: np.uint16}.get(bits, np.uint8))


def _check_size(shape: Sequence[int], size: tuple[int, int], path: Path, item_bytes: int = 1) -> None:
    layers, pixels = math.prod(shape[:-2]), math.prod(shape[-2:])
    too_fine = pixels > _FINER * max(size[0] * size[1], 10_000)
    if layers > MOST_LAYERS or too_fine or layers * pixels * item_bytes > MOST_BYTES:
        raise DataError(f"{path}: maps of {tuple(shape)} for a photo of {size}; they are too large for it")


class _Arrays:
    """The arrays of one .npz or .npy. heads: name -> shape; what is no number, and has no name, is not among them."""

    def __init__(self, path: Path | None, size: tuple[int, int]) -> None:
        self.path, self._size = path, size
        self.heads: dict[str, tuple[int, ...]] = {}
        self._dtypes: dict[str, np.dtype[Any]] = {}
        if path is not None:
            self._guarded(self._read_heads)

    def dimensions(self) -> int:
        return len(next(iter(self.heads.values())))

    def said(self) -> str:
        return ", ".join(f"{key} {shape}" for key, shape in self.heads.items() if key != "classes") or "no other array"

    def read(self, key: str) -> np.ndarray:
        shape, dtype = self.heads[key], self._dtypes[key]
        assert self.path is not None
        if key == "classes":
            if math.prod(shape) > MOST_LAYERS or dtype.itemsize > 4096:
                raise DataError(f"{self.path}: {math.prod(shape)} class names; expected at most {MOST_LAYERS}")
        else:
            _check_size(shape, self._size, self.path, dtype.itemsize)
        return self._guarded(lambda: self._read(key))

    def _read(self, key: str) -> np.ndarray:
        assert self.path is not None
        if self.path.suffix.lower() == ".npy":
            with open(self.path, "rb") as opened:
                return np.lib.format.read_array(opened, allow_pickle=False)
        with zipfile.ZipFile(self.path) as archive, archive.open(f"{key}.npy") as member:
            return np.lib.format.read_array(member, allow_pickle=False)

    def _read_heads(self) -> None:
        assert self.path is not None
        if self.path.suffix.lower() == ".npy":
            with open(self.path, "rb") as opened:
                self._head("", opened)
            return
        with zipfile.ZipFile(self.path) as archive:
            names = [n for n in archive.namelist() if n.endswith(".npy")]
            if len(names) > MOST_LAYERS:
                raise DataError(f"{self.path}: {len(names)} arrays; expected at most {MOST_LAYERS}")
            for name in names:
                with archive.open(name) as member:
                    self._head(name.removesuffix(".npy"), member)  # type: ignore[arg-type]

    def _head(self, key: str, opened: BinaryIO) -> None:
        version = np.lib.format.read_magic(opened)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"arrays in version {version}")
        shape, _, dtype = read(opened)
        if dtype.hasobject or dtype.kind not in "fiubU" or min(shape, default=1) < 0:
            raise ValueError(f"an array of {dtype}, {shape}")
        self.heads[key], self._dtypes[key] = shape, dtype

    def _guarded(self, do: Callable[[], Any]) -> Any:
        try:
            return do()
        except DataError:
            raise
        except (OSError, EOFError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{self.path}: no readable array ({reason[:120]}); save it again") from None


def _arrays(folder: Path, photo: Photo, size: tuple[int, int]) -> _Arrays:
    return _Arrays(_file(folder, ARRAYS, photo.name), size)
