// Linear upsampling and arg-max without ever holding the upsampled scores.
//
// The pixels between four neighbouring cells take means of the four corner scores. So
//   1. a class that wins at all four corners wins at every pixel between them: most cells of
//      a real score map are filled without computing anything;
//   2. elsewhere a class can win only if its highest corner reaches the lowest corner of some
//      other class: few are left, and only they are interpolated.
// Rounding keeps both statements true (it is monotone), up to which of two equal scores is
// named. Memory: two rows of cells for each thread, whatever the size of the output.
#include "upsample_argmax.h"

#include "lanes.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace l2m {
namespace {

constexpr int CHUNK = 128;           // cells of a row that are read together
constexpr float LOWEST = -1e30f;     // scores below, -inf above all, count as this: "impossible", yet 0 * it is 0
constexpr float HIGHEST = 1e30f;     // scores from here on, and NaN, are refused
constexpr float NEGLIGIBLE = 17.0f; // exp(-17) = 4e-8: what lies so far below the winner adds nothing to its softmax

struct Corners {
    const float* score_C[4];  // top left, top right, bottom left, bottom right
    int32_t winner[4];
};

struct Scratch {  // one more than the classes: a candidate is written before it is counted
    explicit Scratch(size_t classes) : kept(4 * classes + 4), score(LANES * classes), name(classes + 1) {}
    std::vector<float> kept, score;
    std::vector<int32_t> name;
    int out_row = 0;  // the pixel row at which the output buffer begins
};

namespace baseline {
#define L2M_TARGET
#include "upsample_argmax_body.h"
#undef L2M_TARGET
}  // namespace baseline

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
#define L2M_HAS_AVX2 1
namespace avx2 {
#define L2M_TARGET __attribute__((target("avx2")))
#include "upsample_argmax_body.h"
#undef L2M_TARGET
}  // namespace avx2
#endif

using Band = Status (*)(const UpsampleArgmax&, int, int, int64_t*);

struct Variant {
    const char* name;
    Band band;
};

Variant chosen() {
#ifdef L2M_HAS_AVX2
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) return {"avx2", avx2::upsample_band};
#endif
    return {"baseline", baseline::upsample_band};
}

const Variant VARIANT = chosen();

}  // namespace

const char* variant() { return VARIANT.name; }

Status upsample_argmax(const UpsampleArgmax& job, int threads) {
    // Bands of about equal height that begin where a row of cells begins.
    const int height = job.y.pixels;
    std::vector<int> edges = {0};
    for (int t = 1; t < threads; ++t) {
        int y = static_cast<int>(static_cast<int64_t>(height) * t / threads);
        while (y > 0 && y < height && job.y.low[y] == job.y.low[y - 1]) ++y;
        if (y > edges.back() && y < height) edges.push_back(y);
    }
    edges.push_back(height);

    const int bands = static_cast<int>(edges.size()) - 1;
    const size_t cells = job.truth_HW ? static_cast<size_t>(job.classes) * job.classes : 0;
    std::vector<std::vector<int64_t>> counts(bands, std::vector<int64_t>(cells));
    std::vector<Status> status(bands, Status::fine);
    auto work = [&](int b) {
        try {
            status[b] = VARIANT.band(job, edges[b], edges[b + 1], counts[b].data());
        } catch (const std::bad_alloc&) {
            status[b] = Status::no_memory;
        }
    };
    std::vector<std::thread> running;
    int started = 1;
    try {
        for (; started < bands; ++started) running.emplace_back(work, started);
    } catch (const std::system_error&) {
        // No more threads to be had: this one does the rest.
    }
    work(0);
    for (int b = started; b < bands; ++b) work(b);
    for (std::thread& thread : running) thread.join();

    for (int b = 0; b < bands; ++b) {
        if (status[b] != Status::fine) return status[b];
    }
    for (const auto& count : counts) {
        for (size_t i = 0; i < cells; ++i) job.confusion_CC[i] += count[i];
    }
    return Status::fine;
}

}  // namespace l2m
