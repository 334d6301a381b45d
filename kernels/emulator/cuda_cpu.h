// cuda_cpu.h - run CUDA C++ kernels on one CPU thread, for correctness tests.
// Every CUDA thread of a block is a fiber; blocks run one after another.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
#include <sys/mman.h>

#define MINIZF_CPU 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#define __constant__ static
#define __shared__ static __attribute__((section("gpu_shared")))

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
template <class T> struct alignas(2 * sizeof(T)) vec2_ { T x, y; };
template <class T> struct alignas(16) vec4_ { T x, y, z, w; };
using float2 = vec2_<float>; using int2 = vec2_<int>; using uint2 = vec2_<unsigned>;
using float4 = vec4_<float>; using int4 = vec4_<int>; using uint4 = vec4_<unsigned>;
static inline float2 make_float2(float a, float b) { return {a, b}; }
static inline float4 make_float4(float a, float b, float c, float d) { return {a, b, c, d}; }
static inline int4 make_int4(int a, int b, int c, int d) { return {a, b, c, d}; }

namespace cpu {
enum State : uint8_t { READY, AT_BLOCK, AT_WARP, DONE };
struct Copy { void* dst; const void* src; int n, valid; };
struct Fiber {
    void* sp = nullptr; State st = READY; uint3 tid{}; int lane = 0, warp = 0;
    std::vector<Copy> open; std::vector<std::vector<Copy>> groups;   // cp.async queue
};
struct Warp { int arrived = 0; unsigned mask = 0, op = 0; void* slot[32]; int iarg[32]; };
struct Ctx {
    uint3 bid{}; dim3 gdim, bdim; Fiber* cur = nullptr; std::vector<Fiber> fb; std::vector<Warp> wp;
    void* sched_sp = nullptr; char* stacks = nullptr; size_t nstack = 0, stk = 0; char* dyn = nullptr; size_t dyncap = 0;
    void (*entry)(void*) = nullptr; void* arg = nullptr; int order = 0; unsigned rng = 1; bool woke = false;
};
static Ctx C;

extern "C" void minizf_switch(void** save, void* load);
#if defined(__x86_64__)
asm(R"(
.text
.weak minizf_switch
.type minizf_switch,@function
minizf_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  popq %rcx; jmp *%rcx
.size minizf_switch,.-minizf_switch
)");
#else
#error "add a context switch for this CPU (aarch64: x19-x30, d8-d15) or use ucontext"
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
static const void* main_bot = nullptr; static size_t main_sz = 0;
inline void to_fiber(Fiber& f, int i) { void* fake; C.cur = &f;
    __sanitizer_start_switch_fiber(&fake, C.stacks + i * C.stk, C.stk); minizf_switch(&C.sched_sp, f.sp);
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr); }
inline void to_sched(bool last = false) { void* fake;
    __sanitizer_start_switch_fiber(last ? nullptr : &fake, main_bot, main_sz); minizf_switch(&C.cur->sp, C.sched_sp);
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr); }
inline void on_entry() { __sanitizer_finish_switch_fiber(nullptr, &main_bot, &main_sz); }
#else
inline void to_fiber(Fiber& f, int) { C.cur = &f; minizf_switch(&C.sched_sp, f.sp); }
inline void to_sched(bool = false) { minizf_switch(&C.cur->sp, C.sched_sp); }
inline void on_entry() {}
#endif
static char message[512]; static unsigned where[6];
inline void note(const char* m, uint3 t) { if (!message[0]) { std::snprintf(message, sizeof message, "%s", m);
    unsigned w[6] = {C.bid.x, C.bid.y, C.bid.z, t.x, t.y, t.z}; std::memcpy(where, w, sizeof w); } }
[[noreturn]] inline void fail(const char* m) { note(m, C.cur->tid); for (;;) to_sched(); }
[[noreturn]] inline void trampoline() { on_entry(); C.entry(C.arg); C.cur->st = DONE; to_sched(true); fail("resumed a finished thread"); }

