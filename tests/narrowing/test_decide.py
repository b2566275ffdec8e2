"""Whatever the evidence: decisions only remove, never empty a set, never touch void."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels2masks.labels import REGION, VOID_ROW, Candidates
from labels2masks.narrowing import ArgMax, Evidence, Portion, Threshold, decide

C, H, W = 4, 6, 7


@st.composite
def cases(draw):
    """Random candidates, and evidence that may be -inf on candidates, finite beyond them, or silent."""
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    made = Candidates.open(H, W, C)
    for _ in range(draw(st.integers(0, 4))):
        set_C = rng.random(C) < 0.5
        set_C[rng.integers(C)] = True
        made = made.state(rng.random((H, W)) < 0.5, set_C, REGION, 0.9)
    made = made.mapped(lambda index_HW: np.where(rng.random((H, W)) < 0.2, VOID_ROW, index_HW))
    return made, evidence_of(rng)


def evidence_of(rng):
    scores_CHW = (rng.normal(0, 1, (C, H, W)) * rng.choice([1, 1e4])).astype(np.float32)
    scores_CHW[rng.random((C, H, W)) < 0.2] = -np.inf
    confidence_HW = rng.random((H, W)).astype(np.float32) * (rng.random((H, W)) < 0.8)
    return Evidence(scores_CHW, confidence_HW.astype(np.float32))


rules = st.sampled_from([ArgMax(), Threshold(0.0), Threshold(0.5), Portion(0.3), Portion(1.0)])


@given(cases(), rules)
def test_only_removes_never_empties_never_touches_void(case, rule):
    before, evidence = case
    after = decide(before, evidence, rule)
    old_HWC, new_HWC = before.sets_KC[before.index_HW], after.sets_KC[after.index_HW]
    void_HW = before.index_HW == VOID_ROW
    assert (new_HWC <= old_HWC).all()
    assert new_HWC[~void_HW].any(-1).all() and ((after.index_HW == VOID_ROW) == void_HW).all()
    silent_HW = evidence.confidence_HW == 0
    assert (new_HWC[silent_HW] == old_HWC[silent_HW]).all()
    assert (after.source_K[after.index_HW] == before.source_K[before.index_HW]).all()
    assert (after.trust_K[after.index_HW] == before.trust_K[before.index_HW]).all()
    assert after.facts == before.facts


@given(cases())
def test_arg_max_is_the_best_candidate(case):
    before, evidence = case
    after = decide(before, evidence, ArgMax())
    for y, x in np.ndindex(H, W):
        candidates = np.flatnonzero(before.sets_KC[before.index_HW[y, x]])
        scores = evidence.log_scores_CHW[candidates, y, x]
        told = evidence.confidence_HW[y, x] > 0 and len(candidates) and np.isfinite(scores).any()
        expected = {candidates[scores.argmax()]} if told else set(candidates)
        assert set(np.flatnonzero(after.sets_KC[after.index_HW[y, x]])) == expected


@given(st.integers(0, 100_000))
def test_evidence_adds_like_numbers(seed):
    rng = np.random.default_rng(seed)
    a, b, c = (evidence_of(rng) for _ in range(3))
    nothing = Evidence.none(Candidates.open(H, W, C))
    for one, other in [(a + b, b + a), ((a + b) + c, a + (b + c)), (nothing + a, a + nothing)]:
        np.testing.assert_allclose(one.log_scores_CHW, other.log_scores_CHW, rtol=1e-4, atol=1e-2)
        assert (one.confidence_HW == other.confidence_HW).all()
    heard_HW = a.confidence_HW > 0
    assert (np.where(heard_HW, (a + nothing).log_scores_CHW, 0) == np.where(heard_HW, a.log_scores_CHW, 0)).all()


def evidence(rows, confidence=1.0):
    """Two classes, one row of pixels: the probability of class 1."""
    p_W = np.array(rows, np.float32)
    return Evidence(np.log(np.stack([1 - p_W, p_W]))[:, None], np.full((1, len(rows)), confidence, np.float32))


def test_threshold_and_portion_by_hand():
    open_ = Candidates.open(1, 5, 2)
    p = evidence([0.9, 0.7, 0.6, 0.2, 0.05])
    assert decide(open_, p, ArgMax()).labels().tolist() == [[1, 1, 1, 0, 0]]
    assert decide(open_, p, Threshold(0.75)).labels().tolist() == [[1, -1, -1, 0, 0]]
    assert decide(open_, p, Portion(0.5)).labels().tolist() == [[1, 1, -1, -1, 0]]
    # Half the confidence halves the certainty.
    assert decide(open_, evidence([0.9, 0.7, 0.6, 0.2, 0.05], 0.5), Threshold(0.75)).decided() == 0


def test_two_weak_witnesses_are_a_strong_one():
    p = evidence([0.8, 0.8])
    assert decide(Candidates.open(1, 2, 2), p, Threshold(0.9)).decided() == 0
    assert decide(Candidates.open(1, 2, 2), p + p, Threshold(0.9)).labels().tolist() == [[1, 1]]


def test_wrong_evidence_is_refused():
    good = np.zeros((2, 1, 3), np.float32)
    sure = np.ones((1, 3), np.float32)
    for scores, confidence, says in [
        (good.astype(np.float64), sure, "float32"),
        (good, np.ones((3, 1), np.float32), "does not fit"),
        (good + np.nan, sure, "NaN"),
        (good + np.inf, sure, r"\+inf"),
        (good, sure * 2, "0..1"),
    ]:
        with pytest.raises(ValueError, match=says):
            Evidence(scores, confidence)
    with pytest.raises(ValueError, match="3 classes"):
        decide(Candidates.open(1, 3, 3), Evidence(good, sure), ArgMax())
