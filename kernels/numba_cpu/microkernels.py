"""The inner loop that carries every convolution: a tile of running sums that never leaves the registers.

`outer` computes, for a tile of `rows` x (`vectors` * LANES) sums (here 9 x 3 registers of 16 lanes, AVX-512):

                          b: three vectors loaded at b_tap[t]
                         [ 16 lanes ] [ 16 lanes ] [ 16 lanes ]
    a at a_row[0]+a_tap[t]  * sum 0,0    sum 0,1    sum 0,2
    a at a_row[1]+a_tap[t]  * sum 1,0    sum 1,1    sum 1,2         27 of the 32 registers hold sums,
         ...                                                        3 hold b, 1 the number spread over all lanes
    a at a_row[8]+a_tap[t]  * sum 8,0    sum 8,1    sum 8,2

For each tap t: 3 vector loads, 9 numbers spread over all lanes, 27 multiply-adds. Loading costs less than multiplying, so the
multipliers are the limit, which is all one can ask for. Every tap adds an outer product, a column of a times a row of b.

The addresses come from two tables, one entry for each tap. That is the whole trick: what a *tap* is, and what a *row* is,
decides which operation the loop computes, and no im2col copy is ever made.

    operation         rows (a)                  taps (the sum)        lanes (b)
    convolution       output pixels, of x       (c, r, s)             filters
    its transpose     input pixels, of dy       (k, r, s), flipped    channels
    filter gradient   (c, r, s), of x           (n, p, q), all        filters, of dy
    few channels      channels, of w            (k, r, s)             neighbouring pixels of x or dy

LLVM compiles vector types to whatever the processor has, so this page is written in LLVM's own language, through Numba's
`intrinsic`: the Python below runs once, at compile time, and writes the loop down instruction by instruction.
"""

from llvmlite import ir
from numba import float32, int32, int64, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.numba_cpu.machine import LANES, PLAIN

FLOATS = types.Array(float32, 1, "C")
TABLE = types.Array(int32, 1, "C")
ROW_TABLE = types.Array(int64, 1, "C")

I32, I64, F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
VECTOR = ir.VectorType(F32, LANES)


def element(builder, pointer, *index):
    """Address of pointer[sum of index]; entries of index are LLVM values or plain numbers."""
    for i in index:
        pointer = builder.gep(pointer, [ir.Constant(I64, i) if isinstance(i, int) else i])
    return pointer


def load(builder, pointer):
    vector = builder.load(builder.bitcast(pointer, VECTOR.as_pointer()))
    vector.align = 4
    return vector


def store(builder, vector, pointer):
    builder.store(vector, builder.bitcast(pointer, VECTOR.as_pointer())).align = 4


def spread(builder, number):
    """The number in every lane."""
    undefined = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, LANES), [0] * LANES))


def data(context, builder, signature, arguments):
    """Arguments of an intrinsic with arrays replaced by pointers to their first element."""
    return [
        context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
        for kind, value in zip(signature.args, arguments, strict=True)
    ]


def _never_unroll(module):
    """A note to LLVM at the loop's end. Two taps at once would need more registers than there are, and spill the sums."""
    disable = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    note = module.add_metadata([disable])
    note.operands = (note, disable)  # LLVM knows a loop's note by its first entry being itself
    return note


