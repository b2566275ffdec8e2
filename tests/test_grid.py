"""The receptive-field recursion gives FCN's crop offsets, and interpolation lands where the cells are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels2masks.grid import Grid, interpolation


def vgg_pad_100() -> dict[str, Grid]:
    """FCN's VGG16: conv1_1 padded by 100, 3x3 'same' convolutions, 2x2 pools, fc6 of 7x7 without padding."""
    grid, grids = Grid().after(3, padding=100), {}
    grid = grid.after(3, padding=1)
    for stage, convolutions in enumerate((0, 2, 3, 3, 3), start=1):
        for _ in range(convolutions):
            grid = grid.after(3, padding=1)
        grid = grids[f"pool{stage}"] = grid.after(2, stride=2)
    grids["fc6"] = grid.after(7)
    return grids


def test_fcn_crop_offsets():
    grids = vgg_pad_100()
    score = grids["fc6"]
    assert score == Grid.square(32, 13.0)
    # 32s: one transposed convolution of 64, stride 32; 16s and 8s fuse with pool4 and pool3 first.
    assert Grid().offset_to(score.after_transposed(64, 32)) == (19, 19)
    up2 = score.after_transposed(4, 2)
    assert up2.offset_to(grids["pool4"]) == (5, 5)
    assert Grid().offset_to(up2.after_transposed(32, 16)) == (27, 27)
    up4 = up2.after_transposed(4, 2)
    assert up4.offset_to(grids["pool3"]) == (9, 9)
    assert Grid().offset_to(up4.after_transposed(16, 8)) == (31, 31)


def test_fcn_alexnet_crop_offset():
    grid = Grid().after(11, 4, 100).after(3, 2).after(5, padding=2).after(3, 2)
    for _ in range(3):
        grid = grid.after(3, padding=1)
    grid = grid.after(3, 2).after(6)
    assert grid.stride_y == 32
    assert Grid().offset_to(grid.after_transposed(63, 32)) == (18, 18)


def test_centres_of_the_common_families():
    pooled = Grid()
    for _ in range(4):
        pooled = pooled.after(3, padding=1).after(2, 2)
    assert pooled == Grid.square(16, 8.0)  # "same" convolutions and even pools: half the stride
    resnet = Grid().after(7, 2, 3).after(3, 2, 1).after(3, 2, 1).after(3, 1, 2, dilation=2)
    assert resnet == Grid.square(8, 0.5)
    assert Grid().after(16, 16) == Grid.square(16, 8.0)  # a ViT's patches


def test_cropping_and_offsets_agree():
    grid = Grid(8, 4, 3.0, 1.5)
    assert grid.cropped(2, 3) == Grid(8, 4, 19.0, 13.5)
    assert grid.cropped(2, 3).offset_to(grid) == (2, 3)
    assert grid.offset_to(grid) == (0, 0)


@given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3))
def test_cell_centre_is_the_mean_of_what_the_convolution_sees(kernel, stride, padding, dilation):
    grid = Grid().after(kernel, stride, padding, dilation)
    for cell in (0, 3):
        seen = cell * stride - padding + np.arange(kernel) * dilation + 0.5
        assert grid.centre_y + cell * grid.stride_y == pytest.approx(seen.mean())


@given(st.integers(2, 16), st.integers(1, 8))
def test_transposed_convolution_undoes_the_convolution_of_the_same_shape(kernel, stride):
    assert Grid(3, 3, 2, 2).after(kernel, stride, 1).after_transposed(kernel, stride, 1) == Grid(3, 3, 2, 2)


@given(st.integers(1, 32), st.floats(-20, 40), st.integers(1, 9), st.integers(1, 70))
def test_interpolation_of_a_ramp_is_the_ramp(stride, centre, cells, pixels):
    low_P, high_P, weight_P = interpolation(stride, centre, cells, pixels)
    cell_x = centre + stride * np.arange(cells)
    value_P = (1 - weight_P) * cell_x[low_P] + weight_P * cell_x[high_P]
    expected_P = np.clip(np.arange(pixels) + 0.5, cell_x[0], cell_x[-1])
    np.testing.assert_allclose(value_P, expected_P, atol=1e-3)
    assert low_P.min() >= 0 and high_P.max() < cells and ((weight_P >= 0) & (weight_P < 1)).all()
