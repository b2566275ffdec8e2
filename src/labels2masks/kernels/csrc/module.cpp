// The Python face of the kernels: numpy arrays in, numpy arrays filled. The GIL is released
// while a kernel runs. The Python functions that call these check shapes and allocate.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <new>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "max_flow.h"
#include "mean_field.h"
#include "memory.h"
#include "permutohedral.h"
#include "upsample_argmax.h"

namespace nb = nanobind;

template <typename T, int axes>
using Plain = nb::ndarray<T, nb::ndim<axes>, nb::c_contig, nb::device::cpu>;

static void upsample_argmax(nb::ndarray<const float, nb::ndim<3>, nb::device::cpu> scores_Chw,
                            Plain<const int64_t, 1> low_H, Plain<const float, 1> weight_H,
                            Plain<const int64_t, 1> low_W, Plain<const float, 1> weight_W,
                            std::optional<Plain<int32_t, 2>> mask_HW, std::optional<Plain<float, 2>> confidence_HW,
                            std::optional<Plain<const int32_t, 2>> truth_HW,
                            std::optional<Plain<int64_t, 2>> confusion_CC, int threads) {
    const int classes = int(scores_Chw.shape(0)), h = int(scores_Chw.shape(1)), w = int(scores_Chw.shape(2));
    const int height = int(low_H.shape(0)), width = int(low_W.shape(0));
    const auto fits = [&](const auto& array) {
        return !array || (int(array->shape(0)) == height && int(array->shape(1)) == width);
    };
    if (!fits(mask_HW) || !fits(confidence_HW) || !fits(truth_HW) || int(weight_H.shape(0)) != height ||
        int(weight_W.shape(0)) != width || bool(truth_HW) != bool(confusion_CC) ||
        (confusion_CC && (int(confusion_CC->shape(0)) != classes || int(confusion_CC->shape(1)) != classes)))
        throw std::invalid_argument("the arrays do not fit each other");
    if (scores_Chw.stride(2) != 1 && scores_Chw.stride(0) != 1)
        throw std::invalid_argument("classes or columns must lie side by side");
    const l2m::UpsampleArgmax job = {
        scores_Chw.data(), scores_Chw.stride(0), scores_Chw.stride(1), scores_Chw.stride(2), classes,
        {low_H.data(), weight_H.data(), h, height}, {low_W.data(), weight_W.data(), w, width},
        mask_HW ? mask_HW->data() : nullptr, confidence_HW ? confidence_HW->data() : nullptr,
        truth_HW ? truth_HW->data() : nullptr, confusion_CC ? confusion_CC->data() : nullptr,
    };
    l2m::Status status;
    {
        nb::gil_scoped_release released;
        status = l2m::upsample_argmax(job, threads);
    }
    if (status == l2m::Status::bad_score) throw std::domain_error("score");
    if (status == l2m::Status::no_memory) throw std::bad_alloc();
    if (status == l2m::Status::bad_truth) throw std::domain_error("truth");
}

// The lattice over source points and, behind them, query points; none means the sources themselves.
struct GaussianLattice {
    GaussianLattice(Plain<const float, 2> sources_DP, std::optional<Plain<const float, 2>> queries_DQ) {
        const int dims = int(sources_DP.shape(0));
        if (dims < 1 || dims > l2m::MOST_DIMS || (queries_DQ && int(queries_DQ->shape(0)) != dims))
            throw std::invalid_argument("the arrays do not fit each other");
        sources = ptrdiff_t(sources_DP.shape(1));
        queries = queries_DQ ? ptrdiff_t(queries_DQ->shape(1)) : sources;
        first_query = queries_DQ ? sources : 0;
        nb::gil_scoped_release released;
        const auto builder = l2m::lattice_builder(dims, first_query + queries);
        add(*builder, sources_DP.data(), dims, sources);
        if (queries_DQ) add(*builder, queries_DQ->data(), dims, queries);
        lattice = builder->finish();
    }

    static void add(l2m::LatticeBuilder& builder, const float* features_DP, int dims, ptrdiff_t points) {
        constexpr ptrdiff_t chunk = 1024;
        std::vector<float> planes(dims * chunk);
        for (ptrdiff_t p = 0; p < points; p += chunk) {
            const ptrdiff_t count = points - p < chunk ? points - p : chunk;
            for (int k = 0; k < dims; ++k) std::copy_n(features_DP + k * points + p, count, planes.data() + k * chunk);
            builder.add(planes.data(), chunk, int(count));
        }
    }

    void filter(Plain<const float, 2> values, Plain<float, 2> out, bool transpose) const {
        const ptrdiff_t from = transpose ? queries : sources, to = transpose ? sources : queries;
        if (ptrdiff_t(values.shape(0)) != from || ptrdiff_t(out.shape(0)) != to || values.shape(1) != out.shape(1))
            throw std::invalid_argument("the arrays do not fit each other");
        nb::gil_scoped_release released;
        l2m::filter(lattice, values.data(), transpose ? first_query : 0, from, out.data(), transpose ? 0 : first_query,
                    to, int(values.shape(1)), transpose);
    }

    l2m::Lattice lattice;
    ptrdiff_t sources, queries, first_query;
};

