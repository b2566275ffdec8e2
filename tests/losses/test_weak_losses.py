"""SEC, What's the Point, area shares, box tightness and consistency against their formulas, written out in loops."""

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labels2masks.grid import Grid
from labels2masks.kernels.dense_crf import CRFParameters, dense_crf
from labels2masks.labels import INK, MASK, REGION, VOID_ROW, Candidates, Facts
from labels2masks.losses import (
    PIXEL_TERMS,
    TERMS,
    area_share_loss,
    box_tightness_loss,
    collate,
    consistency_loss,
    photo_terms,
    pixel_terms,
    sec,
    whats_the_point,
)

N, C, h, w = 2, 4, 3, 5
PRESENT = torch.tensor([[True, True, False, True], [True, False, True, False]])


def scores(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(N, C, h, w, generator=draw, dtype=torch.float64, requires_grad=True)


def softmax(column):
    total = sum(exp(v) for v in column)
    return [exp(v) / total for v in column]


def cells(scores_NChw):
    """[n][cell][class] probabilities as plain floats."""
    return [[softmax(s[:, y, x].tolist()) for y in range(h) for x in range(w)] for s in scores_NChw.detach()]


def floored(p):
    total = sum(v + 1e-4 for v in p)
    return [(v + 1e-4) / total for v in p]


def mean(pair):
    total, count = pair
    return float((total / count).detach())


# SEC


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_rank_pooling_is_the_maximum_at_0_and_the_mean_at_1(values):
    v = torch.tensor(values, dtype=torch.float64)
    assert float(sec.rank_pooled(v, 0.0)) == pytest.approx(max(values))
    assert float(sec.rank_pooled(v, 1.0)) == pytest.approx(float(np.mean(values)))
    between = sum(0.9**j * x for j, x in enumerate(sorted(values, reverse=True))) / sum(
        0.9**j for j in range(len(values))
    )
    assert float(sec.rank_pooled(v, 0.9)) == pytest.approx(between)


def test_seed_loss_is_the_mean_over_a_photos_seeds():
    seeds = torch.full((N, h, w), -1)
    seeds[0, 0, 0], seeds[0, 2, 4], seeds[0, 1, 1] = 1, 3, 0
    s = scores()
    p = cells(s)
    expected = -(log(floored(p[0][0])[1]) + log(floored(p[0][14])[3]) + log(floored(p[0][6])[0])) / 3
    assert mean(sec.seed_loss(s, seeds)) == pytest.approx(expected)
    assert float(sec.seed_loss(s, torch.full((N, h, w), -1))[1]) == 0


def test_expand_loss_as_written():
    s = scores()
    expected = 0.0
    for n, of_photo in enumerate(cells(s)):
        f = [floored(p) for p in of_photo]

        def pooled(c, d, f=f):
            ranked = sorted((p[c] for p in f), reverse=True)
            return sum(d**j * v for j, v in enumerate(ranked)) / sum(d**j for j in range(len(ranked)))

        there = [c for c in range(1, C) if PRESENT[n, c]]
        gone = [c for c in range(1, C) if not PRESENT[n, c]]
        expected -= sum(log(pooled(c, 0.996)) for c in there) / len(there)
        expected -= sum(log(1 - max(p[c] for p in f)) for c in gone) / len(gone)
        expected -= log(pooled(0, 0.999))
    assert mean(sec.expand_loss(s, PRESENT, 0)) == pytest.approx(expected / N)


def test_constrain_loss_is_zero_at_its_aim_and_sends_nothing_to_the_crf():
    s = scores()
    q = sec.probabilities(s).detach().requires_grad_()
    assert mean(sec.constrain_loss(s, q)) == pytest.approx(0, abs=1e-9)
    total, _ = sec.constrain_loss(s, scores(1).softmax(1))
    total.backward()
    assert total > 0 and q.grad is None and s.grad.abs().sum() > 0


# What's the Point


def test_image_loss_as_written():
    s = scores()
    expected = 0.0
    for n, p in enumerate(cells(s)):
        best = [max(v[c] for v in p) for c in range(C)]
        there = [c for c in range(C) if PRESENT[n, c]]
        gone = [c for c in range(C) if not PRESENT[n, c]]
        expected -= sum(log(best[c]) for c in there) / len(there) + sum(log(1 - best[c]) for c in gone) / len(gone)
    assert mean(whats_the_point.image_loss(s, PRESENT)) == pytest.approx(expected / N)


def test_point_and_objectness_loss_as_written():
    s, clicks = scores(), torch.full((N, h, w), -1)
    clicks[0, 0, 0], clicks[1, 2, 4] = 2, 1
    p = cells(s)
    weights = torch.full((N, h, w), 3.0, dtype=torch.float64)
    weights[1] = 1
    expected = -(3 * log(p[0][0][2]) + log(p[1][14][1])) / 4
    assert mean(whats_the_point.point_loss(s, clicks, weights)) == pytest.approx(expected)
    assert mean(whats_the_point.point_loss(s, clicks)) == pytest.approx(-(log(p[0][0][2]) + log(p[1][14][1])) / 2)
    prior = torch.rand(N, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    free = [(n, i) for n in range(N) for i in range(h * w) if clicks[n].flatten()[i] < 0]
    of = [(float(prior[n].flatten()[i]), p[n][i][0]) for n, i in free]
    expected = -sum((1 - o) * log(b) + o * log(1 - b) for o, b in of) / len(of)
    assert mean(whats_the_point.objectness_loss(s, prior, clicks, 0)) == pytest.approx(expected)


# Shares, boxes, consistency


def test_shares_as_written_and_best_where_they_hold():
    s = scores()
    p = cells(s)
    means = [[float(np.mean([v[c] for v in of_photo])) for c in range(C)] for of_photo in p]
    shares = torch.tensor([[0.5, 0.3, 0.0, 0.2], [float("nan"), 0.25, float("nan"), float("nan")]], dtype=torch.float64)
    whole = sum(v * log(v / m) for v, m in zip([0.5, 0.3, 0.2], [means[0][i] for i in (0, 1, 3)], strict=True))
    part = 0.25 * log(0.25 / means[1][1]) + 0.75 * log(0.75 / (1 - means[1][1]))
    assert mean(area_share_loss(s, shares)) == pytest.approx((whole + part) / 2)
    exact = torch.tensor(means, dtype=torch.float64)
    assert mean(area_share_loss(s, exact)) == pytest.approx(0, abs=1e-9)
    nothing = torch.full((N, C), float("nan"), dtype=torch.float64)
    assert float(area_share_loss(s, nothing)[1]) == 0
    assert torch.autograd.gradcheck(lambda x: area_share_loss(x, shares)[0], (scores(2),))


def test_every_line_of_a_box_asks_for_its_class():
    s = scores()
    grid = Grid.square(4, 2.0)
    boxes = [[({1, 2}, (4.0, 0.0, 16.0, 8.0))], [({3}, (3.0, 3.0, 3.5, 3.5))]]
    total, count = box_tightness_loss(s, boxes, grid)
    p = [[[sum(softmax(s[0, :, y, x].tolist())[1:3])] for x in range(1, 4)] for y in range(2)]
    expected = -sum(log(max(v[0] for v in row)) for row in p)
    expected -= sum(log(max(p[y][x][0] for y in range(2))) for x in range(3))
    assert float(total.detach()) == pytest.approx(expected) and float(count) == 5


def test_the_teacher_is_heard_where_it_is_sure_and_nothing_is_decided():
    candidates = Candidates.open(h, w, C).state(np.s_[:, :2], np.array([True, True, False, False]), REGION, 1.0)
    candidates = candidates.state(np.s_[:1, :], np.array([True, False, False, False]), REGION, 1.0)
    candidates = candidates.mapped(lambda index_HW: np.where(np.arange(w) == w - 1, VOID_ROW, index_HW))
    batch = collate([candidates])
    teacher = torch.zeros(1, C, h, w)
    teacher[:, 3] = 9  # sure of class 3, which is no candidate in the first two columns
    teacher[:, 1, 1, 0] = 9
    s = torch.randn(1, C, h, w, generator=torch.Generator().manual_seed(0), requires_grad=True)
    total, count = consistency_loss(s, teacher, batch)
    assert float(count) == 2 * 4  # not the decided row, not the void column
    heard = [(1, 0, 1), (1, 2, 3), (1, 3, 3), (2, 2, 3), (2, 3, 3)]
    expected = -sum(float(s[0].log_softmax(0)[c, y, x]) for y, x, c in heard)
    assert float(total) == pytest.approx(expected, rel=1e-5)
    total.backward()
    assert s.grad[0, :, 0].abs().sum() == 0 and s.grad[0, :, 1, 1].abs().sum() == 0


def test_terms_are_asked_of_photos_that_have_something_to_say():
    facts = Facts(
        (frozenset({1}), frozenset({3})), ((frozenset({1}), (0.0, 0.0, 8.0, 8.0)),), {2: 0.25}, frozenset({1, 2, 3})
    )
    told = replace(Candidates.open(4 * h, 4 * w, C), facts=facts)
    batch = collate([told, Candidates.open(4 * h, 4 * w, C)])
    images = torch.rand(N, 3, 4 * h, 4 * w, dtype=torch.float64) * 255
    s, grid = scores(), Grid.square(4, 2.0)
    found = photo_terms(s, grid, images, batch, dict.fromkeys(TERMS, 1.0))
    assert set(found) == set(TERMS)
    assert {t: float(count) for t, (_, count) in found.items() if t != "crf"} == {
        "presence": 2, "expand": 1, "constrain": N * h * w, "image": 1, "tightness": 4, "shares": 1
    }  # fmt: skip
    expected = sec.expand_loss(s[:1], torch.tensor([[False, True, False, True]]), 0)[0]
    assert float(found["expand"][0].detach()) == pytest.approx(float(expected.detach()))
    sum(total for total, _ in found.values()).backward()
    assert s.grad.isfinite().all()
    assert photo_terms(s, grid, images, batch, dict.fromkeys(TERMS, 0.0)) == {}
    silent = collate([Candidates.open(4 * h, 4 * w, C)] * N)
    assert set(photo_terms(s, grid, images, silent, dict.fromkeys(TERMS, 1.0))) == {"constrain", "crf"}


GRID = Grid.square(4, 2.0)
EVERY = dict.fromkeys((*TERMS, *PIXEL_TERMS), 1.0)


def drawn(seed=0):
    return torch.randint(0, 256, (N, 3, 4 * h, 4 * w), generator=torch.Generator().manual_seed(seed)).double()


def test_tags_are_read_as_they_are_meant():
    """Background may be promised too; a crop has promises without tags, and says nothing."""
    s, whole = scores(), Candidates.open(4 * h, 4 * w, C)
    tags = (frozenset({1}), frozenset({0}))
    told = [replace(whole, facts=Facts(tags, (), {}, frozenset(range(C))))] * N
    named, unnamed = (photo_terms(s, GRID, drawn(), collate(told, background=b), EVERY) for b in (0, None))
    assert "expand" in named and "image" in named and "expand" not in unnamed
    expected = sec.expand_loss(s, torch.tensor([[False, True, False, False]] * N), 0)[0]
    assert float(named["expand"][0].detach()) == pytest.approx(float(expected.detach()))
    expected = whats_the_point.image_loss(s, torch.tensor([[True, True, False, False]] * N))[0]
    assert float(named["image"][0].detach()) == pytest.approx(float(expected.detach()))
    crop = [replace(whole, facts=Facts((), (), {}, frozenset({1, 2, 3})))] * N
    assert not {"expand", "image"} & set(photo_terms(s, GRID, drawn(), collate(crop, background=0), EVERY))
    some = [replace(whole, facts=Facts((frozenset({1}),), (), {}, frozenset({1, 2})))] * N
    assert not {"expand", "image"} & set(photo_terms(s, GRID, drawn(), collate(some, background=0), EVERY))


def test_constrain_in_the_form_of_the_loop():
    """KL to the dense CRF of the network's own scores, over the cells that are photo; padding changes nothing."""
    s, images = scores(), drawn()
    bare = Candidates.open(4 * h, 4 * w, C)
    padded = bare.mapped(lambda index_HW: np.where(np.arange(4 * w) < 12, index_HW, VOID_ROW))  # of 5 cells 3
    total, count = photo_terms(s, GRID, images, collate([bare, padded]), EVERY)["constrain"]
    assert float(count) == h * w + 3 * h
    expected, of_photo = 0.0, cells(s)
    for n, across in enumerate((w, 3)):
        colours = images[n].reshape(3, h, 4, w, 4).mean((2, 4)).round().byte().permute(1, 2, 0).numpy()[:, :across]
        parameters = CRFParameters(10, 80 / 12 * across / 41, 13, 3, 3 / 12 * across / 41, 10)
        own = s[n, :, :, :across].detach().float().numpy()
        q_Chw = dense_crf(np.ascontiguousarray(colours), preset=parameters, scores_Lhw=own, source_stride=1, prune=0)
        for y, x in np.ndindex(h, across):
            q = [max(float(v), 1e-4) for v in q_Chw[:, y, x]]
            f = floored(of_photo[n][y * w + x])
            expected += sum(v / sum(q) * log(v / sum(q) / f[c]) for c, v in enumerate(q))
    assert expected > 0 and float(total.detach()) == pytest.approx(expected, rel=1e-4)
    other = images.clone()
    other[1, :, :, 12:] = 255 - other[1, :, :, 12:]
    again = photo_terms(s, GRID, other, collate([bare, padded]), EVERY)["constrain"][0]
    assert torch.equal(total, again)
    total.backward()
    assert s.grad[0].abs().sum() > 0 and s.grad[1, :, :, 3:].abs().sum() == 0
    parameters = sec.crf_at(41)
    assert (parameters.bilateral_xy, parameters.gaussian_xy) == (80 / 12, 3 / 12)


def decided():
    """Two photos of h x w pixels: ink, a mask, a set without background, a set with it, open, and void."""
    first = Candidates.open(h, w, C).state(np.s_[:, 1:3], np.array([False, True, True, False]), REGION, 1.0)
    first = first.state(np.s_[0:1, 3:4], np.array([True, True, False, False]), REGION, 1.0)
    first = first.state(np.s_[0:1, 0:1], np.array([False, False, True, False]), INK, 0.95)
    first = first.state(np.s_[2:3, 0:1], np.array([False, False, False, True]), MASK, 1.0)
    first = first.mapped(lambda index_HW: np.where(np.arange(w) == w - 1, VOID_ROW, index_HW))
    return [first, Candidates.open(h, w, C).state(np.s_[1:2, 0:1], np.array([True, False, False, False]), INK, 0.95)]


def test_pixel_terms_as_written():
    s = scores()
    prior = torch.rand(N, h, w, generator=torch.Generator().manual_seed(3))
    batch = collate(decided(), objectness=[p.numpy() for p in prior], background=0)
    p = cells(s)
    seed = -(log(floored(p[0][0])[2]) + log(floored(p[0][2 * w])[3])) / 2 - log(floored(p[1][w])[0])
    point = -log(p[0][0][2]) - log(p[1][w][0])
    objects, asked = 0.0, 0
    for n, y, x in np.ndindex(N, h, w):
        set_C = batch.sets_KC[batch.index_NHW[n, y, x]]
        if set_C[0] and set_C.sum() > 1:
            asked += 1
            o, b = float(prior[n, y, x]), p[n][y * w + x][0]
            objects -= (1 - o) * log(b) + o * log(1 - b)
    assert asked == (1 + 3) + (h * w - 1)  # the rest of column 0, column 3, and the other photo but its click
    found = pixel_terms(s, batch, EVERY)
    assert {name: float(count) for name, (_, count) in found.items()} == {"seed": 2, "point": 2, "objectness": asked}
    expected = {"seed": seed, "point": point, "objectness": objects}
    assert {k: float(v.detach()) for k, (v, _) in found.items()} == pytest.approx(expected, rel=1e-5)
    assert pixel_terms(s, batch, dict.fromkeys(EVERY, 0.0)) == {}
    assert pixel_terms(s, collate([Candidates.open(h, w, C)] * N), EVERY) == {}


def test_gradients_of_the_terms():
    batch = collate(decided(), objectness=[np.full((h, w), 0.3, np.float32)] * N, background=0)
    aim = scores(1).detach().softmax(1)
    assert torch.autograd.gradcheck(lambda s: tuple(v for v, _ in pixel_terms(s, batch, EVERY).values()), (scores(),))
    assert torch.autograd.gradcheck(lambda s: sec.constrain_loss(s, aim)[0], (scores(),))
    facts = Facts((frozenset({1}),), (), {}, frozenset({1, 2, 3}))
    told = collate([replace(c, facts=facts) for c in decided()], background=0)
    only = {**dict.fromkeys(EVERY, 0.0), "expand": 1.0, "image": 1.0}
    images = drawn()[..., :h, :w]
    assert torch.autograd.gradcheck(
        lambda s: tuple(v for v, _ in photo_terms(s, Grid(), images, told, only).values()), (scores(),)
    )