def vector_outer(rows, vectors):
    """The tile above as vector code. The signature is that of `plain_outer`."""

    @intrinsic
    def outer(
        typing,
        a,
        a_at,
        a_tap,
        a_first,
        a_row,
        row_first,
        b,
        b_at,
        b_tap,
        b_first,
        taps,
        start,
        start_at,
        start_step,
        sums,
        sums_at,
    ):
        i = types.intp
        signature = types.void(FLOATS, i, TABLE, i, ROW_TABLE, i, FLOATS, i, TABLE, i, i, FLOATS, i, i, FLOATS, i)

        def write(context, builder, signature, arguments):
            (a, a_at, a_tap, a_first, a_row, row_first, b, b_at, b_tap, b_first, taps,
             start, start_at, start_step, sums, sums_at) = data(context, builder, signature, arguments)  # fmt: skip
            multiply_add = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
            )
            grid = [(m, v) for m in range(rows) for v in range(vectors)]
            a_rows = [element(builder, a, a_at, builder.load(element(builder, a_row, row_first, m))) for m in range(rows)]
            b = element(builder, b, b_at)
            place = {(m, v): element(builder, sums, sums_at, (m * vectors + v) * LANES) for m, v in grid}
            begin = [element(builder, start, start_at, builder.mul(start_step, ir.Constant(I64, m))) for m in range(rows)]
            before = {(m, v): load(builder, element(builder, begin[m], v * LANES)) for m, v in grid}

            def offsets(t):
                addresses = element(builder, a_tap, a_first, t), element(builder, b_tap, b_first, t)
                return [builder.sext(builder.load(address), I64) for address in addresses]

            first = offsets(ir.Constant(I64, 0))
            entry = builder.block
            loop, end = builder.append_basic_block("tap"), builder.append_basic_block("end")
            builder.branch(loop)
            builder.position_at_end(loop)
            t = builder.phi(I64)
            running = {mv: builder.phi(VECTOR) for mv in grid}

            a_offset, b_offset = builder.phi(I64), builder.phi(I64)

            def number(m):
                return spread(builder, builder.load(element(builder, a_rows[m], a_offset)))

            def vector(v):
                return load(builder, element(builder, b, b_offset, v * LANES))

            # the shorter side stays in registers for the whole tap, the longer side passes through
            after = {}
            if rows < vectors:
                numbers = [number(m) for m in range(rows)]
                for v in range(vectors):
                    passing = vector(v)
                    for m in range(rows):
                        after[m, v] = builder.call(multiply_add, [numbers[m], passing, running[m, v]])
            else:
                b_vectors = [vector(v) for v in range(vectors)]
                for m in range(rows):
                    passing = number(m)
                    for v in range(vectors):
                        after[m, v] = builder.call(multiply_add, [passing, b_vectors[v], running[m, v]])

            following = builder.add(t, ir.Constant(I64, 1))
            t.add_incoming(ir.Constant(I64, 0), entry)
            t.add_incoming(following, loop)
            more = builder.icmp_signed("<", following, taps)
            for phi, now, later in zip((a_offset, b_offset), first, offsets(builder.select(more, following, t)), strict=True):
                phi.add_incoming(now, entry)
                phi.add_incoming(later, loop)
            for mv in grid:
                running[mv].add_incoming(before[mv], entry)
                running[mv].add_incoming(after[mv], loop)
            again = builder.cbranch(more, loop, end)
            again.set_metadata("llvm.loop", _never_unroll(builder.module))

            builder.position_at_end(end)
            for mv in grid:
                store(builder, after[mv], place[mv])
            return context.get_dummy_value()

        return signature, write

    return outer


def plain_outer(rows, vectors):
    """The same loop in Python, for machines where the vector code cannot be built. It is also the definition.

    sums[sums_at + m*width + j] = start[start_at + m*start_step + j]
                                  + sum over t < taps of a[a_at + a_row[row_first + m] + a_tap[a_first + t]]
                                                         * b[b_at + b_tap[b_first + t] + j],    m < rows, j < width

    The sums begin with what `start` holds: the bias for the first taps (start_step 0: the same for all rows), then sums itself.
    """
    width = vectors * LANES

    @njit(nogil=True)
    def outer(
        a, a_at, a_tap, a_first, a_row, row_first, b, b_at, b_tap, b_first, taps, start, start_at, start_step, sums, sums_at
    ):
        for m in range(rows):
            row, place = a_at + a_row[row_first + m], sums_at + m * width
            for j in range(width):
                sums[place + j] = start[start_at + m * start_step + j]
            for t in range(taps):
                number, lanes = a[row + a_tap[a_first + t]], b_at + b_tap[b_first + t]
                for j in range(width):
                    sums[place + j] += number * b[lanes + j]

    return outer


make_outer = plain_outer if PLAIN else vector_outer
