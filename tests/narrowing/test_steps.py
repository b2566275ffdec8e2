"""Every step meets the contract on one drawn photo; each does there what its paper says."""

from dataclasses import fields
from functools import partial

import numpy as np
import pytest
from contracts import step_contract
from hypothesis import given
from hypothesis import strategies as st
from narrowing.scenes import BAR, THINGS, VOCABULARY, H, W, all_cues, boxed, clicked, photo, scribbled, tagged, truth

from labels2masks.errors import UsageError
from labels2masks.labels import Box, Boxes, Candidates, rasterise
from labels2masks.labels.candidates import Facts
from labels2masks.narrowing import STEPS, ArgMax, Cues, available, decide
from labels2masks.narrowing.boxsup import CHEAPEST, boxsup, costs
from labels2masks.narrowing.cam_seeds import cam_seeds
from labels2masks.narrowing.from_scores import from_saliency, from_scores
from labels2masks.narrowing.grabcut import grabcut, grabcut_plus
from labels2masks.narrowing.guide_labeller import guide_labeller, guide_labeller_g0, guide_labeller_g1, guided
from labels2masks.narrowing.objects import boxes_of, hull_of
from labels2masks.narrowing.random_walk import transitions, walk
from labels2masks.narrowing.scribblesup import neighbours, scribble_costs, scribblesup
from labels2masks.narrowing.simple_does_it import box_inner, box_round, inner_window, m_and_g
from labels2masks.narrowing.wssl import adapted, bbox_rect, bbox_seg, em_adapt

FEW = {"grabcut_plus": {"runs": 4}, "m_and_g": {"runs": 4}}
LABELS = {"boxed": boxed, "tagged": tagged, "scribbled": scribbled, "clicked": clicked}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", [n for n in STEPS if n not in ("dense_crf", "propagate_labels")])
def test_contract(name, labels):
    step_contract(partial(STEPS[name].run, **FEW.get(name, {})), photo(), LABELS[labels](), all_cues())


def test_they_are_listed():
    assert [row["name"] for row in available()] == list(STEPS) and all(row["labels"] for row in available())
    for step in STEPS.values():
        assert {*step.cues, *step.further} <= {f.name for f in fields(Cues)}


def test_a_missing_cue_is_named():
    with pytest.raises(UsageError, match="'boxsup' needs the cue proposals_SHW; given: background"):
        boxsup(photo(), boxed(), Cues(background=0))
    with pytest.raises(UsageError, match="no class is background"):
        bbox_rect(photo(), boxed(), Cues())
    with pytest.raises(UsageError, match="of the image's size"):
        STEPS["threshold"].run(photo(), tagged(), Cues(background=0, saliency_HW=np.zeros((3, 3), np.float32)))


def agreed(candidates, evidence):
    """Of what the step decides: (share of the photo decided, share of that right)."""
    label_HW = decide(candidates, evidence, ArgMax()).labels()
    return (label_HW >= 0).mean(), (label_HW == truth())[label_HW >= 0].mean()


# GrabCut


def test_grabcut_finds_what_the_boxes_hold():
    share, right = agreed(boxed(), grabcut(photo(), boxed(), all_cues()))
    assert share == 1 and right > 0.99


def test_grabcut_grows_scribbles():
    share, right = agreed(scribbled(), grabcut(photo(), scribbled(), Cues()))
    assert share > 0.9 and right > 0.95


def test_a_box_of_one_colour_counts_whole():
    flat_HW3 = np.full((H, W, 3), 128, np.uint8)
    label_HW = decide(boxed(), grabcut(flat_HW3, boxed(), all_cues()), ArgMax()).labels()
    filled_HW = decide(boxed(), bbox_rect(flat_HW3, boxed(), all_cues()), ArgMax()).labels()
    assert (label_HW == filled_HW).all()


