"""Split a data set by class, and keep together what belongs together.

Iterative stratification (Sechidis et al. 2011, "On the stratification of multi-label data"):
the rarest class is dealt out first, each time to the part that lacks it most. What is dealt out
are groups of photos: near duplicates, and photos whose names say that they belong together
(frames of one video, `group_by`). The result depends on the photos and the seed alone.

Legend: G = groups of photos; C = classes; K = parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..classes import Vocabulary
from ..errors import DataError, UsageError
from ..labels import AreaShares, Label, Mask, Tags
from .dataset import Dataset, Photo
from .duplicates import Groups, fingerprint, near_duplicates
from .image import read_image


def make_split(
    dataset: Dataset, share: float = 0.2, seed: int = 0, group_by: str | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(train, val): names of the photos, in the data set's order.

    share: the part of the photos with masks that goes to val (of all labelled photos where there are no
        masks). Photos that could not be scored there go to train.
    group_by: a regular expression; photos whose names match with the same first group (or the same
        whole match) stay together.

    Raises UsageError for a bad `share` or `group_by`, DataError where fewer than two groups can be scored.
    """
    if not 0 < share < 1:
        raise UsageError(f"the share of the validation photos is above 0 and below 1, got {share}")
    val = _parts(dataset, np.array([1 - share, share]), seed, group_by)[1]
    chosen = set(val)
    return tuple(p.name for p in dataset.photos if p.name not in chosen), val


def folds(dataset: Dataset, k: int = 5, seed: int = 0, group_by: str | None = None) -> list[tuple[str, ...]]:
    """k parts of about equal size, in the data set's order; each is once the validation set.

    A photo that can not be scored is in no part: train on all photos that the current part lacks.
    Raises like `make_split`, and DataError where there are fewer than k groups.
    """
    if k < 2:
        raise UsageError(f"folds need k of at least 2, got {k}")
    return _parts(dataset, np.full(k, 1 / k), seed, group_by)


def apart_from(scored: Sequence[Photo], photos: Sequence[Photo], group_by: str | None = None) -> list[Photo]:
    """Those of `photos` that are near duplicates of none of the `scored` ones, nor in a group with one.

    Raises UsageError for a bad `group_by`.
    """
    together = _groups([*scored, *photos], group_by)
    seen = {i for group in together if min(group) < len(scored) for i in group}
    return [photo for i, photo in enumerate(photos, len(scored)) if i not in seen]


def _parts(dataset: Dataset, shares_K: np.ndarray, seed: int, group_by: str | None) -> list[tuple[str, ...]]:
    scored = [p for p in dataset.photos if p.has_mask] or [p for p in dataset.photos if p.labels]
    photos = sorted(scored, key=lambda p: p.name)
    groups = _groups(photos, group_by)
    if len(groups) < len(shares_K):
        raise DataError(
            f"{dataset.root or 'the data set'}: {len(photos)} labelled photos in {len(groups)} groups of near "
            f"duplicates, {len(shares_K)} are needed to split them: add photos, or give the split by hand"
        )
    has_PC = np.stack([_present(p) for p in photos])
    counts_GC = np.stack([has_PC[g].sum(axis=0) for g in groups])
    part_G = deal(counts_GC, np.array([len(g) for g in groups]), shares_K, seed)
    part_of = {photos[i].name: int(part) for g, part in zip(groups, part_G, strict=True) for i in g}
    return [tuple(p.name for p in dataset.photos if part_of.get(p.name) == k) for k in range(len(shares_K))]