inline void block_barrier() { C.cur->st = AT_BLOCK; to_sched(); }
// All lanes of `mask` meet; the last one to arrive runs `f(warp)`; then all go on.
template <class F> inline void warp_meet(unsigned mask, unsigned op, void* slot, int iarg, F f) {
    Fiber& me = *C.cur; Warp& w = C.wp[me.warp];
    if (w.arrived == 0) { w.mask = mask; w.op = op; }
    else if (w.mask != mask || w.op != op) fail("lanes of one warp met at different warp operations");
    if (!(mask >> me.lane & 1)) fail("calling lane is not in its own mask");
    w.slot[me.lane] = slot; w.iarg[me.lane] = iarg; w.arrived++;
    if (w.arrived == __builtin_popcount(mask)) {
        f(w); w.arrived = 0; C.woke = true;
        for (int l = 0; l < 32; ++l) if (mask >> l & 1) { int i = me.warp * 32 + l; if (i < (int)C.fb.size() && C.fb[i].st == AT_WARP) C.fb[i].st = READY; }
    } else { me.st = AT_WARP; to_sched(); }
}
extern "C" char __start_gpu_shared[] __attribute__((weak)); extern "C" char __stop_gpu_shared[] __attribute__((weak));

inline void run_block(int n, bool fibers) {
    if (__start_gpu_shared) std::memset(__start_gpu_shared, 0xFF, __stop_gpu_shared - __start_gpu_shared);  // NaN poison
    if (C.dyn) std::memset(C.dyn, 0xFF, C.dyncap);
    auto tid = [&](int i) { return uint3{i % C.bdim.x, i / C.bdim.x % C.bdim.y, i / (C.bdim.x * C.bdim.y)}; };
    if (!fibers) { Fiber& f = C.fb[0]; C.cur = &f;
        for (int j = 0; j < n; ++j) { int i = C.order == 1 ? n - 1 - j : j; f.tid = tid(i); f.lane = i & 31; f.warp = i >> 5; C.entry(C.arg); }
        return; }
    for (int i = 0; i < n; ++i) {
        Fiber& f = C.fb[i]; f.st = READY; f.tid = tid(i); f.lane = i & 31; f.warp = i >> 5; f.open.clear(); f.groups.clear();
        uintptr_t top = (uintptr_t)(C.stacks + (i + 1) * C.stk) - 256; top &= ~(uintptr_t)15;
        void** sp = (void**)top; *--sp = nullptr; *--sp = (void*)&trampoline; for (int k = 0; k < 6; ++k) *--sp = nullptr;
        f.sp = sp;
    }
    static std::vector<int> ord; ord.resize(n); for (int i = 0; i < n; ++i) ord[i] = i;
    for (auto& w : C.wp) w.arrived = 0;
    for (;;) {
        if (C.order == 1) std::reverse(ord.begin(), ord.end());
        if (C.order == 2) for (int i = n - 1; i > 0; --i) { C.rng = C.rng * 1664525u + 1013904223u; std::swap(ord[i], ord[C.rng % (i + 1)]); }
        do { C.woke = false; for (int i : ord) if (C.fb[i].st == READY) { to_fiber(C.fb[i], i); if (message[0]) return; } } while (C.woke);
        if (C.order == 1) std::reverse(ord.begin(), ord.end());
        int nd = 0, nw = 0;
        for (int i = 0; i < n; ++i) { Fiber& f = C.fb[i]; if (f.st == AT_BLOCK) f.st = READY; else if (f.st == DONE) ++nd; else ++nw; }
        if (nw) { for (Fiber& f : C.fb) if (f.st == AT_WARP) note("waits in a warp operation while others of its warp are at __syncthreads or finished", f.tid); return; }
        if (nd == n) return;
        if (nd) { for (Fiber& f : C.fb) if (f.st == READY) { note("waits at __syncthreads, which other threads of its block never reach: they have finished", f.tid); return; } }
    }
}
inline void launch_raw(void (*entry)(void*), void* arg, const unsigned* gb, size_t dynbytes, int order, bool fibers) {
    C.gdim = {gb[0], gb[1], gb[2]}; C.bdim = {gb[3], gb[4], gb[5]}; int n = gb[3] * gb[4] * gb[5];
    message[0] = 0;
    C.entry = entry; C.arg = arg; C.order = order; C.fb.resize(std::max<size_t>(n, 1)); C.wp.resize((n + 31) / 32);
    C.stk = (64 << 10) + 320;   // odd spacing: equal offsets in all stacks would share one cache set
    if (fibers && C.nstack < (size_t)n) {
        if (C.stacks) munmap(C.stacks, C.nstack * C.stk);
        C.stacks = (char*)mmap(nullptr, n * C.stk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); C.nstack = n; }
    if (C.dyncap != dynbytes) { std::free(C.dyn); C.dyn = dynbytes ? (char*)std::aligned_alloc(128, (dynbytes + 127) / 128 * 128) : nullptr; C.dyncap = dynbytes; }
    for (unsigned z = 0; z < gb[2]; ++z) for (unsigned y = 0; y < gb[1]; ++y) for (unsigned x = 0; x < gb[0]; ++x) { C.bid = {x, y, z}; run_block(n, fibers); if (message[0]) return; }
}
template <class... A> inline void launch(void (*k)(A...), const unsigned* gb, size_t dyn, int order, int fibers, void** args) {
    struct Pack { void (*k)(A...); void** args; } p{k, args};
    launch_raw([](void* v) { Pack* q = (Pack*)v; [q]<size_t... I>(std::index_sequence<I...>) { q->k(*(std::remove_cv_t<std::remove_reference_t<A>>*)q->args[I]...); }(std::index_sequence_for<A...>{}); },
               &p, gb, dyn, order, fibers != 0);
}
}  // namespace cpu

