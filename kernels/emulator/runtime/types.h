// What the parts of the runtime share: a launch as Python describes it, an error as Python reads it, a thread, the block at
// work.
//
// Blocks run one after another, the threads of a block take turns on one operating-system thread. So there is one of
// everything: one block, one error, one set of threads. A lock in Python keeps two launches apart.
#pragma once
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../device/indices.h"
#include "fibers.h"

namespace minizf {

constexpr int MOST_THREADS = 1024, LANES = 32, MOST_WARPS = MOST_THREADS / LANES;
constexpr size_t MOST_DYNAMIC_SHARED = 227 << 10;

enum Order : int { FORWARD, REVERSE, SHUFFLED };
enum Space : int { LOCAL, GLOBAL, SHARED };  // LOCAL: a thread's own stack, constants, the runtime itself: not looked at

using Stamp = uint64_t;  // who touched a word and when: shadow.h
struct Word {            // what is remembered of four bytes of memory
    Stamp writer, reader, other_reader;
    uint32_t writer_place, reader_place;  // where in the program, counted from the start of the library
};

struct Region {  // memory that a kernel may touch; Python fills one per array argument and shared array
    char* base;
    size_t bytes;
    uint8_t* written;  // a byte for every byte: see access.h; null: all of it counts as written
    size_t shadow;     // index of its first Word
    int space, skew;   // skew: what makes address + skew lie as it would on a GPU, where allocations begin at multiples of 256
};

enum Fault : int {  // known to Python: report.py turns each into a sentence
    NOTHING, OUT_OF_BOUNDS, UNWRITTEN, RACE, PENDING_COPY, MISALIGNED, COPY_NOT_SHARED, COPY_NOT_GLOBAL,
    BARRIER_NOT_REACHED, BARRIERS_DIFFER, LANE_MISSING, OPERATIONS_DIFFER, NOT_IN_MASK, SIGNAL, STACK_FULL, TIME_LIMIT,
    ASSERTION, TRAP, BAD_WIDTH, INTERRUPTED,
};
enum Access : int { READ, WRITE, ATOMIC, COPY };

struct Error {
    int fault;
    unsigned block[3], thread[3], other_block[3], other[3];
    int region, space, access, other_access, bytes, line, other_line, number;
    int64_t offset;                 // in bytes, from the start of the region
    uint64_t place, other_place;    // return addresses; 0: not known, `line` has it
    uint64_t address;
    const char *operation, *other_operation;
};

struct Traffic { uint32_t accesses, bytes; };
struct Counts { Traffic traffic[2][2]; uint32_t atomics; };     // [global, shared][reads, writes]; one for every thread
struct Transactions { uint64_t requests[2][2], units[2][2]; };  // transactions.h: units are sectors, and passes

struct Library {  // where a kernel's library keeps what the runtime must know; launcher.h
    char *image, *image_end, *shared, *shared_end;
};

struct Launch {
    void (*call)(void** arguments);
    void** arguments;
    unsigned grid[3], block[3];
    size_t dynamic_bytes;
    int order, checked;
    double limit_s;
    Region* regions;
    int region_count;
    Library library;
    Counts* counts;
    size_t shadow_words;
    Transactions transactions;
    Error error;
};

enum Status : uint8_t { FRESH, READY, AT_BARRIER, AT_WARP, NOTES_FULL, DONE };

struct PendingCopy { char* to; const char* from; int bytes, valid; unsigned group; void* place; };
struct CopyQueue { PendingCopy* items; int first, count, room; unsigned groups; };  // groups: how many have been committed

struct Thread : Place {  // Place: its threadIdx and lane, which the kernel sees
    unsigned number, warp;
    Status status;
    int stack, line;  // line and place: of its latest barrier or warp operation
    void* place;
    Fiber fiber;
    Stamp stamp;
    uint32_t clock;
    Counts* counts;
    alignas(16) char value[16];  // what it brings to a warp operation and takes away
    int argument;
    void* fragments;
    CopyQueue copies;
};

inline struct Block {
    Thread threads[MOST_THREADS];
    Thread* turn[MOST_THREADS];  // the order of this phase
    int count, next, warps;      // next: index in turn of who comes next
    bool woke;                   // a thread that may be before `next` has become ready
    int barrier_votes, barrier_result;
    Fiber scheduler;
} block;

inline Launch* launch;
inline sigjmp_buf escape;             // back into minizf_launch, whatever the threads were doing
inline volatile int uninterruptible;  // inside the C library: the time limit waits

inline Thread* me() { return static_cast<Thread*>(minizf_now.thread); }

inline void copy_index(unsigned (&to)[3], const uint3& from) { to[0] = from.x, to[1] = from.y, to[2] = from.z; }

// An error about the running thread; the caller adds what it knows, then abandons the launch.
inline Error& new_error(Fault fault) {
    Error& e = launch->error;
    e = {};
    e.fault = fault, e.region = -1;
    copy_index(e.block, minizf_now.block);
    copy_index(e.other_block, minizf_now.block);
    if (me()) copy_index(e.thread, me()->index), e.line = me()->line, e.place = (uint64_t)me()->place;
    return e;
}
inline void name_other(Error& e, const Thread& other) {
    copy_index(e.other, other.index);
    e.other_line = other.line, e.other_place = (uint64_t)other.place;
}
[[noreturn]] inline void abandon() { siglongjmp(escape, 1); }

}  // namespace minizf
