// Blocks, one after another: each begins with poisoned shared memory and fresh threads, and runs phase by phase until all
// threads have finished. Between phases stands the barrier; here it is found out when not all threads are at the same one.
#pragma once
#include "access.h"
#include "warp.h"

namespace minizf {

inline void launch_begins() {
    launch->error.fault = NOTHING;
    minizf_now.grid_size = {launch->grid[0], launch->grid[1], launch->grid[2]};
    minizf_now.block_size = {launch->block[0], launch->block[1], launch->block[2]};
    minizf_now.thread = nullptr;
    unsigned wide = launch->block[0], high = launch->block[1];
    block.count = (int)(wide * high * launch->block[2]);
    block.warps = (block.count + LANES - 1) / LANES;
    for (int i = 0; i < block.count; ++i) {
        Thread& t = block.threads[i];
        unsigned n = (unsigned)i;
        t.index = {n % wide, n / wide % high, n / (wide * high)};
        t.number = n, t.lane = n % LANES, t.warp = n / LANES;
        block.turn[i] = block.threads + (launch->order == REVERSE ? block.count - 1 - i : i);
    }
    marks[SHARED] = 0;
    uninterruptible = 0;
}

inline void shared_memory_begins() {
    Region *begin = launch->regions, *end = begin + launch->region_count;
    if (!launch->checked) {
        for (Region* r = begin; r < end; ++r)
            if (r->space == SHARED) memset(r->base, 0xFF, r->bytes);  // NaN
        return;
    }
    if (++marks[SHARED] < PENDING) return;
    for (Region* r = begin; r < end; ++r)
        if (r->space == SHARED) memset(r->written, 0, r->bytes);
    marks[SHARED] = 1;
}

inline void block_begins(unsigned number) {
    free_stack_count = 0;
    for (int i = MOST_THREADS - 1; i >= 0; --i) give_stack_back(i);
    for (int w = 0; w < block.warps; ++w) alive[w] = 0, open_meetings[w] = 0;
    for (int i = 0; i < block.count; ++i) {
        Thread& t = block.threads[i];
        t.status = FRESH, t.line = 0, t.place = nullptr;
        t.copies.first = t.copies.count = 0, t.copies.groups = 0;
        t.counts = launch->checked ? launch->counts + (size_t)number * (size_t)block.count + i : nullptr;
        alive[t.warp] |= 1u << t.lane;
    }
    block.barrier_votes = 0;
    shared_memory_begins();
    if (launch->checked) shadow_begins_block(), notes_begin();
}

// Some lane waits in a warp operation for another that is at a barrier or at an operation of its own.
[[noreturn]] inline void lane_is_missing(Thread& waiting) {
    minizf_now.thread = &waiting;
    Error& e = new_error(LANE_MISSING);
    for (int i = 0; i < open_meetings[waiting.warp]; ++i) {
        Meeting& m = meetings[waiting.warp][i];
        if (!present(m, (int)waiting.lane)) continue;
        int missing = __builtin_ctz(m.mask & alive[m.warp] & ~m.arrived);
        e.operation = m.operation, e.line = m.line, e.number = missing;
        name_other(e, lane_of(m, missing));
        e.other_operation = lane_of(m, missing).status == AT_BARRIER ? "__syncthreads" : "another warp operation";
    }
    abandon();
}

[[noreturn]] inline void barrier_is_wrong(Fault fault, Thread& waiting, Thread& other) {
    minizf_now.thread = &waiting;
    Error& e = new_error(fault);
    name_other(e, other);
    abandon();
}

// After a phase nobody can run. True: a new phase may begin; false: the block has finished; else the launch is abandoned.
inline bool next_phase() {
    Thread *waiting = nullptr, *done = nullptr;
    bool full = false;
    if (launch->checked) settle(), notes_end();
    for (int i = 0; i < block.count; ++i) {
        Thread& t = block.threads[i];
        if (t.status == NOTES_FULL) t.status = READY, full = true;
        else if (t.status == DONE) done = done ? done : &t;
        else if (t.status == AT_BARRIER) waiting = waiting ? waiting : &t;
    }
    if (full) return true;
    for (int i = 0; i < block.count; ++i) {
        Thread& t = block.threads[i];
        if (t.status == AT_WARP) lane_is_missing(t);
        if (waiting && t.status == DONE) barrier_is_wrong(BARRIER_NOT_REACHED, *waiting, t);
        if (t.status == AT_BARRIER && t.line != waiting->line) barrier_is_wrong(BARRIERS_DIFFER, *waiting, t);
    }
    if (!waiting) return false;
    for (int i = 0; i < block.count; ++i) block.threads[i].status = READY;
    block.barrier_result = block.barrier_votes, block.barrier_votes = 0;
    if (launch->checked) next_epoch();
    return true;
}

inline void run_blocks() {
    unsigned count = launch->grid[0] * launch->grid[1] * launch->grid[2];
    for (unsigned i = 0; i < count; ++i) {
        unsigned n = ith_block(i, count);
        minizf_now.block = index_of_block(n);
        block_begins(n);
        do run_phase();
        while (next_phase());
    }
}

}  // namespace minizf
