// Mean field inference in a fully connected CRF with Potts labels and Gaussian kernels
// (Kraehenbuehl and Koltun 2011, algorithm 1), fused. For pixel i and label l, one iteration is
//     Q_i(l) = P_i(l) exp(sum over kernels of weight * n_i sum_j K_ij n_j Q_j(l)) / (the same, summed over l)
// with P the probabilities given (their logarithms, negative, are the unary energies) and n_i = (sum_j K_ij)^-1/2. The
// sums over j are the permutohedral lattice's splat, blur and slice, and include j = i.
//
// What makes it fast:
//   1. One pass over the pixels an iteration. Each reads its messages from the blurred lattices (slice),
//      gets its new marginals, and adds them to the next lattices (splat) at once; marginals
//      are not stored. n_i is part of the weights, the kernel's weight part of the last blur, and with the
//      probabilities as a factor no logarithm is ever taken.
//   2. Pixels are numbered in tiles of 64x64, so the vertices that a tile meets stay in the first caches.
//   3. All labels of a pixel or vertex lie side by side in rows of whole vectors.
//   4. With source_stride 2 only every second pixel of every second row sends messages, n is taken over those alone,
//      and only the last iteration visits all pixels. The lattice is that of all pixels.
// One thread: images are independent, so many of them are shared among threads by the caller, without any barrier.
#include "mean_field.h"

#include "lanes.h"
#include "permutohedral.h"
#include "processor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>

