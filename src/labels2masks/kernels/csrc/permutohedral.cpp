// The permutohedral lattice (Adams, Baek, Davis 2010): high-dimensional Gaussian filtering in three steps.
//   splat  every point adds its value to the d + 1 vertices of its simplex, by barycentric weight;
//   blur   along each of the d + 1 axes every vertex takes half of its two neighbours (1/2, 1, 1/2);
//   slice  every point reads its value back from the same vertices with the same weights.
//
// Built in the order of memory: points come in (for photos, tile by tile), a hash table finds the
// simplex of each, and only a simplex not seen before looks for its vertices. So the rows of
// vertices that are near each other in the photo are near each other in memory. A photo of
// 500x375 has about 20,000 vertices and 40,000 to 100,000 simplices.
//
// Vertices that no point touches do not exist and read as zero, as in Kraehenbuehl and Koltun (2011); the
// filter is therefore not quite symmetric, and its transpose blurs the axes backwards.
#include "permutohedral.h"

#include "lanes.h"
#include "processor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace l2m {
namespace {

#define L2M_BODY "rows_body.h"
#define L2M_AVX2 "avx2,fma"
#include "per_processor.h"

using BlurAxis = void (*)(const int32_t*, int32_t, const float*, float*, int, float);

BlurAxis blur_axis_for(int vectors) {
    const int which = vectors <= 4 ? vectors : 0;
#ifdef L2M_HAS_AVX2
    if (use_avx2()) {
        static const BlurAxis all[] = {avx2::blur_axis<0>, avx2::blur_axis<1>, avx2::blur_axis<2>, avx2::blur_axis<3>,
                                       avx2::blur_axis<4>};
        return all[which];
    }
#endif
    static const BlurAxis all[] = {baseline::blur_axis<0>, baseline::blur_axis<1>, baseline::blur_axis<2>,
                                   baseline::blur_axis<3>, baseline::blur_axis<4>};
    return all[which];
}

}  // namespace

template <int K>
KeySet<K>::KeySet(ptrdiff_t expected) {
    while (ptrdiff_t{1} << bits_ < 2 * expected) ++bits_;
    slot_.assign(size_t{1} << bits_, -1);
}

template <int K>
uint64_t KeySet<K>::hash(const int32_t* key) {
    // Neighbours differ by small numbers in few coordinates: an odd 64-bit factor for each, and the upper bits of
    // the sum, keep them apart. The products do not wait for each other.
    static constexpr uint64_t factor[] = {0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
                                          0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB,
                                          0x8EBC6AF09C88C6E3, 0x589965CC75374CC3, 0x1D8E4E27C47D124F};
    uint64_t hash = 0;
    for (int i = 0; i < K; ++i) hash += static_cast<uint32_t>(key[i]) * factor[i];
    hash ^= hash >> 32;
    return hash * 0x9E3779B97F4A7C15;
}

template <int K>
int32_t KeySet<K>::find(const int32_t* key) const {
    const size_t last = slot_.size() - 1;
    for (size_t s = place(hash(key));; s = (s + 1) & last) {
        const int32_t i = slot_[s];
        if (i < 0 || !std::memcmp(this->key(i), key, K * sizeof(int32_t))) return i;
    }
}

template <int K>
int32_t KeySet<K>::find_or_add(const int32_t* key, uint64_t hash) {
    const size_t last = slot_.size() - 1;
    for (size_t s = place(hash);; s = (s + 1) & last) {
        const int32_t i = slot_[s];
        if (i >= 0) {
            if (!std::memcmp(this->key(i), key, K * sizeof(int32_t))) return i;
            continue;
        }
        slot_[s] = count_;
        keys_.insert(keys_.end(), key, key + K);
        if (2 * static_cast<size_t>(++count_) > slot_.size()) grow();
        return count_ - 1;
    }
}

template <int K>
void KeySet<K>::grow() {
    ++bits_;
    slot_.assign(size_t{1} << bits_, -1);
    const size_t last = slot_.size() - 1;
    for (int32_t i = 0; i < count_; ++i) {
        size_t s = place(hash(key(i)));
        while (slot_[s] >= 0) s = (s + 1) & last;
        slot_[s] = i;
    }
}

