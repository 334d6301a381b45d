// unpool2d, step 4: unpool and rectify in one go, which is what the deconvnet does with it.
//
//     steps 1 to 3    y, switches --unpool--> x --rectify--> x        x is written, read and written again
//
//     step 4          y, switches --unpool, rectify--> x              x is written
//
// Idea     max(0, .) costs nothing while the number is still in a register
// Launch   256 threads a block, one thread for each four places of a row
// Traffic  as step 3, and the 4 + 4 bytes for each place that a kernel of its own for the rectifier would read and write are gone
// NaN      is neither above zero nor below: it is kept, so that a number gone wrong is seen at the end
// Next     the transposed convolution reads x once more. kernels/cuda does all three steps in one kernel, `deconv_step`: it
//          unpools and rectifies while it loads its tiles, and x is never stored at all.

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

#pragma unroll
    for (int e = 0; e < 4; ++e)
        if (sum[e] <= 0) sum[e] = 0;
    float* row = x + (plane * H + i) * W;
    if (W % 4 == 0)
        *(float4*)(row + j) = make_float4(sum[0], sum[1], sum[2], sum[3]);
    else
#pragma unroll
        for (int e = 0; e < 4; ++e)
            if (j + e < W) row[j + e] = sum[e];
}
