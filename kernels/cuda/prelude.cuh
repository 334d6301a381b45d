// What kernels use beyond plain CUDA C++, put before every file by device.py. No toolkit header is needed, so NVRTC compiles it
// anywhere. Under the emulator its own header defines the same names, and this file is left out.

// Shared memory whose size the launch decides: DYN_SHARED(float, tiles) declares `float* tiles`, 16-byte aligned.
#define DYN_SHARED(T, name)                                     \
    extern __shared__ __align__(16) unsigned char dyn_shared_[]; \
    T* name = reinterpret_cast<T*>(dyn_shared_)

// Rounds to the 10 mantissa bits that the tensor cores read, ties away from zero.
__device__ __forceinline__ unsigned to_tf32(float x) {
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

// One warp: d (16 x 8) += a (16 x 8) * b (8 x 8). Lane l holds, with g = l / 4 and q = l % 4,
//   a: rows g, g + 8, g, g + 8 at columns q, q, q + 4, q + 4      b: rows q, q + 4 at column g      d: see d[i] at row g + i / 2 * 8,
//   column 2 * q + i % 2.
__device__ __forceinline__ void mma_tf32_16x8x8(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Copies N bytes (4, 8 or 16) from global to shared memory behind the thread's back; zeros instead where `inside` is false, and
// then `source` is not read, so it may point anywhere. The bytes are there after a cp_async_wait and a barrier.
template <int N>
__device__ __forceinline__ void cp_async(void* target, const void* source, bool inside = true) {
    const unsigned shared = (unsigned)__cvta_generic_to_shared(target);
    const int bytes = inside ? N : 0;
    if constexpr (N == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(source), "r"(bytes) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared), "l"(source), "n"(N), "r"(bytes) : "memory");
}
// Ends a group of copies.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most N groups of this thread are still under way.
template <int N>
__device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