def test_grabcut_believes_extreme_clicks():
    """A click on what looks like background keeps its place, and the object grows to it."""
    clicks = ((35, 34), (46, 27), (57, 34), (46, 41))
    box = Box("bar", Box.upright("bar", *BAR).corners, extremes=clicks)
    candidates = rasterise((Boxes((box,), THINGS),), VOCABULARY, H, W)
    torn_HW3 = photo()
    torn_HW3[32:37, 34:38] = photo()[2, 50]
    torn_HW3[torn_HW3[..., 0] > 150] = photo()[2, 50]  # the disc is not this box's business
    label_HW = decide(candidates, grabcut(torn_HW3, candidates, all_cues()), ArgMax()).labels()
    plain = rasterise((Boxes((Box.upright("bar", *BAR),), THINGS),), VOCABULARY, H, W)
    without_HW = decide(plain, grabcut(torn_HW3, plain, all_cues()), ArgMax()).labels()
    assert label_HW[34, 35] == 2 and without_HW[34, 35] == 0
    assert (label_HW == 2).sum() > 200 and label_HW[34, 46] == 2


def test_perturbed_cuts_are_unsure_of_borders_only():
    evidence = grabcut_plus(photo(), boxed(), all_cues(), runs=10)
    share, right = agreed(boxed(), evidence)
    assert 0.9 < share < 1 and right > 0.99


# Simple Does It


@given(st.integers(2, 400), st.integers(2, 400))
def test_the_inner_box_has_a_fifth_of_the_area_up_to_a_row(height, width):
    rows, columns = inner_window((slice(10, 10 + height), slice(5, 5 + width)), 0.2)
    inner_h, inner_w = rows.stop - rows.start, columns.stop - columns.start
    exact = 0.2**0.5
    assert abs(inner_h - exact * height) <= 0.5 or inner_h == 1
    assert abs(inner_w - exact * width) <= 0.5 or inner_w == 1
    assert abs((rows.start - 10) - (10 + height - rows.stop)) <= 1
    assert abs((columns.start - 5) - (5 + width - columns.stop)) <= 1
    if min(height, width) > 4:
        assert abs(inner_h * inner_w - 0.2 * height * width) <= max(inner_h, inner_w) + 0.25


def test_box_inner_says_nothing_of_the_rest_of_the_box():
    evidence = box_inner(photo(), boxed(), all_cues())
    assert 0.15 < evidence.confidence_HW[6:30, 8:32].mean() < 0.25
    label_HW = decide(boxed(), evidence, ArgMax()).labels()
    assert label_HW[0, 0] == 0 and label_HW[20, 18] == 1 and label_HW[9, 9] == -1


def test_a_round_puts_small_answers_back_to_the_box():
    cues = all_cues()
    nothing = Cues(background=0, scores_CHW=np.where(np.arange(3)[:, None, None] == 0, 0.0, -9.0) + np.zeros((1, H, W)))
    label_HW = decide(boxed(), box_round(photo(), boxed(), nothing), ArgMax()).labels()
    assert (label_HW == 1).sum() > 300  # all background said the network: the whole box came back
    share, right = agreed(boxed(), box_round(photo(), boxed(), cues))
    assert share == 1 and right > 0.97


def test_m_and_g_is_where_proposal_and_cuts_agree():
    evidence = m_and_g(photo(), boxed(), all_cues(), runs=6)
    label_HW = decide(boxed(), evidence, ArgMax()).labels()
    assert (label_HW[label_HW > 0] == truth()[label_HW > 0]).mean() > 0.99
    assert label_HW[8, 9] == -1  # in the box and not in both


# BoxSup


def test_boxsup_never_leaves_the_five_cheapest():
    cues, candidates = all_cues(), boxed()
    hulls = np.array([hull_of(p) for p in cues.proposals_SHW])
    for box in boxes_of(candidates):
        ranked = np.argsort(costs(cues.proposals_SHW, hulls, box, cues.scores_CHW, 0), kind="stable")
        best = {cues.proposals_SHW[s][box.window].tobytes() for s in ranked[:CHEAPEST]}
        seen = set()
        for seed in range(30):
            evidence = boxsup(photo(), candidates, cues, seed=seed)
            label_HW = np.where(evidence.log_scores_CHW[box.allowed_C.argmax()] > np.log(0.5), True, False)
            seen.add(label_HW[box.window].tobytes())
        assert len(seen) > 1 and seen <= best


def test_each_box_activates_one_proposal_and_the_rest_is_background():
    cues, candidates = all_cues(), boxed()
    label_HW = decide(candidates, boxsup(photo(), candidates, cues), ArgMax()).labels()
    assert (label_HW >= 0).all()
    for box in boxes_of(candidates):
        here = label_HW[box.window] == box.allowed_C.argmax()
        assert sum(np.array_equal(here, p[box.window]) for p in cues.proposals_SHW) == 1


