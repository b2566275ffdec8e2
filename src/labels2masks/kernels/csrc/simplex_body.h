// The hot part of simplex.cpp, compiled once per instruction set: L2M_TARGET is the
// attribute of every function here, and the including file opens a namespace around it.

L2M_TARGET static inline Floats all_of(float x) { return Floats{x, x, x, x, x, x, x, x}; }

L2M_TARGET static inline Floats load(const float* from) {
    Floats out;
    std::memcpy(&out, from, sizeof out);
    return out;
}

template <int D>
L2M_TARGET static void embed(const float* features, ptrdiff_t plane, int points, float* weight_Pv, int32_t* key_Pk) {
    const Floats zero = all_of(0), one = all_of(1), corners = all_of(D + 1), share = all_of(1.0f / (D + 1));
    const Floats magic = all_of(12582912.0f);  // added and taken away, it rounds to the nearest integer
    const float deviation = static_cast<float>(std::sqrt(2.0 / 3.0) * (D + 1));
    Floats scale[D];
    for (int i = 0; i < D; ++i) scale[i] = all_of(static_cast<float>(1.0 / std::sqrt((i + 2.0) * (i + 1)) * deviation));

    for (int p = 0; p < points; p += LANES) {
        // Onto the plane of vectors whose coordinates sum to zero.
        Floats raised[D + 1], sum = zero;
        for (int i = D; i > 0; --i) {
            const Floats x = load(features + (i - 1) * plane + p) * scale[i - 1];
            raised[i] = sum - all_of(static_cast<float>(i)) * x;
            sum = sum + x;
        }
        raised[0] = sum;
        // The nearest point with all coordinates divisible by D + 1, which may lie off that plane by `off` steps.
        Floats nearest[D + 1], off = zero;
        for (int i = 0; i <= D; ++i) {
            const Floats v = (share * raised[i] + magic) - magic;
            nearest[i] = v * corners;
            off = off + v;
        }
        // Coordinates by size of their remainder: rank 0 is the largest.
        Floats rank[D + 1];
        for (Floats& r : rank) r = zero;
        for (int i = 0; i < D; ++i) {
            const Floats here = raised[i] - nearest[i];
            for (int j = i + 1; j <= D; ++j) {
                const Floats smaller = L2M_SELECT(here < raised[j] - nearest[j], one, zero);
                rank[i] = rank[i] + smaller;
                rank[j] = rank[j] + (one - smaller);
            }
        }
        // Back onto the plane, through the coordinates that rounding moved most.
        Floats by_rank[D + 1];
        for (Floats& b : by_rank) b = zero;
        for (int i = 0; i <= D; ++i) {
            rank[i] = rank[i] + off;
            const Floats move = L2M_SELECT(rank[i] < zero, corners, zero) - L2M_SELECT(rank[i] >= corners, corners, zero);
            rank[i] = rank[i] + move;
            nearest[i] = nearest[i] + move;
            const Floats rest = (raised[i] - nearest[i]) * share;
            for (int r = 0; r <= D; ++r) {
                const Floats r_here = all_of(static_cast<float>(r));
                by_rank[r] = by_rank[r] + L2M_SELECT(rank[i] == r_here, rest, zero);
            }
        }
        Ints code = {}, radix = {1, 1, 1, 1, 1, 1, 1, 1};
        Ints base[D];
        for (int i = 0; i < D; ++i) {
            base[i] = to_ints(nearest[i]);
            code = code + radix * to_ints(rank[i]);
            radix = radix * Ints{D + 1, D + 1, D + 1, D + 1, D + 1, D + 1, D + 1, D + 1};
        }
        Floats weight[D + 1];
        weight[0] = by_rank[D] + (one - by_rank[0]);
        for (int v = 1; v <= D; ++v) weight[v] = by_rank[D - v] - by_rank[D - v + 1];
        // Rounding must leave none below zero: a point that hears one corner only would be normalised by a negative sum.
        for (Floats& w : weight) w = L2M_SELECT(w > zero, w, zero);
        const int lanes = std::min(LANES, points - p);
        for (int l = 0; l < lanes; ++l) {
            for (int v = 0; v <= D; ++v) weight_Pv[static_cast<ptrdiff_t>(p + l) * (D + 1) + v] = weight[v][l];
            int32_t* key = key_Pk + static_cast<ptrdiff_t>(p + l) * (D + 1);
            for (int i = 0; i < D; ++i) key[i] = base[i][l];
            key[D] = code[l];
        }
    }
}

static Embed embed_variant(int dims) {
    static const Embed all[] = {embed<1>, embed<2>, embed<3>, embed<4>, embed<5>, embed<6>, embed<7>, embed<8>};
    return all[dims - 1];
}