static void mean_field(Plain<const uint8_t, 3> image_HW3, std::tuple<int, int> first_yx, Plain<const float, 3> probability_LHW,
                       std::vector<int32_t> labels, float least,
                       const std::vector<std::tuple<float, float, float>>& kernels, int iterations, int source_stride,
                       float tolerance, std::optional<Plain<float, 3>> marginal_LHW, std::optional<Plain<int32_t, 2>> mask_HW) {
    const size_t height = image_HW3.shape(0), width = image_HW3.shape(1), planes = probability_LHW.shape(0);
    bool fits = image_HW3.shape(2) == 3 && probability_LHW.shape(1) == height && probability_LHW.shape(2) == width &&
                !labels.empty() && iterations >= 0 && source_stride >= 1;
    for (int32_t label : labels) fits &= label >= 0 && size_t(label) < planes;
    if (marginal_LHW) {
        for (int axis = 0; axis < 3; ++axis) fits &= marginal_LHW->shape(axis) == probability_LHW.shape(axis);
    }
    if (mask_HW) fits &= mask_HW->shape(0) == height && mask_HW->shape(1) == width;
    if (!fits) throw std::invalid_argument("the arrays do not fit each other");
    l2m::MeanField job = {
        image_HW3.data(), int(height), int(width), std::get<0>(first_yx), std::get<1>(first_yx), probability_LHW.data(), std::move(labels), least, {}, iterations,
        source_stride, tolerance, marginal_LHW ? marginal_LHW->data() : nullptr, mask_HW ? mask_HW->data() : nullptr,
    };
    for (const auto& [weight, sigma_xy, sigma_rgb] : kernels) job.kernels.push_back({weight, sigma_xy, sigma_rgb});
    l2m::MeanFieldStatus status;
    {
        nb::gil_scoped_release released;
        status = l2m::mean_field(job);
    }
    if (status == l2m::MeanFieldStatus::bad_probability) throw std::domain_error("probability");
    if (status == l2m::MeanFieldStatus::no_mass) throw std::domain_error("mass");
    if (status == l2m::MeanFieldStatus::too_large) throw std::domain_error("labels");
}

// marginal_LHW float32, not set, in memory that a later call takes again when Python has dropped the array.
static nb::object empty_marginals(size_t labels, size_t height, size_t width) {
    void* memory = l2m::take_memory(labels * height * width * sizeof(float));
    const nb::capsule owner(memory, [](void* back) noexcept { l2m::give_memory(back); });
    return nb::cast(nb::ndarray<nb::numpy, float, nb::ndim<3>>(memory, {labels, height, width}, owner));
}

static double cheapest_cut(Plain<const double, 1> source_N, Plain<const double, 1> sink_N,
                           Plain<const int32_t, 1> first_E, Plain<const int32_t, 1> second_E,
                           Plain<const double, 1> forth_E, Plain<const double, 1> back_E, Plain<uint8_t, 1> side_N) {
    const size_t nodes = source_N.shape(0), edges = first_E.shape(0);
    bool fits = sink_N.shape(0) == nodes && side_N.shape(0) == nodes && second_E.shape(0) == edges &&
                forth_E.shape(0) == edges && back_E.shape(0) == edges;
    for (size_t edge = 0; fits && edge < edges; ++edge)
        fits = first_E(edge) >= 0 && size_t(first_E(edge)) < nodes && second_E(edge) >= 0 && size_t(second_E(edge)) < nodes;
    if (!fits) throw std::invalid_argument("the arrays do not fit each other");
    const l2m::CutProblem job = {ptrdiff_t(nodes), ptrdiff_t(edges), source_N.data(), sink_N.data(), first_E.data(),
                                 second_E.data(), forth_E.data(), back_E.data()};
    nb::gil_scoped_release released;
    return l2m::cheapest_cut(job, side_N.data());
}

NB_MODULE(_kernels, m) {
    m.doc() = "CPU kernels of labels2masks; call them through labels2masks.kernels.";
    m.def("variant", &l2m::variant, "The instruction set that the hot functions use on this machine.");
    m.def("upsample_argmax", &upsample_argmax, nb::arg("scores_Chw").noconvert(), nb::arg("low_H"),
          nb::arg("weight_H"), nb::arg("low_W"), nb::arg("weight_W"), nb::arg("mask_HW").none().noconvert(),
          nb::arg("confidence_HW").none().noconvert(), nb::arg("truth_HW").none(),
          nb::arg("confusion_CC").none().noconvert(), nb::arg("threads"),
          "Fill mask, confidence and confusion matrix; raises ValueError 'score' or 'truth' for values out of range.");
    nb::class_<GaussianLattice>(m, "GaussianLattice")
        .def(nb::init<Plain<const float, 2>, std::optional<Plain<const float, 2>>>(), nb::arg("sources_DP"),
             nb::arg("queries_DQ").none())
        .def("filter", &GaussianLattice::filter, nb::arg("values"), nb::arg("out").noconvert(), nb::arg("transpose"));
    m.def("empty_marginals", &empty_marginals, nb::arg("labels"), nb::arg("height"), nb::arg("width"),
          "An array of float32 whose memory is taken again when it is dropped.");
    m.def("cheapest_cut", &cheapest_cut, nb::arg("source_N"), nb::arg("sink_N"), nb::arg("first_E"), nb::arg("second_E"),
          nb::arg("forth_E"), nb::arg("back_E"), nb::arg("side_N").noconvert(), "Fill side_N; returns the cost of the cut.");
    m.def("mean_field", &mean_field, nb::arg("image_HW3"), nb::arg("first_yx"), nb::arg("probability_LHW"), nb::arg("labels"),
          nb::arg("least"), nb::arg("kernels"), nb::arg("iterations"), nb::arg("source_stride"),
          nb::arg("tolerance"), nb::arg("marginal_LHW").none().noconvert(), nb::arg("mask_HW").none().noconvert(),
          "Fill marginals or mask; raises ValueError 'probability', 'mass' or 'labels' for what can not be used.");
}