namespace {

template <int D>
class Builder final : public LatticeBuilder {
public:
    // A photo's points share simplices and vertices: a quarter as many is a good guess, and the sets grow.
    explicit Builder(ptrdiff_t expected_points)
        : embed_(embed_for(D)), simplices_(expected_points / 4), vertices_(expected_points / 8) {
        lattice_.dims = D;
        lattice_.simplex_P.reserve(expected_points);
        lattice_.weight_Pv.reserve(expected_points * (D + 1));
    }

    void add(const float* features, ptrdiff_t plane, int points) override {
        keys_.resize(static_cast<size_t>(points) * (D + 1));
        const size_t before = lattice_.weight_Pv.size();
        lattice_.weight_Pv.resize(before + keys_.size());
        embed_(features, plane, points, &lattice_.weight_Pv[before], keys_.data());
        hashes_.resize(points);
        for (int p = 0; p < points; ++p) hashes_[p] = simplices_.hash(&keys_[static_cast<size_t>(p) * (D + 1)]);
        for (int p = 0; p < points; ++p) {
            const int32_t* key = &keys_[static_cast<size_t>(p) * (D + 1)];
            if (p + AHEAD < points) simplices_.fetch(hashes_[p + AHEAD]);
            // Points come as they lie in the photo: many share the simplex of the one before.
            if (last_ < 0 || std::memcmp(simplices_.key(last_), key, (D + 1) * sizeof(int32_t))) {
                last_ = simplices_.find_or_add(key, hashes_[p]);
                if (static_cast<size_t>(last_) * (D + 1) == lattice_.row_Sv.size()) add_vertices(key);
            }
            lattice_.simplex_P.push_back(last_);
        }
    }

    Lattice finish() override {
        const int32_t vertices = lattice_.vertices = vertices_.size();
        lattice_.neighbour_AR2.assign(2 * (static_cast<size_t>(vertices) + 1) * (D + 1), 0);
        for (int axis = 0; axis <= D; ++axis) {
            int32_t* neighbour_R2 = &lattice_.neighbour_AR2[2 * (static_cast<size_t>(vertices) + 1) * axis];
            int32_t there[D];
            const auto look = [&](int32_t i) {
                for (int k = 0; k < D; ++k) there[k] = vertices_.key(i)[k] + (k == axis ? -D : 1);
            };
            for (int32_t i = 0; i < vertices; ++i) {
                if (i + AHEAD < vertices) {
                    look(i + AHEAD);
                    vertices_.fetch(vertices_.hash(there));
                }
                look(i);
                const int32_t j = vertices_.find(there);
                if (j < 0) continue;
                neighbour_R2[2 * (i + 1)] = j + 1;
                neighbour_R2[2 * (j + 1) + 1] = i + 1;
            }
        }
        return std::move(lattice_);
    }

private:
    void add_vertices(const int32_t* key) {
        int rank[D];
        for (int k = 0, code = key[D]; k < D; ++k, code /= D + 1) rank[k] = code % (D + 1);
        int32_t vertex[D + 1][D];
        uint64_t hash[D + 1];
        for (int v = 0; v <= D; ++v) {
            for (int k = 0; k < D; ++k) vertex[v][k] = key[k] + (rank[k] <= D - v ? v : v - (D + 1));
            hash[v] = vertices_.hash(vertex[v]);
            vertices_.fetch(hash[v]);
        }
        for (int v = 0; v <= D; ++v) lattice_.row_Sv.push_back(vertices_.find_or_add(vertex[v], hash[v]) + 1);
    }

    const Embed embed_;
    Lattice lattice_;
    KeySet<D + 1> simplices_;
    KeySet<D> vertices_;
    static constexpr int AHEAD = 8;  // keys whose place in the table is fetched while others are looked up
    Kept<int32_t> keys_;
    Kept<uint64_t> hashes_;
    int32_t last_ = -1;
};

template <int D>
std::unique_ptr<LatticeBuilder> builder(ptrdiff_t expected_points) {
    return std::make_unique<Builder<D>>(expected_points);
}

}  // namespace

std::unique_ptr<LatticeBuilder> lattice_builder(int dims, ptrdiff_t expected_points) {
    using Make = std::unique_ptr<LatticeBuilder> (*)(ptrdiff_t);
    static const Make all[] = {builder<1>, builder<2>, builder<3>, builder<4>,
                               builder<5>, builder<6>, builder<7>, builder<8>};
    return all[dims - 1](expected_points);
}