namespace l2m {
namespace {

constexpr int TILE = 64;

constexpr float MOST_PROBABILITY = 1.001f;
constexpr ptrdiff_t SILENT = 1000;    // the iterations end when fewer than one source in that many speaks
constexpr float SAFE_WEIGHT = 20.0f;  // kernels that weigh less in sum keep exp() within float's range

struct Message {  // one kernel as a sweep over points sees it
    const int32_t *simplex_P, *start_Sv;  // start: where a vertex' row begins in a table
    const float* weight_Pv;
    int corners;
    float *blurred, *splatted;  // tables of the last iteration and of the next
    float* spare;               // where `splatted` goes on growing: one more, to blur a copy of it
};

struct Sweep {
    std::vector<Message> messages;
    bool receives, careful;
};

using Update = void (*)(const Sweep&, ptrdiff_t first, int points, int vectors, const float* unary, float* marginal);
using Splat = void (*)(const Sweep&, ptrdiff_t first, int points, int vectors, const float* marginal);
using SplatChanges = ptrdiff_t (*)(const Sweep&, ptrdiff_t first, int points, int vectors, float tolerance,
                                   float* marginal, float* sent);

struct Variant {
    Update update;
    Splat splat;
    SplatChanges splat_changes;
    bool (*load_row)(const MeanField&, int y, int x0, int step, int count, int width, float* rows);
    void (*save_row)(const MeanField&, int y, int x0, int count, int width, const float* rows);
};

#define L2M_BODY "mean_field_body.h"
#define L2M_AVX2 "avx2,fma"
#include "per_processor.h"

Variant chosen(int vectors) {
#ifdef L2M_HAS_AVX2
    if (use_avx2()) return avx2::variant_for(vectors);
#endif
    return baseline::variant_for(vectors);
}

struct Tile {
    int y0, y1, x0, x1;
    ptrdiff_t first;  // number of its top left pixel; the others follow row by row
    ptrdiff_t at(int y, int x) const { return first + static_cast<ptrdiff_t>(y - y0) * (x1 - x0) + (x - x0); }
};

std::vector<Tile> tiles(int height, int width) {
    std::vector<Tile> all;
    ptrdiff_t first = 0;
    for (int y = 0; y < height; y += TILE) {
        for (int x = 0; x < width; x += TILE) {
            all.push_back({y, std::min(y + TILE, height), x, std::min(x + TILE, width), first});
            first += static_cast<ptrdiff_t>(all.back().y1 - y) * (all.back().x1 - x);
        }
    }
    return all;
}

int next_multiple(int x, int of) { return (x + of - 1) / of * of; }

Lattice lattice_of(const MeanField& job, const Gaussian& kernel, const std::vector<Tile>& tiles) {
    const int dims = kernel.sigma_rgb > 0 ? 5 : 2;
    const auto builder = lattice_builder(dims, static_cast<ptrdiff_t>(job.height) * job.width);
    constexpr ptrdiff_t plane = TILE * TILE;
    Kept<float> features(5 * plane);
    float colour[256];
    for (int i = 0; i < 256; ++i) colour[i] = static_cast<float>(i) / kernel.sigma_rgb;
    for (const Tile& tile : tiles) {
        int p = 0;
        for (int y = tile.y0; y < tile.y1; ++y) {
            const uint8_t* rgb = job.image_HW3 + 3 * (static_cast<ptrdiff_t>(y) * job.width + tile.x0);
            for (int x = tile.x0; x < tile.x1; ++x, ++p, rgb += 3) {
                features[p] = static_cast<float>(job.x0 + x) / kernel.sigma_xy;
                features[p + plane] = static_cast<float>(job.y0 + y) / kernel.sigma_xy;
                for (int c = 0; c < dims - 2; ++c) features[p + (2 + c) * plane] = colour[rgb[c]];
            }
        }
        builder->add(features.data(), plane, p);
    }
    return builder->finish();
}

// n_i into the weights: what a pixel sends and what it receives are both multiplied with it.
void normalise(Lattice& lattice, const Kept<int32_t>& source_S) {
    const Kept<float> mass_P = filter_ones(lattice, source_S);
    float* weight = lattice.weight_Pv.data();
    for (float mass : mass_P) {
        const float n = 1.0f / std::sqrt(mass + 1e-20f);
        for (int c = 0; c < lattice.corners(); ++c) *weight++ *= n;
    }
}

// The lattice of positions alone is the same for all photos of a size: the last few are kept.
struct Spatial {
    int height, width, y0, x0, source_stride;
    float sigma_xy;
    std::shared_ptr<const Lattice> lattice;
    bool same(const Spatial& other) const {
        return height == other.height && width == other.width && y0 == other.y0 && x0 == other.x0 &&
               source_stride == other.source_stride && sigma_xy == other.sigma_xy;
    }
};

constexpr size_t MOST_SPATIAL = 8;
constexpr ptrdiff_t LARGE = ptrdiff_t{1} << 22;  // photos of more pixels are not kept: theirs take 30 bytes a pixel

std::mutex spatial_mutex;
std::vector<Spatial> spatial_kept;

std::shared_ptr<const Lattice> find_spatial(const Spatial& wanted) {
    const std::lock_guard<std::mutex> lock(spatial_mutex);
    for (const Spatial& kept : spatial_kept) {
        if (kept.same(wanted)) return kept.lattice;
    }
    return nullptr;
}

void keep_spatial(const Spatial& made) {
    if (static_cast<ptrdiff_t>(made.height) * made.width > LARGE) return;
    const std::lock_guard<std::mutex> lock(spatial_mutex);
    if (spatial_kept.size() == MOST_SPATIAL) spatial_kept.erase(spatial_kept.begin());
    spatial_kept.push_back(made);
}

class Inference {
public:
    explicit Inference(const MeanField& job)
        : job_(job), tiles_(tiles(job.height, job.width)), labels_(static_cast<int>(job.labels.size())),
          vectors_((labels_ + LANES - 1) / LANES), width_(static_cast<ptrdiff_t>(vectors_) * LANES),
          variant_(chosen(vectors_)) {}

