"""Cuts against all cuts, and against SciPy's flow; alpha-expansion against all labelings."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labels2masks.errors import UsageError
from labels2masks.kernels import extension
from labels2masks.kernels.graph_cut import _by_scipy, alpha_expansion, cheapest_cut


def graph(seed, nodes, edges):
    draw = np.random.default_rng(seed)
    edges_E2 = draw.integers(0, nodes, (edges, 2))
    edges_E2 = edges_E2[edges_E2[:, 0] != edges_E2[:, 1]]
    costs = [draw.random(n) * (draw.random(n) < 0.7) for n in (nodes, nodes, len(edges_E2), len(edges_E2))]
    return edges_E2, costs


def cost_of(side_N, edges_E2, source_N, sink_N, forth_E, back_E):
    one, other = side_N[edges_E2[:, 0]], side_N[edges_E2[:, 1]]
    return source_N[side_N].sum() + sink_N[~side_N].sum() + forth_E[~one & other].sum() + back_E[one & ~other].sum()


@given(st.integers(0, 10_000), st.integers(1, 7), st.integers(0, 14))
def test_no_cut_is_cheaper(seed, nodes, edges):
    edges_E2, (source_N, sink_N, forth_E, back_E) = graph(seed, nodes, edges)
    cost, side_N = cheapest_cut(source_N, sink_N, edges_E2, forth_E, back_E)
    every = [np.array(s, bool) for s in product((False, True), repeat=nodes)]
    costs = [cost_of(s, edges_E2, source_N, sink_N, forth_E, back_E) for s in every]
    assert cost == pytest.approx(min(costs))
    assert cost_of(side_N, edges_E2, source_N, sink_N, forth_E, back_E) == pytest.approx(cost)


@pytest.mark.parametrize("seed", range(8))
def test_it_agrees_with_scipy(seed):
    assert extension() is not None, "this compares the compiled kernel"
    edges_E2, costs = graph(seed, 300, 1500)
    cost, side_N = cheapest_cut(costs[0], costs[1], edges_E2, costs[2], costs[3])
    expected, of_scipy_N = _by_scipy(costs, *edges_E2.astype(np.int32).T)
    assert cost == pytest.approx(expected, rel=1e-6)
    assert (side_N == of_scipy_N).mean() > 0.99  # equal but for ties that rounding makes


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(0, 8), st.integers(1, 3))
def test_alpha_expansion_is_within_a_factor_of_two(seed, nodes, edges, labels):
    draw = np.random.default_rng(seed)
    edges_E2, (_, _, weight_E, _) = graph(seed, nodes, edges)
    unary_NL = draw.random((nodes, labels))
    unary_NL[draw.random(unary_NL.shape) < 0.2] = np.inf
    unary_NL[:, 0] = np.where(np.isfinite(unary_NL).any(axis=1), unary_NL[:, 0], 0.5)

    def energy(label_N):
        apart_E = label_N[edges_E2[:, 0]] != label_N[edges_E2[:, 1]]
        return unary_NL[np.arange(nodes), label_N].sum() + weight_E[apart_E].sum()

    best = min(energy(np.array(x)) for x in product(range(labels), repeat=nodes))
    label_N, found = alpha_expansion(unary_NL, edges_E2, weight_E)
    assert found == pytest.approx(energy(label_N)) and np.isfinite(found)
    assert found <= 2 * best + 1e-9
    if labels <= 2:
        assert found == pytest.approx(best)


def test_costs_that_are_no_costs_are_refused():
    one = np.ones(1)
    with pytest.raises(UsageError, match="at least 0"):
        cheapest_cut(-one, one, np.empty((0, 2)), np.empty(0), np.empty(0))
    with pytest.raises(UsageError, match="finite cost"):
        alpha_expansion(np.full((1, 2), np.inf), np.empty((0, 2)), np.empty(0))
