"""What must hold of Candidates whatever is stated: brute force on small rasters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels2masks.classes import Classes, Vocabulary
from labels2masks.labels import (
    INK,
    MASK,
    REGION,
    VOID_ROW,
    Box,
    Boxes,
    Candidates,
    Mask,
    Point,
    Points,
    Tags,
    rasterise,
)

H, W = 7, 9
NAMES = ("background", "cat", "dog", "person")
CLASSES = Classes(NAMES, background="background", void_ids=frozenset({9}))
FULL = frozenset(range(4))

some_names = st.frozensets(st.sampled_from(NAMES[1:]))
coordinates = st.tuples(st.integers(-3, W + 3), st.integers(-3, H + 3), st.integers(1, 8), st.integers(1, 8))
boxes_strategy = st.builds(
    lambda marks, complete: Boxes(
        tuple(Box.upright(n, x, y, x + w, y + h) for n, (x, y, w, h) in marks), complete=complete
    ),
    st.lists(st.tuples(st.sampled_from(NAMES[1:]), coordinates), max_size=3),
    some_names,
)
tags_strategy = st.builds(lambda p, a, c: Tags(p, a - p, c), some_names, some_names, some_names)
points_strategy = st.builds(
    lambda marks: Points(tuple(Point(n, x + 0.5, y + 0.5, negative) for n, x, y, negative in marks)),
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.integers(0, W - 1), st.integers(0, H - 1), st.booleans()), max_size=2
    ),
)
mask_strategy = st.builds(
    lambda seed: Mask(ids_HW=np.random.default_rng(seed).choice([0, 1, 2, 3, 9], (H, W)).astype(np.int32)),
    st.integers(0, 10_000),
)
labels_strategy = st.tuples(tags_strategy, boxes_strategy, st.none() | mask_strategy, points_strategy)


def reference(tags, boxes, mask, points, y, x):
    """(set, conflicts) of one pixel, straight from the design: statements weakest first, the stronger wins.

    A class is promised by tags or boxes and marked by neither: it is not in the image.
    """
    marked = tags.present | {b.name for b in boxes.marks}
    gone = (tags.absent | (tags.complete - tags.present) | (boxes.complete - {b.name for b in boxes.marks})) - marked
    statements = [FULL - {NAMES.index(n) for n in gone}]
    for name in boxes.complete:
        bounds = [b.bounds for b in boxes.marks if b.name == name]
        if not any(x0 <= x + 0.5 < x1 and y0 <= y + 0.5 < y1 for x0, y0, x1, y1 in bounds):
            statements.append(FULL - {NAMES.index(name)})
    if mask is not None:
        if mask.ids_HW[y, x] == 9:
            return frozenset(), 0
        statements.append(frozenset({int(mask.ids_HW[y, x])}))
    for p in points.marks:
        if (p.x - 0.5 - x) ** 2 + (p.y - 0.5 - y) ** 2 <= 4:
            this = frozenset({NAMES.index(p.name)})
            statements.append(FULL - this if p.negative else this)
    possible, conflicts = FULL, 0
    for statement in statements:
        conflicts += not possible & statement
        possible = possible & statement or statement
    return possible, conflicts


@given(labels_strategy)
def test_rasterise_equals_brute_force(labels):
    tags, boxes, mask, points = labels
    made = rasterise([x for x in labels if x is not None], Vocabulary.same(CLASSES), H, W)
    conflicts = 0
    for y in range(H):
        for x in range(W):
            expected, here = reference(tags, boxes, mask, points, y, x)
            conflicts += here
            assert set(np.flatnonzero(made.sets_KC[made.index_HW[y, x]])) == expected, (y, x)
    assert made.conflicts == conflicts


@st.composite
def candidates_strategy(draw, height=H, width=W, classes=4):
    made = Candidates.open(height, width, classes)
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    for _ in range(draw(st.integers(0, 5))):
        set_C = rng.random(classes) < 0.5
        set_C[rng.integers(classes)] = True
        made = made.state(rng.random((height, width)) < 0.4, set_C, int(rng.integers(REGION, INK + 1)), 0.9)
    index_HW = np.where(rng.random((height, width)) < 0.1, VOID_ROW, made.index_HW).astype(np.int32)
    return made.mapped(lambda _: index_HW)


@given(candidates_strategy(), st.integers(0, 10_000), st.sampled_from((REGION, MASK, INK)))
def test_a_statement_only_removes_unless_it_conflicts(before, seed, source):
    rng = np.random.default_rng(seed)
    where_HW, set_C = rng.random((H, W)) < 0.5, rng.random(4) < 0.5
    set_C[rng.integers(4)] = True
    after = before.state(where_HW, set_C, source, 1.0)
    old_HWC, new_HWC = before.sets_KC[before.index_HW], after.sets_KC[after.index_HW]
    void_HW = before.index_HW == VOID_ROW
    clash_HW = where_HW & ~void_HW & ~(old_HWC & set_C).any(-1)
    newer_HW = clash_HW & (source >= before.source_K[before.index_HW])
    assert ((after.index_HW == VOID_ROW) == void_HW).all()
    assert new_HWC[~void_HW].any(-1).all()
    assert (new_HWC[~where_HW] == old_HWC[~where_HW]).all()
    plain_HW = where_HW & ~clash_HW & ~void_HW
    assert (new_HWC[plain_HW] == (old_HWC & set_C)[plain_HW]).all()
    assert (new_HWC[newer_HW] == set_C).all() and (new_HWC[clash_HW & ~newer_HW] == old_HWC[clash_HW & ~newer_HW]).all()
    assert after.conflicts - before.conflicts == clash_HW.sum()
    rows = [(s.tobytes(), a, b) for s, a, b in zip(after.sets_KC, after.source_K, after.trust_K, strict=True)]
    assert len(set(rows)) == len(rows)


@given(candidates_strategy(), st.integers(0, 4), st.integers(0, 5))
def test_a_crop_commutes_with_expansion(made, top, left):
    def crop(HW):
        return HW[..., top : top + 3, left : left + 4]

    cropped = made.mapped(crop)
    assert (cropped.allowed() == crop(made.allowed())).all() and (cropped.labels() == crop(made.labels())).all()
    assert (made.mapped(np.fliplr).allowed() == made.allowed()[:, :, ::-1]).all()


@given(candidates_strategy())
def test_labels_decided_and_shares_agree_with_the_expanded_map(made):
    sets_HWC = made.sets_KC[made.index_HW]
    size_HW = sets_HWC.sum(-1)
    assert (made.labels() == np.where(size_HW == 1, sets_HWC.argmax(-1), -1)).all()
    stated = size_HW > 0
    assert made.decided() == ((size_HW == 1)[stated].mean() if stated.any() else 1.0)
    told = stated & (size_HW < 4)
    expected_C = (sets_HWC[told] / size_HW[told][:, None]).sum(0) if told.any() else np.zeros(4)
    np.testing.assert_allclose(made.expected_shares(), expected_C)
    assert made.allowed()[:, ~stated].all()


def test_the_table_refuses_what_breaks_its_rules():
    good = Candidates.open(2, 2, 3)
    parts = dict(index_HW=good.index_HW, sets_KC=good.sets_KC, source_K=good.source_K, trust_K=good.trust_K)
    for name, value, says in [
        ("index_HW", good.index_HW.astype(np.int64), "int32"),
        ("index_HW", good.index_HW + 1, "0..1"),
        ("sets_KC", np.ones((2, 3), bool), "row 0"),
        ("sets_KC", np.zeros((2, 3), bool), "row 1"),
        ("trust_K", np.ones(3, np.float32), "one source and trust"),
    ]:
        with pytest.raises(ValueError, match=says):
            Candidates(**{**parts, name: value})
    with pytest.raises(ValueError, match="at least one class"):
        good.state(np.ones((2, 2), bool), np.zeros(3, bool), INK, 1.0)


def test_an_empty_region_states_nothing():
    made = Candidates.open(2, 2, 3)
    assert made.state(np.zeros((2, 2), bool), np.array([True, False, False]), INK, 1.0) is made