    MeanFieldStatus run() {
        if (labels_ > MOST_LABELS || !build()) return MeanFieldStatus::too_large;
        if (job_.iterations > 0) {
            // load_row writes whole blocks of pixels: room for the last.
            Kept<float> unary((sources_ + LANES) * width_);
            const MeanFieldStatus status = load_sources(unary.data());
            if (status != MeanFieldStatus::fine) return status;
            look_at(true);
            Kept<float> sent(job_.tolerance > 0 ? sources_ * width_ : 0, 0.0f);
            for (int iteration = 0; iteration < job_.iterations; ++iteration) {
                const ptrdiff_t spoke = visit_sources(unary.data(), sent.data(), iteration == 0);
                if (iteration > 0 && spoke * SILENT < sources_) break;
                blur_all();
            }
            if (job_.source_stride == 1) return visit_all(unary.data());
        }
        return visit_all(nullptr);
    }

private:
    // The lattices, normalised, and two tables of values for each. False where a table has more than 2^31 numbers.
    bool build() {
        Kept<int32_t> source_S;
        for (const Tile& tile : tiles_) {
            each_source_row(tile, [&](int y, int x0, int count) {
                for (int i = 0; i < count; ++i) {
                    source_S.push_back(static_cast<int32_t>(tile.at(y, x0 + i * job_.source_stride)));
                }
            });
        }
        sources_ = static_cast<ptrdiff_t>(source_S.size());
        float weight = 0;
        for (const Gaussian& kernel : job_.kernels) {
            Spatial spatial = {job_.height, job_.width, job_.y0, job_.x0, job_.source_stride, kernel.sigma_xy, nullptr};
            if (!(kernel.sigma_rgb > 0)) spatial.lattice = find_spatial(spatial);
            if (!spatial.lattice) {
                Lattice made = lattice_of(job_, kernel, tiles_);
                normalise(made, source_S);
                spatial.lattice = std::make_shared<const Lattice>(std::move(made));
                if (!(kernel.sigma_rgb > 0)) keep_spatial(spatial);
            }
            lattices_.push_back(spatial.lattice);
            const Lattice& lattice = *spatial.lattice;
            if ((lattice.vertices + ptrdiff_t{1}) * width_ > INT32_MAX) return false;
            weight += kernel.weight;
            starts_.emplace_back(lattice.row_Sv);
            for (int32_t& start : starts_.back()) start *= static_cast<int32_t>(width_);
            for (int table = 0; table < (job_.tolerance > 0 ? 3 : 2); ++table) tables_.emplace_back(table_size(lattice));
            float* spare = job_.tolerance > 0 ? tables_[tables_.size() - 3].data() : nullptr;
            float *one = tables_[tables_.size() - 2].data(), *other = tables_.back().data();
            sweep_.messages.push_back({nullptr, starts_.back().data(), nullptr, lattice.corners(), one, other, spare});
            if (job_.source_stride > 1) gather_sources(lattice, source_S);
        }
        sweep_.careful = weight > SAFE_WEIGHT;
        return true;
    }

    // What the sweeps over sources read, side by side.
    void gather_sources(const Lattice& lattice, const Kept<int32_t>& source_S) {
        simplex_of_sources_.emplace_back(source_S.size());
        weight_of_sources_.emplace_back(source_S.size() * lattice.corners());
        int32_t* simplex = simplex_of_sources_.back().data();
        float* weight = weight_of_sources_.back().data();
        for (int32_t p : source_S) {
            *simplex++ = lattice.simplex_P[p];
            weight = std::copy_n(&lattice.weight_Pv[static_cast<size_t>(p) * lattice.corners()], lattice.corners(), weight);
        }
    }

    void look_at(bool sources_only) {
        for (size_t k = 0; k < lattices_.size(); ++k) {
            const bool gathered = sources_only && job_.source_stride > 1;
            sweep_.messages[k].simplex_P = gathered ? simplex_of_sources_[k].data() : lattices_[k]->simplex_P.data();
            sweep_.messages[k].weight_Pv = gathered ? weight_of_sources_[k].data() : lattices_[k]->weight_Pv.data();
        }
    }

    size_t table_size(const Lattice& lattice) const { return (static_cast<size_t>(lattice.vertices) + 1) * width_; }

    template <typename F>
    void each_source_row(const Tile& tile, F visit) const {
        const int stride = job_.source_stride, x0 = next_multiple(tile.x0, stride);
        const int count = (tile.x1 - x0 + stride - 1) / stride;
        for (int y = next_multiple(tile.y0, stride); y < tile.y1 && count > 0; y += stride) visit(y, x0, count);
    }

    MeanFieldStatus load_sources(float* unary) const {
        MeanFieldStatus status = MeanFieldStatus::fine;
        for (const Tile& tile : tiles_) {
            each_source_row(tile, [&](int y, int x0, int count) {
                if (status == MeanFieldStatus::fine) status = load(y, x0, job_.source_stride, count, unary);
                unary += count * width_;
            });
        }
        return status;
    }

