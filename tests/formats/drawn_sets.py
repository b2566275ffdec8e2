"""Small data sets of drawn labels, for formats of drawing tools: three photos, and what hypothesis draws on them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from formats.contracts_reader import writer_contract
from hypothesis import strategies as st
from PIL import Image

from labels2masks.classes import Classes, Vocabulary
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.labels import Box, Boxes, Label, Mask, Point, Points, Region, Regions, Scribbles, Stroke, Tags

H, W = 12, 16
CLASSES = Classes(("background", "cat", "dog"), background="background")
ALL = frozenset({"cat", "dog"})

names = st.sampled_from(["cat", "dog"])
xs, ys = st.floats(0, W, width=32), st.floats(0, H, width=32)
boxes = st.builds(
    lambda name, x, y, width, height: Box.upright(name, x, y, min(x + width, W), min(y + height, H)),
    names, st.floats(0, W - 1), st.floats(0, H - 1), st.floats(0.25, W), st.floats(0.25, H),
)  # fmt: skip
rings = st.builds(
    lambda x, y, more: np.array([(x, y), (x + 3, y), (x, y + 3), *more], np.float32),
    st.floats(0, W - 3, width=32), st.floats(0, H - 3, width=32), st.lists(st.tuples(xs, ys), max_size=3),
)  # fmt: skip
outlines = st.builds(lambda name, ring: Region(name, ((ring,),)), names, rings)
points = st.builds(Point, names, xs, ys)
strokes = st.builds(
    lambda name, xy: Stroke(name, tuple(xy)), names, st.lists(st.tuples(xs, ys), min_size=1, max_size=4, unique=True)
)


def photo(path: Path, orientation: int = 1, height: int = H, width: int = W) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", (width, height), (90, 120, 60)).save(path, exif=exif.tobytes())
    return path


def data_set(folder: Path, *labels: Sequence[Label], classes: Classes = CLASSES, **splits: Sequence[str]) -> Dataset:
    """A photo for each list of labels, named a, sub/b, c, ..."""
    same = Vocabulary.same(classes)
    named = [f"sub/{n}" if n == "b" else n for n in "abcdefgh"][: len(labels)]
    photos = tuple(
        Photo(name, photo(folder / f"{name}.png"), tuple(found), same)
        for name, found in zip(named, labels, strict=True)
    )
    return Dataset(classes, photos, {split: tuple(of) for split, of in splits.items()})


def in_order(boxed: Sequence[Box], outlined: Sequence[Region]) -> tuple[Label, ...]:
    """Boxes and outlines of one photo, and what a reader takes from them: a class that is only boxed, or only
    outlined, is complete."""
    boxed_names, outlined_names = {b.name for b in boxed}, {r.name for r in outlined}
    sure = ALL - (boxed_names & outlined_names)
    made: list[Label] = [Boxes(tuple(boxed), sure - outlined_names)] if boxed else []
    return (*made, Regions(tuple(outlined), sure - boxed_names)) if outlined else tuple(made)


def every_kind(folder: Path) -> Dataset:
    """Tags, points, scribbles, boxes, outlines and a mask, one kind a photo."""
    ids_HW = np.zeros((H, W), np.int32)
    ids_HW[2:9, 3:12], ids_HW[4:6, 5:8], ids_HW[0] = 1, 2, -1
    ring = np.array([(1, 1), (9, 1), (9, 9), (1, 9)], np.float32)
    hole = np.array([(3, 3), (5, 3), (5, 5), (3, 5)], np.float32)
    return data_set(
        folder,
        [Tags(frozenset({"cat"}), frozenset({"dog"}), ALL), Points((Point("cat", 3, 4), Point("dog", 1, 1, True)))],
        [Boxes((Box.upright("dog", 1, 2, 8, 9), Box("cat", ((4, 1), (7, 4), (4, 7), (1, 4)))), ALL)],
        [Regions((Region("cat", ((ring, hole),)), Region("dog", ((ring + 1,), (hole + 5,)))), ALL)],
        [Mask(ids_HW=ids_HW)],
        [Scribbles((Stroke("cat", ((1.5, 2), (8, 3))), Stroke("dog", ((4, 9),), 7.0)))],
        [Regions((), ALL)],
        [],
        train=["a", "sub/b"],
        val=["c"],
    )


def by_name(data: Dataset) -> list[Photo]:
    """In the order in which a folder is walked through."""
    return sorted(data, key=lambda photo: photo.name)


def written_and_read(format_: ModuleType, data: Dataset) -> Dataset:
    """In a folder of its own, as hypothesis repeats a test within one tmp_path."""
    return writer_contract(format_, data, Path(tempfile.mkdtemp()) / "set")


def close(one: Sequence[Label], other: Sequence[Label], within: float) -> bool:
    """Are they equal but for coordinates of boxes, which may differ by `within` pixels?"""

    def rounded(labels: Sequence[Label]) -> list[Label | tuple]:
        return [
            (x.complete, [(b.name, len(b.corners)) for b in x.marks]) if isinstance(x, Boxes) else x for x in labels
        ]

    def corners(labels: Sequence[Label]) -> np.ndarray:
        return np.array([c for x in labels if isinstance(x, Boxes) for b in x.marks for c in b.corners]).reshape(-1, 2)

    return rounded(one) == rounded(other) and bool((np.abs(corners(one) - corners(other)) <= within).all())
