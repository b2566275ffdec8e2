// Mean field of a fully connected CRF over a photo, fused. See the .cpp for the method.
#pragma once
#include <cstdint>
#include <vector>

namespace l2m {

// One Gaussian kernel: position over sigma_xy and, unless sigma_rgb is 0, colour over sigma_rgb.
struct Gaussian {
    float weight, sigma_xy, sigma_rgb;
};

struct MeanField {
    const uint8_t* image_HW3;
    int height, width;
    int y0, x0;  // of its first pixel: a window's lattice is the whole photo's
    const float* probability_LHW;  // not negative, not above 1; need not sum to 1
    std::vector<int32_t> labels;   // the planes that take part; the others are neither read nor written
    float least;                   // probabilities below count as this
    std::vector<Gaussian> kernels;
    int iterations;
    int source_stride;      // messages come from every such row and column; every pixel receives
    float tolerance;        // a pixel that has moved by no more than this sends nothing; 0 = all send
    float* marginal_LHW;    // out, may be null
    int32_t* mask_HW;       // out, may be null: the likeliest label
};

constexpr int MOST_LABELS = 1024;

enum class MeanFieldStatus { fine, bad_probability, no_mass, too_large };

MeanFieldStatus mean_field(const MeanField& job);

}  // namespace l2m
