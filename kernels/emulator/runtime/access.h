// Every load and store of a kernel in checked mode.
//
// The kernel is compiled with -fsanitize=thread, but linked without that sanitizer's library: the calls that the compiler
// puts before each load and store come here instead. Most must be over in a few nanoseconds, so: each place in the program
// remembers in which region it found its address last time (nearly always the same again), and everything known about an
// address lies at a direct offset: one byte for every byte (`written`), one Word for every four (shadow.h).
//
// written[i] is the current `mark` once the byte has been written, with the high bit while a cp.async is filling it. For
// global memory the mark is 1; for shared memory it changes with every block, so that nothing need be cleared.
#pragma once
#include "schedule.h"
#include "shadow.h"
#include "transactions.h"

namespace minizf {

constexpr uint8_t PENDING = 0x80;
inline uint8_t marks[3] = {0, 1, 1};

constexpr int PLACES = 1024;
inline Region everything = {nullptr, ~(size_t)0, nullptr, 0, LOCAL, 0};  // between launches nothing is looked at
inline Region own_regions[5];  // stacks, constants, the runtime's own: LOCAL
inline Region* region_at[PLACES];

inline Region*& guess(void* place) { return region_at[((uintptr_t)place ^ (uintptr_t)place >> 10) % PLACES]; }
inline void forget_guesses(Region* all) { for (Region*& r : region_at) r = all; }

inline Region local(void* begin, void* end) {
    return {(char*)begin, (size_t)((char*)end - (char*)begin), nullptr, 0, LOCAL, 0};
}

inline void accesses_begin() {
    Library& l = launch->library;
    own_regions[0] = local(stacks, stacks + MOST_THREADS * STACK_STRIDE);
    own_regions[1] = local(&minizf_now, &minizf_now + 1);
    own_regions[2] = local(&block, &block + 1);
    own_regions[3] = local(l.image, l.shared);
    own_regions[4] = local(l.shared_end, l.image_end);
    forget_guesses(&own_regions[0]);
}

inline bool inside(const Region& r, const char* address, size_t bytes) {
    size_t offset = (size_t)(address - r.base);
    return offset < r.bytes && bytes <= r.bytes - offset;
}

[[noreturn, gnu::noinline]] inline void wrong_access(Fault fault, const Region* r, char* address, int bytes, Access access,
                                                     void* place) {
    settle();
    Error& e = new_error(fault);
    e.access = access, e.bytes = bytes, e.place = (uint64_t)place, e.address = (uint64_t)address, e.line = 0;
    if (r) e.region = (int)(r - launch->regions), e.space = r->space, e.offset = address - r->base;
    abandon();
}

// Looks through all regions. An address in none of them is named after the array this place used before, else the nearest.
[[gnu::noinline]] inline Region* find_region(char* address, size_t bytes, Access access, void* place) {
    Region* begin = launch->regions;
    Region* end = begin + launch->region_count;
    for (Region* r = begin; r < end; ++r)
        if (inside(*r, address, bytes)) return guess(place) = r;
    for (Region& r : own_regions)
        if (inside(r, address, bytes)) return guess(place) = &r;
    Region *before = guess(place), *nearest = nullptr;
    if (before >= begin && before < end && before->space != LOCAL) nearest = before;
    size_t least = (size_t)1 << 30;
    for (Region* r = begin; r < end && nearest != before; ++r) {
        char* end_of_it = r->base + r->bytes;
        size_t distance = (size_t)(address < r->base ? r->base - address : address > end_of_it ? address - end_of_it : 0);
        if (r->space != LOCAL && distance < least) least = distance, nearest = r;
    }
    if ((uintptr_t)address < 4096) nearest = nullptr;
    wrong_access(OUT_OF_BOUNDS, nearest, address, (int)bytes, access, place);
}

template <int N> inline bool all_bytes(const uint8_t* state, uint8_t value) {
    if constexpr (N == 16) return all_bytes<8>(state, value) && all_bytes<8>(state + 8, value);
    uint64_t bits = 0;
    memcpy(&bits, state, N < 8 ? N : 8);
    return bits == (0x0101010101010101u * value & (N < 8 ? ((uint64_t)1 << 8 * (N & 7)) - 1 : ~(uint64_t)0));
}

[[gnu::noinline]] inline void look_at_state(Region* r, char* address, int bytes, Access access, void* place) {
    const uint8_t* state = r->written + (address - r->base);
    for (int i = 0; i < bytes; ++i) {
        char* word = address + i / 4 * 4;
        if (state[i] == (marks[r->space] | PENDING)) wrong_access(PENDING_COPY, r, word, bytes, access, place);
        bool reads = access == READ || access == ATOMIC;
        if (reads && state[i] != marks[r->space]) wrong_access(UNWRITTEN, r, word, bytes, access, place);
    }
}

template <int N, Access access> [[gnu::always_inline]] inline void check(Region* r, char* address, void* place) {
    Thread& t = *me();
    size_t offset = (size_t)(address - r->base);
    uint32_t where = (uint32_t)((char*)place - launch->library.image);
    if (access != ATOMIC) note(t, r->space, access != READ, address + r->skew, N, where);  // others may run meanwhile
    Counts& c = *t.counts;
    if (access == ATOMIC) ++c.atomics;
    else {
        Traffic& moved = c.traffic[r->space == SHARED][access != READ];
        ++moved.accesses, moved.bytes += N;
    }
    if (r->written) {
        uint8_t* state = r->written + offset;
        uint8_t mark = marks[r->space];
        if (!all_bytes<N>(state, mark)) {
            look_at_state(r, address, N, access, place);
            memset(state, mark, N);
        }
    }
    Touch now = {address, N, access, r, place};
    uintptr_t in_word = (uintptr_t)address & 3;
    Word* w = words + r->shadow + (offset + ((uintptr_t)r->base & 3)) / 4;
    Stamp mine = t.stamp | (access == ATOMIC ? ATOMIC_BIT : 0);
    for (int word = 0; word < (N + 3) / 4; ++word, ++w) {
        Stamp stamp = mine | (N >= 4 ? ALL_BYTES : (((Stamp)1 << N) - 1) << in_word & ALL_BYTES);
        if (access == READ) read_word(*w, stamp, where, now);
        else write_word(*w, stamp, where, now);
    }
}

template <int N, Access access, bool aligned = true> [[gnu::always_inline]] inline void touch(void* pointer, void* place) {
    char* address = (char*)pointer;
    if (__builtin_expect(suspect.bytes, 0)) settle();
    Region* r = guess(place);
    if (__builtin_expect(!inside(*r, address, N), 0)) r = find_region(address, N, access, place);
    if (r->space == LOCAL) return;
    if (aligned && __builtin_expect((uintptr_t)address % N, 0)) wrong_access(MISALIGNED, r, address, N, access, place);
    check<N, access>(r, address, place);
}

// A structure of any size, as if it were read or written piece by piece.
template <Access access> inline void touch_range(void* pointer, size_t bytes, void* place) {
    char* address = (char*)pointer;
    size_t i = 0;
    for (; i + 4 <= bytes && !((uintptr_t)address & 3); i += 4) touch<4, access>(address + i, place);
    for (; i < bytes; ++i) touch<1, access>(address + i, place);
}

}  // namespace minizf
