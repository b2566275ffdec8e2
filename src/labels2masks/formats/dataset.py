"""Images with labels, wherever they came from: the one shape that every reader returns.

A `Dataset` holds paths and small labels, never pixels: 100,000 photos cost megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..classes import Classes, Colour, Vocabulary, choose, join, widen
from ..errors import UsageError, did_you_mean
from ..labels import Candidates, Label, Mask, Regions, is_mask, painted_mask, rasterise
from .image import Levels, image_size, read_image, read_mask, read_segments


@dataclass(frozen=True)
class Photo:
    """One image and all that was said of it.

    name: unique in the data set: the path below the image folder without suffix, '/' between parts.
    image: the file. labels: of any kinds, masks as paths. vocabulary: how its names are to be read.
    levels: black and white of an image of more than 8 bits (see `read_image`).
    """

    name: str
    image: Path
    labels: tuple[Label, ...]
    vocabulary: Vocabulary
    levels: Levels | None = None

    def loaded(self) -> tuple[np.ndarray, tuple[Label, ...]]:
        """(image_HW3 uint8 RGB upright, labels with masks read). Raises DataError."""
        return read_image(self.image, self.levels), self.labels_loaded()

    def labels_loaded(self) -> tuple[Label, ...]:
        """The labels, with every mask in `ids_HW`: read from its file, or painted from outlines that leave nothing out.

        A mask saved as RGB is read by the classes' colours. Raises DataError.
        """
        return tuple(map(self._loaded, self.labels))

    def _loaded(self, label: Label) -> Label:
        source = self.vocabulary.source
        if isinstance(label, Regions) and is_mask(label, source):
            return painted_mask(label, source, *image_size(self.image))
        if not isinstance(label, Mask) or label.ids_HW is not None or label.path is None:
            return label
        if label.segments is not None:
            return replace(label, ids_HW=read_segments(label.path, label.segments))
        return replace(label, ids_HW=read_mask(label.path, colour_table(source)))

    def candidates(self, height: int, width: int) -> Candidates:
        """What the labels leave possible at the photo's own size. Raises DataError."""
        return rasterise(self.labels_loaded(), self.vocabulary, height, width)

    @property
    def masks(self) -> tuple[Label, ...]:
        """The labels that say of every pixel what it is: masks, and outlines of all that is there."""
        return tuple(x for x in self.labels if is_mask(x, self.vocabulary.source))

    @property
    def has_mask(self) -> bool:
        return bool(self.masks)


@dataclass(frozen=True)
class Dataset:
    """Photos in a fixed order, the classes they are read in, and named lists of photos.

    splits: name -> photo names, as the data set's own files give them; may be empty.
    root: the folder or file it was opened from. format: the reader's name.
    notes: what the reader left out of damaged or foreign files, a sentence each.
    """

    classes: Classes
    photos: tuple[Photo, ...]
    splits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    root: Path | None = None
    format: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.photos)

    def __iter__(self) -> Iterator[Photo]:
        return iter(self.photos)

    def __add__(self, other: Dataset) -> Dataset:
        """Join two data sets; where one lacks a class of the other, its background may be that class."""
        classes = join(self.classes, other.classes)
        clash = not {p.name for p in self.photos}.isdisjoint(p.name for p in other.photos)
        photos: list[Photo] = []
        splits: dict[str, tuple[str, ...]] = {}
        for i, data in enumerate((self, other)):
            prefix = f"{i}/" if clash else ""
            photos += [replace(p, name=prefix + p.name, vocabulary=v) for p, v in data._in(classes)]
            for split, names in data.splits.items():
                splits[split] = splits.get(split, ()) + tuple(prefix + n for n in names)
        return Dataset(classes, tuple(photos), splits, notes=self.notes + other.notes)

    def _in(self, classes: Classes) -> Iterator[tuple[Photo, Vocabulary]]:
        made: dict[int, Vocabulary] = {}
        for photo in self.photos:
            key = id(photo.vocabulary)
            if key not in made:
                made[key] = widen(photo.vocabulary, classes)
            yield photo, made[key]

    def split(self, name: str) -> Dataset:
        """The photos of one split, in its order. UsageError with the nearest name where there is none."""
        if name not in self.splits:
            raise UsageError(f"no split {name!r} in {self.root or 'the data set'}{did_you_mean(name, self.splits)}")
        return self.subset(self.splits[name])

    def subset(self, names: Sequence[str]) -> Dataset:
        by_name = {p.name: p for p in self.photos}
        missing = [n for n in names if n not in by_name]
        if missing:
            raise UsageError(f"{len(missing)} photos of the list are not in the data set, the first is {missing[0]!r}")
        return replace(self, photos=tuple(by_name[n] for n in names))

    def choose(
        self,
        keep: Sequence[str] | None = None,
        others: str = "void",
        merge: Mapping[str, Sequence[str]] | None = None,
    ) -> Dataset:
        """Choose and merge classes (see `classes.choose`); the labels stay as they are and are read anew."""
        chosen, meaning = choose(self.classes, keep, others, merge)
        made: dict[int, Vocabulary] = {}

        def again(old: Vocabulary) -> Vocabulary:
            if id(old) not in made:
                sets = {}
                for name, allowed in old.sets.items():
                    parts = [meaning[a] for a in allowed]
                    sets[name] = frozenset().union(*parts) if all(parts) else frozenset()
                made[id(old)] = Vocabulary(old.source, chosen, sets)
            return made[id(old)]

        return replace(
            self, classes=chosen, photos=tuple(replace(p, vocabulary=again(p.vocabulary)) for p in self.photos)
        )


VOID_COLOURS: tuple[Colour, ...] = ((0, 0, 0), (224, 224, 192))
"""Black, and the border of PASCAL VOC: void in masks saved as RGB, where no class has the colour."""


def colour_table(classes: Classes) -> dict[Colour, int]:
    """RGB -> file id, for masks saved as RGB. A colour that two classes share is left out."""
    table = dict.fromkeys(VOID_COLOURS, classes.void_id) | dict(zip(classes.colours, classes.file_ids, strict=True))
    return {colour: i for colour, i in table.items() if classes.colours.count(colour) < 2}
