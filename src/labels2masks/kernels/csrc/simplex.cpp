// The permutohedral lattice's coordinates (Adams, Baek, Davis 2010, sections 3.1 and 3.2), eight points at a time.
//
// A point of d dimensions is laid onto the plane of d + 1 coordinates that sum to zero. The lattice on
// that plane are the integer vectors whose coordinates all have the same remainder modulo d + 1.
// Rounding finds the nearest vector of remainder zero; the order of what is left over names the
// simplex around the point, and the differences of neighbours in that order are its weights.
//
// Single precision, in an order of operations that is part of the result: photos put many points exactly on
// the border of two simplices, and which of the two is chosen decides which vertices exist. So
// this file is compiled without contraction into fused multiply-adds.
#include "simplex.h"

#include "lanes.h"
#include "processor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace l2m {
namespace {

#define L2M_BODY "simplex_body.h"
#define L2M_AVX2 "avx2"
#include "per_processor.h"

}  // namespace

Embed embed_for(int dims) {
#ifdef L2M_HAS_AVX2
    if (use_avx2()) return avx2::embed_variant(dims);
#endif
    return baseline::embed_variant(dims);
}

}  // namespace l2m
