// The hot part of mean_field.cpp, compiled once per instruction set.
#include "rows_body.h"

L2M_TARGET static inline Floats exponential(Floats x) {
    // exp(x) for -87 <= x <= 87 to 3e-7: a polynomial of the remainder, times 2^n by adding n to the exponent's bits.
    const Floats shifted = x * all_of(1.44269504f) + all_of(12582912.0f);  // its lowest bits are n
    const Floats r = x - (shifted - all_of(12582912.0f)) * all_of(0.69314718f);
    Floats p = all_of(8.31252e-3f) * r + all_of(4.189011e-2f);
    p = p * r + all_of(1.6667114e-1f);
    p = p * r + all_of(4.9999232e-1f);
    p = p * r + all_of(1.0f);
    p = p * r + all_of(1.0f);
    Ints n, bits;
    std::memcpy(&n, &shifted, sizeof n);
    std::memcpy(&bits, &p, sizeof bits);
    bits = bits + (n << 23);
    std::memcpy(&p, &bits, sizeof p);
    return p;
}

L2M_TARGET static inline Floats larger(Floats a, Floats b) { return L2M_SELECT(a > b, a, b); }

L2M_TARGET static inline float largest_of(Floats x) {
    float most = x[0];
    for (int l = 1; l < LANES; ++l) most = x[l] > most ? x[l] : most;
    return most;
}

// A bilateral kernel, then a Gaussian one: what is not asked for each point again is a few percent.
static inline bool is_usual(const Sweep& sweep) {
    return sweep.messages.size() == 2 && sweep.messages[0].corners == 6 && sweep.messages[1].corners == 3;
}

// q += the message of one kernel to point p.
template <int V, int C>
L2M_TARGET static inline void receive(const Message& message, ptrdiff_t p, int count, Floats* q) {
    const int32_t* start = message.start_Sv + static_cast<ptrdiff_t>(message.simplex_P[p]) * C;
    const float *weight = message.weight_Pv + p * C, *blurred = message.blurred;
    L2M_FORGET_ORIGIN(weight);
    L2M_FORGET_ORIGIN(start);
    for (int c = 0; c < C; ++c) {
        const float* from = blurred + start[c];
        const Floats w = all_of(weight[c]);
        for (int v = 0; v < count; ++v) q[v] = q[v] + w * load(from + v * LANES);
    }
}

// The message of point p with marginals q to the kernel's next table.
template <int V, int C>
L2M_TARGET static inline void send(const Message& message, ptrdiff_t p, int count, const Floats* q) {
    const int32_t* start = message.start_Sv + static_cast<ptrdiff_t>(message.simplex_P[p]) * C;
    const float* weight = message.weight_Pv + p * C;
    float* splatted = message.splatted;
    L2M_FORGET_ORIGIN(weight);
    L2M_FORGET_ORIGIN(start);
    for (int c = 0; c < C; ++c) {
        float* to = splatted + start[c];
        const Floats w = all_of(weight[c]);
        for (int v = 0; v < count; ++v) store(to + v * LANES, load(to + v * LANES) + w * q[v]);
    }
}

// The points first, first + 1, ...: their messages from the blurred tables, and with those their new marginals.
// V vectors of labels a point, or `vectors` where V is 0.
template <int V>
L2M_TARGET static void update(const Sweep& sweep, ptrdiff_t first, int points, int vectors,
                              const float* unary, float* marginal) {
    const int count = V ? V : vectors, width = count * LANES;
    const Message* messages = sweep.messages.data();
    const bool usual = is_usual(sweep);
    Floats q[V ? V : MOST_LABELS / LANES];
    for (int i = 0; i < points; ++i, unary += width, marginal += width) {
        const ptrdiff_t p = first + i;
        for (int v = 0; v < count; ++v) q[v] = all_of(0.0f);
        if (sweep.receives && usual) {
            receive<V, 6>(messages[0], p, count, q);
            receive<V, 3>(messages[1], p, count, q);
        } else if (sweep.receives) {
            for (const Message& message : sweep.messages) {
                if (message.corners == 6) receive<V, 6>(message, p, count, q);
                else if (message.corners == 3) receive<V, 3>(message, p, count, q);
            }
        }
        if (sweep.careful) {
            Floats most = all_of(0.0f);
            for (int v = 0; v < count; ++v) {
                most = larger(most, L2M_SELECT(load(unary + v * LANES) > all_of(0.0f), q[v], all_of(0.0f)));
            }
            most = all_of(largest_of(most));
            for (int v = 0; v < count; ++v) {
                const Floats below = L2M_SELECT(q[v] > most, all_of(0.0f), q[v] - most);
                q[v] = larger(below, all_of(-80.0f));
            }
        }
        Floats total = all_of(0.0f);
        for (int v = 0; v < count; ++v) {
            q[v] = load(unary + v * LANES) * exponential(q[v]);
            total = total + q[v];
        }
        const Floats share = all_of(1.0f) / sum_everywhere(total);
        for (int v = 0; v < count; ++v) store(marginal + v * LANES, q[v] * share);
    }
}

