// unpool2d, step 2: every place of x asks the windows that cover it.
//
//     switches           x[n,c]
//     +---+---+          +---+---+---+---+---+
//     | 8 | 6 |<---------|-------o           |       o asks: does your switch name me? It is covered by
//     +---+---+     ,----|------/.           |       windows p0..p1 x q0..q1, at most 2 x 2 of 3 x 3 with stride 2
//     | 2 | 0 |<---'     |       .           |
//     +---+---+          +---+---+---+---+---+
//                          one thread each
//
// Idea     one thread for each place. It adds what it finds in the order of the windows, row by row: no atomics, and the
//          same bits in every run; and whoever is named by nobody writes 0, so nothing is cleared first
// Launch   256 threads a block, as many blocks as it takes
// Traffic  for each place of x: 1 byte of switches for each window that covers it, about R S / stride^2; 4 bytes written;
//          and each y once, 4 bytes
// Next     neighbours ask the same windows: each switch is read 2.25 times with 3 x 3 and stride 2. Step 3 asks for four
//          places at once.

extern "C" __global__ void unpool2d(const float* __restrict__ y, const unsigned char* __restrict__ switches, float* __restrict__ x,
                                    int N, int C, int H, int W, int R, int S, int stride, int pad, int P, int Q) {
    const int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= N * C * H * W) return;
    const int j = index % W, i = index / W % H, plane = index / W / H;

    const int p0 = max(0, i + pad - R + stride) / stride, p1 = min(P - 1, (i + pad) / stride);
    const int q0 = max(0, j + pad - S + stride) / stride, q1 = min(Q - 1, (j + pad) / stride);
    float sum = 0;
    for (int p = p0; p <= p1; ++p)
        for (int q = q0; q <= q1; ++q) {
            const int r = i + pad - p * stride, s = j + pad - q * stride, window = (plane * P + p) * Q + q;
            if (switches[window] == r * S + s) sum += y[window];
        }
    x[index] = sum;
}
