"""Ridge regression in folds: targets from any labels, sums that add up, and nobody predicts what he has learnt."""

import numpy as np
import pytest

from labels2masks.classes import Classes, Vocabulary
from labels2masks.labels import Mask, Point, Points, Tags, rasterise
from labels2masks.training.ridge import Sums, probabilities, targets

SAME = Vocabulary.same(Classes(("background", "disc", "box"), background="background"))


def test_targets_are_means_over_cells():
    ids_HW = np.zeros((12, 16), np.int32)
    ids_HW[:, 4:8] = 1
    ids_HW[:4, 8:] = 255
    targets_PC, weight_P = targets(rasterise((Mask(ids_HW=ids_HW),), SAME, 12, 16))
    assert targets_PC.shape == (4, 3)
    assert targets_PC[0] == pytest.approx([0.5, 0.5, 0]) and targets_PC[1] == pytest.approx([1, 0, 0])
    assert weight_P == pytest.approx([1, 0.5, 0.5, 0.5])  # whole; half void; below the photo's end: half padding


def test_what_decides_nothing_counts_nothing_and_half_a_choice_counts_less():
    said = rasterise((Tags(absent=frozenset({"box"})),), SAME, 8, 8)
    targets_PC, weight_P = targets(said)
    assert targets_PC[0] == pytest.approx([0.5, 0.5, 0]) and weight_P[0] == pytest.approx(1 - np.log(2) / np.log(3))
    assert targets(rasterise((), SAME, 8, 8))[1].tolist() == [0]
    _, weight_P = targets(rasterise((Points((Point("disc", 4, 4),)),), SAME, 8, 8))
    assert 0 < weight_P[0] < 0.5


def test_sums_of_parts_are_the_sums_of_the_whole():
    rng = np.random.default_rng(0)
    features_PD = np.column_stack([rng.normal(size=(90, 4)), np.ones(90)]).astype(np.float32)
    class_P = (features_PD[:, 0] > 0).astype(int)
    targets_PC, weight_P = np.eye(2, dtype=np.float32)[class_P], rng.uniform(0, 1, 90).astype(np.float32)
    weight_P[:5] = 0
    parts = []
    for part in np.split(np.arange(90), 3):
        parts.append(Sums.none(5, 2))
        parts[-1].add(features_PD[part], targets_PC[part], weight_P[part])
    whole = Sums.none(5, 2)
    whole.add(features_PD, targets_PC, weight_P)
    total = parts[0] + parts[1] + parts[2]
    np.testing.assert_allclose(total.gram_DD, whole.gram_DD, rtol=1e-5, atol=1e-4)
    weights_DC = whole.solved()
    p_Chw = probabilities(features_PD.reshape(9, 10, 5), weights_DC)
    assert p_Chw.shape == (2, 9, 10) and p_Chw.sum(axis=0) == pytest.approx(np.ones((9, 10)))
    assert (p_Chw.argmax(axis=0).ravel() == class_P).mean() > 0.9
    assert np.isfinite(Sums.none(5, 2).solved()).all()