float Lattice::scale() const { return 1.0f / (1.0f + std::pow(2.0f, -static_cast<float>(dims))); }

float* blur(const Lattice& lattice, float* values, float* spare, int vectors, bool backwards, float factor) {
    const BlurAxis blur_axis = blur_axis_for(vectors);
    const size_t per_axis = 2 * (static_cast<size_t>(lattice.vertices) + 1);
    std::fill_n(values, vectors * LANES, 0.0f);
    std::fill_n(spare, vectors * LANES, 0.0f);
    for (int a = 0; a < lattice.corners(); ++a) {
        const int axis = backwards ? lattice.dims - a : a;
        blur_axis(&lattice.neighbour_AR2[per_axis * axis], lattice.vertices, values, spare, vectors,
                  a == lattice.dims ? factor : 1.0f);
        std::swap(values, spare);
    }
    return values;
}

void filter(const Lattice& lattice, const float* values_PC, ptrdiff_t from0, ptrdiff_t from_count, float* out_QC,
            ptrdiff_t to0, ptrdiff_t to_count, int channels, bool backwards) {
    const int vectors = (channels + LANES - 1) / LANES, corners = lattice.corners();
    const ptrdiff_t width = static_cast<ptrdiff_t>(vectors) * LANES;
    const size_t size = (static_cast<size_t>(lattice.vertices) + 1) * width;
    Kept<float> a(size), b(size);
    std::fill_n(a.data(), size, 0.0f);
    for (ptrdiff_t p = 0; p < from_count; ++p) {
        const int32_t* row = &lattice.row_Sv[static_cast<size_t>(lattice.simplex_P[from0 + p]) * corners];
        const float *weight = &lattice.weight_Pv[(from0 + p) * corners], *value = values_PC + p * channels;
        for (int v = 0; v < corners; ++v) {
            float* to = a.data() + row[v] * width;
            for (int c = 0; c < channels; ++c) to[c] += weight[v] * value[c];
        }
    }
    const float* blurred = blur(lattice, a.data(), b.data(), vectors, backwards, lattice.scale());
    for (ptrdiff_t p = 0; p < to_count; ++p) {
        const int32_t* row = &lattice.row_Sv[static_cast<size_t>(lattice.simplex_P[to0 + p]) * corners];
        const float* weight = &lattice.weight_Pv[(to0 + p) * corners];
        float* out = out_QC + p * channels;
        std::fill_n(out, channels, 0.0f);
        for (int v = 0; v < corners; ++v) {
            const float* from = blurred + row[v] * width;
            for (int c = 0; c < channels; ++c) out[c] += weight[v] * from[c];
        }
    }
}

Kept<float> filter_ones(const Lattice& lattice, const Kept<int32_t>& source_S) {
    const int corners = lattice.corners();
    Kept<float> values(static_cast<size_t>(lattice.vertices) + 1, 0.0f), spare(values.size(), 0.0f);
    for (int32_t p : source_S) {
        const int32_t* row = &lattice.row_Sv[static_cast<size_t>(lattice.simplex_P[p]) * corners];
        const float* weight = &lattice.weight_Pv[static_cast<size_t>(p) * corners];
        for (int v = 0; v < corners; ++v) values[row[v]] += weight[v];
    }
    for (int axis = 0; axis < corners; ++axis) {
        const int32_t* neighbour_R2 = &lattice.neighbour_AR2[2 * values.size() * axis];
        for (size_t r = 1; r < values.size(); ++r) {
            spare[r] = values[r] + 0.5f * (values[neighbour_R2[2 * r]] + values[neighbour_R2[2 * r + 1]]);
        }
        values.swap(spare);
    }
    Kept<float> out_P(lattice.simplex_P.size());
    for (ptrdiff_t p = 0; p < lattice.points(); ++p) {
        const int32_t* row = &lattice.row_Sv[static_cast<size_t>(lattice.simplex_P[p]) * corners];
        float sum = 0;
        for (int v = 0; v < corners; ++v) sum += lattice.weight_Pv[p * corners + v] * values[row[v]];
        out_P[p] = lattice.scale() * sum;
    }
    return out_P;
}

}  // namespace l2m
