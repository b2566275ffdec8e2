"""Photos -> batches. Which photo is at which step depends on the seed alone; there is no state to save.

The stream of samples is one shuffled pass over the photos after another; step t takes samples
t * batch ... t * batch + batch - 1 of it, so `--resume` starts the stream at any step. Photos without a label have a
stream of their own, of which a batch takes as many as there are for each labelled one, and at most half of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from ..errors import DataError, UsageError
from ..formats.dataset import Photo
from ..losses import Batch, collate
from ..losses.border_weights import borders_of, cell_classes
from ..prediction.ahead import ahead
from .augment import Crop, early_crop, settled, training_crop
from .frozen_maps import FrozenMaps
from .settings import Augment, Loss
from .strong import strong_view


@dataclass
class Step:
    """images_N3HW uint8, labels, the photos' names, and what could not be read: (name, reason).

    strong_N3HW: what the network is to see instead, where a teacher looks at images_N3HW.
    maps: NDhw of each level, what a frozen encoder sees in the crops (see `frozen_maps`).
    """

    images_N3HW: torch.Tensor
    labels: Batch
    names: list[str]
    skipped: list[tuple[str, str]]
    strong_N3HW: torch.Tensor | None = None
    maps: list[torch.Tensor] | None = None

    @property
    def shown_N3HW(self) -> torch.Tensor:
        """What the network sees."""
        return self.images_N3HW if self.strong_N3HW is None else self.strong_N3HW


Key = tuple[int, int, bool]
"""(pass over the photos, photo, has the run settled?): what a crop depends on."""


class Crops:
    """Item (epoch, index, settled): the crop of that photo in that pass. An unreadable photo gives way to another.

    maps: what a frozen encoder sees of the photos, for the crops to have. loss: says whether crops come with border
        weights, with a prior of objects, and those with undecided pixels with a strong view.
    Raises UsageError for `cells` that are no class, and for `objectness` without a background.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        augment: Augment,
        crop: tuple[int, int],
        size: int | None,
        rarity: dict[int, float],
        seed: int,
        loss: Loss | None = None,
        maps: FrozenMaps | None = None,
    ):
        self.photos, self.size, self.rarity, self.seed, self.maps = list(photos), size, rarity, seed, maps
        self.loss = loss or Loss()
        self.cells = cell_classes(photos[0].vocabulary.target, self.loss.cells) if self.loss.border > 0 else []
        classes = photos[0].vocabulary.target
        self.background = None if classes.background is None else classes.index(classes.background)
        if self.loss.objectness > 0 and self.background is None:
            raise UsageError(
                f"loss.objectness says what is background, which none of {', '.join(classes.names)} is: "
                "--set loss.objectness=0"
            )
        self.shown = {False: (augment, early_crop(crop)), True: (settled(augment), crop)}
        if augment.settle == 0:
            self.shown = {False: (augment, crop)}

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, key: Key) -> tuple[Crop, list[tuple[str, str]]]:
        epoch, index, has_settled = key
        augment, crop_size = self.shown[has_settled]
        skipped = []
        for attempt in range(10):
            draw = np.random.default_rng([self.seed, epoch, index, attempt])
            photo = self.photos[index if attempt == 0 else int(draw.integers(len(self.photos)))]
            try:
                crop = training_crop(photo, augment, crop_size, self.size, self.rarity, draw, self.loss.objectness > 0)
                if self.maps and crop.matrix_23 is not None:
                    crop = replace(crop, maps=self.maps.crop(photo, crop.matrix_23, crop_size))
            except DataError as error:
                skipped.append((photo.name, str(error)))
                continue
            if self.loss.border > 0:
                labels_HW = crop.candidates.labels()
                border_HW = borders_of(labels_HW, self.cells, self.loss.border, self.loss.sigma)
                crop = replace(crop, border_HW=border_HW)
            if self.loss.consistency > 0 and not self.maps and crop.candidates.decided() < 1:
                crop = replace(crop, strong_HW3=strong_view(crop.image_HW3, draw))
            return crop, skipped
        raise DataError(f"ten photos in a row could not be read, the last: {skipped[-1][1]}")


