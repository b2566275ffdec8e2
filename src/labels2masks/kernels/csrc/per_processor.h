// Compiles the file L2M_BODY twice, in namespaces of its own: as portable code, and for the x86 features L2M_AVX2.
// To be included where both are defined; every function of the body carries the attribute L2M_TARGET.
namespace baseline {
#define L2M_TARGET
#include L2M_BODY
#undef L2M_TARGET
}  // namespace baseline

#ifdef L2M_HAS_AVX2
namespace avx2 {
#define L2M_TARGET __attribute__((target(L2M_AVX2)))
#include L2M_BODY
#undef L2M_TARGET
}  // namespace avx2
#endif
