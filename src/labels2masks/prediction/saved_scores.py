"""Scores that somebody saved, whatever made them, as probabilities at the photo's own size.

    .npy, .npz      floats of three axes L, h, w: at every pixel, or on coarse cells that cover the photo evenly;
                    probabilities where they lie in 0..1 and sum to 1 over the labels, else scores before the softmax
    .png (.npy)     whole numbers of two axes H, W: hard labels, 255 = unsure

Legend: L = labels; H, W = pixels; h, w = cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..classes import Classes
from ..errors import DataError
from ..formats.image import mask_palette, read_mask
from ..grid import Grid
from ..kernels.dense_crf import probabilities_from_labels, probabilities_from_scores

CERTAINTY = 0.7
"""Of hard labels; what the preset `irn` is made for (Ahn et al. 2019)."""
_VOID = 255
_SUM = 0.02
"""By how much float16 probabilities of many labels may miss 1."""


@dataclass(frozen=True)
class SavedScores:
    """probabilities_LHW float32. mask_HW int32: what they say alone, -1 = unsure. read_as: what the file was taken for:
    "probabilities", "scores" or "labels"."""

    probabilities_LHW: np.ndarray
    mask_HW: np.ndarray
    classes: Classes
    read_as: str


def read_scores(path: Path | str, height: int, width: int) -> SavedScores:
    """What the file says about a photo of that size. Raises DataError for anything that does not fit it."""
    path = Path(path)
    names: tuple[str, ...] = ()
    if path.suffix in (".npy", ".npz"):
        array, names = _array(path)
    else:
        array = read_mask(path)
    if array.ndim == 2 and array.dtype.kind in "iu":
        return _of_labels(path, array, height, width)
    if array.ndim != 3 or array.dtype.kind != "f" or not array.size:
        raise DataError(f"{path}: {array.dtype} {array.shape}; expected floats (labels, h, w) or whole numbers (H, W)")
    scores_Lhw = array.astype(np.float32)
    h, w = scores_Lhw.shape[1:]
    # A network pads, so a side may have a cell more than fits evenly; a turned array is further off.
    if h > height or w > width or abs(h - height * w / width) >= 2:
        raise DataError(f"{path}: {array.shape} for a photo of (H, W) = ({height}, {width}); expected (labels, h, w)")
    if not np.isfinite(scores_Lhw).all():
        raise DataError(f"{path}: holds NaN or infinite scores")
    likely = scores_Lhw.min() >= 0 and scores_Lhw.max() <= 1 + _SUM
    likely = bool(likely and np.abs(scores_Lhw.sum(axis=0) - 1).max() <= _SUM)
    if likely:
        scores_Lhw = np.log(np.maximum(scores_Lhw, np.float32(1e-5)))
    grid = None if (h, w) == (height, width) else Grid(height / h, width / w, height / h / 2, width / w / 2)
    probabilities_LHW = probabilities_from_scores(scores_Lhw, grid, height, width)
    names = names if len(names) == len(scores_Lhw) else tuple(map(str, range(len(scores_Lhw))))
    classes = Classes(names, background="background" if "background" in names else None)
    mask_HW = probabilities_LHW.argmax(axis=0).astype(np.int32)
    return SavedScores(probabilities_LHW, mask_HW, classes, "probabilities" if likely else "scores")


def _array(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """(the one array, the class names beside it, as `predict --also scores` writes them)."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded, ()
        with loaded:
            names = tuple(map(str, loaded["classes"])) if "classes" in loaded else ()
            found = [key for key in loaded if key != "classes"]
            if len(found) != 1:
                raise DataError(f"{path}: holds {', '.join(found) or 'no array'}; expected one array of scores")
            return loaded[found[0]], names
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, EOFError, ValueError, BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: no readable array: {' '.join(str(error).split())}") from None


def _of_labels(path: Path, ids_HW: np.ndarray, height: int, width: int) -> SavedScores:
    if ids_HW.shape != (height, width):
        raise DataError(f"{path}: labels of {ids_HW.shape} for a photo of {(height, width)}; they must be equal")
    ids = [int(i) for i in np.unique(ids_HW) if i != _VOID]
    if len(ids) < 2 or ids[0] < 0:
        raise DataError(f"{path}: labels {ids} beside {_VOID} (unsure); a CRF needs two or more, from 0 on")
    palette = mask_palette(path) if path.suffix == ".png" else ()
    colours = tuple(palette[i] for i in ids) if palette and len(palette) > ids[-1] else ()
    background = "0" if ids[0] == 0 and (not colours or not any(colours[0])) else None
    classes = Classes(tuple(map(str, ids)), colours, background, tuple(ids))
    mask_HW = np.where(ids_HW == _VOID, -1, np.searchsorted(ids, ids_HW)).astype(np.int32)
    return SavedScores(probabilities_from_labels(mask_HW, len(ids), CERTAINTY), mask_HW, classes, "labels")
