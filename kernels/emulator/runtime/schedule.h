// The threads of a block take turns.
//
// A phase is the time between two barriers. In each, threads run in the order asked for; one that must wait hands over
// directly to the next that can run. A thread that finishes leaves its stack to the next that has not begun, so a kernel
// without barriers runs on one stack without any switch. When nobody can run, either all wait at the same barrier, and the
// next phase begins, or the kernel is wrong.
#pragma once
#include "types.h"

namespace minizf {

inline char* stacks;
inline int free_stacks[MOST_THREADS], free_stack_count;

void thread_ends(Thread& t);  // warp.h

inline void give_stack_back(int stack) { free_stacks[free_stack_count++] = stack; }

inline void thread_main();

inline Fiber& fiber_of(Thread* t) {
    if (!t) return block.scheduler;
    if (t->status == FRESH) {
        t->stack = free_stacks[--free_stack_count];
        t->status = READY;
        prepare(t->fiber, stacks + t->stack * STACK_STRIDE, usable_bytes(t->stack), thread_main);
    }
    return t->fiber;
}

inline Thread* next_thread() {
    while (block.next < block.count) {
        Thread* t = block.turn[block.next++];
        if (t->status <= READY) return t;
    }
    return nullptr;
}

// The running thread waits; it goes on when its status is READY again and its turn has come.
inline void give_way() {
    Thread *from = me(), *to = next_thread();
    minizf_now.thread = to;
    switch_fiber(from->fiber, fiber_of(to));
}

// The first function on every stack.
inline void thread_main() {
    for (;;) {
        launch->call(launch->arguments);
        Thread* done = me();
        done->status = DONE;
        thread_ends(*done);
        Thread* next = next_thread();
        if (next && next->status == FRESH) {
            next->stack = done->stack, next->status = READY;
            minizf_now.thread = next;
            continue;
        }
        give_stack_back(done->stack);
        minizf_now.thread = next;
        switch_fiber(done->fiber, fiber_of(next));
    }
}

inline void arrange_turns() {
    if (launch->order != SHUFFLED) return;
    static unsigned random = 1;
    for (int i = block.count - 1; i > 0; --i) {
        random = random * 1664525u + 1013904223u;
        int j = (int)((random >> 8) % (unsigned)(i + 1));
        Thread* t = block.turn[i];
        block.turn[i] = block.turn[j], block.turn[j] = t;
    }
}

// The block that runs as the i-th of `count`: i, from the end, or a walk in steps of a prime, which visits all.
inline unsigned ith_block(unsigned i, unsigned count) {
    if (launch->order == FORWARD) return i;
    if (launch->order == REVERSE) return count - 1 - i;
    return (unsigned)(((unsigned long long)i * 2654435761u + 12345u) % count);
}

inline uint3 index_of_block(unsigned number) {
    unsigned wide = launch->grid[0], high = launch->grid[1];
    return {number % wide, number / wide % high, number / (wide * high)};
}

inline void run_phase() {
    arrange_turns();
    do {
        block.woke = false, block.next = 0;
        if (Thread* first = next_thread()) {
            minizf_now.thread = first;
            switch_fiber(block.scheduler, fiber_of(first));
        }
    } while (block.woke);
    minizf_now.thread = nullptr;
}

}  // namespace minizf
