"""Rates and decay, layer by layer and step by step, as the papers' solvers have them."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from training.tiny import Tiny, settings

from labels2masks import networks
from labels2masks.kernels.upsample import upsample
from labels2masks.labels import MASK, REGION, VOID, Candidates
from labels2masks.losses import collate
from labels2masks.recipes.fcn_to_dilation import fcn32s
from labels2masks.recipes.published import deeplab_v1_largefov
from labels2masks.training.batches import Step
from labels2masks.training.loop import Heads, step_loss
from labels2masks.training.optimiser import make_optimiser, rate_factor


def masked(truth_HW: np.ndarray, classes: int) -> Candidates:
    """Every pixel of one class: row 2 + c of the table."""
    sets_KC = np.concatenate([np.zeros((1, classes)), np.ones((1, classes)), np.eye(classes)]).astype(bool)
    sources = np.array([VOID, REGION] + [MASK] * classes, np.uint8)
    return Candidates((2 + truth_HW).astype(np.int32), sets_KC, sources, np.ones(len(sets_KC), np.float32))


def test_a_step_of_fcn_is_that_of_the_release():
    """1e-10 on the loss summed over the pixels of a photo of 500 x 375, twice that on biases, 5e-4 on weights alone."""
    torch.manual_seed(0)
    network, draw = Tiny(3).eval(), np.random.default_rng(0)
    truth_HW = draw.integers(0, 3, (375, 500)).astype(np.int32)
    images_1HW3 = torch.from_numpy(draw.integers(0, 256, (1, 375, 500, 3), np.uint8))
    batch = Step(images_1HW3.permute(0, 3, 1, 2), collate([masked(truth_HW, 3)]), ["photo"], [])

    by_hand = copy.deepcopy(network)
    scores = upsample(by_hand(batch.images_N3HW.float()), by_hand.grid, 375, 500)
    F.cross_entropy(scores, torch.from_numpy(truth_HW).long()[None], reduction="sum").backward()
    expected = {}
    for name, p in by_hand.named_parameters():
        rate = 2e-10 if name in ("encoder.bias", "scores.bias") else 1e-10
        expected[name] = rate * (p.grad + (5e-4 * p.detach() if p.ndim > 1 else 0))

    s = fcn32s()
    optimiser = make_optimiser(network, s)
    step_loss(Heads(network), batch, s, None, torch.device("cpu"))[0].backward()
    optimiser.step()
    of = {id(p): group["base"] for group in optimiser.param_groups for p in group["params"]}
    for name, p in network.named_parameters():
        # The first step's momentum is its gradient with decay; weights themselves would round so small a step.
        step = of[id(p)] * optimiser.state[p]["momentum_buffer"]
        assert torch.allclose(step, expected[name], rtol=1e-3, atol=1e-5 * float(expected[name].abs().max())), name
    assert optimiser.param_groups[0]["momentum"] == 0.99


def test_the_last_layer_of_deeplab_v1_learns_ten_and_twenty_times_as_fast():
    with torch.device("meta"):
        network = networks.build("deeplab_v1_largefov", 21)
    groups = make_optimiser(network, deeplab_v1_largefov()).param_groups
    found = {name: (g["base"], g["weight_decay"]) for g in groups for name, p in network.named_parameters()
             if any(p is q for q in g["params"])}  # fmt: skip
    last = ("classifier.weight", "classifier.bias")
    assert [found.pop(name) for name in last] == [(pytest.approx(0.01), 5e-4), (pytest.approx(0.02), 0)]
    assert len(found) == 30  # 13 convolutions, fc6 and fc7
    weights, biases = (pytest.approx(0.001), 5e-4), (pytest.approx(0.002), 0)
    assert all(v == (weights if name.endswith("weight") else biases) for name, v in found.items())


def test_the_shift_of_a_normalisation_is_no_bias():
    network = Tiny(3)
    groups = make_optimiser(network, settings(optimiser__bias=2.0)).param_groups
    rates = {name: g["base"] for g in groups for name, p in network.named_parameters()
             if any(p is q for q in g["params"])}  # fmt: skip
    assert {name for name, rate in rates.items() if rate == 2e-3} == {"encoder.bias", "scores.bias"}
    assert rates["norm.bias"] == rates["norm.weight"] == 1e-3


def test_the_rate_of_deeplab_v1_falls_to_a_tenth_every_2000_of_6000_steps():
    s = deeplab_v1_largefov()
    factors = [rate_factor(step, 6000, s) for step in (0, 1999, 2000, 3999, 4000, 5999)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
