// What a position gets from the windows whose switches name it, asked in row-major order. No atomics, so the order of a sum is
// fixed. Rules for positions that several windows name: 0 sum, 1 max (a NaN beats all), 2 mean, 3 last.
#define SUM 0
#define MAX 1
#define MEAN 2
#define LAST 3

struct Gathered {
    int rule;
    float value = 0.f;
    int named = 0;

    __device__ __forceinline__ void take(float other) {
        if (rule == SUM || rule == MEAN) value += other;
        else if (rule == LAST) value = other;
        else if (!named || other > value || other != other) value = other;
        ++named;
    }

    __device__ __forceinline__ float result(bool rectify) const {
        const float whole = rule == MEAN && named > 1 ? value / named : value;
        return rectify && whole <= 0.f ? 0.f : whole;
    }
};
