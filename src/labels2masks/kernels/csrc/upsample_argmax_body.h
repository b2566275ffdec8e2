// The hot part of upsample_argmax.cpp, compiled once per instruction set: L2M_TARGET is the
// attribute of every function here, and the including file opens a namespace around it.
// Plain loops over fixed lanes, written so that the compiler makes vector code of them.

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

// One row of cells: scores to row_wC (clamped from below, padded to `padded` classes), winners to winner_w.
// Returns false where a score is NaN or not below HIGHEST.
L2M_TARGET static bool load_row(const UpsampleArgmax& job, int row, int padded, float* row_wC, int32_t* winner_w) {
    const int classes = job.classes, width = job.x.cells;
    const float* from = job.scores + row * job.stride_y;
    int32_t bad = 0;
    if (job.stride_x == 1) {
        float seen[LANES], best[LANES];
        int32_t winner[LANES];
        for (int x0 = 0; x0 < width; x0 += LANES) {
            const int count = std::min(LANES, width - x0);
            for (int l = 0; l < LANES; ++l) seen[l] = LOWEST, best[l] = 2 * LOWEST, winner[l] = 0;
            for (int k = 0; k < classes; ++k) {
                std::memcpy(seen, from + k * job.stride_c + x0, sizeof(float) * count);
                for (int l = 0; l < LANES; ++l) {
                    bad |= !(seen[l] < HIGHEST);
                    const float value = seen[l] > LOWEST ? seen[l] : LOWEST;
                    winner[l] = value > best[l] ? k : winner[l];
                    best[l] = value > best[l] ? value : best[l];
                    seen[l] = value;
                }
                float* to = row_wC + static_cast<ptrdiff_t>(x0) * padded + k;
                for (int l = 0; l < count; ++l) to[static_cast<ptrdiff_t>(l) * padded] = seen[l];
            }
            std::memcpy(winner_w + x0, winner, sizeof(int32_t) * count);
        }
    } else {
        for (int x = 0; x < width; ++x) {
            const float* scores_C = from + x * job.stride_x;
            float* to = row_wC + static_cast<ptrdiff_t>(x) * padded;
            float highest = 2 * LOWEST;
            for (int k = 0; k < classes; ++k) bad |= !(scores_C[k] < HIGHEST);
            for (int k = 0; k < classes; ++k) to[k] = scores_C[k] > LOWEST ? scores_C[k] : LOWEST;
            int32_t winner = 0;
            for (int k = 0; k < classes; ++k) {
                if (to[k] > highest) highest = to[k], winner = k;
            }
            winner_w[x] = winner;
        }
    }
    return !bad;
}

// One cell: the pixels rows y0..y1 and columns x0..x1 that lie between four neighbouring cells.
L2M_TARGET static void resolve_cell(const UpsampleArgmax& job, const Corners& corners, int y0, int y1, int x0, int x1,
                                    int padded, Scratch& scratch, int32_t* out_HW, float* confidence_HW) {
    const int width = job.x.pixels;
    // Somewhere a class is at least `floor` everywhere in the cell, so one that stays below it can not win.
    float floor = 2 * LOWEST;
    for (int32_t k : corners.winner) {
        const float lowest = std::min(std::min(corners.score_C[0][k], corners.score_C[1][k]),
                                      std::min(corners.score_C[2][k], corners.score_C[3][k]));
        floor = std::max(floor, lowest);
    }
    if (confidence_HW) floor -= NEGLIGIBLE;

    int count = 0;
    float* kept = scratch.kept.data();  // four corner scores a candidate
    int32_t* name = scratch.name.data();
    for (int k0 = 0; k0 < padded; k0 += BLOCK) {
        float highest[BLOCK];
        int32_t any = 0;
        for (int l = 0; l < BLOCK; ++l) {
            const float top = std::max(corners.score_C[0][k0 + l], corners.score_C[1][k0 + l]);
            const float bottom = std::max(corners.score_C[2][k0 + l], corners.score_C[3][k0 + l]);
            highest[l] = std::max(top, bottom);
            any |= highest[l] >= floor;
        }
        if (!any) continue;
        for (int l = 0; l < BLOCK && k0 + l < job.classes; ++l) {
            if (highest[l] >= floor) {
                for (int corner = 0; corner < 4; ++corner) kept[4 * count + corner] = corners.score_C[corner][k0 + l];
                name[count++] = k0 + l;
            }
        }
    }

    const int columns = x1 - x0, pixels = columns * (y1 - y0);
    for (int first = 0; first < pixels; first += BLOCK) {
        const int lanes = std::min(BLOCK, pixels - first);
        float up[BLOCK] = {}, down[BLOCK] = {}, left[BLOCK] = {}, right[BLOCK] = {};
        ptrdiff_t at[BLOCK];
        for (int l = 0, y = y0 + first / columns, x = x0 + first % columns; l < lanes; ++l) {
            down[l] = job.y.weight[y], up[l] = 1.0f - down[l];
            right[l] = job.x.weight[x], left[l] = 1.0f - right[l];
            at[l] = static_cast<ptrdiff_t>(y - scratch.out_row) * width + x;
            if (++x == x1) x = x0, ++y;
        }
        float best[BLOCK];
        int32_t winner[BLOCK];
        for (int l = 0; l < BLOCK; ++l) best[l] = 4 * LOWEST, winner[l] = 0;
        for (int n = 0; n < count; ++n) {
            const float* c = kept + 4 * n;
            float* score = scratch.score.data() + static_cast<ptrdiff_t>(n) * BLOCK;
            for (int l = 0; l < BLOCK; ++l) {
                const float west = up[l] * c[0] + down[l] * c[2];
                const float east = up[l] * c[1] + down[l] * c[3];
                const float value = left[l] * west + right[l] * east;
                winner[l] = value > best[l] ? name[n] : winner[l];
                best[l] = value > best[l] ? value : best[l];
                score[l] = value;
            }
        }
        for (int l = 0; l < lanes; ++l) out_HW[at[l]] = winner[l];
        if (!confidence_HW) continue;
        float sum[BLOCK] = {};
        for (int n = 0; n < count; ++n) {
            const float* score = scratch.score.data() + static_cast<ptrdiff_t>(n) * BLOCK;
            for (int l = 0; l < BLOCK; ++l) sum[l] += exp_of_negative(score[l] - best[l]);
        }
        for (int l = 0; l < lanes; ++l) confidence_HW[at[l]] = 1.0f / sum[l];
    }
}

