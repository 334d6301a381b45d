// What a warp's accesses cost together: 32-byte sectors of global memory, passes over the banks of shared memory.
//
// The lanes of a warp run one after another here, on a GPU together. So each lane notes its accesses, and when no thread
// can go on the notes are laid side by side: lanes that are at the same place in the program made one request. Where lanes
// went different ways, those furthest behind in the program go first; so the others are caught up with where the ways join
// again.
//
// A request to global memory moves the sectors of 32 bytes it touches: 4 for 32 floats in a row. Shared memory has 32 banks
// of four bytes: a request takes as many passes as the busiest bank has different words to give; a word that several lanes
// read counts once. Requests of 8 and 16 bytes per lane are served for 16 and 8 lanes at a time.
#pragma once
#include "schedule.h"

namespace minizf {

constexpr int NOTES = 64;
struct Notes {  // of a warp; row by row, so that what lanes did in step lies side by side
    uint32_t what[NOTES][LANES];      // place in the program << 5 | log2(bytes) << 2 | shared << 1 | write
    uint32_t address[NOTES][LANES];   // its low half: enough to tell sectors and banks apart
};
inline Notes notes[MOST_WARPS];
inline int noted[MOST_WARPS][LANES];

inline void notes_begin() { memset(noted, 0, (size_t)block.warps * sizeof noted[0]); }

// A thread whose notes are full waits until all threads have stopped and the notes have been read.
inline void note(Thread& t, int space, bool write, const char* address, int bytes, uint32_t place) {
    int& count = noted[t.warp][t.lane];
    if (__builtin_expect(count == NOTES, 0)) {
        t.status = NOTES_FULL;
        give_way();
    }
    Notes& n = notes[t.warp];
    uint32_t size = (uint32_t)__builtin_ctz((unsigned)bytes), shared = space == SHARED;
    n.what[count][t.lane] = place << 5 | size << 2 | shared << 1 | write;
    n.address[count++][t.lane] = (uint32_t)(uintptr_t)address;
}

inline unsigned sectors(const uint32_t* address, int count) {
    uint32_t seen[LANES];
    unsigned steps = 1;
    bool rising = true;
    for (int lane = 1; lane < count; ++lane) {
        rising &= address[lane] >= address[lane - 1];
        steps += address[lane] / 32 != address[lane - 1] / 32;
    }
    if (rising) return steps;
    unsigned different = 0;
    for (int lane = 0; lane < count; ++lane) {
        unsigned i = 0;
        while (i < different && seen[i] != address[lane] / 32) ++i;
        if (i == different) seen[different++] = address[lane] / 32;
    }
    return different;
}

inline bool within(const uint32_t* address, int count, uint32_t bytes) {  // then no bank has two different words to give
    uint32_t lowest = address[0], highest = address[0];
    for (int lane = 1; lane < count; ++lane) {
        lowest = address[lane] < lowest ? address[lane] : lowest;
        highest = address[lane] > highest ? address[lane] : highest;
    }
    return highest - lowest < bytes;
}

// Banks taken together as wide as the access: 32 of 4 bytes, 16 of 8, 8 of 16, each for as many lanes.
inline unsigned passes(const uint32_t* address, int count, int bytes) {
    uint32_t width = bytes < 4 ? 4 : (uint32_t)bytes, banks = 4 * LANES / width;
    unsigned total = 0;
    for (int begin = 0; begin < count; begin += (int)banks) {
        int lanes = begin + (int)banks < count ? (int)banks : count - begin;
        unsigned busiest = 1, filled[LANES] = {};
        uint32_t of_bank[LANES][LANES];
        bool apart = within(address + begin, lanes, 4 * LANES - 3);
        for (int lane = begin; lane < begin + lanes && !apart; ++lane) {
            uint32_t piece = address[lane] / width, bank = piece % banks;
            unsigned i = 0;
            while (i < filled[bank] && of_bank[bank][i] != piece) ++i;
            if (i < filled[bank]) continue;
            of_bank[bank][filled[bank]++] = piece;
            if (filled[bank] > busiest) busiest = filled[bank];
        }
        total += busiest;
    }
    return total;
}

inline void request(uint32_t what, const uint32_t* address, int count) {
    bool shared = what >> 1 & 1, write = what & 1;
    int bytes = 1 << (what >> 2 & 7);
    ++launch->transactions.requests[shared][write];
    launch->transactions.units[shared][write] += shared ? passes(address, count, bytes) : sectors(address, count);
}

inline bool in_step(const uint32_t* what) {
    uint32_t difference = 0;
    for (int lane = 1; lane < LANES; ++lane) difference |= what[lane] ^ what[0];
    return !difference;
}

// Reads what can be told already: a lane that stopped because its notes were full may be at the same place again with its
// next one.
inline void read_notes(int warp) {
    Notes& n = notes[warp];
    int *count = noted[warp], least = count[0];
    for (int lane = 1; lane < LANES; ++lane) least = count[lane] < least ? count[lane] : least;
    int row = 0;
    for (; row < least && in_step(n.what[row]); ++row) request(n.what[row][0], n.address[row], LANES);
    int next[LANES];
    for (int& i : next) i = row;
    for (;;) {
        uint32_t what = ~0u, addresses[LANES];
        bool more_to_come = false;
        for (int lane = 0; lane < LANES; ++lane) {
            if (next[lane] < count[lane]) what = n.what[next[lane]][lane] < what ? n.what[next[lane]][lane] : what;
            else more_to_come |= block.threads[warp * LANES + lane].status == NOTES_FULL;
        }
        if (what == ~0u || more_to_come) break;
        int together = 0;
        for (int lane = 0; lane < LANES; ++lane)
            if (next[lane] < count[lane] && n.what[next[lane]][lane] == what)
                addresses[together++] = n.address[next[lane]++][lane];
        request(what, addresses, together);
    }
    for (int lane = 0; lane < LANES; ++lane) {
        for (int i = next[lane]; i < count[lane]; ++i)
            n.what[i - next[lane]][lane] = n.what[i][lane], n.address[i - next[lane]][lane] = n.address[i][lane];
        count[lane] -= next[lane];
    }
}

// Called when no thread can go on.
inline void notes_end() {
    for (int warp = 0; warp < block.warps; ++warp) read_notes(warp);
}

}  // namespace minizf
