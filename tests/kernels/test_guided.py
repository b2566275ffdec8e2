"""Cells and labelled pixels that speak to pixels of their own colour, against the weighted means themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data, filters

from labels2masks.errors import UsageError
from labels2masks.grid import Grid
from labels2masks.kernels.dense_crf import probabilities_from_scores
from labels2masks.kernels.guided import FAINT, guided_upsample, label_votes, propagate_labels


def disc(height: int = 64, width: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """(image_HW3 of two colours with noise, inside_HW): a disc."""
    y_HW, x_HW = np.indices((height, width))
    inside_HW = (y_HW - 30) ** 2 + (x_HW - 37) ** 2 < 20**2
    image_HW3 = np.where(inside_HW[..., None], (180, 90, 60), (70, 120, 160))
    noise_HW3 = np.random.default_rng(0).normal(0, 4, image_HW3.shape)
    return (image_HW3 + noise_HW3).clip(0, 255).astype(np.uint8), inside_HW


def photo(height: int, width: int) -> np.ndarray:
    return data.coffee()[100 : 100 + 8 * height : 8, 150 : 150 + 8 * width : 8]


def distance(at: tuple[float, float], colour: np.ndarray, image_HW3: np.ndarray, sigma_xy: float, sigma_rgb: float):
    """(squared, HW) of every pixel to a point, in standard deviations."""
    y_HW, x_HW = np.indices(image_HW3.shape[:2]) + 0.5
    rgb_HW = ((image_HW3.astype(float) - colour) ** 2).sum(axis=-1)
    return ((y_HW - at[0]) ** 2 + (x_HW - at[1]) ** 2) / sigma_xy**2 + rgb_HW / sigma_rgb**2


def test_upsampling_is_the_weighted_mean_of_the_cells():
    image_HW3, grid = photo(17, 22), Grid(5.0, 4.0, 3.5, 1.0)
    values_Lhw = np.random.default_rng(0).normal(0, 2, (3, 4, 6))  # the last column of cells lies outside
    sums_LHW, weight_HW = np.zeros((3, 17, 22)), np.zeros((17, 22))
    for i in range(4):
        for j in range(6):
            y, x = 3.5 + 5 * i, 1.0 + 4 * j
            colour = image_HW3[min(int(y), 16), min(int(x), 21)].astype(float)
            share_HW = np.exp(-distance((y, x), colour, image_HW3, 6, 20) / 2)
            sums_LHW += share_HW * values_Lhw[:, i, j, None, None]
            weight_HW += share_HW
    given_LHW = guided_upsample(values_Lhw, image_HW3, 6, 20, grid, backend="exact")
    assert given_LHW.shape == (3, 17, 22) and given_LHW.dtype == np.float32
    heard_HW = weight_HW > 100 * FAINT
    assert heard_HW.mean() > 0.9
    np.testing.assert_allclose(given_LHW[:, heard_HW], (sums_LHW / weight_HW)[:, heard_HW], atol=0.05)


@pytest.mark.parametrize("name", ["coffee", "astronaut"])
def test_the_lattice_is_near_the_exact_mean_on_photos(name):
    image_HW3 = getattr(data, name)()[: 4 * 60 : 4, 100 : 100 + 4 * 80 : 4]
    area_HW = filters.gaussian(image_HW3.mean(axis=2), 1) // 52
    shares_Lhw = np.stack([(area_HW == label).reshape(15, 4, 20, 4).mean(axis=(1, 3)) for label in range(5)])
    lattice_LHW, exact_LHW = (
        guided_upsample(shares_Lhw, image_HW3, 4, 15, Grid.square(4, 2), backend) for backend in ("lattice", "exact")
    )
    assert np.sqrt(np.mean((lattice_LHW - exact_LHW) ** 2)) < 0.05
    assert (lattice_LHW.argmax(axis=0) == exact_LHW.argmax(axis=0)).mean() > 0.95


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([(1, 1), (1, 9), (13, 1), (20, 31)]),
    cells=st.sampled_from([(1, 1), (3, 4), (1, 6)]),
    sigmas=st.sampled_from([(0.02, 1e-3), (0.3, 2.0), (8.0, 13.0), (1e6, 1e6)]),
    stride=st.sampled_from([0.5, 3.0, 8.0]),
)
def test_upsampled_values_stay_in_their_range_and_probabilities_sum_to_one(seed, size, cells, sigmas, stride):
    rng = np.random.default_rng(seed)
    image_HW3 = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    values_Lhw = rng.dirichlet(np.ones(4), cells).transpose(2, 0, 1).astype(np.float32)
    given_LHW = guided_upsample(values_Lhw, image_HW3, *sigmas, Grid.square(stride, stride / 2))
    np.testing.assert_allclose(given_LHW.sum(axis=0), 1, atol=1e-2 if sigmas[0] < 0.1 else 1e-5)
    low_L11, high_L11 = values_Lhw.min(axis=(1, 2), keepdims=True), values_Lhw.max(axis=(1, 2), keepdims=True)
    assert (given_LHW >= low_L11).all() and (given_LHW <= high_L11).all()


def test_a_disc_gets_its_outline_back_from_coarse_scores():
    image_HW3, inside_HW = disc()
    share_hw = inside_HW.reshape(8, 8, 10, 8).mean(axis=(1, 3))  # cells of 8x8 pixels
    scores_Lhw = np.stack([1 - share_hw, share_hw])
    grid = Grid.square(8, 4)
    plain_HW = probabilities_from_scores(9 * scores_Lhw, grid, 64, 80).argmax(axis=0)
    guided_HW = guided_upsample(scores_Lhw, image_HW3, 8, 20, grid).argmax(axis=0)
    plain, guided = ((mask_HW != inside_HW).sum() for mask_HW in (plain_HW, guided_HW))
    assert plain > 40 and guided < plain / 5


def test_a_colour_that_no_cell_has_takes_the_plain_interpolation():
    image_HW3 = np.full((24, 24, 3), 40, np.uint8)
    image_HW3[9:11, 9:11] = 250  # between the centres of the cells
    values_Lhw = np.random.default_rng(0).random((2, 3, 3), np.float32)
    grid = Grid.square(8, 4)
    plain_LHW = guided_upsample(values_Lhw, image_HW3[:1, :1].repeat(24, 0).repeat(24, 1), 1e-2, 1, grid, "exact")
    given_LHW = guided_upsample(values_Lhw, image_HW3, 8, 10, grid)
    np.testing.assert_allclose(given_LHW[:, 9:11, 9:11], plain_LHW[:, 9:11, 9:11], atol=1e-5)


def test_constants_and_cells_that_are_the_pixels():
    image_HW3 = photo(20, 30)
    constant_LHW = guided_upsample(np.full((2, 3, 4), 2.5), image_HW3, 8, 13, Grid.square(8, 4))
    np.testing.assert_allclose(constant_LHW, 2.5, rtol=1e-6)
    values_LHW = np.random.default_rng(0).random((2, 20, 30), np.float32)
    alone_LHW = guided_upsample(values_LHW, image_HW3, 0.05, 1, Grid())  # sources at the queries, each alone
    np.testing.assert_allclose(alone_LHW, values_LHW, atol=2e-3)


def test_votes_are_the_sums_over_labelled_pixels():
    image_HW3 = photo(14, 18)
    labels_HW = np.full((14, 18), -1)
    marks = {(3, 4): 0, (3, 5): 0, (10, 12): 2, (6, 16): 1}
    expected_LHW = np.zeros((4, 14, 18))
    for (y, x), label in marks.items():
        labels_HW[y, x] = label
        colour = image_HW3[y, x].astype(float)
        expected_LHW[label] += np.exp(-distance((y + 0.5, x + 0.5), colour, image_HW3, 8, 30) / 2)
    votes_LHW = label_votes(image_HW3, labels_HW, 4, 8, 30, backend="exact")
    np.testing.assert_allclose(votes_LHW, expected_LHW, atol=1e-5)
    exact_LHW = propagate_labels(image_HW3, labels_HW, 4, 8, 30, backend="exact")
    np.testing.assert_allclose(exact_LHW, (expected_LHW + FAINT / 4) / (expected_LHW.sum(axis=0) + FAINT), atol=1e-5)
    lattice_LHW = propagate_labels(image_HW3, labels_HW, 4, 8, 30)
    near_HW = expected_LHW.sum(axis=0) > 0.1  # the lattice has no tails
    assert near_HW.sum() > 40
    assert np.abs(lattice_LHW - exact_LHW)[:, near_HW].mean() < 0.05


def test_two_strokes_fill_a_disc_and_its_ground():
    image_HW3, inside_HW = disc()
    labels_HW = np.full(inside_HW.shape, -1)
    labels_HW[30, 30:44], labels_HW[5:60, 3] = 1, 0
    probabilities_LHW = propagate_labels(image_HW3, labels_HW, 3)
    np.testing.assert_allclose(probabilities_LHW.sum(axis=0), 1, atol=1e-5)
    assert (probabilities_LHW.argmax(axis=0) == inside_HW).mean() > 0.999
    assert probabilities_LHW[2].max() < 0.01


def test_who_is_not_reached_stays_undecided():
    image_HW3 = np.zeros((8, 60, 3), np.uint8)
    image_HW3[:, 30:] = 255
    labels_HW = np.full((8, 60), -1, np.int8)
    np.testing.assert_array_equal(propagate_labels(image_HW3, labels_HW, 5), np.float32(0.2))
    labels_HW[4, 2] = 3
    probabilities_LHW = propagate_labels(image_HW3, labels_HW, 5)
    np.testing.assert_allclose(probabilities_LHW[:, :, 30:], 0.2, rtol=1e-6)
    assert (probabilities_LHW[3, :, :30] > 0.98).all()


def test_memory_layout_and_label_types_do_not_matter():
    image_HW3, inside_HW = disc()
    labels_HW = np.where(np.random.default_rng(0).random(inside_HW.shape) < 0.02, inside_HW, -1)
    expected_LHW = propagate_labels(image_HW3, labels_HW, 2)
    turned = np.ascontiguousarray(image_HW3[::-1])[::-1], np.asfortranarray(labels_HW.astype(np.int16))
    np.testing.assert_array_equal(propagate_labels(*turned, 2), expected_LHW)
    np.testing.assert_array_equal(propagate_labels(image_HW3, np.zeros((64, 80), np.uint8), 1), 1)


IMAGE, CELLS, LABELS = np.zeros((4, 6, 3), np.uint8), np.zeros((2, 2, 3)), np.zeros((4, 6), int)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: guided_upsample(CELLS[0], IMAGE, 2, 2, Grid()), "three axes"),
        (lambda: guided_upsample(CELLS - np.inf, IMAGE, 2, 2, Grid()), "finite"),
        (lambda: guided_upsample(CELLS, IMAGE / 255, 2, 2, Grid()), "uint8 RGB"),
        (lambda: guided_upsample(CELLS, IMAGE, 0, 2, Grid()), "standard deviations above 0"),
        (lambda: guided_upsample(CELLS, IMAGE, 2, np.nan, Grid()), "standard deviations above 0"),
        (lambda: guided_upsample(CELLS, IMAGE, 1e-9, 2, Grid()), "larger sigma"),
        (lambda: propagate_labels(IMAGE, LABELS[:, :5], 2), "integer labels of 4x6"),
        (lambda: propagate_labels(IMAGE, LABELS / 2, 2), "integer labels of 4x6"),
        (lambda: propagate_labels(IMAGE, LABELS + 2, 2), "-1 means unknown"),
        (lambda: propagate_labels(IMAGE, LABELS, 0), "below the count of 0"),
    ],
)
def test_what_can_not_be_used_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()
