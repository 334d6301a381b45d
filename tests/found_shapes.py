"""Where hypothesis looks: odd, prime, non-square and size-1 shapes, padding beyond the filter, strides larger than it."""

from hypothesis import strategies as st
from kernel_checks import Conv, Lrn, Pool, Step

import kernels

seeds = st.integers(0, 2**32 - 2)
batch = st.integers(1, 3)
maps = st.integers(1, 6)
side = st.integers(1, 13)


@st.composite
def convs(draw):
    window = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    pad = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    stride = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    size = [draw(st.integers(max(1, r - 2 * p), 11)) for r, p in zip(window, pad, strict=True)]
    return Conv((draw(batch), draw(maps), *size), draw(maps), window, stride, pad)


@st.composite
def pools(draw):
    window = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pad = tuple(draw(st.integers(0, r - 1)) for r in window)
    stride = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    size = [draw(st.integers(max(1, r - 2 * p), 13)) for r, p in zip(window, pad, strict=True)]
    return Pool((draw(batch), draw(maps), *size), window, stride, pad)


@st.composite
def steps(draw):
    conv = draw(convs())
    maps = kernels.conv_output_size(conv.x[2:], conv.window, conv.stride, conv.pad)
    window = tuple(draw(st.integers(1, min(3, side))) for side in maps)
    pad = tuple(draw(st.integers(0, r - 1)) for r in window)
    return Step(conv, window, draw(st.tuples(st.integers(1, 3), st.integers(1, 3))), pad)


@st.composite
def lrns(draw):
    shape = draw(st.tuples(batch, st.integers(1, 9), side, side))
    alpha, k = draw(st.sampled_from([0.0, 1e-4, 0.5])), draw(st.sampled_from([0.5, 1.0, 2.0]))
    return Lrn(shape, draw(st.integers(1, 7)), alpha, draw(st.sampled_from([0.5, 0.75, 1.0])), k)


tables = st.tuples(batch, side)
linears = st.tuples(batch, st.integers(1, 40), st.integers(1, 40))
