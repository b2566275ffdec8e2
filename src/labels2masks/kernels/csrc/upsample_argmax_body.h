// The hot part of upsample_argmax.cpp, compiled once per instruction set: L2M_TARGET is the
// attribute of every function here, and the including file opens a namespace around it.

L2M_TARGET static inline Floats all_of(float x) { return Floats{x, x, x, x, x, x, x, x}; }

L2M_TARGET static inline Ints all_of(int32_t x) { return Ints{x, x, x, x, x, x, x, x}; }

L2M_TARGET static inline Floats load(const float* from) {
    Floats out;
    std::memcpy(&out, from, sizeof out);
    return out;
}

L2M_TARGET static inline Floats larger(Floats a, Floats b) { return L2M_SELECT(a > b, a, b); }

L2M_TARGET static inline bool any(Ints mask) {
    uint64_t half[LANES / 2];
    std::memcpy(half, &mask, sizeof mask);
    return (half[0] | half[1] | half[2] | half[3]) != 0;
}

L2M_TARGET static inline float exp_of_negative(float x) {
    // exp(x) for x <= 0 to 2e-7: 2^n times a polynomial of the remainder.
    x = x > -87.0f ? x : -87.0f;
    const float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  // rounds to the nearest integer
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
    float power;
    std::memcpy(&power, &bits, sizeof power);
    return p * power;
}

// One row of cells: scores to row_wC (clamped from below, `padded` floats a cell), winners to winner_w.
// Returns false where a score is NaN or not below HIGHEST.
L2M_TARGET static bool load_row(const UpsampleArgmax& job, int row, int padded, float* row_wC, int32_t* winner_w) {
    const int classes = job.classes, width = job.x.cells;
    const float* from = job.scores + row * job.stride_y;
    const Floats lowest = all_of(LOWEST), highest = all_of(HIGHEST);
    Ints bad = {};
    if (job.stride_x == 1) {
        // Class by class along CHUNK cells: long enough for the processor to fetch ahead, short enough
        // that the lines written to, one a cell, stay in its first cache.
        for (int x0 = 0; x0 < width; x0 += CHUNK) {
            const int count = std::min(CHUNK, width - x0), vectors = (count + LANES - 1) / LANES;
            float seen[CHUNK] = {};
            Floats best[CHUNK / LANES];
            Ints winner[CHUNK / LANES] = {};
            for (Floats& b : best) b = all_of(2 * LOWEST);
            for (int k = 0; k < classes; ++k) {
                std::memcpy(seen, from + k * job.stride_c + x0, sizeof(float) * count);
                for (int v = 0; v < vectors; ++v) {
                    Floats value = load(seen + v * LANES);
                    bad = bad | (all_of(-1) - (value < highest));
                    value = larger(value, lowest);
                    const Ints wins = value > best[v];
                    winner[v] = L2M_SELECT(wins, all_of(k), winner[v]);
                    best[v] = L2M_SELECT(wins, value, best[v]);
                    std::memcpy(seen + v * LANES, &value, sizeof value);
                }
                float* to = row_wC + static_cast<ptrdiff_t>(x0) * padded + k;
                for (int l = 0; l < count; ++l) to[static_cast<ptrdiff_t>(l) * padded] = seen[l];
            }
            std::memcpy(winner_w + x0, winner, sizeof(int32_t) * count);
        }
    } else {
        for (int x = 0; x < width; ++x) {
            float* scores_C = row_wC + static_cast<ptrdiff_t>(x) * padded;
            std::memcpy(scores_C, from + x * job.stride_x, sizeof(float) * classes);
            Floats best = all_of(4 * LOWEST);
            Ints winner = {}, k = {0, 1, 2, 3, 4, 5, 6, 7};
            for (int k0 = 0; k0 < padded; k0 += LANES, k = k + all_of(LANES)) {
                Floats value = load(scores_C + k0);
                bad = bad | (all_of(-1) - (value < highest));
                // The padding stays below LOWEST, so that no class that does not exist ever wins.
                value = L2M_SELECT(k < all_of(classes), larger(value, lowest), all_of(2 * LOWEST));
                const Ints wins = value > best;
                winner = L2M_SELECT(wins, k, winner);
                best = L2M_SELECT(wins, value, best);
                std::memcpy(scores_C + k0, &value, sizeof value);
            }
            int first = 0;
            for (int l = 1; l < LANES; ++l) {
                if (best[l] > best[first] || (best[l] == best[first] && winner[l] < winner[first])) first = l;
            }
            winner_w[x] = winner[first];
        }
    }
    return !any(bad);
}

