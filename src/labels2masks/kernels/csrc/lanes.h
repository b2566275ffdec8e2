// Eight numbers at a time. GCC and clang have vector types that become whatever the function's
// instruction set offers; elsewhere (MSVC) the same few operations are plain loops.
#pragma once
#include <cstdint>
#include <cstring>

namespace l2m {

constexpr int LANES = 8;

#if defined(__GNUC__) || defined(__clang__)

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
#define L2M_SELECT(mask, yes, no) ((mask) ? (yes) : (no))
#define to_ints(floats) __builtin_convertvector(floats, ::l2m::Ints)
// The compiler must not know how a pointer came about: in a loop over points it would keep a running address for each
// of a point's corners, more than there are registers.
#define L2M_FORGET_ORIGIN(pointer) __asm__("" : "+r"(pointer))
#define L2M_FETCH(pointer) __builtin_prefetch(pointer)

#else

template <typename T>
struct Lanes {
    T lane[LANES];
    T operator[](int l) const { return lane[l]; }
    template <typename F>
    static auto each(const Lanes& a, const Lanes& b, F f) {
        Lanes<decltype(f(a.lane[0], b.lane[0]))> out;
        for (int l = 0; l < LANES; ++l) out.lane[l] = f(a.lane[l], b.lane[l]);
        return out;
    }
    friend Lanes operator+(Lanes a, Lanes b) { return each(a, b, [](T x, T y) { return T(x + y); }); }
    friend Lanes operator-(Lanes a, Lanes b) { return each(a, b, [](T x, T y) { return T(x - y); }); }
    friend Lanes operator*(Lanes a, Lanes b) { return each(a, b, [](T x, T y) { return T(x * y); }); }
    friend Lanes operator/(Lanes a, Lanes b) { return each(a, b, [](T x, T y) { return T(x / y); }); }
    friend Lanes operator|(Lanes a, Lanes b) { return each(a, b, [](T x, T y) { return T(x | y); }); }
    friend Lanes operator<<(Lanes a, int by) { return each(a, a, [by](T x, T) { return T(uint32_t(x) << by); }); }
    friend auto operator==(Lanes a, Lanes b) { return each(a, b, [](T x, T y) { return int32_t(-(x == y)); }); }
    friend auto operator>(Lanes a, Lanes b) { return each(a, b, [](T x, T y) { return int32_t(-(x > y)); }); }
    friend auto operator>=(Lanes a, Lanes b) { return each(a, b, [](T x, T y) { return int32_t(-(x >= y)); }); }
    friend auto operator<(Lanes a, Lanes b) { return each(a, b, [](T x, T y) { return int32_t(-(x < y)); }); }
};
using Floats = Lanes<float>;
using Ints = Lanes<int32_t>;

template <typename T>
Lanes<T> select(const Ints& mask, const Lanes<T>& yes, const Lanes<T>& no) {
    Lanes<T> out;
    for (int l = 0; l < LANES; ++l) out.lane[l] = mask.lane[l] ? yes.lane[l] : no.lane[l];
    return out;
}
#define L2M_SELECT(mask, yes, no) select(mask, yes, no)
#define L2M_FORGET_ORIGIN(pointer) (void)(pointer)
#define L2M_FETCH(pointer) (void)(pointer)

inline Ints to_ints(const Floats& x) {
    Ints out;
    for (int l = 0; l < LANES; ++l) out.lane[l] = static_cast<int32_t>(x.lane[l]);
    return out;
}

#endif

}  // namespace l2m