def test_the_regression_term_is_three_times_the_mean_cross_entropy():
    """Up to what all proposals share: the loss of the photo that is background throughout."""
    cues, (box, *_) = all_cues(), boxes_of(boxed())
    hulls = np.array([hull_of(p) for p in cues.proposals_SHW])
    regression = costs(cues.proposals_SHW, hulls, box, cues.scores_CHW, 0) - costs(
        cues.proposals_SHW, hulls, box, None, 0
    )
    inside_HW = np.zeros((H, W), bool)
    inside_HW[box.window] = True
    empty = -cues.scores_CHW[0].mean(dtype=float)
    for s, proposal_HW in enumerate(cues.proposals_SHW):
        activated_HW = np.where(proposal_HW & inside_HW, box.allowed_C.argmax(), 0)
        loss = -np.take_along_axis(cues.scores_CHW, activated_HW[None], axis=0).mean(dtype=float)
        assert regression[s] == pytest.approx(3 * (loss - empty), abs=1e-6)


def test_boxsup_without_scores_takes_the_overlap_alone():
    cues, (box, *_) = all_cues(), boxes_of(boxed())
    hulls = np.array([hull_of(p) for p in cues.proposals_SHW])
    overlap = costs(cues.proposals_SHW, hulls, box, None, 0)
    y, x = box.window
    for s, p in enumerate(cues.proposals_SHW):
        top, left, bottom, right = hull_of(p)
        inter = max(0, min(bottom, y.stop) - max(top, y.start)) * max(0, min(right, x.stop) - max(left, x.start))
        union = (bottom - top) * (right - left) + box.area - inter
        assert overlap[s] == pytest.approx(1 - inter / union)


# WSSL


@given(st.integers(0, 1000), st.integers(1, 3))
def test_em_adapt_reaches_its_portions(seed, present):
    draw = np.random.default_rng(seed)
    scores = draw.normal(size=(5, 20, 25)).astype(np.float32)
    kept = list(range(1, 1 + present))
    portions = (0.4, 0.2) if present < 3 else (0.35, 0.2)
    raised = adapted(scores, kept, 0, portions, rounds=1, seed=seed)
    won = np.bincount(raised.argmax(axis=0).ravel(), minlength=5) / 500
    assert won[present + 1 :].sum() == 0
    last = int(np.random.default_rng(seed).permutation(kept)[-1])
    assert won[last] >= portions[1]  # the last one raised has what it wanted; it may have taken it from the others
    one = adapted(scores, [1], 0, (0.4, 0.2), rounds=8, seed=seed)
    won = np.bincount(one.argmax(axis=0).ravel(), minlength=5) / 500
    assert won[0] >= 0.4 and won[1] >= 0.2


@given(st.integers(0, 1000), st.sampled_from([0.1, 0.2, 0.25, 0.5]))
def test_em_adapt_reaches_its_portion_exactly(seed, portion):
    """To the pixel, where no two pixels lack the same."""
    lacking = 1 + np.random.default_rng(seed).permutation(500).reshape(20, 25).astype(np.float32)
    scores = np.stack([lacking, np.zeros_like(lacking)])
    raised = adapted(scores, [1], 0, (0.0, portion), rounds=1)
    assert (raised.argmax(axis=0) == 1).sum() == portion * 500
    assert (lacking[raised.argmax(axis=0) == 1] <= portion * 500).all()  # those that lacked least
    again = adapted(raised, [1], 0, (0.0, portion), rounds=3)
    assert np.array_equal(again, raised)  # what has its portion is left alone


def test_em_adapt_shares_a_photo_of_many_classes():
    scores = np.random.default_rng(0).normal(size=(9, 30, 30)).astype(np.float32)
    raised = adapted(scores, list(range(1, 9)), 0, (0.4, 0.2), rounds=40)
    won = np.bincount(raised.argmax(axis=0).ravel(), minlength=9) / 900
    assert won == pytest.approx([0.2] + [0.1] * 8, abs=0.03)


def test_the_middle_of_a_box_is_held_whatever_it_looks_like():
    ringed = photo()
    ringed[30:38, 41:51] = photo()[2, 50]  # in the middle of the bar the colour of background
    label_HW = decide(boxed(), bbox_seg(ringed, boxed(), all_cues()), ArgMax()).labels()
    rows, columns = inner_window((slice(BAR[1], BAR[3]), slice(BAR[0], BAR[2])), 0.2)
    assert (label_HW[rows, columns] == 2).all() and (label_HW >= 0).all()
    assert (label_HW == truth())[:24].mean() > 0.95  # the rest follows the colours


