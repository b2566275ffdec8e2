"""predict_mask and predict_scores on networks that look at colours only."""

import numpy as np
import pytest
import torch
from prediction.colour_net import ColourNet

from labels2masks.grid import Grid
from labels2masks.prediction import predict_confusion, predict_mask, predict_scores
from labels2masks.prediction.views import resampled, scores_on_grid, unmirrored


def stripes(height, width):
    """Red, green and blue thirds, from left to right."""
    image_HW3 = np.zeros((height, width, 3), np.uint8)
    for i in range(3):
        image_HW3[:, width * i // 3 : width * (i + 1) // 3, i] = 255
    return image_HW3


@pytest.mark.parametrize("tta", [False, (1.0,)])
def test_colours_are_found_at_stride_one(tta):
    image_HW3 = stripes(5, 9)
    mask_HW = predict_mask(ColourNet(), image_HW3, tta=tta)
    assert mask_HW.dtype == np.int32
    assert (mask_HW == image_HW3.argmax(axis=2)).all()


@pytest.mark.parametrize("height, width", [(1, 1), (1, 40), (7, 3), (33, 47)])
@pytest.mark.parametrize("stride, smallest", [(1, 1), (8, 16)])
def test_every_size_from_one_pixel_on(height, width, stride, smallest):
    mask_HW = predict_mask(ColourNet(stride, smallest), stripes(height, width))
    assert mask_HW.shape == (height, width)
    assert mask_HW.min() >= 0 and mask_HW.max() <= 2


def test_a_constant_photo_is_one_class_to_its_last_pixel():
    image_HW3 = np.zeros((37, 53, 3), np.uint8)
    image_HW3[..., 1] = 200
    for tta in (False, True):
        assert (predict_mask(ColourNet(8, 16, working_size=40), image_HW3, tta=tta) == 1).all()


def test_a_long_photo_is_shrunk_and_the_mask_is_not():
    network = ColourNet(working_size=30)
    image_HW3 = stripes(40, 90)
    mask_HW = predict_mask(network, image_HW3)
    assert network.seen == [(13, 30, False)]
    assert (mask_HW == image_HW3.argmax(axis=2)).all()
    predict_mask(network, stripes(10, 21))
    assert network.seen[-1] == (10, 21, False), "never enlarged"


def test_scores_are_probabilities_and_agree_with_the_mask():
    network, image_HW3 = ColourNet(4, 8, working_size=20), stripes(19, 31)
    probabilities_CHW = predict_scores(network, image_HW3)
    assert probabilities_CHW.shape == (3, 19, 31) and probabilities_CHW.dtype == np.float32
    assert np.allclose(probabilities_CHW.sum(axis=0), 1, atol=1e-6)
    assert (probabilities_CHW.argmax(axis=0) == predict_mask(network, image_HW3)).mean() > 0.999


def test_the_modes_of_all_layers_are_left_as_they_were():
    network = ColourNet().train()
    network.norm.eval()
    before = network.norm.running_mean.clone()
    predict_mask(network, stripes(4, 6))
    assert network.seen == [(4, 6, False)]
    assert network.training and not network.norm.training
    assert torch.equal(network.norm.running_mean, before)


@pytest.mark.parametrize("grid", [Grid.square(8, 4), Grid.square(8, 0.5), Grid(4, 8, 2, 3.5)])
def test_mirrored_views_align_by_their_coordinates(grid):
    """A network that reports each cell's own column: the mean of a photo and its mirror must not move it."""

    def forward(image_HW3):
        h, w = -(-image_HW3.shape[0] // 8), -(-image_HW3.shape[1] // 8)
        return np.broadcast_to(grid.centre_x + grid.stride_x * np.arange(w, dtype=np.float32), (1, h, w)).copy()

    width = 50
    image_HW3 = np.zeros((16, width, 3), np.uint8)
    columns_1hw = forward(image_HW3)
    back_1hw, found = unmirrored(width - columns_1hw, grid, width)
    again_1hw = resampled(back_1hw, found, grid, *columns_1hw.shape[1:])
    inside_w = (columns_1hw[0, 0] >= found.centre_x) & (columns_1hw[0, 0] <= width - grid.centre_x)
    assert np.allclose(again_1hw[:, :, inside_w], columns_1hw[:, :, inside_w], atol=1e-4)


def test_mirroring_makes_the_mask_symmetric():
    rng = np.random.default_rng(0)
    network = ColourNet(4, 4)
    image_HW3 = rng.integers(0, 256, (16, 16, 3), np.uint8)
    mask_HW = predict_mask(network, image_HW3, tta=(1.0,))
    assert (predict_mask(network, image_HW3[:, ::-1], tta=(1.0,)) == mask_HW[:, ::-1]).all()


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_image_is_said(image):
    with pytest.raises(ValueError, match="an image is uint8 of shape H x W x 3"):
        predict_mask(ColourNet(), image)


def test_scales_must_be_positive():
    with pytest.raises(ValueError, match="scales above 0"):
        scores_on_grid(lambda i: i, Grid(), stripes(4, 4), tta=(0.0,))


def test_the_confusion_is_that_of_the_mask():
    image_HW3 = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    truth_HW = np.random.default_rng(1).integers(-1, 3, (70, 90)).astype(np.int32)
    network = ColourNet(stride=4)
    counted = np.zeros((3, 3), np.int64)
    stated_HW = truth_HW >= 0
    np.add.at(counted, (truth_HW[stated_HW], predict_mask(network, image_HW3)[stated_HW]), 1)
    assert (predict_confusion(network, image_HW3, truth_HW) == counted).all() and counted.sum() == stated_HW.sum()