class Stream:
    """The keys of steps `start` .. `stop` - 1, this process's share of each batch.

    photos: those with labels, the first of all. unlabelled: those without, which follow them.
    settles: the step from which on the run has settled; None = it never does.
    """

    def __init__(
        self,
        photos: int,
        batch: int,
        start: int,
        stop: int,
        seed: int,
        settles: int | None = None,
        process: int = 0,
        processes: int = 1,
        unlabelled: int = 0,
    ):
        self.photos, self.batch, self.start, self.stop, self.seed = photos, batch, start, stop, seed
        self.settles, self.process, self.processes = stop if settles is None else settles, process, processes
        self.unlabelled = unlabelled

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        labelled, others = _Passes(self.photos, [self.seed]), _Passes(self.unlabelled, [self.seed, 1])
        for step in range(self.start, self.stop):
            first, last = step * self.batch, (step + 1) * self.batch
            before, after = self._unlabelled_of(first), self._unlabelled_of(last)
            drawn = [labelled[p] for p in range(first - before, last - after)]
            drawn += [(epoch, self.photos + index) for epoch, index in (others[p] for p in range(before, after))]
            keys = [(epoch, index, step >= self.settles) for epoch, index in drawn]
            yield keys[self.process :: self.processes]

    def _unlabelled_of(self, samples: int) -> int:
        """How many of the first samples have no label."""
        return samples * min(self.unlabelled, self.photos) // (min(self.unlabelled, self.photos) + self.photos)


class _Passes:
    """Item p: (pass, photo) of sample p of shuffled passes over `photos` photos; the last pass is kept."""

    def __init__(self, photos: int, seed: list[int]):
        self.photos, self.seed, self.epoch, self.order = photos, seed, -1, np.zeros(0, int)

    def __getitem__(self, position: int) -> tuple[int, int]:
        epoch, place = divmod(position, self.photos)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, np.random.default_rng([*self.seed, epoch]).permutation(self.photos)
        return epoch, int(self.order[place])


def loader(crops: Crops, stream: Stream, workers: int) -> Iterator[Step]:
    """Batches in order; the same ones whatever the number of worker threads (0 = none: made when asked for).

    Threads, not processes: decoding and warping release the interpreter, nothing is sent from one process to another,
    a script needs no main guard, and a kill leaves nobody behind.
    Raises DataError where hardly a photo can be read.
    """
    cv2.setNumThreads(1)  # the cores belong to the training step

    def made(keys: list[Key]) -> Step:
        return _joined([crops[key] for key in keys], crops.background)

    return ahead(made, stream, workers) if workers else map(made, stream)


def _joined(items: Sequence[tuple[Crop, list[tuple[str, str]]]], background: int | None) -> Step:
    crops = [c for c, _ in items]
    # Stacked by numpy: a torch operation in a worker thread would start a team of threads of its own.
    images_NHW3 = np.stack([c.image_HW3 for c in crops])
    strong_NHW3 = None
    if any(c.strong_HW3 is not None for c in crops):
        strong_NHW3 = np.stack([c.image_HW3 if c.strong_HW3 is None else c.strong_HW3 for c in crops])
    levels = zip(*(c.maps for c in crops if c.maps is not None), strict=True)
    maps = [torch.from_numpy(np.stack(level)) for level in levels]
    return Step(
        torch.from_numpy(images_NHW3).permute(0, 3, 1, 2),
        collate(
            [c.candidates for c in crops],
            [c.border_HW for c in crops if c.border_HW is not None],
            [c.objectness_HW for c in crops if c.objectness_HW is not None],
            background,
        ),
        [c.name for c in crops],
        [s for _, skipped in items for s in skipped],
        None if strong_NHW3 is None else torch.from_numpy(strong_NHW3).permute(0, 3, 1, 2),
        maps or None,
    )
