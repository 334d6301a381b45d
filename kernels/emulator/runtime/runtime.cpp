// The runtime as one library: the launch that Python calls, what kernels call, and the hooks that the compiler calls for
// them.
#include <stdarg.h>
#include <stdio.h>

#include "blocks.h"
#include "copies.h"
#include "faults.h"
#include "tensor_core.h"
#include "warp.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

using namespace minizf;

extern "C" {  // braces: without them these would only be declarations
alignas(128) __attribute__((visibility("default"))) char minizf_dynamic_shared[MOST_DYNAMIC_SHARED + 1024];
__attribute__((visibility("default"))) Now minizf_now;
}

// Runs all blocks of a launch; afterwards launch->error says what went wrong, if anything. Python holds a lock around it.
// Returns the fault; -1: no memory for stacks or shadow.
EXPORTED int minizf_launch(Launch* wanted) {
    launch = wanted;
    if (!stacks && !(stacks = reserve_stacks(MOST_THREADS))) return -1;
    launch_begins();
    if (launch->checked) {
        if (!shadow_begins_launch(launch->shadow_words, launch->grid[0] * launch->grid[1] * launch->grid[2])) return -1;
        accesses_begin();
    }
    catch_faults(launch->limit_s);
    if (sigsetjmp(escape, 1) == 0) run_blocks();
    release_faults();
    forget_guesses(&everything);
    minizf_now.thread = nullptr;
    if (launch->checked) shadow_ends_launch();
    fflush(stdout);
    return launch->error.fault;
}

EXPORTED char* minizf_dynamic_shared_memory() { return minizf_dynamic_shared; }

// ---- what kernels call: device/*.h ----

static inline void here(int line, void* place) { me()->line = line, me()->place = place; }
static inline void barrier() {
    if (launch->checked) settle();
    me()->status = AT_BARRIER;
    give_way();
}

EXPORTED void minizf_barrier(int line) {
    here(line, CALLER);
    barrier();
}
EXPORTED int minizf_barrier_count(int line, int predicate) {
    here(line, CALLER);
    block.barrier_votes += predicate;
    barrier();
    return block.barrier_result;
}
EXPORTED void minizf_fence() { fenced = true; }

EXPORTED void minizf_syncwarp(unsigned mask, int line) {
    here(line, CALLER);
    meet("__syncwarp", mask, line, complete_sync);
}
EXPORTED void minizf_shuffle(int kind, unsigned mask, void* value, int bytes, int argument, int width, int line) {
    here(line, CALLER);
    static const char* const names[] = {"__shfl_sync", "__shfl_up_sync", "__shfl_down_sync", "__shfl_xor_sync"};
    if (width < 1 || width > LANES || width & (width - 1)) wrong_meeting(BAD_WIDTH, names[kind], line, nullptr, width);
    memcpy(me()->value, value, (size_t)bytes);
    me()->argument = argument;
    meet(names[kind], mask, line, complete_shuffle, kind, width);
    memcpy(value, me()->value, (size_t)bytes);
}
EXPORTED unsigned minizf_vote(int kind, unsigned mask, int predicate, int line) {
    here(line, CALLER);
    static const char* const names[] = {"__ballot_sync", "__all_sync", "__any_sync"};
    me()->argument = predicate;
    meet(names[kind], mask, line, complete_vote, kind);
    return (unsigned)me()->argument;
}
EXPORTED long long minizf_reduce(int kind, unsigned mask, long long value, int line) {
    here(line, CALLER);
    static const char* const names[] = {"__reduce_add_sync", "__reduce_min_sync", "__reduce_max_sync"};
    value_of<long long>(*me()) = value;
    meet(names[kind], mask, line, complete_reduce, kind);
    return value_of<long long>(*me());
}
EXPORTED unsigned minizf_match(unsigned mask, unsigned long long value, int line) {
    here(line, CALLER);
    value_of<unsigned long long>(*me()) = value;
    meet("__match_any_sync", mask, line, complete_match);
    return (unsigned)me()->argument;
}
EXPORTED unsigned minizf_active() { return alive[me()->warp]; }
EXPORTED void minizf_mma_tf32(MinizfFragments* lane, int line) {
    here(line, CALLER);
    me()->fragments = lane;
    meet("mma_tf32_16x8x8", ~0u, line, complete_mma);
}

EXPORTED void minizf_copy_start(void* shared, const void* global, int bytes, int valid, void* caller) {
    start_copy((char*)shared, (const char*)global, bytes, valid, caller);
}
EXPORTED void minizf_copy_commit() { commit_copies(); }
EXPORTED void minizf_copy_wait(int groups_still_open, void*) { wait_for_copies(groups_still_open); }

EXPORTED void minizf_atomic(void* address, int bytes, void* caller) {
    if (bytes == 4) touch<4, ATOMIC>(address, caller);
    else if (bytes == 8) touch<8, ATOMIC>(address, caller);
    else touch_range<ATOMIC>(address, (size_t)bytes, caller);
}

EXPORTED void minizf_assert(const char* expression, int line) {
    here(line, CALLER);
    new_error(ASSERTION).operation = expression;
    abandon();
}
EXPORTED void minizf_trap(int line) {
    here(line, CALLER);
    new_error(TRAP);
    abandon();
}
EXPORTED int minizf_printf(const char* format, ...) {
    uninterruptible = 1;
    va_list arguments;
    va_start(arguments, format);
    int written = vprintf(format, arguments);
    va_end(arguments);
    uninterruptible = 0;
    return written;
}

// ---- what the compiler calls in checked kernels ----

#define HOOKS(N)                                                                                   \
    EXPORTED void __tsan_read##N(void* a) { touch<N, READ>(a, CALLER); }                           \
    EXPORTED void __tsan_write##N(void* a) { touch<N, WRITE>(a, CALLER); }                         \
    EXPORTED void __tsan_unaligned_read##N(void* a) { touch<N, READ, false>(a, CALLER); }          \
    EXPORTED void __tsan_unaligned_write##N(void* a) { touch<N, WRITE, false>(a, CALLER); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)
EXPORTED void __tsan_read_range(void* a, size_t bytes) { touch_range<READ>(a, bytes, CALLER); }
EXPORTED void __tsan_write_range(void* a, size_t bytes) { touch_range<WRITE>(a, bytes, CALLER); }
EXPORTED void __tsan_vptr_update(void*, void*) {}
EXPORTED void __tsan_func_entry(void*) {}
EXPORTED void __tsan_func_exit() {}
EXPORTED void __tsan_init() {}

__attribute__((constructor)) static void look_at_nothing_yet() { forget_guesses(&everything); }
