// Fibers: several calls in progress on one operating-system thread, each with a stack of its own.
//
// Switching saves the registers that a called function must preserve on the current stack, and takes up another stack. On
// x86-64 that is fourteen instructions. It ends in `pop; jmp` and not in `ret`: the processor predicts returns from its own
// list of calls, which is wrong after a change of stacks. Elsewhere, or with -DMINIZF_UCONTEXT, the C library's swapcontext
// does it (slower, as it also saves the signal mask with a system call).
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#if !defined(__x86_64__) && !defined(MINIZF_UCONTEXT)
#define MINIZF_UCONTEXT
#endif
#ifdef MINIZF_UCONTEXT
#include <ucontext.h>
#endif

namespace minizf {

constexpr size_t STACK_BYTES = 256 << 10, PAGE = 4096, STACK_STRIDE = STACK_BYTES + PAGE;

// All stacks in one piece; the lowest page of each stays forbidden, so that a thread that needs more is noticed. The memory
// behind them exists only once touched. Returns null when there is none.
inline char* reserve_stacks(int count) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* stacks = mmap(nullptr, count * STACK_STRIDE, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (stacks == MAP_FAILED) return nullptr;
    for (int i = 0; i < count; ++i) mprotect((char*)stacks + i * STACK_STRIDE, PAGE, PROT_NONE);
    return (char*)stacks;
}

// Equal offsets in all stacks would compete for one set of the cache, so each stack starts a little lower than the one
// before.
inline size_t usable_bytes(int stack) { return STACK_STRIDE - (size_t)(stack % 12) * 320; }

#ifdef MINIZF_UCONTEXT

using Fiber = ucontext_t;

inline void prepare(Fiber& fiber, char* stack, size_t bytes, void (*start)()) {
    getcontext(&fiber);
    fiber.uc_stack.ss_sp = stack;
    fiber.uc_stack.ss_size = bytes;
    fiber.uc_link = nullptr;
    makecontext(&fiber, start, 0);
}
inline void switch_fiber(Fiber& from, Fiber& to) { swapcontext(&from, &to); }

#else

struct Fiber { void* stack_pointer; };

extern "C" void minizf_switch(void** from, void* to);
asm(R"(
.text
.type minizf_switch,@function
minizf_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  popq %rcx
  jmp *%rcx
.size minizf_switch,.-minizf_switch
)");

inline void prepare(Fiber& fiber, char* stack, size_t bytes, void (*start)()) {
    void** top = (void**)((uintptr_t)(stack + bytes) & ~(uintptr_t)15);
    *--top = nullptr;  // keeps the stack as far from a multiple of 16 as a call would
    *--top = (void*)start;
    for (int saved_register = 0; saved_register < 6; ++saved_register) *--top = nullptr;
    fiber.stack_pointer = top;
}
inline void switch_fiber(Fiber& from, Fiber& to) { minizf_switch(&from.stack_pointer, to.stack_pointer); }

#endif

}  // namespace minizf
