// Warp operations: the lanes of a mask meet, and the last to arrive works out the result for all.
//
// Lanes that have finished are not waited for (they count as absent, as on a GPU since Volta). Two groups of lanes with
// disjoint masks may meet at different calls at the same time. Lanes whose masks overlap must be at the same call with the
// same mask.
#pragma once
#include "../device/warp_kinds.h"
#include "schedule.h"
#include "shadow.h"

namespace minizf {

struct Meeting {
    unsigned mask, arrived, warp;
    const char* operation;
    int line, kind, width;
    void (*complete)(Meeting&);
};
inline Meeting meetings[MOST_WARPS][LANES];  // of each warp, the open ones
inline int open_meetings[MOST_WARPS];
inline unsigned alive[MOST_WARPS];           // lanes that have not finished

inline Thread& lane_of(const Meeting& m, int lane) { return block.threads[m.warp * LANES + (unsigned)lane]; }
inline bool present(const Meeting& m, int lane) { return lane >= 0 && lane < LANES && m.arrived >> lane & 1; }

inline void complete(Meeting& m) {
    m.complete(m);
    for (int lane = 0; lane < LANES; ++lane)
        if (present(m, lane) && lane_of(m, lane).status == AT_WARP) lane_of(m, lane).status = READY;
    block.woke = true;
    m = meetings[m.warp][--open_meetings[m.warp]];  // the last takes its place
}
inline bool everybody_came(const Meeting& m) { return m.arrived == (m.mask & alive[m.warp]); }

[[noreturn]] inline void wrong_meeting(Fault fault, const char* operation, int line, const Meeting* m, int number = 0) {
    Error& e = new_error(fault);
    e.operation = operation, e.line = line, e.number = number;
    if (m) {
        e.other_operation = m->operation;
        name_other(e, lane_of(*m, __builtin_ctz(m->arrived)));
    }
    abandon();
}

inline void meet(const char* operation, unsigned mask, int line, void (*what)(Meeting&), int kind = 0, int width = LANES) {
    Thread& t = *me();
    settle();
    if (!(mask >> t.lane & 1)) wrong_meeting(NOT_IN_MASK, operation, line, nullptr);
    Meeting* mine = nullptr;
    for (int i = 0; i < open_meetings[t.warp]; ++i)
        if (meetings[t.warp][i].mask & mask) mine = &meetings[t.warp][i];
    if (!mine) {
        mine = &meetings[t.warp][open_meetings[t.warp]++];
        *mine = {mask, 0, t.warp, operation, line, kind, width, what};
    } else if (mine->mask != mask || mine->complete != what || mine->kind != kind || mine->line != line) {
        wrong_meeting(OPERATIONS_DIFFER, operation, line, mine);
    }
    mine->arrived |= 1u << t.lane;
    if (everybody_came(*mine)) return complete(*mine);
    t.status = AT_WARP;
    give_way();
}

inline void thread_ends(Thread& t) {
    settle();
    alive[t.warp] &= ~(1u << t.lane);
    for (int i = 0; i < open_meetings[t.warp];) {
        Meeting& m = meetings[t.warp][i];
        if (everybody_came(m)) complete(m); else ++i;
    }
}

inline void complete_nothing(Meeting&) {}
inline void complete_sync(Meeting& m) {
    if (launch->checked) join_clocks(m.warp, m.arrived);
}

inline int source_lane(const Meeting& m, int lane) {
    int argument = lane_of(m, lane).argument, first = lane & ~(m.width - 1), inside = lane - first;
    switch (m.kind) {
        case MINIZF_SHUFFLE_AT: return first + (argument & (m.width - 1));
        case MINIZF_SHUFFLE_UP: return inside >= argument ? lane - argument : lane;
        case MINIZF_SHUFFLE_DOWN: return inside + argument < m.width ? lane + argument : lane;
        default: return (inside ^ argument) < m.width ? first + (inside ^ argument) : lane;
    }
}
inline void complete_shuffle(Meeting& m) {
    char values[LANES][16];
    for (int lane = 0; lane < LANES; ++lane)
        if (present(m, lane)) memcpy(values[lane], lane_of(m, lane).value, 16);
    for (int lane = 0; lane < LANES; ++lane) {
        if (!present(m, lane)) continue;
        int source = source_lane(m, lane);
        if (present(m, source)) memcpy(lane_of(m, lane).value, values[source], 16);
        else memset(lane_of(m, lane).value, 0xFF, 16);
    }
}

inline void complete_vote(Meeting& m) {
    unsigned yes = 0;
    for (int lane = 0; lane < LANES; ++lane)
        if (present(m, lane) && lane_of(m, lane).argument) yes |= 1u << lane;
    unsigned answer = m.kind == MINIZF_VOTE_BALLOT ? yes : m.kind == MINIZF_VOTE_ALL ? yes == m.arrived : yes != 0;
    for (int lane = 0; lane < LANES; ++lane)
        if (present(m, lane)) lane_of(m, lane).argument = (int)answer;
}

template <class T> T& value_of(Thread& t) { return *(T*)t.value; }

inline void complete_reduce(Meeting& m) {
    long long total = value_of<long long>(lane_of(m, __builtin_ctz(m.arrived)));
    for (int lane = __builtin_ctz(m.arrived) + 1; lane < LANES; ++lane) {
        if (!present(m, lane)) continue;
        long long v = value_of<long long>(lane_of(m, lane));
        total = m.kind == MINIZF_REDUCE_ADD ? total + v : (m.kind == MINIZF_REDUCE_MIN) == (v < total) ? v : total;
    }
    for (int lane = 0; lane < LANES; ++lane)
        if (present(m, lane)) value_of<long long>(lane_of(m, lane)) = total;
}

inline void complete_match(Meeting& m) {
    for (int lane = 0; lane < LANES; ++lane) {
        if (!present(m, lane)) continue;
        unsigned same = 0;
        for (int other = 0; other < LANES; ++other)
            if (present(m, other) && !memcmp(lane_of(m, lane).value, lane_of(m, other).value, 8)) same |= 1u << other;
        lane_of(m, lane).argument = (int)same;
    }
}

}  // namespace minizf
