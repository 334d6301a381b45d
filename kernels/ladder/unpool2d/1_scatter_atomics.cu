// unpool2d, step 1: every pooled value goes to the place its switch names.
//
//     y[n,c]  P x Q      switches           x[n,c]  H x W, all 0 before
//     +---+---+          +---+---+          +---+---+---+---+---+
//     | 5 | 1 |          | 8 | 6 |          |   .   .   .   .   |       windows 3 x 3, stride 2: the four of them share
//     +---+---+          +---+---+          +   +   +   +   +   +       the middle, all four switches name it,
//     | 2 | 3 |          | 2 | 0 |          |   .   . + .   .   |       and four threads add to one number
//     +---+---+          +---+---+          +   +   +   +   +   +
//      one thread each                      |   .   .   .   .   |
//
// Idea     one thread for each pooled value. Windows that overlap may name one place, so the addition must be atomic: read,
//          add and write without anybody in between
// Launch   256 threads a block, as many blocks as it takes. x must hold zeros: the host clears it first, one more write each
// Traffic  for each value of y: 4 bytes read, 1 byte of switches read, 4 + 4 for the addition; for each place of x: 4 cleared
// Next     who adds first is anybody's guess, and (a + b) + c is not a + (b + c) in floating point: two runs differ in
//          their last bits. Step 2 turns the question around.

extern "C" __global__ void unpool2d(const float* __restrict__ y, const unsigned char* __restrict__ switches, float* __restrict__ x,
                                    int N, int C, int H, int W, int R, int S, int stride, int pad, int P, int Q) {
    const int index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= N * C * P * Q) return;
    const int q = index % Q, p = index / Q % P, plane = index / Q / P;

    const int place = switches[index], r = place / S, s = place % S;
    const int i = p * stride - pad + r, j = q * stride - pad + s;
    atomicAdd(&x[(plane * H + i) * W + j], y[index]);
}