// The classes that can win somewhere between four cells (with a margin: that add to the softmax there):
// their corner scores to scratch.kept, their indices to scratch.name. Returns how many.
L2M_TARGET static int candidates(const Corners& corners, int padded, float margin, Scratch& scratch) {
    // Some class is nowhere in the cell below `floor`; one that nowhere reaches it can not win.
    float floor = 4 * LOWEST;
    for (int32_t k : corners.winner) {
        floor = std::max(floor, std::min(std::min(corners.score_C[0][k], corners.score_C[1][k]),
                                         std::min(corners.score_C[2][k], corners.score_C[3][k])));
    }
    floor = std::max(floor - margin, 1.5f * LOWEST);  // keeps the padding out
    int count = 0;
    float* kept = scratch.kept.data();
    int32_t* name = scratch.name.data();
    for (int k0 = 0; k0 < padded; k0 += LANES) {
        const Floats top = larger(load(corners.score_C[0] + k0), load(corners.score_C[1] + k0));
        const Floats bottom = larger(load(corners.score_C[2] + k0), load(corners.score_C[3] + k0));
        const Ints reaches = larger(top, bottom) >= all_of(floor);
        if (!any(reaches)) continue;
        for (int l = 0; l < LANES; ++l) {
            for (int corner = 0; corner < 4; ++corner) kept[4 * count + corner] = corners.score_C[corner][k0 + l];
            name[count] = k0 + l;
            count += reaches[l] != 0;
        }
    }
    return count;
}

// One cell: the pixel rows y0..y1 and columns x0..x1 between four neighbouring cells.
L2M_TARGET static void resolve_cell(const UpsampleArgmax& job, const Corners& corners, int y0, int y1, int x0, int x1,
                                    int padded, Scratch& scratch, int32_t* out_HW) {
    const int count = candidates(corners, padded, job.confidence_HW ? NEGLIGIBLE : 0.0f, scratch);
    const float* kept = scratch.kept.data();
    const int32_t* name = scratch.name.data();
    float* score = scratch.score.data();
    const int width = job.x.pixels, columns = x1 - x0, pixels = columns * (y1 - y0);
    for (int first = 0; first < pixels; first += LANES) {
        const int lanes = std::min(LANES, pixels - first);
        float down_l[LANES] = {}, right_l[LANES] = {};
        ptrdiff_t at[LANES];
        for (int l = 0, y = y0 + first / columns, x = x0 + first % columns; l < lanes; ++l) {
            down_l[l] = job.y.weight[y];
            right_l[l] = job.x.weight[x];
            at[l] = static_cast<ptrdiff_t>(y - scratch.out_row) * width + x;
            if (++x == x1) x = x0, ++y;
        }
        const Floats down = load(down_l), up = all_of(1.0f) - down;
        const Floats right = load(right_l), left = all_of(1.0f) - right;
        Floats best = all_of(4 * LOWEST);
        Ints winner = {};
        for (int n = 0; n < count; ++n) {
            const float* c = kept + 4 * n;
            const Floats west = up * all_of(c[0]) + down * all_of(c[2]);
            const Floats east = up * all_of(c[1]) + down * all_of(c[3]);
            const Floats value = left * west + right * east;
            const Ints wins = value > best;
            winner = L2M_SELECT(wins, all_of(name[n]), winner);
            best = L2M_SELECT(wins, value, best);
            if (job.confidence_HW) std::memcpy(score + n * LANES, &value, sizeof value);
        }
        for (int l = 0; l < lanes; ++l) out_HW[at[l]] = winner[l];
        if (!job.confidence_HW) continue;
        for (int n = 0; n < count; ++n) {
            const Floats below = load(score + n * LANES) - best;
            std::memcpy(score + n * LANES, &below, sizeof below);
        }
        for (int i = 0; i < count * LANES; ++i) score[i] = exp_of_negative(score[i]);
        Floats sum = all_of(0.0f);
        for (int n = 0; n < count; ++n) sum = sum + load(score + n * LANES);
        const Floats share = all_of(1.0f) / sum;
        for (int l = 0; l < lanes; ++l) job.confidence_HW[at[l] + scratch.out_row * static_cast<ptrdiff_t>(width)] = share[l];
    }
}

