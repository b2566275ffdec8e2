// The Python face of the kernels: numpy arrays in, numpy arrays filled. The GIL is released
// while a kernel runs. The Python functions that call these check shapes and allocate.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <new>
#include <optional>
#include <stdexcept>

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

NB_MODULE(_kernels, m) {
    m.doc() = "CPU kernels of labels2masks; call them through labels2masks.kernels.";
    m.def("variant", &l2m::variant, "The instruction set that the hot functions use on this machine.");
    m.def("upsample_argmax", &upsample_argmax, nb::arg("scores_Chw").noconvert(), nb::arg("low_H"),
          nb::arg("weight_H"), nb::arg("low_W"), nb::arg("weight_W"), nb::arg("mask_HW").none().noconvert(),
          nb::arg("confidence_HW").none().noconvert(), nb::arg("truth_HW").none(),
          nb::arg("confusion_CC").none().noconvert(), nb::arg("threads"),
          "Fill mask, confidence and confusion matrix; raises ValueError 'score' or 'truth' for values out of range.");
}
