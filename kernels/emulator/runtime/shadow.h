// Races: for every four bytes of memory, who wrote and who read them last, and whether a barrier lies between then and now.
//
// A stamp packs the answer to "who and when" into 64 bits:  epoch 30 | clock 19 | thread 10 | atomic 1 | bytes 4. The epoch
// counts barriers over all blocks and launches and never goes back; the clock counts a thread's __syncwarps; the last bits
// say which of the four bytes. Two accesses of different threads, at least one a write, are in order when
//     their epochs differ within one block: a __syncthreads lies between;
//     the threads are lanes of one warp and the later knows of the earlier's clock through __syncwarp (vector clocks, `known`);
//     both are atomic;
//     the earlier one happened before this launch.
// Blocks are never in order: what one block writes to global memory no other may read, until someone uses __threadfence.
// Shuffles and votes do not order memory (CUDA C++ Programming Guide, "Warp Shuffle Functions"), so they do not count.
//
// Two threads that write the same value are let pass. What is about to be written is not known, so a suspected pair is
// looked at again when the write has happened: at the next event, whatever it is.
#pragma once
#include "schedule.h"

namespace minizf {

constexpr int EPOCH_SHIFT = 34, CLOCK_SHIFT = 15, THREAD_SHIFT = 5;
constexpr Stamp ALL_BYTES = 15, ATOMIC_BIT = 16, THREAD_BITS = (Stamp)1023 << THREAD_SHIFT;
constexpr Stamp WHO = THREAD_BITS | ~(((Stamp)1 << EPOCH_SHIFT) - 1);
constexpr uint32_t CLOCK_LIMIT = (1 << 19) - 1;
constexpr size_t KEPT_WORDS = (size_t)8 << 20;

inline Word* words;
inline size_t words_reserved;
inline Stamp epoch = 1, launch_epoch, block_epoch;
inline Stamp* block_epochs;  // the first epoch of every block of the launch, in the order they ran
inline unsigned blocks_begun, block_epochs_room;
inline Stamp floors[3];      // by space: older stamps than this are certainly in order
inline uint32_t known[MOST_WARPS][LANES][LANES];  // [warp][lane][other lane]: up to which clock it knows the other's accesses
inline bool joined[MOST_WARPS], fenced;           // joined: its part of `known` is not zero

struct Suspect {
    char* address;
    int bytes;
    char before[16];
    Error error;
};
inline Suspect suspect;

inline void settle() {
    if (!suspect.bytes) return;
    bool same = memcmp(suspect.address, suspect.before, (size_t)suspect.bytes) == 0;
    suspect.bytes = 0;
    if (same) return;
    launch->error = suspect.error;
    abandon();
}

inline Stamp stamp_of(const Thread& t) {
    Stamp clock = t.clock < CLOCK_LIMIT ? t.clock : CLOCK_LIMIT;
    return epoch << EPOCH_SHIFT | clock << CLOCK_SHIFT | (Stamp)t.number << THREAD_SHIFT;
}

inline void next_epoch() {
    ++epoch;
    floors[SHARED] = epoch << EPOCH_SHIFT;
    for (int i = 0; i < block.count; ++i) block.threads[i].stamp = stamp_of(block.threads[i]);
}

// False when there is no memory for it.
inline bool shadow_begins_launch(size_t word_count, unsigned block_count) {
    if (epoch >> 29) {  // far from overflow; begin again with everything forgotten
        if (words) madvise(words, words_reserved * sizeof(Word), MADV_DONTNEED);
        epoch = 1;
    }
    if (word_count > words_reserved) {
        if (words) munmap(words, words_reserved * sizeof(Word));
        words_reserved = word_count + word_count / 2 + 65536;
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        words = (Word*)mmap(nullptr, words_reserved * sizeof(Word), PROT_READ | PROT_WRITE, flags, -1, 0);
        if (words == MAP_FAILED) return words = nullptr, words_reserved = 0, false;
    }
    if (block_count > block_epochs_room) {
        free(block_epochs);
        block_epochs = (Stamp*)malloc(block_count * sizeof(Stamp));
        block_epochs_room = block_count;
    }
    fenced = false;
    suspect.bytes = 0;
    blocks_begun = 0;
    launch_epoch = ++epoch;
    floors[GLOBAL] = launch_epoch << EPOCH_SHIFT;
    return block_epochs != nullptr;
}

inline void shadow_begins_block() {
    for (int w = 0; w < block.warps; ++w)
        if (joined[w]) memset(known[w], 0, sizeof known[w]), joined[w] = false;
    for (int i = 0; i < block.count; ++i) block.threads[i].clock = 1;
    next_epoch();
    block_epoch = block_epochs[blocks_begun++] = epoch;
}

inline void shadow_ends_launch() {
    if (words_reserved > KEPT_WORDS) madvise(words, words_reserved * sizeof(Word), MADV_DONTNEED);
}

// The lanes of `mask` have met in __syncwarp: each learns what any of them knows, and begins a new clock.
inline void join_clocks(unsigned warp, unsigned mask) {
    Thread* lanes = block.threads + warp * LANES;
    uint32_t together[LANES] = {};
    joined[warp] = true;
    for (int lane = 0; lane < LANES; ++lane) {
        if (!(mask >> lane & 1)) continue;
        known[warp][lane][lane] = lanes[lane].clock;
        for (int other = 0; other < LANES; ++other)
            if (known[warp][lane][other] > together[other]) together[other] = known[warp][lane][other];
    }
    for (int lane = 0; lane < LANES; ++lane) {
        if (!(mask >> lane & 1)) continue;
        memcpy(known[warp][lane], together, sizeof together);
        ++lanes[lane].clock;
        lanes[lane].stamp = stamp_of(lanes[lane]);
    }
}

[[gnu::noinline]] inline bool in_order(Stamp earlier, int space) {
    Stamp when = earlier >> EPOCH_SHIFT;
    unsigned thread = (unsigned)(earlier >> THREAD_SHIFT & 1023), clock = (unsigned)(earlier >> CLOCK_SHIFT) & CLOCK_LIMIT;
    if (when < launch_epoch) return true;
    if (when < block_epoch) return space == SHARED || fenced;
    if (when < epoch || thread == me()->number) return true;
    return thread / LANES == me()->warp && known[me()->warp][me()->lane][thread % LANES] >= clock;
}

inline bool conflict(Stamp earlier, Stamp mine, int space) {
    return earlier >= floors[space] && ((earlier ^ mine) & WHO) && (earlier & mine & ALL_BYTES) &&
           !(earlier & mine & ATOMIC_BIT) && !in_order(earlier, space);
}

// What a race report needs to know of the access being made.
struct Touch { char* address; int bytes; Access access; const Region* region; void* place; };

[[gnu::noinline]] inline void race(const Touch& now, Stamp earlier, uint32_t earlier_place, Access earlier_access) {
    Error& e = new_error(RACE);
    e.region = (int)(now.region - launch->regions), e.space = now.region->space;
    e.access = now.access, e.other_access = earlier & ATOMIC_BIT ? ATOMIC : earlier_access;
    e.bytes = now.bytes, e.offset = now.address - now.region->base, e.place = (uint64_t)now.place, e.line = 0;
    e.other_place = earlier_place ? (uint64_t)launch->library.image + earlier_place : 0;
    unsigned number = (unsigned)(earlier >> THREAD_SHIFT & 1023);
    copy_index(e.other, block.threads[number].index);
    Stamp when = earlier >> EPOCH_SHIFT;
    if (when < block_epoch) {  // the block that ran then: the last one that began no later
        unsigned low = 0, high = blocks_begun;
        while (high - low > 1) {
            unsigned middle = (low + high) / 2;
            if (block_epochs[middle] <= when) low = middle; else high = middle;
        }
        copy_index(e.other_block, index_of_block(ith_block(low, launch->grid[0] * launch->grid[1] * launch->grid[2])));
    }
    if (now.access == WRITE && earlier_access == WRITE && now.bytes <= 16 && !(earlier & ATOMIC_BIT)) {
        suspect.address = now.address, suspect.bytes = now.bytes;
        memcpy(suspect.before, now.address, (size_t)now.bytes);
        suspect.error = e;
        launch->error.fault = NOTHING;
        return;
    }
    abandon();
}

inline void read_word(Word& w, Stamp mine, uint32_t place, const Touch& now) {
    int space = now.region->space;
    if (__builtin_expect(conflict(w.writer, mine, space), 0)) race(now, w.writer, w.writer_place, WRITE);
    if ((w.reader ^ mine) & WHO) w.other_reader = w.reader, w.reader = mine;
    else w.reader = mine | (w.reader & ALL_BYTES);
    w.reader_place = place;
}

inline void write_word(Word& w, Stamp mine, uint32_t place, const Touch& now) {
    int space = now.region->space;
    if (__builtin_expect(conflict(w.writer, mine, space), 0)) race(now, w.writer, w.writer_place, WRITE);
    if (__builtin_expect(conflict(w.reader, mine, space), 0)) race(now, w.reader, w.reader_place, READ);
    if (__builtin_expect(conflict(w.other_reader, mine, space), 0)) race(now, w.other_reader, 0, READ);
    if ((w.writer ^ mine) & WHO) w.writer = mine;
    else w.writer = (mine & (w.writer | ~ATOMIC_BIT)) | (w.writer & ALL_BYTES);  // once plain, not atomic for others either
    w.writer_place = place;
}

}  // namespace minizf
