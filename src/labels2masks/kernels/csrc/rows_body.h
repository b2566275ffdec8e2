// Rows of values, compiled once per instruction set: L2M_TARGET is the attribute of every
// function here, and the including file opens a namespace around it.

L2M_TARGET static inline Floats all_of(float x) { return Floats{x, x, x, x, x, x, x, x}; }

L2M_TARGET static inline Floats load(const float* from) {
    Floats out;
    std::memcpy(&out, from, sizeof out);
    return out;
}

L2M_TARGET static inline void store(float* to, Floats x) { std::memcpy(to, &x, sizeof x); }

// Every lane: the sum of all. And: 8 rows of 8 become their columns.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 12
#define L2M_NO_SHUFFLES
#elif !defined(__GNUC__) && !defined(__clang__)
#define L2M_NO_SHUFFLES
#endif
#ifdef L2M_NO_SHUFFLES
L2M_TARGET static inline Floats sum_everywhere(Floats x) {
    return all_of(((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7])));
}

L2M_TARGET static inline void transpose(const float* from, ptrdiff_t from_step, float* to, ptrdiff_t to_step) {
    for (int i = 0; i < LANES; ++i) {
        for (int j = 0; j < LANES; ++j) to[j * to_step + i] = from[i * from_step + j];
    }
}
#else
L2M_TARGET static inline Floats sum_everywhere(Floats x) {
    x = x + __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3);
    x = x + __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5);
    return x + __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6);
}

L2M_TARGET static inline void transpose(const float* from, ptrdiff_t from_step, float* to, ptrdiff_t to_step) {
    Floats a[LANES], b[LANES];
    for (int i = 0; i < LANES; ++i) a[i] = load(from + i * from_step);
    for (int i = 0; i < LANES; i += 2) {
        b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (int i = 0; i < LANES; i += 4) {
        for (int j = i; j < i + 2; ++j) {
            a[j] = __builtin_shufflevector(b[j], b[j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            a[j + 2] = __builtin_shufflevector(b[j], b[j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    }
    for (int j = 0; j < 4; ++j) {
        store(to + j * to_step, __builtin_shufflevector(a[j], a[j + 4], 0, 1, 2, 3, 8, 9, 10, 11));
        store(to + (j + 4) * to_step, __builtin_shufflevector(a[j], a[j + 4], 4, 5, 6, 7, 12, 13, 14, 15));
    }
}
#endif

// One axis: out = in + half of both neighbours, then times factor. V vectors a row, or `vectors` where V is 0.
template <int V>
L2M_TARGET static void blur_axis(const int32_t* neighbour_R2, int32_t vertices, const float* in, float* out,
                                 int vectors, float factor) {
    const int count = V ? V : vectors;
    const ptrdiff_t width = static_cast<ptrdiff_t>(count) * LANES;
    const Floats whole = all_of(factor), half = all_of(0.5f * factor);
    for (int32_t r = 1; r <= vertices; ++r) {
        const float *a = in + neighbour_R2[2 * r] * width, *b = in + neighbour_R2[2 * r + 1] * width;
        const float* here = in + r * width;
        float* to = out + r * width;
        for (int v = 0; v < count; ++v) {
            store(to + v * LANES, load(here + v * LANES) * whole + (load(a + v * LANES) + load(b + v * LANES)) * half);
        }
    }
}
