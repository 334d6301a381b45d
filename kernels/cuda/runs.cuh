// Four taps below each other, for eight outputs below each other: eleven numbers read, 32 products of each output map made.
//
//     outputs   o0 o1 ... o7            o_e += w_0 * v_e + w_1 * v_(e+1) + w_2 * v_(e+2) + w_3 * v_(e+3)
//     numbers   v0 v1 ... v7 v8 v9 v10
//
// Where maps are few, this is what saves shared memory from being asked once for every product. `column` points at v0, the numbers
// lie `step` apart, `weights(i, w)` reads the N weights of tap i; of the four taps the first `taps` exist.
template <int N, class Weights>
__device__ __forceinline__ void add_run(float (&sums)[8][N], const float* column, int step, int taps, Weights weights) {
    float value[11];
#pragma unroll
    for (int e = 0; e < 11; ++e) value[e] = column[e * step];
    auto add = [&](int i) {
        float w[N];
        weights(i, w);
#pragma unroll
        for (int e = 0; e < 8; ++e)
#pragma unroll
            for (int j = 0; j < N; ++j) sums[e][j] += value[e + i] * w[j];
    };
    add(0);
    if (taps >= 4) {  // the usual case, without further questions
        add(1), add(2), add(3);
    } else if (taps > 1) {
        add(1);
        if (taps > 2) add(2);
    }
}
