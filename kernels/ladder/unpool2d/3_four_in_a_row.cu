// unpool2d, step 3: a thread asks for four neighbours at once, and writes them with one instruction.
//
//     switches                          x[n,c]
//     +---+---+---+                     +---+---+---+---+---+---+---+---+
//     |   |   |   |  2 rows x 3 windows | o   o   o   o | .   .   .   . |
//     +---+---+---+ <------------------ +---+---+---+---+---+---+---+---+
//     |   |   |   |  cover all four      one thread, one float4 = 16 bytes
//     +---+---+---+
//
// Idea     each switch that covers any of the four is read once, and tells by itself which of them it names
// Launch   256 threads a block, one thread for each four places of a row
// Traffic  switches: with 3 x 3 and stride 2 about 1.1 bytes for each place instead of 2.25; written: 4 bytes as before, with
//          a quarter of the instructions where W is a multiple of 4 (else rows do not start at multiples of 16 bytes)
// Order    each place still adds its windows row by row: the same bits as step 2
// Next     the deconvnet rectifies what it has unpooled. A kernel for that alone reads and writes all of x again.

extern "C" __global__ void unpool2d(const float* __restrict__ y, const unsigned char* __restrict__ switches, float* __restrict__ x,
                                    int N, int C, int H, int W, int R, int S, int stride, int pad, int P, int Q) {
    const int index = blockIdx.x * blockDim.x + threadIdx.x, fours = (W + 3) / 4;
    if (index >= N * C * H * fours) return;
    const int j = index % fours * 4, i = index / fours % H, plane = index / fours / H, last = min(j + 3, W - 1);

    const int p0 = max(0, i + pad - R + stride) / stride, p1 = min(P - 1, (i + pad) / stride);
    const int q0 = max(0, j + pad - S + stride) / stride, q1 = min(Q - 1, (last + pad) / stride);
    float sum[4] = {};
    for (int p = p0; p <= p1; ++p)
        for (int q = q0; q <= q1; ++q) {
            const int r = i + pad - p * stride, window = (plane * P + p) * Q + q;
            const int s = switches[window] - r * S;           // its column in the window, if it is in our row
            const int mine = q * stride - pad + s - j;        // which of the four it names
            if (s < 0 || s >= S || mine < 0 || mine > 3) continue;
            const float value = y[window];
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (mine == e) sum[e] += value;               // not sum[mine]: registers have no addresses
        }

    float* row = x + (plane * H + i) * W;
    if (W % 4 == 0)
        *(float4*)(row + j) = make_float4(sum[0], sum[1], sum[2], sum[3]);
    else
#pragma unroll
        for (int e = 0; e < 4; ++e)
            if (j + e < W) row[j + e] = sum[e];
}
