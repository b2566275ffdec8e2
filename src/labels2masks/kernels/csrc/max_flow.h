// The cheapest cut of a graph between a source and a sink. See the .cpp for the method.
#pragma once
#include <cstddef>
#include <cstdint>

namespace l2m {

struct CutProblem {
    ptrdiff_t nodes, edges;
    const double* source_N;   // capacity from the source to each node
    const double* sink_N;     // capacity from each node to the sink
    const int32_t* first_E;   // the ends of each edge
    const int32_t* second_E;
    const double* forth_E;    // capacity from first to second
    const double* back_E;     // capacity from second to first
};

// Fills side_N with 1 for nodes that the sink keeps, 0 for those of the source; returns the cost of the cut.
// Where several cuts cost the same, the source's side is the smallest.
double cheapest_cut(const CutProblem& problem, uint8_t* side_N);

}  // namespace l2m