// The pixel rows first..last (exclusive), which begin and end with a row of cells.
L2M_TARGET static Status upsample_band(const UpsampleArgmax& job, int first, int last, int64_t* confusion_CC) {
    const int cells_x = job.x.cells, cells_y = job.y.cells, width = job.x.pixels, classes = job.classes;
    int padded = (classes + LANES - 1) / LANES * LANES;
    if (padded % 64 == 0) padded += LANES;  // else the cells of a row would compete for the same lines of the cache
    const size_t row_size = static_cast<size_t>(cells_x) * padded;
    std::vector<float> rows[2] = {std::vector<float>(row_size, 2 * LOWEST), std::vector<float>(row_size, 2 * LOWEST)};
    std::vector<int32_t> winners[2] = {std::vector<int32_t>(cells_x), std::vector<int32_t>(cells_x)};
    int loaded[2] = {-1, -1};
    Scratch scratch(padded);
    std::vector<int32_t> rows_of_mask;  // where the caller wants the confusion alone

    for (int y0 = first, y1; y0 < last; y0 = y1) {
        const int top = static_cast<int>(job.y.low[y0]), bottom = std::min(top + 1, cells_y - 1);
        for (y1 = y0; y1 < last && job.y.low[y1] == top;) ++y1;
        for (int row : {top, bottom}) {
            if (loaded[row % 2] == row) continue;
            if (!load_row(job, row, padded, rows[row % 2].data(), winners[row % 2].data())) return Status::bad_score;
            loaded[row % 2] = row;
        }
        int32_t* out_HW = job.mask_HW;
        if (!out_HW) {
            rows_of_mask.resize(std::max(rows_of_mask.size(), static_cast<size_t>(y1 - y0) * width));
            out_HW = rows_of_mask.data();
            scratch.out_row = y0;
        }
        const int32_t *above = winners[top % 2].data(), *below = winners[bottom % 2].data();
        for (int x0 = 0, x1; x0 < width; x0 = x1) {
            const int west = static_cast<int>(job.x.low[x0]), east = std::min(west + 1, cells_x - 1);
            const int32_t winner = above[west];
            for (x1 = x0; x1 < width && job.x.low[x1] == west;) ++x1;
            if (winner == above[east] && winner == below[west] && winner == below[east] && !job.confidence_HW) {
                // Every score is a mean of its corners with weights >= 0, so who wins at all four wins throughout.
                for (int y = y0; y < y1; ++y) {
                    int32_t* row = out_HW + static_cast<ptrdiff_t>(y - scratch.out_row) * width;
                    for (int x = x0; x < x1; ++x) row[x] = winner;
                }
                continue;
            }
            const float *a = rows[top % 2].data(), *b = rows[bottom % 2].data();
            const ptrdiff_t w = static_cast<ptrdiff_t>(west) * padded, e = static_cast<ptrdiff_t>(east) * padded;
            const Corners corners = {{a + w, a + e, b + w, b + e}, {winner, above[east], below[west], below[east]}};
            resolve_cell(job, corners, y0, y1, x0, x1, padded, scratch, out_HW);
        }
        for (int y = y0; y < y1 && job.truth_HW; ++y) {
            const int32_t* given = out_HW + static_cast<ptrdiff_t>(y - scratch.out_row) * width;
            const int32_t* truth = job.truth_HW + static_cast<ptrdiff_t>(y) * width;
            for (int x = 0; x < width; ++x) {
                if (truth[x] < 0) continue;
                if (truth[x] >= classes) return Status::bad_truth;
                ++confusion_CC[static_cast<ptrdiff_t>(truth[x]) * classes + given[x]];
            }
        }
    }
    return Status::fine;
}
