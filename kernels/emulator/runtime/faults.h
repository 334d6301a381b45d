// What the processor itself refuses, and kernels that never end: signals, turned into errors while a launch runs.
//
// A wild pointer in fast mode, a division by zero, a stack that is too small: the handler notes what happened and jumps out
// of the kernel, back into minizf_launch; the threads of the block are never taken up again. A timer does the same to a
// kernel that runs longer than its limit, and Ctrl-C, once Python has noted it. Handlers and timer exist only during a
// launch and only for the thread that launched.
#pragma once
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "schedule.h"

namespace minizf {

constexpr int CAUGHT[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr int CAUGHT_COUNT = 4;

inline struct sigaction old_action[CAUGHT_COUNT], old_timer_action, old_interrupt_action;
inline stack_t old_signal_stack;
inline pid_t launching_thread;
inline timer_t limit_timer;
inline bool limit_is_set, interrupt_is_caught;

inline uint64_t interrupted_at(void* context) {
    ucontext_t* c = (ucontext_t*)context;
#if defined(__x86_64__)
    return (uint64_t)c->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return c->uc_mcontext.pc;
#else
    return (void)c, 0;
#endif
}

inline void on_fault(int signal, siginfo_t* info, void* context) {
    if ((pid_t)syscall(SYS_gettid) != launching_thread) {  // not ours: as if we had never been here
        for (int i = 0; i < CAUGHT_COUNT; ++i) if (CAUGHT[i] == signal) sigaction(signal, &old_action[i], nullptr);
        return;
    }
    char* address = (char*)info->si_addr;
    bool in_stacks = signal == SIGSEGV && address >= stacks && address < stacks + MOST_THREADS * STACK_STRIDE;
    Error& e = new_error(in_stacks ? STACK_FULL : SIGNAL);
    e.number = signal, e.address = (uint64_t)address, e.place = interrupted_at(context) + 1, e.line = 0;
    abandon();
}

inline void on_limit(int, siginfo_t*, void* context) {
    if (uninterruptible) return;  // the timer comes again
    Error& e = new_error(TIME_LIMIT);
    e.place = interrupted_at(context) + 1, e.line = 0;
    abandon();
}

inline void on_interrupt(int signal, siginfo_t* info, void* context) {
    if (old_interrupt_action.sa_flags & SA_SIGINFO) old_interrupt_action.sa_sigaction(signal, info, context);
    else old_interrupt_action.sa_handler(signal);
    if (uninterruptible || (pid_t)syscall(SYS_gettid) != launching_thread) return;
    new_error(INTERRUPTED).place = interrupted_at(context) + 1;
    abandon();
}

inline void catch_faults(double limit_s) {
    static char signal_stack[64 << 10];
    stack_t own = {};
    own.ss_sp = signal_stack, own.ss_size = sizeof signal_stack;
    sigaltstack(&own, &old_signal_stack);
    launching_thread = (pid_t)syscall(SYS_gettid);
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int i = 0; i < CAUGHT_COUNT; ++i) sigaction(CAUGHT[i], &action, &old_action[i]);

    action.sa_sigaction = on_interrupt;
    sigaction(SIGINT, nullptr, &old_interrupt_action);
    bool python_listens = old_interrupt_action.sa_flags & SA_SIGINFO ||
                          (old_interrupt_action.sa_handler != SIG_DFL && old_interrupt_action.sa_handler != SIG_IGN);
    interrupt_is_caught = python_listens && sigaction(SIGINT, &action, nullptr) == 0;

    action.sa_sigaction = on_limit;
    sigaction(SIGRTMIN + 7, &action, &old_timer_action);
    struct sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGRTMIN + 7;
    event._sigev_un._tid = launching_thread;
    limit_is_set = limit_s > 0 && timer_create(CLOCK_MONOTONIC, &event, &limit_timer) == 0;
    if (!limit_is_set) return;
    struct itimerspec when = {};
    when.it_value.tv_sec = (time_t)limit_s;
    when.it_value.tv_nsec = (long)((limit_s - (double)when.it_value.tv_sec) * 1e9) + 1;
    when.it_interval.tv_nsec = 10'000'000;
    timer_settime(limit_timer, 0, &when, nullptr);
}

inline void release_faults() {
    if (limit_is_set) timer_delete(limit_timer);
    if (interrupt_is_caught) sigaction(SIGINT, &old_interrupt_action, nullptr);
    sigaction(SIGRTMIN + 7, &old_timer_action, nullptr);
    for (int i = 0; i < CAUGHT_COUNT; ++i) sigaction(CAUGHT[i], &old_action[i], nullptr);
    sigaltstack(&old_signal_stack, nullptr);
}

}  // namespace minizf