#define threadIdx (cpu::C.cur->tid)
#define blockIdx (cpu::C.bid)
#define blockDim (cpu::C.bdim)
#define gridDim (cpu::C.gdim)
#define warpSize 32
#define DYN_SHARED(T, name) T* name = (T*)cpu::C.dyn      // on the GPU: extern __shared__ T name[]
#define MINIZF_KERNEL_WRAPPER(k) extern "C" void cpu_##k(const unsigned* gb_, size_t dyn_, int order_, int fib_, void** args_) { cpu::launch(&k, gb_, dyn_, order_, fib_, args_); }

static inline void __syncthreads() { cpu::block_barrier(); }
static inline void __syncwarp(unsigned m = ~0u) { cpu::warp_meet(m, 1, nullptr, 0, [](cpu::Warp&) {}); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
namespace cpu { template <class T, class G> T shfl(unsigned mask, T v, int arg, unsigned op, G src) {
    struct S { T in, out; } s{v, v};
    warp_meet(mask, op, &s, arg, [&](Warp& w) { for (int l = 0; l < 32; ++l) if (mask >> l & 1) { int j = src(l, w.iarg[l]);
        if (j < 0 || j > 31 || !(mask >> j & 1)) j = l; ((S*)w.slot[l])->out = ((S*)w.slot[j])->in; } });
    return s.out; } }
template <class T> T __shfl_sync(unsigned m, T v, int s, int wd = 32) { return cpu::shfl(m, v, s, 2, [wd](int l, int a) { return (l & ~(wd - 1)) | (a & (wd - 1)); }); }
template <class T> T __shfl_down_sync(unsigned m, T v, unsigned d, int wd = 32) { return cpu::shfl(m, v, (int)d, 3, [wd](int l, int a) { return (l & (wd - 1)) + a < wd ? l + a : l; }); }
template <class T> T __shfl_up_sync(unsigned m, T v, unsigned d, int wd = 32) { return cpu::shfl(m, v, (int)d, 4, [wd](int l, int a) { return (l & (wd - 1)) - a >= 0 ? l - a : l; }); }
template <class T> T __shfl_xor_sync(unsigned m, T v, int d, int wd = 32) { (void)wd; return cpu::shfl(m, v, d, 5, [](int l, int a) { return l ^ a; }); }
static inline unsigned __ballot_sync(unsigned m, int p) { struct S { int p; unsigned r; } s{p, 0};
    cpu::warp_meet(m, 6, &s, 0, [&](cpu::Warp& w) { unsigned r = 0; for (int l = 0; l < 32; ++l) if (m >> l & 1) r |= (unsigned)(((S*)w.slot[l])->p != 0) << l;
        for (int l = 0; l < 32; ++l) if (m >> l & 1) ((S*)w.slot[l])->r = r; }); return s.r; }
static inline int __any_sync(unsigned m, int p) { return __ballot_sync(m, p) != 0; }
static inline int __all_sync(unsigned m, int p) { return __ballot_sync(m, p) == m; }
template <class T> T atomicAdd(T* p, T v) { T o = *p; *p = o + v; return o; }
template <class T> T atomicMax(T* p, T v) { T o = *p; *p = std::max(o, v); return o; }
template <class T> T atomicExch(T* p, T v) { T o = *p; *p = v; return o; }
template <class T> T atomicCAS(T* p, T c, T v) { T o = *p; if (o == c) *p = v; return o; }
template <class T> T __ldg(const T* p) { return *p; }
#define __expf(x) expf(x)      // glibc already declares __expf/__logf/__powf: macros, not functions
#define __logf(x) logf(x)
#define __powf(x, y) powf(x, y)
static inline float __fdividef(float a, float b) { return a / b; }
static inline float rsqrtf(float x) { return 1.f / std::sqrt(x); }
static inline int __float_as_int(float f) { int i; std::memcpy(&i, &f, 4); return i; }
static inline float __int_as_float(int i) { float f; std::memcpy(&f, &i, 4); return f; }
static inline unsigned __float_as_uint(float f) { unsigned i; std::memcpy(&i, &f, 4); return i; }
static inline float __uint_as_float(unsigned i) { float f; std::memcpy(&f, &i, 4); return f; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
using std::min; using std::max;

extern "C" __attribute__((used)) const char* minizf_message() { return cpu::message; }
extern "C" __attribute__((used)) const unsigned* minizf_where() { return cpu::where; }
// ---- emulated tensor-core / async-copy helpers (same names as ptx.cuh) ----
static inline unsigned to_tf32(float x) { unsigned u = __float_as_uint(x);        // cvt.rna.tf32.f32: round to 10 mantissa bits, ties away
    if ((u & 0x7f800000u) == 0x7f800000u) return u; return (u + 0x1000u) & ~0x1fffu; }
static inline void mma_tf32_16x8x8(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    struct S { float* d; const unsigned* a; const unsigned* b; } s{d, a, b};
    cpu::warp_meet(~0u, 7, &s, 0, [](cpu::Warp& w) {
        float A[16][8], B[8][8];
        for (int l = 0; l < 32; ++l) { S& q = *(S*)w.slot[l]; int g = l >> 2, t = l & 3;
            auto f = [](unsigned u) { return __uint_as_float(u & ~0x1fffu); };      // hardware ignores the low 13 bits
            A[g][t] = f(q.a[0]); A[g + 8][t] = f(q.a[1]); A[g][t + 4] = f(q.a[2]); A[g + 8][t + 4] = f(q.a[3]);
            B[t][g] = f(q.b[0]); B[t + 4][g] = f(q.b[1]); }
        for (int l = 0; l < 32; ++l) { S& q = *(S*)w.slot[l]; int g = l >> 2, t = l & 3;
            for (int i = 0; i < 4; ++i) { int r = g + (i >> 1) * 8, c = 2 * t + (i & 1); float acc = q.d[i];
                for (int k = 0; k < 8; ++k) acc += A[r][k] * B[k][c]; q.d[i] = acc; } }
    });
}
template <int N> static inline void cp_async(void* dst, const void* src, bool pred = true) { cpu::C.cur->open.push_back({dst, src, N, pred ? N : 0}); }
static inline void cp_async_commit() { cpu::Fiber& f = *cpu::C.cur; f.groups.push_back(std::move(f.open)); f.open.clear(); }
template <int N> static inline void cp_async_wait() { cpu::Fiber& f = *cpu::C.cur;   // data lands only here: a missing wait is seen
    while ((int)f.groups.size() > N) { for (auto& c : f.groups.front()) { if (c.valid) std::memcpy(c.dst, c.src, c.valid); if (c.n > c.valid) std::memset((char*)c.dst + c.valid, 0, c.n - c.valid); }
        f.groups.erase(f.groups.begin()); } }
