"""A loop of nothing but fused multiply-adds in registers, on every thread: the most this processor can compute.

    acc[i] = acc[i] * a + b       for CHAINS vectors that do not wait for one another

A step takes about four cycles and two begin in each, so eight chains keep the units busy; sixteen leave room.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.numba_cpu import machine

LANES = machine.LANES
CHAINS = 16 if machine.REGISTERS == 32 else 10
FLOP_A_TURN = 2 * LANES * CHAINS


@intrinsic
def chains(typing, turns):
    """float32 (int64): that many turns of the loop; returns a number that depends on all chains."""

    def generate(context, builder, signature, arguments):
        vector = ir.VectorType(ir.FloatType(), LANES)

        def spread(value: float) -> ir.Constant:
            return ir.Constant(vector, [value] * LANES)

        before = builder.block
        loop, after = builder.append_basic_block("turn"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        turn = builder.phi(ir.IntType(64))
        turn.add_incoming(ir.Constant(ir.IntType(64), 0), before)
        sums = [builder.phi(vector) for _ in range(CHAINS)]
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{LANES}f32"
        )
        for number, total in enumerate(sums):
            total.add_incoming(spread(float(number)), before)
            total.add_incoming(builder.call(multiply_add, [total, spread(0.5), spread(0.25)]), loop)
        following = builder.add(turn, ir.Constant(ir.IntType(64), 1))
        turn.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, arguments[0]), loop, after)
        builder.position_at_end(after)
        total = sums[0]
        for other in sums[1:]:
            total = builder.fadd(total, other)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return types.float32(types.int64), generate


@numba.njit(parallel=True, cache=True)
def all_threads(threads, turns, results):
    for thread in numba.prange(threads):
        results[thread] = chains(turns)


def spin(threads: int, turns: int) -> None:
    """`turns` of the loop on each of `threads` threads."""
    all_threads(threads, turns, np.empty(threads, np.float32))
