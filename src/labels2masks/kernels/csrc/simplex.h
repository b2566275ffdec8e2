// In which simplex of the permutohedral lattice does a point lie, and where in it?
#pragma once
#include <cstddef>
#include <cstdint>

namespace l2m {

constexpr int MOST_DIMS = 8;

// Points are handed over in planes: coordinate k of point p is features[k * plane + p], in units of
// the Gaussian's standard deviation; `plane` is a multiple of 8 and what lies behind the points is readable.
// weight_Pv: dims + 1 barycentric weights a point. key_Pk: dims + 1 numbers a point that name the simplex:
// the first dims coordinates of its vertex of remainder 0, and the ranks of those coordinates as digits to the base
// dims + 1, lowest first. Vertex v has coordinate key[k] + (rank_k <= dims - v ? v : v - (dims + 1)).
using Embed = void (*)(const float* features, ptrdiff_t plane, int points, float* weight_Pv, int32_t* key_Pk);

Embed embed_for(int dims);

}  // namespace l2m
