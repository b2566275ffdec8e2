// The sum over pairs of points of exp(-|f_q - f_p|^2 / 2) value_p, without those whose leaves lie further apart than
// `cut`. Compiled and called by exact_crf.py. GCC or clang.
//
// Points come in leaves of LEAF that are near to each other, in `leaves` leaves; features (D, points), values and sums
// (points, CHANNELS). Within a leaf sums are float32, over leaves float64.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int D = 5, CHANNELS = 8, LANES = 8, LEAF = 32;
typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef double Doubles __attribute__((vector_size(8 * LANES)));

// e^x for x <= 0, to 2e-7 of itself: 2^whole by its bits, times the series of 2^rest for a rest of at most 1/2.
inline Floats exponential(Floats x) {
    x *= 1.44269504f;
    x = x < -120.0f ? Floats{} - 120.0f : x;
    const Floats shifted = x + 12582912.0f;  // 1.5 * 2^23: what lies behind the point is rounded away
    const Floats rest = (x - (shifted - 12582912.0f)) * 0.693147181f;
    const Ints whole = (Ints)shifted << 23;
    Floats series = rest * (1 / 5040.0f) + 1 / 720.0f;
    series = series * rest + 1 / 120.0f;
    series = series * rest + 1 / 24.0f;
    series = series * rest + 1 / 6.0f;
    series = series * rest + 0.5f;
    series = series * rest + 1.0f;
    series = series * rest + 1.0f;
    return (Floats)((Ints)series + whole);
}

struct Box {
    float low[D], high[D];
};

float apart2(const Box& a, const Box& b) {
    float sum = 0;
    for (int d = 0; d < D; ++d) {
        const float gap = std::max(0.0f, std::max(a.low[d] - b.high[d], b.low[d] - a.high[d]));
        sum += gap * gap;
    }
    return sum;
}

}  // namespace

// Returns how many pairs of points were summed.
extern "C" int64_t filter_pairs(const float* features, const float* values, double* sums, int64_t leaves, float cut) {
    const int64_t points = leaves * LEAF;
    std::vector<Box> boxes(leaves);
    for (int64_t i = 0; i < leaves; ++i)
        for (int d = 0; d < D; ++d) {
            const auto [low, high] = std::minmax_element(features + d * points + i * LEAF,
                                                         features + d * points + (i + 1) * LEAF);
            boxes[i].low[d] = *low, boxes[i].high[d] = *high;
        }
    std::vector<int64_t> near;
    int64_t pairs = 0;
    for (int64_t i = 0; i < leaves; ++i) {
        near.clear();
        for (int64_t j = 0; j < leaves; ++j)
            if (apart2(boxes[i], boxes[j]) <= cut * cut) near.push_back(j);
        pairs += static_cast<int64_t>(near.size()) * LEAF * LEAF;
        for (int64_t q = i * LEAF; q < (i + 1) * LEAF; q += LANES) {
            Floats query[D];
            for (int d = 0; d < D; ++d) std::memcpy(&query[d], features + d * points + q, sizeof(Floats));
            Doubles total[CHANNELS] = {};
            for (const int64_t j : near) {
                Floats part[CHANNELS] = {};
                for (int64_t p = j * LEAF; p < (j + 1) * LEAF; ++p) {
                    Floats distance2 = {};
                    for (int d = 0; d < D; ++d) {
                        const Floats gap = query[d] - features[d * points + p];
                        distance2 += gap * gap;
                    }
                    const Floats weight = exponential(distance2 * -0.5f);
                    for (int c = 0; c < CHANNELS; ++c) part[c] += weight * values[p * CHANNELS + c];
                }
                for (int c = 0; c < CHANNELS; ++c) total[c] += __builtin_convertvector(part[c], Doubles);
            }
            for (int lane = 0; lane < LANES; ++lane)
                for (int c = 0; c < CHANNELS; ++c) sums[(q + lane) * CHANNELS + c] = total[c][lane];
        }
    }
    return pairs;
}
