"""Graph cuts: the cheapest division of a graph in two, and labels by alpha-expansion (Boykov, Veksler and Zabih 2001).

Legend: N = nodes; E = edges; L = labels.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from ..errors import UsageError
from . import extension


def cheapest_cut(
    source_N: np.ndarray, sink_N: np.ndarray, edges_E2: np.ndarray, forth_E: np.ndarray, back_E: np.ndarray
) -> tuple[float, np.ndarray]:
    """(cost, side_N bool): True for the nodes on the sink's side of the cheapest cut.

    source_N, sink_N: float64 >= 0, what it costs to cut a node off the source (so that the sink keeps it), and off the
        sink. edges_E2: the ends of each edge, one way or several times each. forth_E, back_E: float64 >= 0, what it
        costs that the source keeps the first end and the sink the second, and the other way round.
    Among cuts of equal cost the source keeps as little as it can. Without compiled kernels SciPy's integer flow serves,
    with costs rounded to 2^-30 of their sum. Raises UsageError for negative or infinite costs.
    """
    costs = [np.ascontiguousarray(c, np.float64) for c in (source_N, sink_N, forth_E, back_E)]
    if any(c.size and not (c.min() >= 0 and c.max() < np.inf) for c in costs):
        raise UsageError("the costs of a cut must be finite and at least 0")
    first_E, second_E = (np.ascontiguousarray(end, np.int32) for end in np.reshape(edges_E2, (-1, 2)).T)
    kernels = extension()
    if kernels is None:
        return _by_scipy(costs, first_E, second_E)
    side_N = np.zeros(len(costs[0]), np.uint8)
    cost = kernels.cheapest_cut(costs[0], costs[1], first_E, second_E, costs[2], costs[3], side_N)
    return cost, side_N.astype(bool)


def _by_scipy(costs: list[np.ndarray], first_E: np.ndarray, second_E: np.ndarray) -> tuple[float, np.ndarray]:
    """The same by integer flow."""
    nodes = len(costs[0])
    source, sink, every = nodes, nodes + 1, np.arange(nodes)
    scale = 2**30 / max(sum(c.sum() for c in costs), 1e-300)
    ends = [(np.full(nodes, source), every), (every, np.full(nodes, sink)), (first_E, second_E), (second_E, first_E)]
    rows, columns = (np.concatenate([e[i] for e in ends]) for i in (0, 1))
    capacities = np.rint(np.concatenate(costs) * scale).astype(np.int32)
    graph = sparse.csr_array((capacities, (rows, columns)), shape=(nodes + 2,) * 2)
    flow = maximum_flow(graph, source, sink)
    left = sparse.csr_array(graph - flow.flow)
    left.data[left.data <= 0] = 0
    left.eliminate_zeros()
    reached = breadth_first_order(left, source, return_predecessors=False)
    side_N = np.ones(nodes + 2, bool)
    side_N[reached] = False
    return float(flow.flow_value / scale), side_N[:nodes]


def alpha_expansion(
    unary_NL: np.ndarray, edges_E2: np.ndarray, weight_E: np.ndarray, rounds: int = 10
) -> tuple[np.ndarray, float]:
    """(label_N int32, energy): sum of unary costs and, for each edge whose ends differ, its weight; within a factor two
    of the least possible (exact for two labels).

    unary_NL: float64; +inf forbids a label, and every node needs one that it may have. weight_E: float64 >= 0.
    rounds: over all labels, at most; it ends earlier where nothing gets better. Raises UsageError as above.
    """
    unary_NL = np.asarray(unary_NL, np.float64)
    edges_E2, weight_E = np.reshape(edges_E2, (-1, 2)).astype(np.int64), np.asarray(weight_E, np.float64)
    if not np.isfinite(unary_NL).any(axis=1).all() or np.isnan(unary_NL).any():
        raise UsageError("every node needs at least one label of finite cost, and none may be NaN")
    finite = np.isfinite(unary_NL)
    # Dearer than any finite choice, so that no cheapest cut pays it where it need not.
    forbidden = np.abs(unary_NL[finite]).sum() + weight_E.sum() + 1
    cost_NL = np.where(finite, unary_NL, forbidden)
    label_N = cost_NL.argmin(axis=1)
    energy = _energy(cost_NL, edges_E2, weight_E, label_N)
    for _ in range(rounds):
        before = energy
        for label in range(cost_NL.shape[1]):
            proposed_N = _expanded(cost_NL, edges_E2, weight_E, label_N, label)
            lower = _energy(cost_NL, edges_E2, weight_E, proposed_N)
            if lower < energy:
                label_N, energy = proposed_N, lower
        if energy >= before:
            break
    return label_N.astype(np.int32), energy


def _energy(cost_NL: np.ndarray, edges_E2: np.ndarray, weight_E: np.ndarray, label_N: np.ndarray) -> float:
    apart_E = label_N[edges_E2[:, 0]] != label_N[edges_E2[:, 1]]
    return float(np.take_along_axis(cost_NL, label_N[:, None], axis=1).sum() + weight_E[apart_E].sum())


def _expanded(
    cost_NL: np.ndarray, edges_E2: np.ndarray, weight_E: np.ndarray, label_N: np.ndarray, label: int
) -> np.ndarray:
    """Each node keeps its label (the source's side) or takes `label` (the sink's), at the least cost together.

    An edge costs A where both keep, B where only the second takes, C where only the first does, 0 where both do; that
    is A + (C - A) x1 - C x2 + (B + C - A) (1 - x1) x2, and B + C >= A since Potts is a metric.
    """
    one, other = edges_E2.T
    keep_E = weight_E * (label_N[one] != label_N[other])
    second_E, first_E = weight_E * (label_N[one] != label), weight_E * (label_N[other] != label)
    take_N = cost_NL[:, label].copy()
    stay_N = np.take_along_axis(cost_NL, label_N[:, None], axis=1)[:, 0]
    np.add.at(take_N, one, first_E - keep_E)
    np.add.at(take_N, other, -first_E)
    least_N = np.minimum(take_N, stay_N)
    _, takes_N = cheapest_cut(
        take_N - least_N, stay_N - least_N, edges_E2, second_E + first_E - keep_E, np.zeros(len(edges_E2))
    )
    return np.where(takes_N, label, label_N)
