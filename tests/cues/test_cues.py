"""Cues on drawn photos, where what stands out and what belongs together is known."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from narrowing.scenes import H, W, photo, truth
from torch import nn

from labels2masks.cues import CUES, available
from labels2masks.cues.cam import Classifier, class_maps, layer_cam, tag_loss
from labels2masks.cues.proposals import selective_search
from labels2masks.cues.saliency import boundary_connectivity, spectral_residual
from labels2masks.cues.superpixels import felzenszwalb, slic
from labels2masks.cues.threshold import (
    KINDS,
    gaussian_scores,
    levels,
    object_side,
    threshold_at,
    threshold_saliency,
    thresholded,
)
from labels2masks.errors import UsageError


def test_every_cue_is_there():
    from importlib import import_module

    for where, *_ in CUES.values():
        module, name = where.split(":")
        assert callable(getattr(import_module(f"labels2masks.{module}"), name))
    assert [row["name"] for row in available()] == list(CUES)


# Thresholds


@given(st.integers(0, 1000))
def test_otsu_has_the_largest_variance_between_the_sides(seed):
    draw = np.random.default_rng(seed)
    grey = np.concatenate([draw.normal(60, 15, 300), draw.normal(170, 20, 200)]).clip(0, 255).astype(np.uint8)

    def between(t):
        low, high = grey[grey <= t], grey[grey > t]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(low) and len(high) else 0.0

    assert between(threshold_at(grey.reshape(20, 25), "otsu")) == pytest.approx(max(between(t) for t in range(255)))


def test_opencvs_kinds_by_name():
    grey = np.array([[10, 100, 101, 200]], np.uint8)
    expected = {
        "binary": [0, 0, 255, 255],
        "binary_inv": [255, 255, 0, 0],
        "trunc": [10, 100, 100, 100],
        "tozero": [0, 0, 101, 200],
        "tozero_inv": [10, 100, 0, 0],
    }
    assert expected.keys() == KINDS.keys()
    for kind, values in expected.items():
        assert thresholded(grey, 100, kind).tolist() == [values]
    with pytest.raises(UsageError, match="did you mean"):
        thresholded(grey, 100, "binari")
    with pytest.raises(UsageError, match="unknown threshold"):
        threshold_at(grey, "otzu")


def test_levels_part_a_histogram_of_three():
    grey = np.repeat(np.array([20, 120, 220], np.uint8), 50).reshape(10, 15)
    assert np.array_equal(levels(grey, 3), np.repeat([0, 1, 2], 50).reshape(10, 15))
    assert levels(np.full((4, 4), 7, np.uint8), 3).max() == 0


@pytest.mark.parametrize("bright_object", [False, True])
def test_the_border_tells_which_side_is_the_object(bright_object):
    object_HW = np.zeros((20, 20), bool)
    object_HW[5:15, 5:15] = True
    grey = np.where(object_HW == bright_object, 200, 40).astype(np.uint8)
    assert np.array_equal(threshold_saliency(np.repeat(grey[..., None], 3, axis=2)) > 0.5, object_HW)
    assert np.array_equal(object_side(~object_HW), object_HW)


def test_a_gaussian_a_class_finds_its_colour():
    label_HW = np.full((H, W), -1)
    label_HW[18:22, 15:21], label_HW[30:36, 44:50], label_HW[2:6, 40:60] = 1, 2, 0
    scores = gaussian_scores(photo(), label_HW, 3)
    assert (scores.argmax(axis=0) == truth()).mean() > 0.99
    unseen = gaussian_scores(photo(), np.where(label_HW == 2, -1, label_HW), 3)
    assert np.isfinite(unseen).all() and (unseen.argmax(axis=0) != 2).all()


# Saliency


@pytest.mark.parametrize("cue", [spectral_residual, boundary_connectivity])
def test_what_differs_from_its_surroundings_stands_out(cue):
    """A patch of dots on stripes: spectral residual knows no objects, only what the rest of the photo does not say."""
    y, x = np.mgrid[:90, :120]
    ids_HW = (abs(y - 47) < 10) & (abs(x - 60) < 12)
    image = np.where((x // 6 % 2 == 0)[..., None], (70, 120, 80), (80, 132, 90))
    image = np.where(ids_HW[..., None], np.where(((x + y) % 7 < 3)[..., None], (220, 60, 40), (150, 40, 30)), image)
    saliency = cue(image.astype(np.uint8))
    assert saliency.dtype == np.float32 and saliency.min() >= 0 and saliency.max() <= 1
    assert saliency[ids_HW].mean() > 1.5 * saliency[~ids_HW].mean()
    flat = cue(np.full((60, 80, 3), 90, np.uint8))
    assert flat.shape == (60, 80) and np.isfinite(flat).all() and flat.max() == flat.min()


def test_boundary_connectivity_takes_the_thing_in_the_middle():
    ids_HW = np.zeros((90, 120), bool)
    ids_HW[30:60, 40:80] = True
    image = np.where(ids_HW[..., None], (200, 60, 40), (70, 120, 80)).astype(np.uint8)
    assert ((boundary_connectivity(image) > 0.5) == ids_HW).mean() > 0.97


# What belongs together


@pytest.mark.parametrize("segments_HW", [slic(photo(), 60), felzenszwalb(photo(), smallest=20)], ids=["slic", "graph"])
def test_superpixels_are_numbered_and_keep_to_objects(segments_HW):
    count = int(segments_HW.max()) + 1
    assert segments_HW.dtype == np.int32 and np.array_equal(np.unique(segments_HW), np.arange(count))
    pairs = np.bincount(segments_HW.ravel() * 3 + truth().ravel(), minlength=count * 3).reshape(count, 3)
    assert pairs.max(axis=1).sum() / (H * W) > 0.97


def test_selective_search_proposes_the_objects():
    proposals = selective_search(photo())
    assert proposals.dtype == bool and len({p.tobytes() for p in proposals}) == len(proposals)
    for of_class in (1, 2):
        thing = truth() == of_class
        best = max((p & thing).sum() / (p | thing).sum() for p in proposals)
        assert best > 0.9
    assert len(selective_search(photo(), most=3)) <= 3
    assert selective_search(np.full((20, 30, 3), 9, np.uint8)).shape[1:] == (20, 30)


# Class activation maps


class Colours(nn.Module):
    """An encoder whose channels are red, green and blue at a stride of 4."""

    channels = (3, 3)

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(4)

    def forward(self, images):
        return [images, self.pool(images / 255)]


def classifier():
    made = Classifier(Colours(), 3)
    with torch.no_grad():
        made.weigh.weight.copy_(torch.tensor([[0.0, 0, 0], [1, -1, -1], [-1, -1, 1]])[..., None, None])
    return made


def test_maps_show_where_the_class_is_and_absent_classes_nowhere():
    image = torch.from_numpy(photo()).permute(2, 0, 1).float()
    maps = class_maps(classifier(), image, torch.tensor([False, True, False]))
    assert maps.shape == (3, H, W) and float(maps.max()) == pytest.approx(1, abs=1e-3)
    assert not maps[[0, 2]].any()
    seen = maps[1].numpy()
    assert seen[truth() == 1].mean() > 5 * seen[truth() != 1].mean()
    mirrored = class_maps(classifier(), image.flip(2), torch.tensor([False, True, False])).flip(2)
    assert torch.allclose(maps, mirrored, atol=0.05)


def test_scores_are_the_mean_of_the_weighed_maps():
    made, image = classifier(), torch.rand(2, 3, 32, 32) * 255
    weighed = made.weigh(made.encoder(image)[-1]).mean(dim=(2, 3))
    assert torch.allclose(made(image), weighed, atol=1e-5)


def test_layer_cam_of_a_linear_layer_is_its_positive_part():
    made = classifier()
    image = torch.from_numpy(photo()).permute(2, 0, 1).float()
    seen = layer_cam(made, made.encoder.pool, image, 2)
    blue = nn.functional.interpolate(made.encoder.pool(image[None, 2:]), size=(H, W), mode="bilinear")[0, 0]
    assert torch.allclose(seen, blue / blue.max(), atol=1e-5)  # the only channel that speaks for class 2


def test_tags_that_nobody_gave_cost_nothing():
    scores = torch.tensor([[2.0, -1.0]])
    present, known = torch.tensor([[True, True]]), torch.tensor([[True, False]])
    total, count = tag_loss(scores, present, known)
    assert float(count) == 1 and float(total) == pytest.approx(float(nn.functional.softplus(torch.tensor(-2.0))))
