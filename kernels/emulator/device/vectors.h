// float4 and its relatives: plain structs whose alignment makes one load or store of them one access, as on a GPU.
#pragma once

#define MINIZF_VECTORS(name, T)                                                                    \
    struct name##1 { T x; };                                                                       \
    struct alignas(2 * sizeof(T)) name##2 { T x, y; };                                             \
    struct alignas(sizeof(T) < 4 ? 4 * sizeof(T) : 16) name##4 { T x, y, z, w; };                  \
    static inline name##1 make_##name##1(T x) { return {x}; }                                      \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                              \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

MINIZF_VECTORS(float, float)
MINIZF_VECTORS(double, double)
MINIZF_VECTORS(int, int)
MINIZF_VECTORS(uint, unsigned)
MINIZF_VECTORS(short, short)
MINIZF_VECTORS(ushort, unsigned short)
MINIZF_VECTORS(char, signed char)
MINIZF_VECTORS(uchar, unsigned char)
#undef MINIZF_VECTORS

struct float3 { float x, y, z; };
struct int3 { int x, y, z; };
static inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
static inline int3 make_int3(int x, int y, int z) { return {x, y, z}; }
static inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
