"""The one loss: cross-entropy bit for bit on full masks, brute force on sets, silence on void and open."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from labels2masks.classes import Classes, Vocabulary
from labels2masks.labels import INK, MASK, OPEN_ROW, REGION, VOID_ROW, Candidates, Mask, Point, Points, Tags, rasterise
from labels2masks.losses import candidate_loss, collate, presence_loss


def full_masks(rng, images, classes, height, width, void=0.2):
    """(Candidates of random full masks, target_NHW for cross_entropy with 255 = void)."""
    names = Classes(tuple(f"c{i}" for i in range(classes)))
    target_NHW = rng.integers(0, classes, (images, height, width)).astype(np.int32)
    target_NHW[rng.random(target_NHW.shape) < void] = 255
    made = [rasterise([Mask(ids_HW=ids_HW)], Vocabulary.same(names), height, width) for ids_HW in target_NHW]
    return made, torch.from_numpy(target_NHW).long()


def total(parts):
    return sum(s / c for s, c in parts.values())


def random_sets(rng, height, width, classes, trust=1.0, steps=6):
    made = Candidates.open(height, width, classes)
    for _ in range(steps):
        set_C = rng.random(classes) < 0.4
        set_C[rng.integers(classes)] = True
        source = int(rng.choice([REGION, MASK, INK]))
        made = made.state(rng.random((height, width)) < 0.4, set_C, source, trust)
    return made.mapped(lambda index_HW: np.where(rng.random((height, width)) < 0.1, VOID_ROW, index_HW))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("images", "classes", "height", "width"), [(1, 2, 1, 1), (2, 11, 45, 60), (3, 21, 33, 47), (4, 7, 128, 96)]
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_full_mask_is_cross_entropy_bit_for_bit(seed, images, classes, height, width, weighted):
    rng = np.random.default_rng(seed)
    made, target_NHW = full_masks(rng, images, classes, height, width, void=0.0 if height == 1 else 0.2)
    scores = torch.from_numpy(rng.normal(0, 3, (images, classes, height, width)).astype(np.float32))
    weights_C = torch.from_numpy(rng.uniform(0.3, 4, classes).astype(np.float32)) if weighted else None
    ours, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    value = total(candidate_loss(ours, collate(made), weights_C))
    expected = F.cross_entropy(theirs, target_NHW, weights_C, ignore_index=255)
    value.backward()
    expected.backward()
    assert value.item() == expected.item()
    assert torch.equal(ours.grad, theirs.grad)


def test_scores_at_void_pixels_never_matter():
    rng = np.random.default_rng(0)
    made = [random_sets(rng, 20, 30, 5, trust=0.9) for _ in range(2)]
    batch = collate(made)
    void_NHW = batch.index_NHW == VOID_ROW
    scores = torch.randn(2, 5, 20, 30)
    other = torch.where(void_NHW[:, None], torch.randn(2, 5, 20, 30) * 50, scores)
    values, gradients = [], []
    for x in (scores, other):
        x = x.clone().requires_grad_()
        total(candidate_loss(x, batch)).backward()
        values.append({k: (s.item(), c.item()) for k, (s, c) in candidate_loss(x, batch).items()})
        gradients.append(x.grad)
    assert values[0] == values[1] and torch.equal(*gradients)
    assert (gradients[0].permute(0, 2, 3, 1)[void_NHW] == 0).all()


@pytest.mark.parametrize("trust", [1.0, 0.9])
@pytest.mark.parametrize("weighted", [False, True])
def test_sets_equal_brute_force(trust, weighted):
    rng = np.random.default_rng(3)
    classes = 5
    made = [random_sets(rng, 9, 8, classes, trust) for _ in range(2)]
    scores = torch.randn(2, classes, 9, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = rng.uniform(0.5, 2, classes) if weighted else np.ones(classes)
    sums, counts = {}, {}
    for n, c in enumerate(made):
        for y, x in np.ndindex(9, 8):
            row = c.index_HW[y, x]
            if row == VOID_ROW or c.sets_KC[row].all():
                continue
            p = torch.softmax(scores[n, :, y, x], 0).numpy()[c.sets_KC[row]].sum()
            t, size, weight = c.trust_K[row].astype(float), c.sets_KC[row].sum(), weights[c.sets_KC[row]].mean()
            name = {MASK: "mask", INK: "ink", REGION: "region"}[int(c.source_K[row])]
            sums[name] = sums.get(name, 0) - weight * np.log(t * p + (1 - t) * size / classes)
            counts[name] = counts.get(name, 0) + weight
    parts = candidate_loss(scores, collate(made), torch.from_numpy(weights) if weighted else None)
    assert parts.keys() == sums.keys() == {"mask", "ink", "region"}
    for name, (value, count) in parts.items():
        assert value.item() == pytest.approx(sums[name], rel=1e-6) and count.item() == pytest.approx(counts[name])


def test_the_set_gradient_is_right():
    made = collate([random_sets(np.random.default_rng(1), 4, 3, 4, trust=0.9)])
    scores = torch.randn(1, 4, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: total(candidate_loss(x, made)), (scores,))


def test_the_open_set_costs_nothing_and_counts_nowhere():
    made = Candidates.open(6, 6, 3)
    scores = torch.randn(1, 3, 6, 6)
    assert candidate_loss(scores, collate([made])) == {}
    # Open made by a negative stroke that excludes nothing more, or any full row, is silent as well.
    stated = made.state(np.ones((6, 6), bool), np.ones(3, bool), INK, 0.9)
    assert stated.index_HW[0, 0] != OPEN_ROW and candidate_loss(scores, collate([stated])) == {}
    one = stated.state((slice(0, 1), slice(0, 1)), np.array([True, False, False]), INK, 1.0)
    parts = candidate_loss(scores, collate([one]))
    expected = -torch.log_softmax(scores[0, :, 0, 0], 0)[0].item()
    assert parts["ink"][1] == 1 and parts["ink"][0].item() == pytest.approx(expected)


def test_all_void_is_an_empty_loss():
    made, _ = full_masks(np.random.default_rng(0), 2, 3, 5, 5, void=1.1)
    assert candidate_loss(torch.randn(2, 3, 5, 5), collate(made)) == {}


@pytest.mark.parametrize("trust", [1.0, 0.95])
def test_extreme_scores_give_finite_losses_and_gradients(trust):
    made = Candidates.open(2, 2, 4).state(np.ones((2, 2), bool), np.array([True, True, False, False]), REGION, trust)
    for extreme in ([1e4, 1e4, 1e4, 1e4], [-1e4, -1e4, 1e4, 1e4]):
        scores = torch.tensor(extreme).reshape(1, 4, 1, 1).repeat(1, 1, 2, 2).requires_grad_()
        value = total(candidate_loss(scores, collate([made])))
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(scores.grad).all()


def test_collate_joins_tables_and_keeps_every_pixel():
    rng = np.random.default_rng(5)
    made = [random_sets(rng, 6, 7, 4, trust) for trust in (1.0, 0.5)]
    batch = collate(made)
    for n, c in enumerate(made):
        assert (batch.sets_KC[batch.index_NHW[n]].numpy() == c.sets_KC[c.index_HW]).all()
        assert (batch.source_K[batch.index_NHW[n]].numpy() == c.source_K[c.index_HW]).all()
        assert (batch.trust_K[batch.index_NHW[n]].numpy() == c.trust_K[c.index_HW]).all()
    assert batch.index_NHW.dtype == torch.int64 and not batch.sets_KC[VOID_ROW].any() and batch.sets_KC[OPEN_ROW].all()
    rows = list(zip(batch.sets_KC.tolist(), batch.source_K.tolist(), batch.trust_K.tolist(), strict=True))
    assert len({str(r) for r in rows}) == len(rows)
    assert torch.equal(batch.to("cpu").index_NHW, batch.index_NHW)


def test_mixed_kinds_are_three_means_each_over_its_own_pixels():
    names = Vocabulary.same(Classes(("bg", "cat", "dog"), background="bg"))
    mask = rasterise([Mask(ids_HW=np.ones((8, 8), np.int32))], names, 8, 8)
    clicked = rasterise([Points((Point("dog", 3.5, 3.5),))], names, 8, 8)
    tagged = rasterise([Tags(frozenset({"cat"}), complete=frozenset({"cat", "dog"}))], names, 8, 8)
    batch = collate([mask, clicked, tagged])
    parts = candidate_loss(torch.randn(3, 3, 8, 8), batch)
    inked = int((clicked.labels() == 2).sum())
    assert {k: int(c) for k, (_, c) in parts.items()} == {"mask": 64, "ink": inked, "region": 64}
    assert batch.weak_N.tolist() == [False, True, True]


def test_sizes_that_differ_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        candidate_loss(torch.zeros(1, 3, 4, 4), collate([Candidates.open(4, 5, 3)]))


def tagged(*names, whole=True, extra=()):
    classes = Vocabulary.same(Classes(("bg", "cat", "dog"), background="bg", groups={"pet": ("cat", "dog")}))
    return rasterise([Tags(frozenset(names)), *extra], classes, 10, 20, whole=whole)


def test_presence_takes_the_best_twentieth_of_the_cells():
    scores = torch.zeros(1, 3, 10, 20)
    scores[0, 1].view(-1)[:10] = 5.0  # 10 of 200 cells are 5 %
    value, count = presence_loss(scores, collate([tagged("cat")]))
    p = torch.softmax(torch.tensor([0.0, 5.0, 0.0]), 0)[1]
    assert count == 1 and value.item() == pytest.approx(-p.log().item(), rel=1e-4)
    value, count = presence_loss(scores, collate([tagged("cat", "dog")]))
    assert count == 2
    group, _ = presence_loss(scores, collate([tagged("pet")]))
    q = torch.softmax(torch.tensor([0.0, 5.0, 0.0]), 0)[1:].sum()
    assert group.item() == pytest.approx(-q.log().item(), rel=1e-4)


def test_presence_is_for_photos_without_mask_and_not_for_crops():
    scores = torch.randn(1, 3, 10, 20)
    masked = tagged("cat", extra=[Mask(ids_HW=np.zeros((10, 20), np.int32))])
    for made in (masked, tagged("cat", whole=False), tagged()):
        value, count = presence_loss(scores, collate([made]))
        assert value == 0 and count == 0
    tiny, count = presence_loss(torch.randn(1, 3, 1, 1), collate([tagged("cat")]))
    assert torch.isfinite(tiny) and count == 1


@pytest.mark.parametrize("weighted", [False, True])
def test_border_weights_are_added_to_those_of_the_classes(weighted):
    """Against the sum over pixels; in parts, as several processes add them; and for masks alone."""
    rng = np.random.default_rng(5)
    made, target_NHW = full_masks(rng, 4, 3, 9, 11)
    scores = torch.from_numpy(rng.normal(0, 2, (4, 3, 9, 11)).astype(np.float32))
    borders = [rng.uniform(0, 10, (9, 11)).astype(np.float32) for _ in made]
    weights_C = torch.tensor([0.5, 1.0, 3.0]) if weighted else None
    stated = target_NHW != 255
    class_NHW = torch.ones(target_NHW.shape) if weights_C is None else weights_C[target_NHW.clamp_max(2)]
    weight_NHW = (class_NHW + torch.from_numpy(np.stack(borders))) * stated
    losses_NHW = F.cross_entropy(scores, target_NHW, reduction="none", ignore_index=255)
    expected = (losses_NHW * weight_NHW).sum() / weight_NHW.sum()
    summed, count = candidate_loss(scores, collate(made, borders), weights_C)["mask"]
    assert summed / count == pytest.approx(expected.item(), rel=1e-5)
    halves = [
        candidate_loss(scores[i : i + 2], collate(made[i : i + 2], borders[i : i + 2]), weights_C) for i in (0, 2)
    ]
    both = [sum(half["mask"][k] for half in halves) for k in (0, 1)]
    assert both[0] / both[1] == pytest.approx(expected.item(), rel=1e-5)
    names = Vocabulary.same(Classes(("a", "b", "c")))
    inked = rasterise([Points((Point("b", 4, 4),))], names, 9, 11)
    plain, more = (candidate_loss(scores[:1], collate([inked], b))["ink"] for b in ([], borders[:1]))
    assert torch.equal(plain[0], more[0]) and torch.equal(plain[1], more[1])