// The pixel rows first..last (exclusive), which begin and end with a row of cells.
L2M_TARGET static Status upsample_band(const UpsampleArgmax& job, int first, int last, int64_t* confusion_CC) {
    const int cells_x = job.x.cells, cells_y = job.y.cells, width = job.x.pixels, classes = job.classes;
    const int padded = (classes + BLOCK - 1) / BLOCK * BLOCK;
    const size_t row_size = static_cast<size_t>(cells_x) * padded;
    std::vector<float> rows[2] = {std::vector<float>(row_size, 2 * LOWEST), std::vector<float>(row_size, 2 * LOWEST)};
    std::vector<int32_t> winners[2] = {std::vector<int32_t>(cells_x), std::vector<int32_t>(cells_x)};
    int loaded[2] = {-1, -1};
    Scratch scratch(padded);
    std::vector<int32_t> band_mask;  // where the caller wants the confusion alone

    for (int y0 = first; y0 < last;) {
        const int top = static_cast<int>(job.y.low[y0]), bottom = std::min(top + 1, cells_y - 1);
        int y1 = y0;
        while (y1 < last && job.y.low[y1] == top) ++y1;
        for (int row : {top, bottom}) {
            if (loaded[row % 2] == row) continue;
            if (!load_row(job, row, padded, rows[row % 2].data(), winners[row % 2].data())) return Status::bad_score;
            loaded[row % 2] = row;
        }
        int32_t* out_HW = job.mask_HW;
        scratch.out_row = 0;
        if (!out_HW) {
            band_mask.resize(std::max(band_mask.size(), static_cast<size_t>(y1 - y0) * width));
            out_HW = band_mask.data();
            scratch.out_row = y0;
        }
        const int32_t *above = winners[top % 2].data(), *below = winners[bottom % 2].data();
        for (int x0 = 0; x0 < width;) {
            const int west = static_cast<int>(job.x.low[x0]), east = std::min(west + 1, cells_x - 1);
            const int32_t winner = above[west];
            int x1 = x0;
            while (x1 < width && job.x.low[x1] == west) ++x1;
            if (winner == above[east] && winner == below[west] && winner == below[east] && !job.confidence_HW) {
                // Every score is a mean of its corners with weights >= 0, so who wins at all four wins throughout.
                for (int y = y0; y < y1; ++y) {
                    int32_t* row = out_HW + static_cast<ptrdiff_t>(y - scratch.out_row) * width;
                    std::fill(row + x0, row + x1, winner);
                }
            } else {
                const float *a = rows[top % 2].data(), *b = rows[bottom % 2].data();
                const ptrdiff_t w = static_cast<ptrdiff_t>(west) * padded, e = static_cast<ptrdiff_t>(east) * padded;
                const Corners corners = {{a + w, a + e, b + w, b + e},
                                         {winner, above[east], below[west], below[east]}};
                resolve_cell(job, corners, y0, y1, x0, x1, padded, scratch, out_HW, job.confidence_HW);
            }
            x0 = x1;
        }
        if (job.truth_HW) {
            for (int y = y0; y < y1; ++y) {
                const int32_t* given = out_HW + static_cast<ptrdiff_t>(y - scratch.out_row) * width;
                const int32_t* truth = job.truth_HW + static_cast<ptrdiff_t>(y) * width;
                for (int x = 0; x < width; ++x) {
                    if (truth[x] < 0) continue;
                    if (truth[x] >= classes) return Status::bad_truth;
                    ++confusion_CC[static_cast<ptrdiff_t>(truth[x]) * classes + given[x]];
                }
            }
        }
        y0 = y1;
    }
    return Status::fine;
}
