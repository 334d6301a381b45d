"""The phases of a transposed operation: which outputs of a filter or window reach a row of its input.

    input row h  <-  output p at tap r,     p * stride + r - pad = h

Which r can reach h depends only on (h + pad) mod stride: the rows fall into `stride` phases. Within a phase, h = i*stride + a,
the taps are r = rho, rho + stride, ... and each reads an output one row higher than the one before:

    rho = (a + pad) mod stride        p = i + (a + pad) div stride - j        for r = rho + j*stride

So every phase is a window of stride 1 over the outputs, with its own share of the taps, flipped. Columns likewise.
"""

import numpy as np


def phases(length, taps, stride, pad):
    """For each phase a: (a, how many rows i it has, its first tap rho, the p that row i = 0 reads, in rising order).

    Rising p means falling taps: the filters are flipped, and memory is read forwards, which processors like much better.
    """
    found = []
    for a in range(min(stride, length)):
        ahead, rho = divmod(a + pad, stride)
        found.append((a, -(-(length - a) // stride), rho, ahead - np.arange(len(range(rho, taps, stride)))[::-1]))
    return found


def reach(found, present):
    """(border to put before the outputs, length with borders) so that every tap of every phase reads inside; may cut them."""
    read = [(p[0], p[-1] + rows) for _, rows, _, p in found if p.size]
    low, high = min((r[0] for r in read), default=0), max((r[1] for r in read), default=present)
    return -int(low), int(high - low)
