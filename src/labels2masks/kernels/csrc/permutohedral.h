// The permutohedral lattice: which vertices exist, which are neighbours, and the Gaussian filter over them.
// See the .cpp for the method.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "lanes.h"
#include "memory.h"
#include "simplex.h"

namespace l2m {

// Distinct keys of K int32 numbers each, numbered as they first came: open addressing over 64-bit hashes.
template <int K>
class KeySet {
public:
    explicit KeySet(ptrdiff_t expected);
    static uint64_t hash(const int32_t* key);
    int32_t find(const int32_t* key) const;
    int32_t find_or_add(const int32_t* key, uint64_t hash);
    void fetch(uint64_t hash) const { L2M_FETCH(&slot_[place(hash)]); }
    int32_t size() const { return count_; }
    const int32_t* key(int32_t i) const { return &keys_[static_cast<size_t>(i) * K]; }

private:
    size_t place(uint64_t hash) const { return static_cast<size_t>(hash >> (64 - bits_)); }
    void grow();
    int bits_ = 8;
    int32_t count_ = 0;
    Kept<int32_t> slot_, keys_;
};

struct Lattice {
    int dims = 0;
    int32_t vertices = 0;            // rows of a value table are 0..vertices; row 0 is "no vertex" and stays zero
    Kept<int32_t> simplex_P;  // the simplex that a point lies in
    Kept<float> weight_Pv;    // points x (dims + 1)
    Kept<int32_t> row_Sv;     // simplices x (dims + 1): rows of its vertices
    Kept<int32_t> neighbour_AR2;  // axes x (vertices + 1) x 2: rows of the neighbours along each axis

    int corners() const { return dims + 1; }
    ptrdiff_t points() const { return static_cast<ptrdiff_t>(simplex_P.size()); }
    float scale() const;  // what a sliced value is multiplied with, so that a point at a vertex keeps its own value
};

// Takes points by and by; the lattice is complete after finish().
class LatticeBuilder {
public:
    virtual ~LatticeBuilder() = default;
    // `features` as simplex.h says.
    virtual void add(const float* features, ptrdiff_t plane, int points) = 0;
    virtual Lattice finish() = 0;
};

std::unique_ptr<LatticeBuilder> lattice_builder(int dims, ptrdiff_t expected_points);

// One blur over all axes, forwards or (the transpose) backwards. Rows of `vectors` x 8 floats; `values` and `spare`
// hold vertices + 1 rows each. Returns the one of the two that holds the result, multiplied with `factor`.
float* blur(const Lattice& lattice, float* values, float* spare, int vectors, bool backwards, float factor);

// out[to] = sum over from of K(to, from) * values[from], for the points from0.. and to0.. of the lattice.
// Rows of `channels` floats. backwards: the transpose, with the points' roles as given.
void filter(const Lattice& lattice, const float* values_PC, ptrdiff_t from0, ptrdiff_t from_count, float* out_QC,
            ptrdiff_t to0, ptrdiff_t to_count, int channels, bool backwards);

// The same for values that are one at some points, to all points.
Kept<float> filter_ones(const Lattice& lattice, const Kept<int32_t>& source_S);

}  // namespace l2m
