// Maximum flow by blocking flows in layered graphs (Dinic 1970): layers by breadth-first search from the source, then
// paths along them, depth first, each node going on where its last path left off, until none is left. What the source
// still reaches at the end is its side of the cheapest cut. Exact for real capacities: each round makes the shortest
// path longer, so there are at most as many rounds as nodes.
#include "max_flow.h"

#include <algorithm>
#include <vector>

namespace l2m {
namespace {

class Flow {
public:
    explicit Flow(const CutProblem& problem) : nodes_(problem.nodes + 2), source_(problem.nodes), sink_(problem.nodes + 1) {
        start_.assign(nodes_ + 1, 0);
        count(problem);
        for (size_t node = 0; node < nodes_; ++node) start_[node + 1] += start_[node];
        to_.resize(start_[nodes_]);
        mate_.resize(to_.size());
        left_.resize(to_.size());
        next_.assign(start_.begin(), start_.end() - 1);
        for (ptrdiff_t node = 0; node < problem.nodes; ++node) {
            // What flows straight through a node from source to sink needs no search.
            const double through = std::min(problem.source_N[node], problem.sink_N[node]);
            total_ += through;
            join(source_, size_t(node), problem.source_N[node] - through, 0);
            join(size_t(node), sink_, problem.sink_N[node] - through, 0);
        }
        for (ptrdiff_t edge = 0; edge < problem.edges; ++edge)
            join(size_t(problem.first_E[edge]), size_t(problem.second_E[edge]), problem.forth_E[edge],
                 problem.back_E[edge]);
    }

    double run() {
        while (layer()) {
            next_.assign(start_.begin(), start_.end() - 1);
            while (const double pushed = push()) total_ += pushed;
        }
        return total_;
    }

    bool of_source(ptrdiff_t node) const { return depth_[size_t(node)] >= 0; }

private:
    void count(const CutProblem& problem) {
        for (ptrdiff_t node = 0; node < problem.nodes; ++node) start_[size_t(node) + 1] += 2;
        start_[source_ + 1] += size_t(problem.nodes);
        start_[sink_ + 1] += size_t(problem.nodes);
        for (ptrdiff_t edge = 0; edge < problem.edges; ++edge) {
            ++start_[size_t(problem.first_E[edge]) + 1];
            ++start_[size_t(problem.second_E[edge]) + 1];
        }
    }

    void join(size_t one, size_t other, double forth, double back) {
        const size_t a = next_[one]++, b = next_[other]++;
        to_[a] = other, to_[b] = one;
        mate_[a] = b, mate_[b] = a;
        left_[a] = forth, left_[b] = back;
    }

    bool layer() {
        depth_.assign(nodes_, -1);
        depth_[source_] = 0;
        queue_.assign(1, source_);
        for (size_t head = 0; head < queue_.size(); ++head) {
            const size_t node = queue_[head];
            for (size_t arc = start_[node]; arc < start_[node + 1]; ++arc) {
                if (left_[arc] > 0 && depth_[to_[arc]] < 0) {
                    depth_[to_[arc]] = depth_[node] + 1;
                    queue_.push_back(to_[arc]);
                }
            }
        }
        return depth_[sink_] >= 0;
    }

    // One path to the sink along the layers, as much as its narrowest arc takes; 0 where there is none left.
    double push() {
        path_.clear();
        size_t node = source_;
        while (node != sink_) {
            size_t& arc = next_[node];
            while (arc < start_[node + 1] && !(left_[arc] > 0 && depth_[to_[arc]] == depth_[node] + 1)) ++arc;
            if (arc < start_[node + 1]) {
                path_.push_back(arc);
                node = to_[arc];
            } else if (path_.empty()) {
                return 0;
            } else {
                node = to_[mate_[path_.back()]];
                path_.pop_back();
                ++next_[node];
            }
        }
        double least = left_[path_.front()];
        for (const size_t arc : path_) least = std::min(least, left_[arc]);
        for (const size_t arc : path_) left_[arc] -= least, left_[mate_[arc]] += least;
        return least;
    }

    size_t nodes_, source_, sink_;
    double total_ = 0;
    std::vector<size_t> start_, to_, mate_, next_, queue_, path_;
    std::vector<double> left_;
    std::vector<ptrdiff_t> depth_;
};

}  // namespace

double cheapest_cut(const CutProblem& problem, uint8_t* side_N) {
    Flow flow(problem);
    const double cost = flow.run();
    for (ptrdiff_t node = 0; node < problem.nodes; ++node) side_N[node] = flow.of_source(node) ? 0 : 1;
    return cost;
}

}  // namespace l2m
