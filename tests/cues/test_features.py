"""Frozen features on drawn photos, and the likeness of cells to seeds."""

import numpy as np
import pytest
import torch
from narrowing.scenes import H, W, photo, truth
from torch import nn

from labels2masks.cues.features import CELLS, FrozenFeatures, cells, prototype_maps, seeds_of_cells
from labels2masks.encoders import build_encoder
from labels2masks.grid import Grid


class Colours(nn.Module):
    """An encoder of two maps: of stride 2, which is too fine to count, and of stride 8, on the very cells."""

    channels, grids = (3, 3), (Grid(2, 2, 1, 1), CELLS)

    def forward(self, images):
        return [nn.functional.avg_pool2d(images, 2), nn.functional.avg_pool2d(images, 8, ceil_mode=True)]


def test_features_of_a_map_on_the_cells_are_the_map():
    features = FrozenFeatures(Colours())
    found_hwD = features(photo())
    assert found_hwD.shape == (*cells(H, W), features.count) and found_hwD.dtype == np.float32
    expected = nn.functional.avg_pool2d(torch.from_numpy(photo()).permute(2, 0, 1)[None].float(), 8, ceil_mode=True)
    assert np.allclose(found_hwD[..., :3], expected[0].permute(1, 2, 0).numpy(), atol=1e-3)
    assert (found_hwD[..., 3] == 1).all()


def test_any_encoder_gives_features():
    encoder = build_encoder("mobilenetv3_small_050")
    found_hwD = FrozenFeatures(encoder)(photo())
    assert found_hwD.shape == (*cells(H, W), 1 + sum(encoder.channels[1:])) and np.isfinite(found_hwD).all()


def test_seeds_of_cells_are_what_their_pixels_agree_on():
    label_HW = np.full((12, 17), -1)
    label_HW[0, 0] = label_HW[3, 4] = 2
    label_HW[0, 8], label_HW[0, 9] = 0, 1
    label_HW[11, 16] = 1
    assert seeds_of_cells(label_HW).tolist() == [[2, -1, -1], [-1, -1, 1]]


def test_prototypes_find_what_looks_like_the_seeds():
    image_HW3 = np.full((64, 96, 3), (90, 120, 90), np.uint8)
    image_HW3[8:32, 8:40], image_HW3[40:56, 48:88] = (200, 60, 50), (50, 70, 200)
    thing_hw = np.zeros((8, 12), int)
    thing_hw[1:4, 1:5], thing_hw[5:7, 6:11] = 1, 2
    seeds_hw = np.full((8, 12), -1)
    seeds_hw[2, 2], seeds_hw[6, 8], seeds_hw[7, 0] = 1, 2, 0
    features_hwD = FrozenFeatures(Colours())(image_HW3)
    maps_Chw = prototype_maps(features_hwD, seeds_hw, 4)
    assert maps_Chw.dtype == np.float32 and maps_Chw.min() >= -1 and maps_Chw.max() <= 1
    assert np.array_equal(maps_Chw[:3].argmax(axis=0), thing_hw) and (maps_Chw[3] == -1).all()
    assert maps_Chw[1, 2, 2] == pytest.approx(1, abs=1e-5)
    scaled = prototype_maps(features_hwD * 7 + 3, seeds_hw, 4)  # a feature's scale and offset say nothing
    assert np.allclose(scaled, maps_Chw, atol=1e-4)


def test_a_photo_of_one_colour_is_like_nothing():
    features_hwD = FrozenFeatures(Colours())(np.full((16, 16, 3), 9, np.uint8))
    assert not prototype_maps(features_hwD, np.array([[0, -1], [-1, -1]]), 1).any()


def test_drawn_objects_are_found_from_a_click_each():
    label_HW = np.full((H, W), -1)
    for of_class in range(3):
        y, x = np.argwhere(truth() == of_class).mean(axis=0).astype(int)
        label_HW[y, x] = truth()[y, x]
    assert set(np.unique(seeds_of_cells(label_HW))) >= {-1, 1, 2}
