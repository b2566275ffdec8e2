// Which variant of the hot functions serves here.
#pragma once
#include <cstdlib>
#include <cstring>

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
#define L2M_HAS_AVX2 1
#endif

namespace l2m {

// AVX2 with fused multiply-adds, unless L2M_KERNELS=baseline asks for the portable code (tests do).
inline bool use_avx2() {
#ifdef L2M_HAS_AVX2
    const char* asked = std::getenv("L2M_KERNELS");
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && !(asked && !std::strcmp(asked, "baseline"));
#else
    return false;
#endif
}

}  // namespace l2m
