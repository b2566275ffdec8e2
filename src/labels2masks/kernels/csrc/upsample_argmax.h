// Linear upsampling of class scores and the arg-max over classes, fused. See the .cpp for the method.
#pragma once
#include <cstddef>
#include <cstdint>

namespace l2m {

// Linear interpolation along one axis, as grid.interpolation gives it: pixel p takes
// (1 - weight[p]) * cell[low[p]] + weight[p] * cell[min(low[p] + 1, cells - 1)]; low never falls.
struct Axis {
    const int64_t* low;
    const float* weight;
    int cells;
    int pixels;
};

struct UpsampleArgmax {
    const float* scores;                      // classes x cells_y x cells_x, strides in elements;
    ptrdiff_t stride_c, stride_y, stride_x;   // one of stride_c and stride_x is 1
    int classes;
    Axis y, x;
    int32_t* mask_HW;         // out, may be null: index of the winner
    float* confidence_HW;     // out, may be null: softmax probability of the winner
    const int32_t* truth_HW;  // may be null: true class, negative = void
    int64_t* confusion_CC;    // out with truth_HW: += pixels of true class (row) given a class (column)
};

enum class Status { fine, bad_score, bad_truth, no_memory };

Status upsample_argmax(const UpsampleArgmax& job, int threads);
const char* variant();

}  // namespace l2m
