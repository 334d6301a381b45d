// cp.async: a queue of copies per thread. They land at the wait that covers their group, never before.
//
// In checked mode the destination counts as written (by this thread) twice, at the start and at the landing, because the
// hardware may write at any time between; in between it is marked as pending and nobody may touch it.
#pragma once
#include "access.h"

namespace minizf {

inline void check_copy_start(char* to, char* from, int bytes, int valid, void* place) {
    settle();
    Region* target = guess(place);
    if (!inside(*target, to, (size_t)bytes)) target = find_region(to, (size_t)bytes, COPY, place);
    if (target->space != SHARED) wrong_access(COPY_NOT_SHARED, target, to, bytes, COPY, place);
    if ((uintptr_t)to % (unsigned)bytes) wrong_access(MISALIGNED, target, to, bytes, COPY, place);
    if (valid) {
        void* source_place = (char*)place - 1;  // its own entry among the guesses, still inside the same line
        Region* source = guess(source_place);
        if (!inside(*source, from, (size_t)bytes)) source = find_region(from, (size_t)bytes, READ, source_place);
        if (source->space != GLOBAL) wrong_access(COPY_NOT_GLOBAL, source, from, bytes, READ, place);
        if ((uintptr_t)from % (unsigned)bytes) wrong_access(MISALIGNED, source, from, bytes, READ, place);
        if (bytes == 4) check<4, READ>(source, from, source_place);
        else if (bytes == 8) check<8, READ>(source, from, source_place);
        else check<16, READ>(source, from, source_place);
    }
    if (bytes == 4) check<4, COPY>(target, to, place);
    else if (bytes == 8) check<8, COPY>(target, to, place);
    else check<16, COPY>(target, to, place);
    memset(target->written + (to - target->base), marks[SHARED] | PENDING, (size_t)bytes);
}

inline void check_copy_end(char* to, int bytes, void* place) {
    for (Region* r = launch->regions; r < launch->regions + launch->region_count; ++r) {
        if (r->space != SHARED || !inside(*r, to, (size_t)bytes)) continue;
        memset(r->written + (to - r->base), marks[SHARED], (size_t)bytes);
        Touch now = {to, bytes, COPY, r, place};
        for (int i = 0; i < bytes; i += 4)
            write_word(words[r->shadow + (size_t)(to + i - r->base) / 4], me()->stamp | ALL_BYTES,
                       (uint32_t)((char*)place - launch->library.image), now);
    }
}

inline void start_copy(char* to, const char* from, int bytes, int valid, void* place) {
    if (launch->checked) check_copy_start(to, (char*)from, bytes, valid, place);
    CopyQueue& q = me()->copies;
    if (q.count == q.room) {
        uninterruptible = 1;
        q.room = q.room ? 2 * q.room : 64;
        q.items = (PendingCopy*)realloc(q.items, (size_t)q.room * sizeof *q.items);
        uninterruptible = 0;
    }
    q.items[q.count++] = {to, from, bytes, valid, q.groups, place};
}

inline void commit_copies() { ++me()->copies.groups; }

inline void wait_for_copies(int groups_still_open) {
    CopyQueue& q = me()->copies;
    while (q.first < q.count && (int)(q.groups - q.items[q.first].group) > groups_still_open) {
        const PendingCopy& c = q.items[q.first++];
        if (c.valid) memcpy(c.to, c.from, (size_t)c.valid);
        memset(c.to + c.valid, 0, (size_t)(c.bytes - c.valid));
        if (launch->checked) check_copy_end(c.to, c.bytes, c.place);
    }
    if (q.first == q.count) q.first = q.count = 0;
}

}  // namespace minizf
