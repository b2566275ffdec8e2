"""What each photo contributes to a score: a report ranks photos by it, and two runs are compared photo by photo.

Legend: P = photos; C = classes; K = non-zero entries of a confusion matrix; B = bins of confidence; H, W = pixels.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..classes import Classes
from ..errors import DataError
from ..files import write_atomically
from .calibration import Calibration, binned
from .confusion import Confusion, count


class PerPhoto:
    """Accumulates the confusion matrix and the calibration of a set, and remembers who contributed what.

    names: the photos in the order in which they were added. confusion, calibration: of all of them.
    Of each photo the non-zero entries are kept: 5,000 photos in 171 classes are megabytes, not gigabytes.
    """

    def __init__(self, classes: Classes):
        self.classes = classes
        self.names: list[str] = []
        self.confusion, self.calibration = Confusion(classes), Calibration()
        self._entries: list[np.ndarray] = []  # K x 3: true class, predicted class, pixels

    def add(self, name: str, mask_HW: np.ndarray, confidence_HW: np.ndarray, truth_HW: np.ndarray) -> None:
        """Count one photo. mask_HW: class indices, others = none of the classes. confidence_HW: probability of
        that class, 0..1. truth_HW: class indices, -1 = void, not counted."""
        counts = count(mask_HW, truth_HW, len(self.classes))
        true_K, predicted_K = np.nonzero(counts)
        self.names.append(name)
        self._entries.append(np.stack([true_K, predicted_K, counts[true_K, predicted_K]], axis=1))
        self.confusion.counts += counts
        self.calibration += binned(mask_HW, confidence_HW, truth_HW)

    def of(self, index: int) -> Confusion:
        """The confusion matrix of one photo."""
        made = Confusion(self.classes)
        true_K, predicted_K, pixels_K = self._entries[index].T
        made.counts[true_K, predicted_K] = pixels_K
        return made

    def sums(self) -> np.ndarray:
        """int64 P x 3 x C: the right, true and predicted pixels of each photo and class; IoU needs no more."""
        sums_P3C = np.zeros((len(self.names), 3, len(self.classes)), np.int64)
        for sums_3C, entries_K3 in zip(sums_P3C, self._entries, strict=True):
            true_K, predicted_K, pixels_K = entries_K3.T
            known_K = predicted_K < len(self.classes)
            right_K = true_K == predicted_K
            np.add.at(sums_3C[0], true_K[right_K], pixels_K[right_K])
            np.add.at(sums_3C[1], true_K, pixels_K)
            np.add.at(sums_3C[2], predicted_K[known_K], pixels_K[known_K])
        return sums_P3C

    def save(self, path: Path | str) -> Path:
        """Write an .npz of plain arrays: `photos` and `classes` (names); `entries` (int64, rows of photo, true
        class, predicted class, pixels; the class after the last = none of them); `calibration` (3 x B: pixels,
        those that are right, summed confidence)."""
        entries = [np.insert(e, 0, i, axis=1) for i, e in enumerate(self._entries)]
        arrays = {
            "photos": np.array(self.names, str),
            "classes": np.array(self.classes.names, str),
            "entries": np.concatenate([np.zeros((0, 4), np.int64), *entries]),
            "calibration": np.stack(
                [self.calibration.pixels_B, self.calibration.right_B, self.calibration.confidence_B]
            ),
        }
        return write_atomically(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))

    @classmethod
    def load(cls, path: Path | str) -> PerPhoto:
        """Read what `save` wrote; the classes have their names only. Raises DataError where it is damaged."""
        try:
            with np.load(path, allow_pickle=False) as file:
                made = cls(Classes(tuple(map(str, file["classes"]))))
                made.names = [str(name) for name in file["photos"]]
                entries_K4, calibration_3B = file["entries"], file["calibration"]
            of_photo = np.searchsorted(entries_K4[:, 0], np.arange(len(made.names) + 1))
            made._entries = [entries_K4[a:b, 1:] for a, b in zip(of_photo[:-1], of_photo[1:], strict=True)]
            np.add.at(made.confusion.counts, (entries_K4[:, 1], entries_K4[:, 2]), entries_K4[:, 3])
        except (OSError, EOFError, ValueError, KeyError, IndexError, BadZipFile, zlib.error) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{path}: not readable ({reason}); score the run again or copy the file again") from None
        pixels_B, right_B, confidence_B = calibration_3B
        made.calibration.pixels_B, made.calibration.right_B = pixels_B.astype(np.int64), right_B.astype(np.int64)
        made.calibration.confidence_B = confidence_B
        return made