// The marginals of those points to the next tables.
template <int V>
L2M_TARGET static void splat(const Sweep& sweep, ptrdiff_t first, int points, int vectors, const float* marginal) {
    const int count = V ? V : vectors, width = count * LANES;
    const Message* messages = sweep.messages.data();
    const bool usual = is_usual(sweep);
    Floats q[V ? V : MOST_LABELS / LANES];
    for (int i = 0; i < points; ++i, marginal += width) {
        const ptrdiff_t p = first + i;
        for (int v = 0; v < count; ++v) q[v] = load(marginal + v * LANES);
        if (usual) {
            send<V, 6>(messages[0], p, count, q);
            send<V, 3>(messages[1], p, count, q);
            continue;
        }
        for (const Message& message : sweep.messages) {
            if (message.corners == 6) send<V, 6>(message, p, count, q);
            else if (message.corners == 3) send<V, 3>(message, p, count, q);
        }
    }
}

// The same for what has changed since a point last spoke: points of which no marginal has moved by more than
// `tolerance` stay silent. Returns how many spoke, and notes in `sent` what they did.
template <int V>
L2M_TARGET static ptrdiff_t splat_changes(const Sweep& sweep, ptrdiff_t first, int points, int vectors, float tolerance,
                                          float* marginal, float* sent) {
    const int count = V ? V : vectors, width = count * LANES;
    ptrdiff_t spoke = 0;
    for (int i = 0; i < points; ++i, marginal += width, sent += width) {
        Floats most = all_of(0.0f);
        for (int v = 0; v < count; ++v) {
            const Floats change = load(marginal + v * LANES) - load(sent + v * LANES);
            most = larger(most, larger(change, all_of(0.0f) - change));
        }
        if (!(largest_of(most) > tolerance)) continue;
        for (int v = 0; v < count; ++v) {
            const Floats now = load(marginal + v * LANES);
            store(marginal + v * LANES, now - load(sent + v * LANES));
            store(sent + v * LANES, now);
        }
        splat<V>(sweep, first + i, 1, vectors, marginal);
        ++spoke;
    }
    return spoke;
}

// Probabilities of the pixels x0, x0 + step, ... of a row of the photo, a row of `width` labels each. Writes whole
// blocks of 8 pixels, which may go beyond `count`. Returns false where one is NaN or not within 0..1.
L2M_TARGET static bool load_row(const MeanField& job, int y, int x0, int step, int count, int width, float* rows) {
    const int labels = static_cast<int>(job.labels.size());
    const ptrdiff_t plane = static_cast<ptrdiff_t>(job.height) * job.width;
    const float* here = job.probability_LHW + static_cast<ptrdiff_t>(y) * job.width + x0;
    const Floats least = all_of(job.least), none = all_of(0.0f), most = all_of(MOST_PROBABILITY);
    Ints good = {-1, -1, -1, -1, -1, -1, -1, -1};
    for (int i = 0; i < count; i += LANES) {
        const int pixels = std::min(LANES, count - i);
        for (int first = 0; first < width; first += LANES) {
            float block[LANES * LANES] = {};
            for (int l = 0; l < LANES && first + l < labels; ++l) {
                const float* from = here + job.labels[first + l] * plane + static_cast<ptrdiff_t>(i) * step;
                float some[LANES] = {};
                if (step != 1 || pixels < LANES) {
                    for (int j = 0; j < pixels; ++j) some[j] = from[static_cast<ptrdiff_t>(j) * step];
                    from = some;
                }
                const Floats value = load(from);
                good = L2M_SELECT(value >= none, good, to_ints(none));  // also false for NaN
                good = L2M_SELECT(value > most, to_ints(none), good);
                store(block + l * LANES, larger(value, least));
            }
            transpose(block, LANES, rows + i * static_cast<ptrdiff_t>(width) + first, width);
        }
    }
    for (int l = 0; l < LANES; ++l) {
        if (!good[l]) return false;
    }
    return true;
}

// The marginals of `count` pixels of a row of the photo, from rows as load_row makes them.
L2M_TARGET static void save_row(const MeanField& job, int y, int x0, int count, int width, const float* rows) {
    const int labels = static_cast<int>(job.labels.size());
    const ptrdiff_t plane = static_cast<ptrdiff_t>(job.height) * job.width;
    float* here = job.marginal_LHW + static_cast<ptrdiff_t>(y) * job.width + x0;
    for (int i = 0; i < count; i += LANES) {
        for (int first = 0; first < width; first += LANES) {
            float block[LANES * LANES];
            transpose(rows + i * static_cast<ptrdiff_t>(width) + first, width, block, LANES);
            for (int l = 0; l < LANES && first + l < labels; ++l) {
                float* to = here + job.labels[first + l] * plane + i;
                if (count - i >= LANES) store(to, load(block + l * LANES));
                else std::memcpy(to, block + l * LANES, (count - i) * sizeof(float));
            }
        }
    }
}

static Variant variant_for(int vectors) {
    static const Update updates[] = {update<0>, update<1>, update<2>, update<3>, update<4>};
    static const Splat splats[] = {splat<0>, splat<1>, splat<2>, splat<3>, splat<4>};
    static const SplatChanges changes[] = {splat_changes<0>, splat_changes<1>, splat_changes<2>, splat_changes<3>,
                                           splat_changes<4>};
    const int which = vectors <= 4 ? vectors : 0;
    return {updates[which], splats[which], changes[which], load_row, save_row};
}