def _groups(photos: Sequence[Photo], group_by: str | None) -> list[list[int]]:
    made = Groups(len(photos))
    readable: list[int] = []
    prints = []
    for i, photo in enumerate(photos):
        try:
            prints.append(fingerprint(read_image(photo.image, photo.levels)))
            readable.append(i)
        except DataError:  # a broken photo belongs to nobody; training quarantines it
            continue
    for group in near_duplicates(prints):
        made.unite_all(readable[i] for i in group)
    if group_by is not None:
        by_key: dict[str, list[int]] = {}
        try:
            pattern = re.compile(group_by)
        except re.error as error:
            raise UsageError(f"--group-by {group_by!r} is no regular expression: {error}") from error
        for i, photo in enumerate(photos):
            if match := pattern.search(photo.name):
                by_key.setdefault(match.group(1) or "" if pattern.groups else match.group(0), []).append(i)
        if not by_key:
            raise UsageError(f"--group-by {group_by!r} matches no photo; the first is called {photos[0].name!r}")
        for members in by_key.values():
            made.unite_all(members)
    return made.all()


def _present(photo: Photo) -> np.ndarray:
    try:
        return present_classes(photo.labels_loaded(), photo.vocabulary)
    except DataError:  # a broken mask is training's to quarantine
        return present_classes([x for x in photo.labels if not isinstance(x, Mask)], photo.vocabulary)


def present_classes(labels: Sequence[Label], vocabulary: Vocabulary) -> np.ndarray:
    """bool C: target classes that the labels (masks loaded) say are in the photo.

    Background is everywhere and not counted, nor is a name that means several classes.
    """
    target, source = vocabulary.target, vocabulary.source
    names: set[str] = set()
    for label in labels:
        if isinstance(label, Mask):
            ids = set(np.unique(label.ids_HW).tolist()) if label.ids_HW is not None else set()
            names |= {n for n, i in zip(source.names, source.file_ids, strict=True) if i in ids}
        elif isinstance(label, Tags):
            names |= label.present
        elif isinstance(label, AreaShares):
            names |= {n for n, share in label.shares.items() if share > 0}
        else:
            names |= {m.name for m in label.marks if not getattr(m, "negative", False)}
    present_C = np.zeros(len(target), bool)
    for name in names:
        meant = vocabulary.meaning(name) - {target.background}
        if len(meant) == 1:
            present_C[target.index(min(meant))] = True
    return present_C


def deal(counts_GC: np.ndarray, size_G: np.ndarray, shares_K: np.ndarray, seed: int) -> np.ndarray:
    """int G: the part of each group; every part gets at least one group.

    counts_GC: photos of the group in which the class is. size_G: photos of the group.
    """
    rng = np.random.default_rng(seed)
    wanted_KC = np.outer(shares_K, counts_GC.sum(axis=0)).astype(np.float64)
    wanted_K = shares_K * size_G.sum()
    part_G = np.full(len(size_G), -1)

    def give(g: int, lacking_K: np.ndarray) -> None:
        best = np.flatnonzero(lacking_K >= lacking_K.max() - 1e-9)
        best = best[wanted_K[best] >= wanted_K[best].max() - 1e-9]
        k = int(rng.choice(best))
        part_G[g] = k
        wanted_KC[k] -= counts_GC[g]
        wanted_K[k] -= size_G[g]

    while (left_G := part_G < 0).any():
        photos_C = counts_GC[left_G].sum(axis=0)
        if photos_C.any():
            rarest = int(np.where(photos_C > 0, photos_C, np.inf).argmin())
            members = np.flatnonzero(left_G & (counts_GC[:, rarest] > 0))
        else:
            rarest, members = -1, np.flatnonzero(left_G)
        # Large groups first, as long as every part still has room for them; equal ones in random order.
        for g in sorted(rng.permutation(members), key=lambda g: -size_G[g]):
            give(int(g), wanted_KC[:, rarest] if rarest >= 0 else wanted_K)
    for k in range(len(shares_K)):
        if not (part_G == k).any():
            # From the fullest part that can spare one, its smallest group.
            rich = max(set(part_G.tolist()), key=lambda p: ((part_G == p).sum() > 1, size_G[part_G == p].sum()))
            members = np.flatnonzero(part_G == rich)
            part_G[members[size_G[members].argmin()]] = k
    return part_G
