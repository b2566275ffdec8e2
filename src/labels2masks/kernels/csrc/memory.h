// Memory that the next call takes again. A photo of 500x375 needs 50 MB for a tenth of a second; asked of the
// system each time, a sixth of that goes into its handing out pages of zeros.
#pragma once
#include <cstddef>
#include <new>
#include <vector>

namespace l2m {

// At least `bytes`, 64-byte aligned, with whatever it held before. Throws std::bad_alloc.
void* take_memory(size_t bytes);

// For the next to take. Up to 512 MB are kept; what goes beyond is the system's again.
void give_memory(void* memory) noexcept;

template <typename T>
struct KeptAllocator {
    using value_type = T;
    KeptAllocator() = default;
    template <typename U>
    KeptAllocator(const KeptAllocator<U>&) {}
    T* allocate(size_t count) { return static_cast<T*>(take_memory(count * sizeof(T))); }
    void deallocate(T* memory, size_t) noexcept { give_memory(memory); }
    // Without a value nothing is written: numbers are set before they are read.
    void construct(T*) {}
    template <typename... Values>
    void construct(T* at, const Values&... values) { ::new (static_cast<void*>(at)) T(values...); }
    template <typename U>
    bool operator==(const KeptAllocator<U>&) const { return true; }
    template <typename U>
    bool operator!=(const KeptAllocator<U>&) const { return false; }
};

// A vector of numbers in such memory; those of a new one, or of its new end, are not set.
template <typename T>
using Kept = std::vector<T, KeptAllocator<T>>;

}  // namespace l2m