def test_em_adapt_gives_a_present_class_its_pixels():
    candidates, cues = tagged(), all_cues()
    shy = cues.scores_CHW + np.random.default_rng(0).normal(0, 0.1, cues.scores_CHW.shape).astype(np.float32)
    shy[2] -= 5  # the network never says bar
    quiet = Cues(background=0, scores_CHW=shy)
    assert (shy.argmax(axis=0) == 2).sum() == 0
    label_HW = decide(candidates, em_adapt(photo(), candidates, quiet), ArgMax()).labels()
    assert (label_HW == 2).mean() > 0.15  # the disc, raised after it, may take some back


# Guide Labeller, rule by rule on drawn components


def rule(salient, seeds, size=(100, 100)):
    salient_HW, seeds_HW = np.zeros(size, bool), np.full(size, -1, np.int32)
    for place in salient:
        salient_HW[place] = True
    for of_class, place in seeds:
        seeds_HW[place] = of_class
    return guided(np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8), salient_HW, seeds_HW, 0, 4)


def test_a_salient_component_takes_the_class_of_its_one_seed():
    label_HW = rule([np.s_[10:40, 10:40]], [(1, np.s_[20:25, 20:25])])
    assert (label_HW[10:40, 10:40] == 1).all() and (label_HW == -1).sum() == 10000 - 900


def test_without_seed_it_stays_open_and_of_two_classes_a_crf_decides():
    assert (rule([np.s_[10:40, 10:40]], []) == -1).all()
    label_HW = rule([np.s_[10:40, 10:60]], [(1, np.s_[20:28, 12:20]), (2, np.s_[20:28, 50:58])])
    inside = label_HW[10:40, 10:60]
    assert set(np.unique(inside)) == {1, 2} and (inside[:, :8] == 1).mean() > 0.9 and (inside[:, -8:] == 2).mean() > 0.9
    assert (label_HW[:10] == -1).all()


@pytest.mark.parametrize("pixels, kept", [(24, False), (25, True)])
def test_seeds_below_25_pixels_are_dropped(pixels, kept):
    label_HW = rule([np.s_[10:40, 10:40]], [(1, np.s_[20, 12 : 12 + pixels])])
    assert (label_HW[10:40, 10:40] == 1).all() if kept else (label_HW == -1).all()


