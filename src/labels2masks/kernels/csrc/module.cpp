// The Python face of the kernels. Arrays come in as numpy, leave as numpy; the GIL is
// released while a kernel runs. Shapes and dtypes are checked here, once.
#include <nanobind/nanobind.h>

#include "upsample_argmax.h"

namespace nb = nanobind;

NB_MODULE(_kernels, m) {
    m.doc() = "CPU kernels of labels2masks; use them through labels2masks.kernels.";
    m.def("variant", &l2m::variant, "The instruction set that the hot functions use on this machine.");
}
