"""Small vector pieces beside the microkernel: turn a block, move numbers, part evens from odds, find the best of a window.

Each comes twice: `vector_...` writes LLVM's vector instructions, `plain_...` is the same in Python loops. The plain one is the
definition, and what runs where the vector code cannot be built.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types, uint8
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.numba_cpu.machine import LANES, PLAIN
from kernels.numba_cpu.microkernels import FLOATS, I32, I64, TABLE, VECTOR, data, element, load, store

BYTES = types.Array(uint8, 1, "C")
I8 = ir.IntType(8)
BYTE_VECTOR, NUMBER_VECTOR = ir.VectorType(I8, LANES), ir.VectorType(I32, LANES)


@intrinsic
def vector_turn(typing, source, source_at, source_row, target, target_at, target_row):
    """Transpose a block of LANES x LANES numbers inside registers; same signature as `plain_turn`.

    Row i and row i + step swap the lanes whose number has the bit `step` set in one and clear in the other. After steps
    1, 2, 4, ... LANES/2 every number has moved from (row, lane) to (lane, row).
    """
    i = types.intp
    signature = types.void(FLOATS, i, i, FLOATS, i, i)

    def write(context, builder, signature, arguments):
        source, source_at, source_row, target, target_at, target_row = data(context, builder, signature, arguments)

        def row(pointer, at, stride, number):
            return element(builder, pointer, at, builder.mul(stride, ir.Constant(I64, number)))

        block = [load(builder, row(source, source_at, source_row, n)) for n in range(LANES)]
        step = 1
        while step < LANES:
            # lanes of the second vector are counted on from LANES
            upper = [j if not j & step else LANES + j - step for j in range(LANES)]
            lower = [j + step if not j & step else LANES + j for j in range(LANES)]
            masks = [ir.Constant(ir.VectorType(I32, LANES), lanes) for lanes in (upper, lower)]
            for n in range(LANES):
                if not n & step:
                    pair = block[n], block[n + step]
                    block[n], block[n + step] = (builder.shuffle_vector(*pair, mask) for mask in masks)
            step *= 2
        for n in range(LANES):
            store(builder, block[n], row(target, target_at, target_row, n))
        return context.get_dummy_value()

    return signature, write


@njit(nogil=True)
def plain_turn(source, source_at, source_row, target, target_at, target_row):
    """target[target_at + j*target_row + i] = source[source_at + i*source_row + j] for i, j < LANES."""
    for i in range(LANES):
        for j in range(LANES):
            target[target_at + j * target_row + i] = source[source_at + i * source_row + j]


@intrinsic
def vector_move(typing, source, source_at, target, target_at):
    """Copy LANES numbers; same signature as `plain_move`."""
    i = types.intp
    signature = types.void(FLOATS, i, FLOATS, i)

    def write(context, builder, signature, arguments):
        source, source_at, target, target_at = data(context, builder, signature, arguments)
        store(builder, load(builder, element(builder, source, source_at)), element(builder, target, target_at))
        return context.get_dummy_value()

    return signature, write


@njit(nogil=True)
def plain_move(source, source_at, target, target_at):
    """target[target_at + j] = source[source_at + j] for j < LANES."""
    for j in range(LANES):
        target[target_at + j] = source[source_at + j]


@intrinsic
def vector_stream(typing, source, source_at, target, target_at, vectors):
    """Copy `vectors` times LANES numbers to an aligned place past the caches; same signature as `plain_stream`.

    A processor first reads every line it writes a part of; a line streamed whole it does not. The fence at the end makes the
    numbers visible to other cores.
    """
    i = types.intp
    signature = types.void(FLOATS, i, FLOATS, i, i)

    def write(context, builder, signature, arguments):
        source, source_at, target, target_at, vectors = data(context, builder, signature, arguments)
        past_caches = builder.module.add_metadata([ir.Constant(I32, 1)])
        with cgutils.for_range(builder, vectors) as loop:
            at = builder.mul(loop.index, ir.Constant(loop.index.type, LANES))
            vector = load(builder, element(builder, source, source_at, at))
            place = builder.bitcast(element(builder, target, target_at, at), VECTOR.as_pointer())
            written = builder.store(vector, place)
            written.align = 4 * LANES
            written.set_metadata("nontemporal", past_caches)
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return signature, write


@njit(nogil=True)
def plain_stream(source, source_at, target, target_at, vectors):
    """target[target_at + j] = source[source_at + j] for j < vectors * LANES."""
    for j in range(vectors * LANES):
        target[target_at + j] = source[source_at + j]


def make_prefetch(to_write):
    """Ask for the cache line of source[at], to read it or to write it, and go on without waiting for it."""

    @intrinsic
    def vector_prefetch(typing, source, at):
        signature = types.void(FLOATS, types.intp)

        def write(context, builder, signature, arguments):
            source, at = data(context, builder, signature, arguments)
            byte = ir.IntType(8).as_pointer()
            prefetch = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32]), "llvm.prefetch.p0"
            )
            purpose, second_level, not_code = (ir.Constant(I32, number) for number in (int(to_write), 2, 1))
            builder.call(prefetch, [builder.bitcast(element(builder, source, at), byte), purpose, second_level, not_code])
            return context.get_dummy_value()

        return signature, write

    return vector_prefetch


@njit(nogil=True)
def plain_prefetch(source, at):
    pass


turn_block = plain_turn if PLAIN else vector_turn
move = plain_move if PLAIN else vector_move
stream = plain_stream if PLAIN else vector_stream
prefetch = plain_prefetch if PLAIN else make_prefetch(to_write=False)
prefetch_to_write = plain_prefetch if PLAIN else make_prefetch(to_write=True)


@intrinsic
def vector_part(typing, source, source_at, evens, evens_at, odds, odds_at, rectify):
    """Part 2 * LANES numbers into evens and odds; same signature as `plain_part`."""
    i = types.intp
    signature = types.void(FLOATS, i, FLOATS, i, FLOATS, i, types.boolean)

    def write(context, builder, signature, arguments):
        source, source_at, evens, evens_at, odds, odds_at, rectify = data(context, builder, signature, arguments)
        pair = [load(builder, element(builder, source, source_at, n * LANES)) for n in (0, 1)]
        for odd, target in ((0, element(builder, evens, evens_at)), (1, element(builder, odds, odds_at))):
            lanes = ir.Constant(NUMBER_VECTOR, [2 * n + odd for n in range(LANES)])
            vector, zero = builder.shuffle_vector(*pair, lanes), ir.Constant(VECTOR, [0.0] * LANES)
            rectified = builder.select(builder.fcmp_ordered("<=", vector, zero), zero, vector)
            store(builder, builder.select(builder.trunc(rectify, ir.IntType(1)), rectified, vector), target)
        return context.get_dummy_value()

    return signature, write


@njit(nogil=True)
def plain_part(source, source_at, evens, evens_at, odds, odds_at, rectify):
    """evens[evens_at + j], odds[odds_at + j] = source[source_at + 2*j], [... + 1] for j < LANES; rectified if asked for."""
    for j in range(LANES):
        even, odd = source[source_at + 2 * j], source[source_at + 2 * j + 1]
        evens[evens_at + j] = np.float32(0) if rectify and even <= 0 else even
        odds[odds_at + j] = np.float32(0) if rectify and odd <= 0 else odd


@intrinsic
def vector_zip(typing, evens, evens_at, odds, odds_at, target, target_at, rectify):
    """The inverse of `part`: LANES evens and LANES odds to 2 * LANES numbers; same signature as `plain_zip`."""
    i = types.intp
    signature = types.void(FLOATS, i, FLOATS, i, FLOATS, i, types.boolean)

    def write(context, builder, signature, arguments):
        evens, evens_at, odds, odds_at, target, target_at, rectify = data(context, builder, signature, arguments)
        pair = [load(builder, element(builder, evens, evens_at)), load(builder, element(builder, odds, odds_at))]
        for half in (0, 1):
            lanes = [(n + half * LANES) // 2 + n % 2 * LANES for n in range(LANES)]
            vector, zero = builder.shuffle_vector(*pair, ir.Constant(NUMBER_VECTOR, lanes)), ir.Constant(VECTOR, [0.0] * LANES)
            rectified = builder.select(builder.fcmp_ordered("<=", vector, zero), zero, vector)
            chosen = builder.select(builder.trunc(rectify, ir.IntType(1)), rectified, vector)
            store(builder, chosen, element(builder, target, target_at, half * LANES))
        return context.get_dummy_value()

    return signature, write


@njit(nogil=True)
def plain_zip(evens, evens_at, odds, odds_at, target, target_at, rectify):
    """target[target_at + 2*j], [... + 1] = evens[evens_at + j], odds[odds_at + j] for j < LANES; rectified if asked for."""
    for j in range(LANES):
        even, odd = evens[evens_at + j], odds[odds_at + j]
        target[target_at + 2 * j] = np.float32(0) if rectify and even <= 0 else even
        target[target_at + 2 * j + 1] = np.float32(0) if rectify and odd <= 0 else odd


@intrinsic
def vector_move_bytes(typing, source, source_at, target, target_at):
    """Copy LANES bytes; same signature as `plain_move_bytes`."""
    i = types.intp
    signature = types.void(BYTES, i, BYTES, i)

    def write(context, builder, signature, arguments):
        source, source_at, target, target_at = data(context, builder, signature, arguments)
        vector = load_bytes(builder, element(builder, source, source_at))
        builder.store(vector, builder.bitcast(element(builder, target, target_at), BYTE_VECTOR.as_pointer())).align = 1
        return context.get_dummy_value()

    return signature, write


@njit(nogil=True)
def plain_move_bytes(source, source_at, target, target_at):
    """target[target_at + j] = source[source_at + j] for j < LANES."""
    for j in range(LANES):
        target[target_at + j] = source[source_at + j]


def load_bytes(builder, pointer):
    vector = builder.load(builder.bitcast(pointer, BYTE_VECTOR.as_pointer()))
    vector.align = 1
    return vector


SUMMED = 4  # vectors of `sum_named`: enough additions under way at once to hide how long one takes


@intrinsic
def vector_sum_named(typing, y, switches, at, offsets, places, first, count, sums, sums_at):
    """Sum up what windows name SUMMED * LANES neighbouring positions; same signature as `plain_sum_named`."""
    i = types.intp
    signature = types.void(FLOATS, BYTES, i, TABLE, BYTES, i, i, FLOATS, i)

    def write(context, builder, signature, arguments):
        y, switches, at, offsets, places, first, count, sums, sums_at = data(context, builder, signature, arguments)
        y, switches = element(builder, y, at), element(builder, switches, at)
        vectors = range(0, SUMMED * LANES, LANES)
        last = builder.add(first, count)
        entry = builder.block
        loop, end = builder.append_basic_block("window"), builder.append_basic_block("end")
        builder.branch(loop)
        builder.position_at_end(loop)
        t, totals = builder.phi(I64), [builder.phi(VECTOR) for _ in vectors]
        offset = builder.sext(builder.load(element(builder, offsets, t)), I64)
        undefined = ir.Constant(BYTE_VECTOR, ir.Undefined)
        place = builder.insert_element(undefined, builder.load(element(builder, places, t)), ir.Constant(I32, 0))
        place = builder.shuffle_vector(place, undefined, ir.Constant(NUMBER_VECTOR, [0] * LANES))
        after = []
        for v, total in zip(vectors, totals, strict=True):
            named = builder.icmp_unsigned("==", load_bytes(builder, element(builder, switches, offset, v)), place)
            more = builder.fadd(total, load(builder, element(builder, y, offset, v)))
            after.append(builder.select(named, more, total))
        following = builder.add(t, ir.Constant(I64, 1))
        t.add_incoming(first, entry)
        t.add_incoming(following, loop)
        for total, later in zip(totals, after, strict=True):
            total.add_incoming(ir.Constant(VECTOR, [0.0] * LANES), entry)
            total.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, last), loop, end)
        builder.position_at_end(end)
        for v, total in zip(vectors, after, strict=True):
            store(builder, total, element(builder, sums, sums_at, v))
        return context.get_dummy_value()

    return signature, write


@njit(nogil=True)
def plain_sum_named(y, switches, at, offsets, places, first, count, sums, sums_at):
    """sums[sums_at + j] = sum of y[at + offsets[t] + j] over those t = first ... first + count - 1 whose switch is places[t].

    For j < SUMMED * LANES.
    """
    for j in range(SUMMED * LANES):
        total = np.float32(0)
        for t in range(first, first + count):
            if switches[at + offsets[t] + j] == places[t]:
                total += y[at + offsets[t] + j]
        sums[sums_at + j] = total


@intrinsic
def vector_best(typing, source, at, offsets, first, count, winner, winner_at, winner_base, y, y_at, switches, switches_at):
    """The best of a window for LANES neighbouring windows at once; same signature as `plain_best`."""
    i = types.intp
    signature = types.void(FLOATS, i, TABLE, i, i, BYTES, i, i, FLOATS, i, BYTES, i)

    def write(context, builder, signature, arguments):
        source, at, offsets, first, count, winner, winner_at, winner_base, y, y_at, switches, switches_at = data(
            context, builder, signature, arguments
        )

        def bytes_at(pointer, index):
            return builder.bitcast(element(builder, pointer, index), BYTE_VECTOR.as_pointer())

        def everywhere(number):
            undefined = ir.Constant(NUMBER_VECTOR, ir.Undefined)
            one = builder.insert_element(undefined, builder.trunc(number, I32), ir.Constant(I32, 0))
            return builder.shuffle_vector(one, undefined, ir.Constant(NUMBER_VECTOR, [0] * LANES))

        places = builder.load(bytes_at(winner, winner_at))
        places.align = 1
        places = builder.add(builder.zext(places, NUMBER_VECTOR), everywhere(winner_base))
        last = builder.add(first, count)
        entry = builder.block
        loop, end = builder.append_basic_block("place"), builder.append_basic_block("end")
        builder.branch(loop)
        builder.position_at_end(loop)
        t, best, holder = builder.phi(I64), builder.phi(VECTOR), builder.phi(NUMBER_VECTOR)
        offset = builder.sext(builder.load(element(builder, offsets, t)), I64)
        value = load(builder, element(builder, source, at, offset))
        # larger or one of the two not a number, and the best so far a number
        better = builder.and_(builder.fcmp_unordered(">", value, best), builder.fcmp_ordered("ord", best, best))
        new_best, new_holder = builder.select(better, value, best), builder.select(better, everywhere(t), holder)
        following = builder.add(t, ir.Constant(I64, 1))
        infinite = ir.Constant(VECTOR, [float("-inf")] * LANES)
        for phi, before, after in ((t, first, following), (best, infinite, new_best), (holder, places, new_holder)):
            phi.add_incoming(before, entry)
            phi.add_incoming(after, loop)
        builder.cbranch(builder.icmp_signed("<", following, last), loop, end)
        builder.position_at_end(end)
        store(builder, new_best, element(builder, y, y_at))
        builder.store(builder.trunc(new_holder, BYTE_VECTOR), bytes_at(switches, switches_at)).align = 1
        return context.get_dummy_value()

    return signature, write


@njit(nogil=True)
def plain_best(source, at, offsets, first, count, winner, winner_at, winner_base, y, y_at, switches, switches_at):
    """y[y_at + j] = the first largest of source[at + offsets[t] + j] over t = first ... first + count - 1, for j < LANES.

    switches[switches_at + j] = its t, or winner[winner_at + j] + winner_base if all are -inf. The first NaN beats everything.
    """
    for j in range(LANES):
        best, holder = np.float32(-np.inf), winner[winner_at + j] + winner_base
        for t in range(first, first + count):
            value = source[at + offsets[t] + j]
            if not (value <= best or best != best):
                best, holder = value, t
        y[y_at + j] = best
        switches[switches_at + j] = np.uint8(holder)


part = plain_part if PLAIN else vector_part
zip_halves = plain_zip if PLAIN else vector_zip
move_bytes = plain_move_bytes if PLAIN else vector_move_bytes
sum_named = plain_sum_named if PLAIN else vector_sum_named
best_of_window = plain_best if PLAIN else vector_best
