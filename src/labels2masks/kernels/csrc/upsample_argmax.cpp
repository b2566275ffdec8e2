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
#include "processor.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace l2m {
namespace {

constexpr int CHUNK = 128;           // cells of a row that are read together
constexpr int64_t WORTH_A_THREAD = 1 << 18;  // scores and pixels below which a second thread costs more than it brings
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

#define L2M_BODY "upsample_argmax_body.h"
#define L2M_AVX2 "avx2"
#include "per_processor.h"

using Band = Status (*)(const UpsampleArgmax&, int, int, int64_t*);

struct Variant {
    const char* name;
    Band band;
};

Variant chosen() {
#ifdef L2M_HAS_AVX2
    if (use_avx2()) return {"avx2", avx2::upsample_band};
#endif
    return {"baseline", baseline::upsample_band};
}

const Variant VARIANT = chosen();

}  // namespace

const char* variant() { return VARIANT.name; }

namespace {

// The bands of one call and who has done which. Threads own it together: one that wakes up late,
// because other programs have the processors, finds nothing left to take and is not waited for.
struct Call {
    Call(const UpsampleArgmax& job, std::vector<int> edges)
        : job(job), edges(std::move(edges)), counts(job.truth_HW ? size_t(job.classes) * job.classes : 0) {}

    void work() {
        std::vector<int64_t> own(counts.size());
        const int bands = static_cast<int>(edges.size()) - 1;
        for (int b; (b = next++) < bands;) {
            Status status = Status::no_memory;
            try {
                status = VARIANT.band(job, edges[b], edges[b + 1], own.data());
            } catch (const std::bad_alloc&) {
            }
            const std::lock_guard<std::mutex> lock(mutex);
            if (status != Status::fine) failure = status;
            for (size_t i = 0; i < own.size(); ++i) counts[i] += own[i], own[i] = 0;
            if (++done == bands) finished.notify_all();
        }
    }

    void wait() {
        std::unique_lock<std::mutex> lock(mutex);
        finished.wait(lock, [this] { return done == static_cast<int>(edges.size()) - 1; });
    }

    const UpsampleArgmax job;
    const std::vector<int> edges;
    std::vector<int64_t> counts;
    Status failure = Status::fine;
    std::atomic<int> next{0};
    int done = 0;
    std::mutex mutex;
    std::condition_variable finished;
};

// Bands of about equal height that begin where a row of cells begins; more than threads, so that a
// thread that is held up leaves its share to the others.
std::vector<int> band_edges(const Axis& y, int bands) {
    std::vector<int> edges = {0};
    for (int b = 1; b < bands; ++b) {
        int row = static_cast<int>(static_cast<int64_t>(y.pixels) * b / bands);
        while (row > 0 && row < y.pixels && y.low[row] == y.low[row - 1]) ++row;
        if (row > edges.back() && row < y.pixels) edges.push_back(row);
    }
    edges.push_back(y.pixels);
    return edges;
}

}  // namespace

Status upsample_argmax(const UpsampleArgmax& job, int threads) {
    const int64_t effort = static_cast<int64_t>(job.classes) * job.y.cells * job.x.cells +
                           static_cast<int64_t>(job.y.pixels) * job.x.pixels;
    if (effort < WORTH_A_THREAD) threads = 1;
    const auto call = std::make_shared<Call>(job, band_edges(job.y, threads > 1 ? 4 * threads : 1));
    try {
        for (int t = 1; t < threads; ++t) std::thread([call] { call->work(); }).detach();
    } catch (const std::system_error&) {
        // No more threads to be had: those that there are do the rest.
    }
    call->work();
    call->wait();
    if (call->failure != Status::fine) return call->failure;
    for (size_t i = 0; i < call->counts.size(); ++i) job.confusion_CC[i] += call->counts[i];
    return Status::fine;
}

}  // namespace l2m
