"""Losses of neighbours and PAR, against loops that anyone can read."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from labels2masks.grid import Grid
from labels2masks.kernels.pixel_adaptive import pixel_adaptive_refinement
from labels2masks.losses import dense_crf_loss, gated_crf_loss


def drawn(images: int, classes: int, height: int, width: int, dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """(scores_NCHW, images_N3HW 0..255) of smooth noise."""
    draw = torch.Generator().manual_seed(height * width)
    scores = 2 * torch.randn(images, classes, height, width, dtype=dtype, generator=draw)
    photos = 255 * F.avg_pool2d(torch.rand(images, 3, height + 2, width + 2, dtype=dtype, generator=draw), 3, 1)
    return scores, photos


# The dense-CRF loss


@pytest.mark.parametrize("gated", [False, True])
def test_dense_equals_brute_force(gated):
    scores, photos = drawn(2, 3, 8, 6)
    gate_NHW = (torch.rand(2, 8, 6) < 0.8).double() if gated else torch.ones(2, 8, 6, dtype=torch.float64)
    shares_NChw = F.avg_pool2d(scores, 2).softmax(dim=1) * F.avg_pool2d(gate_NHW[:, None], 2)
    colours_N3hw, expected = F.avg_pool2d(photos, 2), 0.0
    for n in range(2):
        for p in np.ndindex(4, 3):
            for q in np.ndindex(4, 3):
                place = sum((2 * (a - b)) ** 2 for a, b in zip(p, q, strict=True)) / 5**2
                colour = ((colours_N3hw[(n, ..., *p)] - colours_N3hw[(n, ..., *q)]) ** 2).sum() / 30**2
                weight = torch.exp(-0.5 * (place + colour))
                expected -= weight * (shares_NChw[(n, ..., *p)] * shares_NChw[(n, ..., *q)]).sum()
    options = {"sigma_xy": 5, "sigma_rgb": 30, "backend": "exact", "gate_NHW": gate_NHW if gated else None}
    total, count = dense_crf_loss(scores, photos, **options)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(count, F.avg_pool2d(gate_NHW[:, None], 2).sum())


@pytest.mark.parametrize("normalised", [False, True])
def test_dense_gradient_is_right(normalised):
    scores, photos = drawn(1, 3, 5, 6)

    def loss(scores):
        options = {"sigma_xy": 5.0, "sigma_rgb": 30.0, "backend": "exact", "normalised": normalised}
        return dense_crf_loss(scores, photos, Grid(), **options)[0]

    assert torch.autograd.gradcheck(loss, (scores.requires_grad_(),))


def test_dense_is_lower_where_labels_follow_colours():
    photos = torch.zeros(1, 3, 32, 40)
    photos[..., 20:] = 200
    along, across = torch.zeros(2, 1, 2, 32, 40)
    along[:, 0, :, :20] = along[:, 1, :, 20:] = 8
    across[:, 0, :16] = across[:, 1, 16:] = 8
    for normalised in (False, True):
        good, bad = (dense_crf_loss(scores, photos, normalised=normalised)[0] for scores in (along, across))
        assert good < 0.8 * bad < 0
    total, count = dense_crf_loss(along, photos, normalised=True)
    assert -1.05 < total / count < -0.95 and count == 320
    # The order of classes and of images means nothing, and a gate of 0 leaves nothing.
    scores, photos = drawn(2, 3, 16, 20, torch.float32)
    whole = dense_crf_loss(scores, photos)[0]
    torch.testing.assert_close(dense_crf_loss(scores[:, [2, 0, 1]].flip(0), photos.flip(0))[0], whole)
    assert dense_crf_loss(scores, photos, gate_NHW=torch.zeros(2, 16, 20))[0] == 0


def test_dense_takes_the_scores_of_a_network_where_its_cells_lie():
    scores, photos = drawn(1, 3, 16, 16)
    cells = F.avg_pool2d(scores, 8)
    from_cells = dense_crf_loss(cells, photos, Grid.square(8, 4), backend="exact")[0]
    full = F.interpolate(cells, scale_factor=8, mode="bilinear", align_corners=False)
    torch.testing.assert_close(from_cells, dense_crf_loss(full, photos, backend="exact")[0], rtol=1e-6, atol=0)
    half = dense_crf_loss(cells.half(), photos, Grid.square(8, 4))
    assert half[0].isfinite() and half[1] == 64


# The gated CRF loss


@pytest.mark.parametrize("gates", [(False, False), (True, False), (False, True), (True, True)])
def test_gated_equals_brute_force(gates):
    scores, photos = drawn(2, 3, 5, 4)
    shares = scores.softmax(dim=1)
    source, destination = (torch.rand(2, 5, 4) < 0.6 if g else torch.ones(2, 5, 4, dtype=torch.bool) for g in gates)
    expected = torch.zeros((), dtype=torch.float64)
    for n, y, x, v, u in np.ndindex(2, 5, 4, 5, 4):
        if (y, x) != (v, u) and max(abs(y - v), abs(x - u)) <= 2 and destination[n, y, x] and source[n, v, u]:
            colour = ((photos[n, :, y, x] - photos[n, :, v, u]) / 30).square().sum()
            weight = torch.exp(-0.5 * (((y - v) ** 2 + (x - u) ** 2) / 9 + colour))
            expected += weight * (1 - (shares[n, :, y, x] * shares[n, :, v, u]).sum())
    given = {"sources_NHW": source if gates[0] else None, "destinations_NHW": destination if gates[1] else None}
    total, count = gated_crf_loss(scores, photos, radius=2, sigma_xy=3, sigma_rgb=30, **given)
    torch.testing.assert_close(total, expected)
    assert count == (destination.sum() if gates[1] else source.sum())


def test_gated_gradient_is_right_and_windows_may_be_larger_than_the_map():
    scores, photos = drawn(1, 2, 3, 2)
    assert torch.autograd.gradcheck(lambda x: gated_crf_loss(x, photos)[0], (scores.requires_grad_(),))
    assert gated_crf_loss(scores[..., :1, :1], photos[..., :1, :1])[0] == 0


def test_gated_is_zero_for_one_sure_label_and_counts_whole_cells_only():
    photos = drawn(1, 3, 16, 16)[1]
    sure = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    sure[:, 1] = 100
    inside_NHW = torch.ones(1, 16, 16)
    inside_NHW[:, :, 15] = 0  # one column of padding spoils the last column of cells
    total, count = gated_crf_loss(sure, photos, Grid.square(4, 2), destinations_NHW=inside_NHW)
    assert abs(total) < 1e-12 and count == 12


# Pixel-adaptive refinement


def test_par_equals_brute_force():
    scores, photos = drawn(1, 2, 5, 6)
    steps = [(d * dy, d * dx) for d in (1, 3) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    distance_J = np.array([math.hypot(*step) for step in steps])
    place_J = np.exp(-((distance_J / distance_J.std(ddof=1) / 0.3) ** 2))
    maps_CHW, image_3HW = scores[0].numpy(), photos[0].numpy()
    for _ in range(2):
        out_CHW = np.zeros_like(maps_CHW)
        for y, x in np.ndindex(5, 6):
            near = [(..., min(max(y + dy, 0), 4), min(max(x + dx, 0), 5)) for dy, dx in steps]
            colours_J3 = np.stack([image_3HW[at] for at in near])
            away_J3 = np.abs(colours_J3 - image_3HW[:, y, x]) / (colours_J3.std(axis=0, ddof=1) + 1e-8)
            colour_J = np.exp(-((away_J3 / 0.3) ** 2).mean(axis=1))
            weight_J = colour_J / colour_J.sum() + 0.01 * place_J / place_J.sum()
            out_CHW[:, y, x] = sum(w * maps_CHW[at] for w, at in zip(weight_J / 1.01, near, strict=True))
        maps_CHW = out_CHW
    torch.testing.assert_close(pixel_adaptive_refinement(scores, photos, (1, 3), 2)[0], torch.from_numpy(maps_CHW))


def test_par_keeps_probabilities_and_follows_the_edge():
    photos = torch.full((1, 3, 24, 30), 40.0)
    photos[..., 15:] = 180
    photos += torch.randn(photos.shape, generator=torch.Generator().manual_seed(0))
    blurred = torch.sigmoid((torch.arange(30.0) - 14.5) / 4).expand(1, 1, 24, 30)
    shares = torch.cat([1 - blurred, blurred], dim=1)
    refined = pixel_adaptive_refinement(shares, photos)
    torch.testing.assert_close(refined.sum(dim=1), torch.ones(1, 24, 30))
    before, after = (float(s[0, 1, :, 15].mean() - s[0, 1, :, 14].mean()) for s in (shares, refined))
    assert after > 3 * before
    # Neither the unit nor the mean of the colours matters, and a photo of one colour is no error.
    torch.testing.assert_close(pixel_adaptive_refinement(shares, photos / 58 - 2), refined, atol=1e-3, rtol=0)
    assert pixel_adaptive_refinement(shares, torch.zeros(1, 3, 24, 30)).isfinite().all()


def test_par_passes_gradients_to_the_maps():
    scores, photos = drawn(1, 2, 4, 3)
    assert torch.autograd.gradcheck(
        lambda x: pixel_adaptive_refinement(x, photos, (1, 2), 2), (scores.requires_grad_(),)
    )
    with pytest.raises(ValueError, match="do not fit"):
        pixel_adaptive_refinement(scores[..., :2], photos)
