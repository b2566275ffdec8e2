"""Where is a cell? The stride of a score map and the input coordinate of its first cell.

Coordinates are continuous: pixel x covers [x, x + 1), its centre is x + 0.5. Cell i of an
axis is centred at centre + stride * i. Cropping, upsampling, fusing skips and tiling use
these numbers only, so nothing depends on `align_corners`, on sizes of the form 8k + 1, or
on a centre crop. The arithmetic is the receptive-field recursion
(supervised fact sheet, section 1.2; Long et al. 2015 derive FCN's crop offsets from it).

Numpy only. Legend: h, w = cells; H, W = pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grid:
    """stride_y, stride_x: pixels from cell to cell, > 0. centre_y, centre_x: pixel coordinate of cell 0's centre.

    `Grid()` is the input image itself. An integer down-sampling network with "same"
    even-kernel pooling has centre = stride / 2; a ResNet has centre = 0.5 at every stride.
    """

    stride_y: float = 1.0
    stride_x: float = 1.0
    centre_y: float = 0.5
    centre_x: float = 0.5

    @classmethod
    def square(cls, stride: float, centre: float) -> Grid:
        return cls(stride, stride, centre, centre)

    def after(self, kernel: int, stride: int = 1, padding: float = 0, dilation: int = 1) -> Grid:
        """The grid after a convolution or pooling. `padding` is the padding before the first cell."""
        shift = (kernel - 1) * dilation / 2 - padding
        return Grid(
            self.stride_y * stride,
            self.stride_x * stride,
            self.centre_y + shift * self.stride_y,
            self.centre_x + shift * self.stride_x,
        )

    def after_transposed(self, kernel: int, stride: int, padding: float = 0) -> Grid:
        """The grid after a transposed convolution: input cell i lands on output s * i + (k - 1) / 2 - p."""
        step_y, step_x = self.stride_y / stride, self.stride_x / stride
        shift = (kernel - 1) / 2 - padding
        return Grid(step_y, step_x, self.centre_y - shift * step_y, self.centre_x - shift * step_x)

    def cropped(self, top: float, left: float) -> Grid:
        """The grid that remains when `top` rows and `left` columns of *cells* are cut off."""
        return Grid(
            self.stride_y, self.stride_x, self.centre_y + top * self.stride_y, self.centre_x + left * self.stride_x
        )

    def in_cells_of(self, other: Grid) -> Grid:
        """This grid with the cells of `other` as the pixels."""
        down, right = self.offset_to(other)
        return Grid(self.stride_y / other.stride_y, self.stride_x / other.stride_x, down + 0.5, right + 0.5)

    def offset_to(self, other: Grid) -> tuple[float, float]:
        """(rows, columns) of `other`'s cells that lie before this grid's cell 0: how much to crop from `other`.

        FCN's crops are these numbers: 5 and 9 between the score maps, 19, 27, 31 at the image.
        """
        return (
            (self.centre_y - other.centre_y) / other.stride_y,
            (self.centre_x - other.centre_x) / other.stride_x,
        )


def interpolation(stride: float, centre: float, cells: int, pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Linear interpolation along one axis: (low_P int64, high_P int64, weight_P float32).

    Pixel p takes (1 - weight) * cell[low] + weight * cell[high]; beyond the outer cells
    the outer cell is repeated.
    """
    position_P = np.clip((np.arange(pixels) + 0.5 - centre) / stride, 0, cells - 1)
    low_P = np.floor(position_P).astype(np.int64)
    high_P = np.minimum(low_P + 1, cells - 1)
    return low_P, high_P, (position_P - low_P).astype(np.float32)


def interpolated(
    values_Dhw: np.ndarray,
    grid: Grid,
    height: int,
    width: int,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> np.ndarray:
    """values_DHW at the pixels, from values on the cells of `grid`: linear between centres, the outer cells repeated.

    rows, columns: a window of the height x width pixels; the others are not computed.
    """
    h, w = values_Dhw.shape[1:]
    top_H, bottom_H, down_H = (of[rows] for of in interpolation(grid.stride_y, grid.centre_y, h, height))
    left_W, right_W, across_W = (of[columns] for of in interpolation(grid.stride_x, grid.centre_x, w, width))
    rows_DHw = (1 - down_H[:, None]) * values_Dhw[:, top_H] + down_H[:, None] * values_Dhw[:, bottom_H]
    return (1 - across_W) * rows_DHw[..., left_W] + across_W * rows_DHw[..., right_W]