    // Messages received (but for the first time), marginals, messages sent; returns how many pixels sent any.
    ptrdiff_t visit_sources(const float* unary, float* sent, bool first) {
        sweep_.receives = !first;
        Kept<float> marginal(TILE * width_);
        for (size_t k = 0; k < lattices_.size() && (first || !(job_.tolerance > 0)); ++k) {
            std::fill_n(sweep_.messages[k].splatted, table_size(*lattices_[k]), 0.0f);
        }
        ptrdiff_t spoke = 0;
        for (ptrdiff_t p = 0; p < sources_; p += TILE) {
            const int count = static_cast<int>(std::min<ptrdiff_t>(TILE, sources_ - p));
            variant_.update(sweep_, p, count, vectors_, unary + p * width_, marginal.data());
            if (job_.tolerance > 0) {
                spoke += variant_.splat_changes(sweep_, p, count, vectors_, job_.tolerance, marginal.data(),
                                                sent + p * width_);
            } else {
                variant_.splat(sweep_, p, count, vectors_, marginal.data());
                spoke += count;
            }
        }
        return spoke;
    }

    void blur_all() {
        for (size_t k = 0; k < lattices_.size(); ++k) {
            Message& message = sweep_.messages[k];
            const float factor = job_.kernels[k].weight * lattices_[k]->scale();
            float*& values = message.spare ? message.spare : message.splatted;
            if (message.spare) std::copy_n(message.splatted, table_size(*lattices_[k]), message.spare);
            const float* result = blur(*lattices_[k], values, message.blurred, vectors_, false, factor);
            if (result == values) std::swap(values, message.blurred);
        }
    }

    // Messages received and marginals, to the caller. unary_P: what `load` gives for all pixels, null where not at hand.
    MeanFieldStatus visit_all(const float* unary_P) {
        look_at(false);
        sweep_.receives = job_.iterations > 0;
        Kept<float> buffer((TILE + LANES) * width_);
        float* rows = buffer.data();
        for (const Tile& tile : tiles_) {
            const int count = tile.x1 - tile.x0;
            for (int y = tile.y0; y < tile.y1; ++y) {
                const ptrdiff_t p = tile.at(y, tile.x0);
                const MeanFieldStatus status = unary_P ? MeanFieldStatus::fine : load(y, tile.x0, 1, count, rows);
                if (status != MeanFieldStatus::fine) return status;
                variant_.update(sweep_, p, count, vectors_, unary_P ? unary_P + p * width_ : rows, rows);
                if (job_.marginal_LHW) variant_.save_row(job_, y, tile.x0, count, static_cast<int>(width_), rows);
                if (!job_.mask_HW) continue;
                int32_t* mask = job_.mask_HW + static_cast<ptrdiff_t>(y) * job_.width + tile.x0;
                for (int i = 0; i < count; ++i) mask[i] = job_.labels[likeliest(rows + i * width_)];
            }
        }
        return MeanFieldStatus::fine;
    }

    MeanFieldStatus load(int y, int x0, int step, int count, float* rows) const {
        const bool good = variant_.load_row(job_, y, x0, step, count, static_cast<int>(width_), rows);
        if (!good) return MeanFieldStatus::bad_probability;
        for (int i = 0; i < count && !(job_.least > 0); ++i) {
            if (!(rows[i * width_ + likeliest(rows + i * width_)] > 0)) return MeanFieldStatus::no_mass;
        }
        return MeanFieldStatus::fine;
    }

    ptrdiff_t likeliest(const float* row) const { return std::max_element(row, row + labels_) - row; }

    const MeanField& job_;
    const std::vector<Tile> tiles_;
    const int labels_, vectors_;
    const ptrdiff_t width_;
    const Variant variant_;
    std::vector<std::shared_ptr<const Lattice>> lattices_;
    std::vector<Kept<int32_t>> starts_, simplex_of_sources_;
    std::vector<Kept<float>> weight_of_sources_;
    ptrdiff_t sources_ = 0;
    std::vector<Kept<float>> tables_;
    Sweep sweep_ = {};
};

}  // namespace

MeanFieldStatus mean_field(const MeanField& job) { return Inference(job).run(); }

}  // namespace l2m
