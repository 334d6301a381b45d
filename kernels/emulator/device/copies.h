// cp.async: copies from global to shared memory that go on while the thread computes.
//
// Here the data arrive as late as they may: at the wait that asks for them. A kernel that waits for one group too few reads
// memory nothing has written yet, every time. The names are those of the project's prelude.cuh, which has the PTX.
#pragma once

extern "C" {
void minizf_copy_start(void* shared, const void* global, int bytes, int valid, void* caller);
void minizf_copy_commit();
void minizf_copy_wait(int groups_still_open, void* caller);
}

// 4, 8 or 16 bytes to shared memory, as the instruction allows; where `valid` is false nothing is read and zeros arrive.
template <int bytes> MINIZF_UNSEEN void cp_async(void* shared, const void* global, bool valid = true) {
    static_assert(bytes == 4 || bytes == 8 || bytes == 16, "cp.async copies 4, 8 or 16 bytes");
    minizf_copy_start(shared, global, bytes, valid ? bytes : 0, __builtin_return_address(0));
}
static inline void cp_async_commit() { minizf_copy_commit(); }
template <int groups_still_open> MINIZF_UNSEEN void cp_async_wait() {
    minizf_copy_wait(groups_still_open, __builtin_return_address(0));
}
