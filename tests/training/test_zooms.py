"""Zooms one by one (DeepLab v2) and blur (PSPNet), as the papers draw them."""

from collections import Counter

import cv2
import numpy as np
import pytest

from labels2masks.errors import UsageError
from labels2masks.labels import Mask
from labels2masks.recipes.published import deeplab_v2_resnet101, pspnet101
from labels2masks.training.augment import _random_map, training_crop
from labels2masks.training.settings import Settings, with_settings


def test_zooms_of_deeplab_v2_are_five_equally_often():
    augment = deeplab_v2_resnet101().augment
    labels = (Mask(ids_HW=np.zeros((40, 60), np.int32)),)
    draw = np.random.default_rng(0)
    maps = [_random_map((40, 60), labels, augment, (321, 321), None, {}, draw) for _ in range(500)]
    found = Counter(round(float(np.sqrt(abs(np.linalg.det(m[:, :2])))), 6) for m in maps)
    assert set(found) == {0.5, 0.75, 1.0, 1.25, 1.5} and min(found.values()) > 70


def test_half_of_the_crops_of_pspnet_are_blurred(photos):
    augment = pspnet101().augment
    assert augment.blur == 0.5
    blurred = 0
    for seed in range(60):
        plain, made = (
            training_crop(photos.photos[0], a, (32, 48), None, {}, np.random.default_rng(seed))
            for a in (augment.model_copy(update={"blur": 0.0}), augment)
        )
        assert np.array_equal(plain.candidates.index_HW, made.candidates.index_HW)
        if not np.array_equal(plain.image_HW3, made.image_HW3):
            blurred += 1
            assert np.array_equal(cv2.GaussianBlur(plain.image_HW3, (5, 5), 0), made.image_HW3)
    assert 18 < blurred < 42


@pytest.mark.parametrize("scale", [[1.0], [0.5, -1.0]])
def test_zooms_that_are_none(scale):
    with pytest.raises(UsageError, match="augment.scale"):
        with_settings(Settings(), {"augment.scale": scale})
