"""The resampled scores are those of the photos drawn, and runs are given the same ones."""

import numpy as np
from evaluation.test_per_photo import CLASSES, scored

from labels2masks.evaluation import Confusion
from labels2masks.evaluation.bootstrap import band, bootstrap, iou, mean_over_classes


def test_equals_scoring_the_drawn_photos_one_by_one():
    (one, _), (other, _) = scored(6, seed=1), scored(6, seed=1)
    other._entries[2] = one._entries[3]  # a photo with other mistakes
    runs = (one, other)
    iou_BMC = bootstrap(np.stack([r.sums() for r in runs]), resamples=40, seed=7)
    draw = np.random.default_rng(7)
    for b in range(40):
        times_P = draw.multinomial(6, np.full(6, 1 / 6))
        for m, run in enumerate(runs):
            drawn = Confusion(CLASSES)
            for photo, times in enumerate(times_P):
                for _ in range(times):
                    drawn += run.of(photo)
            scores = drawn.scores()
            expected = [c["iou"] if c["iou"] is not None else np.nan for c in scores["per_class"].values()]
            assert np.allclose(iou_BMC[b, m], expected, atol=1e-6, equal_nan=True)
            assert np.isclose(mean_over_classes(iou_BMC[b, m]), scores["miou"], atol=1e-6)


def test_what_chunks_it_is_made_in_changes_nothing(monkeypatch):
    sums = scored(9)[0].sums()[None]
    whole = bootstrap(sums, 50)
    monkeypatch.setattr("labels2masks.evaluation.bootstrap._AT_ONCE", 30)
    assert np.array_equal(bootstrap(sums, 50), whole)


def test_a_class_that_is_not_drawn_does_not_count():
    sums_P3C = np.array([[[4, 0], [4, 0], [4, 2]], [[0, 1], [3, 1], [0, 1]]])
    iou_BC = bootstrap(sums_P3C[None], 200)[:, 0]
    absent_B = np.isnan(iou_BC[:, 1])
    assert 20 < absent_B.sum() < 80  # a quarter of the draws take the first photo twice
    assert (mean_over_classes(iou_BC)[absent_B] == 1).all()
    assert np.isnan(iou(np.zeros((3, 2)))).all() and np.isnan(mean_over_classes(np.array([np.nan, np.nan])))


def test_band_is_the_middle_of_the_numbers():
    assert np.allclose(band(np.append(np.arange(1001.0), np.nan)), (25, 975))
    assert band(np.array([np.nan])) is None
