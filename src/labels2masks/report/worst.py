"""Photos beside what the network made of them, the worst first.

Legend: H, W = pixels of the photo; h, w = pixels it is shown at; P = photos; C = classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..classes import Classes
from ..errors import DataError
from ..evaluation import PerPhoto
from ..evaluation.bootstrap import iou, mean_over_classes
from ..evaluation.evaluate import truth_mask
from ..formats.dataset import Dataset, Photo
from ..labels import AreaShares, Boxes, Label, Points, Regions, Scribbles, Tags, is_mask
from ..labels.geometry import moved
from .overlay import draw_marks, overlay, write_names

SHOWN = 12
"""Photos in a report."""
LARGEST, SMALLEST = 480, 240
"""The long side that photos are shown at: larger ones are shrunk, smaller ones enlarged."""
MISTAKE, VOID = (230, 60, 20), (90, 90, 96)

Predict = Callable[[Photo], tuple[np.ndarray, np.ndarray]]
"""Photo, read before -> (image_HW3, mask_HW). Raises DataError."""


@dataclass(frozen=True)
class Shown:
    """One photo of the report.

    place: 1 = the worst of `of`, or without a score the first. iou: mean over the classes that the photo holds, None
    without a score. mistakes: (true class, predicted class or None, share of the photo), largest first. panels:
    caption -> uint8 hw3. said: labels that are words.
    """

    name: str
    place: int
    of: int
    iou: float | None
    mistakes: tuple[tuple[str, str | None, float], ...]
    panels: dict[str, np.ndarray]
    said: str = ""


def worst_first(scored: PerPhoto) -> list[tuple[int, float]]:
    """(index, mean IoU over the classes that the photo holds) of the photos with counted pixels, the worst first."""
    mean_P = mean_over_classes(iou(scored.sums()))
    order = sorted(np.flatnonzero(~np.isnan(mean_P)), key=lambda p: (mean_P[p], scored.names[p]))
    return [(int(p), float(mean_P[p])) for p in order]


def places(count: int, most: int = SHOWN) -> list[int]:
    """Which places of a ranking are shown: the first three quarters of `most`, the others spread down to the best."""
    if count <= most:
        return list(range(count))
    first = most - most // 4
    rest = np.linspace(first, count - 1, most - first + 1)[1:]
    return [*range(first), *(int(round(p)) for p in rest)]


def shown_with_scores(
    data: Dataset, scored: PerPhoto, predict: Predict, most: int = SHOWN
) -> Iterator[Shown | tuple[str, str]]:
    """The photos of a scored run, worst first; (name, reason) for one that can no longer be read."""
    by_name = {p.name: p for p in data}
    ranking = worst_first(scored)
    for place in places(len(ranking), most):
        index, mean = ranking[place]
        name = scored.names[index]
        try:
            photo = by_name[name]
            image_HW3, mask_HW = predict(photo)
            panels = _panels(photo, image_HW3, mask_HW, truth_mask(photo, *mask_HW.shape))
        except DataError as error:
            yield name, str(error)
            continue
        mistakes = tuple(largest_mistakes(scored.of(index).counts, scored.classes))
        yield Shown(name, place + 1, len(ranking), mean, mistakes, panels, _said(photo.labels))


def shown_without(data: Dataset, predict: Predict, most: int = SHOWN) -> Iterator[Shown | tuple[str, str]]:
    """Some photos, evenly spread over the data set, for a run without a score."""
    count = len(data)
    for index in sorted({int(i) for i in np.linspace(0, count - 1, min(most, count))}) if count else ():
        photo = data.photos[index]
        try:
            image_HW3, mask_HW = predict(photo)
            truth_HW = truth_mask(photo, *mask_HW.shape) if photo.has_mask else None
            panels = _panels(photo, image_HW3, mask_HW, truth_HW)
        except DataError as error:
            yield photo.name, str(error)
            continue
        yield Shown(photo.name, index + 1, count, None, (), panels, _said(photo.labels))


def largest_mistakes(
    counts_CD: np.ndarray, classes: Classes, most: int = 3, least: float = 0.005
) -> Iterator[tuple[str, str | None, float]]:
    """(true class, predicted class, share of all counted pixels) of the largest entries beside the diagonal."""
    wrong_CD = counts_CD.copy()
    np.fill_diagonal(wrong_CD, 0)
    total = max(int(counts_CD.sum()), 1)
    for flat in np.argsort(-wrong_CD, axis=None, kind="stable")[:most]:
        i, d = np.unravel_index(flat, wrong_CD.shape)
        if (share := wrong_CD[i, d] / total) >= least:
            yield classes.names[i], classes.names[d] if d < len(classes) else None, float(share)


def _panels(
    photo: Photo, image_HW3: np.ndarray, mask_HW: np.ndarray, truth_HW: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Caption -> picture; all of one size."""
    classes = photo.vocabulary.target
    height, width = mask_HW.shape
    scale = min(max(1.0, SMALLEST / max(height, width)), LARGEST / max(height, width))
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    small_hw3 = cv2.resize(image_HW3, (w, h), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    made = {"photo": small_hw3}
    drawn = (x for x in photo.labels if isinstance(x, Points | Scribbles | Boxes | Regions))
    marks = [x for x in drawn if not is_mask(x, photo.vocabulary.source)]
    if marks:
        at_scale = moved(marks, np.array([[w / width, 0, 0], [0, h / height, 0]], np.float64), h, w)
        drawn_hw3 = draw_marks(small_hw3, at_scale, photo.vocabulary)
        made["labels"] = write_names(drawn_hw3, at_scale, photo.vocabulary)
    if truth_HW is not None:
        made["truth" if marks else "truth (its label)"] = overlay(small_hw3, _nearest(truth_HW, h, w), classes, 0.62)
    made["prediction"] = overlay(small_hw3, _nearest(mask_HW, h, w), classes, 0.62)
    if truth_HW is not None:
        made["error"] = error_picture(small_hw3, mask_HW, truth_HW)
    return made


def error_picture(image_hw3: np.ndarray, mask_HW: np.ndarray, truth_HW: np.ndarray) -> np.ndarray:
    """uint8 hw3: the photo without colour, wrong pixels red, void dark. Shrunk by areas: thin mistakes stay visible."""
    h, w = image_hw3.shape[:2]
    area = cv2.INTER_AREA if h < mask_HW.shape[0] else cv2.INTER_NEAREST
    known_HW = truth_HW >= 0
    wrong_hw = cv2.resize(((mask_HW != truth_HW) & known_HW).astype(np.float32), (w, h), interpolation=area)
    void_hw = cv2.resize((~known_HW).astype(np.float32), (w, h), interpolation=area)
    grey_hw = cv2.cvtColor(image_hw3, cv2.COLOR_RGB2GRAY)[..., None] * np.float32(0.55) + 90
    picture_hw3 = np.repeat(grey_hw, 3, axis=2)
    for share_hw, colour, most in ((void_hw, VOID, 0.75), (wrong_hw, MISTAKE, 0.9)):
        weight_hw1 = np.minimum(share_hw * 1.5, 1)[..., None] * most
        picture_hw3 = picture_hw3 * (1 - weight_hw1) + np.array(colour, np.float32) * weight_hw1
    return np.clip(picture_hw3 + 0.5, 0, 255).astype(np.uint8)


def _nearest(index_HW: np.ndarray, h: int, w: int) -> np.ndarray:
    rows = ((np.arange(h) + 0.5) * index_HW.shape[0] / h).astype(int)
    columns = ((np.arange(w) + 0.5) * index_HW.shape[1] / w).astype(int)
    return index_HW[rows][:, columns]


def _said(labels: Sequence[Label]) -> str:
    """Labels that can not be drawn."""
    parts = []
    for label in labels:
        if isinstance(label, Tags):
            parts.append("tags " + (", ".join(sorted(label.present)) or "none"))
        elif isinstance(label, AreaShares):
            shares = sorted(label.shares.items(), key=lambda item: -item[1])
            parts.append("area shares " + ", ".join(f"{name} {share:.0%}" for name, share in shares))
    return "; ".join(parts)
