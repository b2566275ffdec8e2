#include "memory.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <mutex>
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace l2m {
namespace {

constexpr size_t ALIGNMENT = 64, SMALL = 1 << 16, MOST_KEPT = size_t{512} << 20;

struct Header {  // stands in front of what is handed out
    size_t size;
};

struct Shelf {  // oldest first
    std::mutex mutex;
    Header* blocks[64];
    size_t count = 0, total = 0;
};

Shelf& shelf() {
    static Shelf& one = *new Shelf;  // never destroyed: objects that live longer than this file's give memory back
    return one;
}

// Linux may then hand out large blocks in pages of 2 MB: the first writing of a thousand times fewer pages is waited for.
void prefer_large_pages(void* memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
    constexpr uintptr_t page = 4096, large = uintptr_t{4} << 20;
    const uintptr_t first = (reinterpret_cast<uintptr_t>(memory) + page - 1) / page * page;
    const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) / page * page;
    if (bytes >= large) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);  // a wish: may fail
#else
    (void)memory, (void)bytes;
#endif
}

void release(Header* header) { ::operator delete(header, std::align_val_t{ALIGNMENT}); }

// The smallest block that serves and is not twice as large; null where there is none.
Header* from_shelf(size_t bytes) {
    Shelf& of = shelf();
    const std::lock_guard<std::mutex> lock(of.mutex);
    size_t best = of.count;
    for (size_t i = 0; i < of.count; ++i) {
        const size_t size = of.blocks[i]->size;
        if (size >= bytes && size <= 2 * bytes && (best == of.count || size < of.blocks[best]->size)) best = i;
    }
    if (best == of.count) return nullptr;
    Header* found = of.blocks[best];
    std::copy(of.blocks + best + 1, of.blocks + of.count--, of.blocks + best);
    of.total -= found->size;
    return found;
}

// What lay there longest makes room.
void to_shelf(Header* header) {
    Shelf& of = shelf();
    const std::lock_guard<std::mutex> lock(of.mutex);
    size_t gone = 0;
    while (gone < of.count && (of.count - gone == std::size(of.blocks) || of.total + header->size > MOST_KEPT)) {
        of.total -= of.blocks[gone]->size;
        release(of.blocks[gone++]);
    }
    of.count = static_cast<size_t>(std::copy(of.blocks + gone, of.blocks + of.count, of.blocks) - of.blocks);
    of.blocks[of.count++] = header;
    of.total += header->size;
}

}  // namespace

void* take_memory(size_t bytes) {
    Header* header = bytes < SMALL ? nullptr : from_shelf(bytes);
    if (!header) {
        header = static_cast<Header*>(::operator new(bytes + ALIGNMENT, std::align_val_t{ALIGNMENT}));
        header->size = bytes;
        prefer_large_pages(header, bytes + ALIGNMENT);
    }
    return reinterpret_cast<char*>(header) + ALIGNMENT;
}

void give_memory(void* memory) noexcept {
    auto* header = reinterpret_cast<Header*>(static_cast<char*>(memory) - ALIGNMENT);
    if (header->size < SMALL || header->size > MOST_KEPT) release(header);
    else to_shelf(header);
}

}  // namespace l2m
