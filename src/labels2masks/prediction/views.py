"""From a photo of any size to scores on a Grid in the photo's own coordinates, for any forward pass.

Knows no torch and no ONNX: a forward pass is a function image_HW3 -> scores_Chw. So a
network, and the file exported from it, see the same pixels and are read the same way.

Legend: H, W = pixels; h, w = cells; C = classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..grid import Grid, interpolated
from .sliding import Forward, sliding, softmax

TTA_SCALES = (0.75, 1.0, 1.25)
"""What `tta=True` means: these scales of the working size, each also mirrored; six passes."""


@dataclass(frozen=True)
class Views:
    """How a photo is looked at: the probabilities of all views are averaged. Raises ValueError for no scale or size.

    scales: of the working size. mirror: each of them mirrored, too. window: see `sliding`, None = the whole photo.
    """

    scales: tuple[float, ...] = (1.0,)
    mirror: bool = False
    window: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(self.scales))  # a list, where it comes from a file
        if not self.scales or min(self.scales) <= 0 or (self.window is not None and self.window < 1):
            raise ValueError(f"views have scales above 0 and a window of pixels or none, got {self}")

    def __str__(self) -> str:
        parts = [f"scales {', '.join(f'{scale:g}' for scale in self.scales)}"] if self.scales != (1.0,) else []
        parts += ["mirrored too"] * self.mirror + [f"windows of {self.window} px"] * bool(self.window)
        return "; ".join([*parts, "averaged"]) if parts else "one view"


Tta = bool | Sequence[float] | Views | None
"""None: the model's own. False: one. True: `TTA_SCALES`, each also mirrored. Scales: these, each also mirrored."""


ONE_VIEW = Views()


def views_of(tta: Tta, own: Views = ONE_VIEW) -> Views:
    """The views that `tta` means where a model's own are `own`."""
    if tta is None or isinstance(tta, Views):
        return own if tta is None else tta
    if isinstance(tta, bool):
        return Views(TTA_SCALES, mirror=True) if tta else ONE_VIEW
    return Views(tuple(tta), mirror=True)


def scores_on_grid(
    forward: Forward,
    grid: Grid,
    image_HW3: np.ndarray,
    smallest: int = 1,
    working_size: int | None = None,
    tta: Tta = False,
) -> tuple[np.ndarray, Grid]:
    """(scores_Chw float32, their Grid in the pixels of `image_HW3`).

    grid: the grid of `forward`'s result, in the pixels that `forward` sees.
    smallest: a shorter side is continued by its last row or column.
    working_size: a longer side is shrunk to this (area average); None = never.
    tta: see `Tta`. The result of several views is the logarithm of the mean probability.

    Raises ValueError for anything but uint8 HW3 with at least one pixel.
    """
    check_image(image_HW3)
    height, width = image_HW3.shape[:2]
    scale, views = _scale(height, width, working_size), views_of(tta)
    if views.window:
        forward = sliding(forward, grid, views.window)
    # The cells of the densest view carry the mean: nothing that a view saw is thrown away.
    order = sorted(views.scales, reverse=True)
    (first, _), *others = [(factor, mirrored) for factor in order for mirrored in (False, True)[: 1 + views.mirror]]
    if not others and first == 1:
        return _view(forward, grid, image_HW3, scale, smallest)
    mean, target = _probabilities(forward, grid, image_HW3, scale * first, smallest)
    for factor, mirrored in others:
        seen_HW3 = np.ascontiguousarray(image_HW3[:, ::-1]) if mirrored else image_HW3
        probabilities_Chw, found = _probabilities(forward, grid, seen_HW3, scale * factor, smallest)
        if mirrored:
            probabilities_Chw, found = unmirrored(probabilities_Chw, found, width)
        mean += resampled(probabilities_Chw, found, target, *mean.shape[1:])
    mean /= 1 + len(others)
    return np.log(np.maximum(mean, np.finfo(np.float32).tiny)), target


def check_image(image_HW3: np.ndarray) -> None:
    """Raises ValueError unless the array is uint8 HW3 with at least one pixel."""
    if image_HW3.ndim != 3 or image_HW3.shape[2] != 3 or image_HW3.dtype != np.uint8 or not image_HW3.size:
        raise ValueError(
            f"an image is uint8 of shape H x W x 3 (RGB), got {image_HW3.dtype} {image_HW3.shape}; "
            "labels2masks.formats.image.read_image reads a file so"
        )


def shrinking(height: int, width: int, longest: int | None) -> tuple[int, int]:
    """The size at which a photo is seen: its own, or shrunk so that its longer side is `longest`."""
    scale = _scale(height, width, longest)
    return max(1, round(height * scale)), max(1, round(width * scale))


def resized(image_HW3: np.ndarray, h: int, w: int) -> np.ndarray:
    """The photo at another size: area average where it shrinks, linear where it grows."""
    height, width = image_HW3.shape[:2]
    if (h, w) == (height, width):
        return image_HW3
    shrinks = h < height or w < width
    return cv2.resize(image_HW3, (w, h), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def unmirrored(scores_Chw: np.ndarray, grid: Grid, width: int) -> tuple[np.ndarray, Grid]:
    """Scores of the mirrored photo, in the photo's own columns: cell order and first centre both turn round."""
    last = grid.centre_x + grid.stride_x * (scores_Chw.shape[2] - 1)
    return scores_Chw[:, :, ::-1], Grid(grid.stride_y, grid.stride_x, grid.centre_y, width - last)


def resampled(scores_Chw: np.ndarray, grid: Grid, target: Grid, h: int, w: int) -> np.ndarray:
    """The scores at the h x w cells of another grid over the same photo: linear between cell centres."""
    return interpolated(scores_Chw, grid.in_cells_of(target), h, w)


def scaled(grid: Grid, zoom_y: float, zoom_x: float) -> Grid:
    """The same cells counted in pixels that are so much smaller."""
    return Grid(grid.stride_y * zoom_y, grid.stride_x * zoom_x, grid.centre_y * zoom_y, grid.centre_x * zoom_x)


def upsampled(scores_Chw: np.ndarray, grid: Grid, height: int, width: int) -> np.ndarray:
    """scores_CHW: the scores at every pixel. Costs 4 * C * H * W bytes and as much again on the way."""
    return interpolated(scores_Chw, grid, height, width)


def _scale(height: int, width: int, longest: int | None) -> float:
    return 1.0 if longest is None else min(1.0, longest / max(height, width))


def _view(forward: Forward, grid: Grid, image_HW3: np.ndarray, scale: float, smallest: int) -> tuple[np.ndarray, Grid]:
    height, width = image_HW3.shape[:2]
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    image_HW3 = resized(image_HW3, h, w)
    if min(h, w) < smallest:
        bottom, right = max(0, smallest - h), max(0, smallest - w)
        image_HW3 = cv2.copyMakeBorder(image_HW3, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return forward(image_HW3), scaled(grid, height / h, width / w)


def _probabilities(
    forward: Forward, grid: Grid, image_HW3: np.ndarray, scale: float, smallest: int
) -> tuple[np.ndarray, Grid]:
    scores_Chw, found = _view(forward, grid, image_HW3, scale, smallest)
    return softmax(scores_Chw), found