@pytest.mark.parametrize("pixels, kept", [(99, False), (100, True)])
def test_salient_components_below_one_percent_are_dropped(pixels, kept):
    salient = [np.s_[50 : 50 + pixels // 11, 20:31]] if pixels == 99 else [np.s_[50:60, 20:30]]
    label_HW = rule(salient, [(1, np.s_[50:55, 20:25])])
    assert (label_HW == 1).sum() == (100 if kept else 25)  # dropped: the seed alone remains


def test_a_seed_that_meets_nothing_keeps_its_class_and_background_counts_outside_saliency():
    label_HW = rule([np.s_[10:40, 10:40]], [(2, np.s_[70:76, 70:76]), (0, np.s_[30:60, 5:35])])
    assert (label_HW[70:76, 70:76] == 2).all()
    assert (label_HW[45:60, 5:35] == 0).all() and (label_HW[30:40, 10:35] == -1).all()


def test_unseeded_saliency_is_ignored_unless_asked_for():
    cues = all_cues()
    blind = Cues(background=0, cam_CHW=np.zeros_like(cues.cam_CHW), saliency_HW=cues.saliency_HW)
    assert not guide_labeller(photo(), tagged(), blind).confidence_HW.any()
    exact = guide_labeller(photo(), tagged(), blind, unseeded_as_background=True)
    assert (decide(tagged(), exact, ArgMax()).labels() == 0).all()


def test_g0_draws_once_a_photo_and_g1_asks_the_seeds():
    things_HW, seen = truth() > 0, set()
    for seed in range(8):
        label_HW = decide(tagged(), guide_labeller_g0(photo(), tagged(), all_cues(), seed=seed), ArgMax()).labels()
        assert len(np.unique(label_HW[things_HW])) == 1 and (label_HW[~things_HW] == 0).all()
        seen |= set(label_HW[things_HW].tolist())
    assert seen == {1, 2}
    _, right = agreed(tagged(), guide_labeller_g1(photo(), tagged(), all_cues()))
    assert right == 1


def test_g2_on_the_drawn_photo_beats_g0():
    _, g2 = agreed(tagged(), guide_labeller(photo(), tagged(), all_cues()))
    chances = [agreed(tagged(), guide_labeller_g0(photo(), tagged(), all_cues(), seed=s))[1] for s in range(8)]
    assert g2 > np.mean(chances)


# Random walk


def test_the_walk_starts_from_the_published_background():
    cam_CHW = np.zeros((3, H, W), np.float32)
    cam_CHW[1] = 0.25
    evidence = STEPS["random_walk"].run(np.full((H, W, 3), 90, np.uint8), tagged(), Cues(0, cam_CHW=cam_CHW))
    p_CHW = np.exp(evidence.log_scores_CHW)
    assert p_CHW[1] == pytest.approx(np.full((H, W), 0.25)) and p_CHW[0] == pytest.approx(
        np.full((H, W), 0.75**16), rel=1e-4
    )


def test_rows_of_the_walk_sum_to_one_and_stop_at_edges():
    small = photo()[::2, ::2].transpose(2, 0, 1) / np.float32(255 * 0.05)
    t_KK = transitions(small)
    assert np.allclose(t_KK.sum(axis=1), 1) and t_KK.min() >= 0
    start = np.zeros((1, H // 2, W // 2))
    start[0, 10, 9] = 1  # in the disc
    walked = walk(start, t_KK)[0]
    of_disc = truth()[::2, ::2] == 1
    assert walked[of_disc].mean() > 100 * walked[~of_disc].mean()


# ScribbleSup


def test_costs_of_segments():
    candidates, segments_HW = scribbled(), all_cues().segments_HW
    cost_KL = scribble_costs(candidates, segments_HW)
    met = segments_HW[20, 18]
    assert cost_KL[met, 1] == 0 and np.isinf(cost_KL[met, [0, 2]]).all()
    assert np.allclose(cost_KL[segments_HW[12, 60]][[0, 1, 2]], np.log(3)) or cost_KL[segments_HW[12, 60], 0] == 0


def test_neighbours_are_each_pair_once():
    segments_HW = np.array([[0, 0, 1], [2, 2, 1]])
    assert neighbours(segments_HW).tolist() == [[0, 1], [0, 2], [1, 2]]


def test_scribblesup_spreads_the_scribbles():
    share, right = agreed(scribbled(), scribblesup(photo(), scribbled(), Cues(segments_HW=all_cues().segments_HW)))
    assert share == 1 and right > 0.9  # squares of four pixels can not follow the disc


def test_a_flat_saliency_makes_no_seeds_of_background():
    cues = all_cues()
    for saliency_HW, some in ((np.zeros((H, W), np.float32), False), (cues.saliency_HW, True)):
        given_ = Cues(0, cam_CHW=cues.cam_CHW, saliency_HW=saliency_HW)
        label_HW = decide(tagged(), cam_seeds(photo(), tagged(), given_), ArgMax()).labels()
        assert (label_HW == 0).any() == some and {1, 2} <= set(np.unique(label_HW))


def test_a_step_respects_void():
    candidates = Candidates.open(H, W, 3).mapped(lambda index_HW: np.where(np.arange(W) < 8, 0, index_HW))
    assert candidates.facts == Facts()
    evidence = scribblesup(photo(), candidates, all_cues())
    assert not evidence.confidence_HW[:, :8].any()


# What learnt maps say


def test_scores_and_saliency_are_two_witnesses():
    scores_CHW = np.log(np.full((3, H, W), 1 / 3, np.float32))
    saliency_HW = np.where(truth() > 0, 0.9, 0.2).astype(np.float32)
    cues = Cues(background=0, scores_CHW=scores_CHW, saliency_HW=saliency_HW)
    said = from_scores(photo(), tagged(), cues) + from_saliency(photo(), tagged(), cues)
    label_HW = decide(tagged(), said, ArgMax()).labels()
    assert ((label_HW == 0) == (truth() == 0)).all()
    odds_HW = from_saliency(photo(), tagged(), cues).log_scores_CHW
    assert np.allclose(odds_HW[1] - odds_HW[0], np.log(saliency_HW / (1 - saliency_HW)))
