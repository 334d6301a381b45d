"""What this processor's vector registers look like, and the tiles that fit into them.

    processor          lanes (float32 in a register)    registers
    AVX-512            16                               32
    AVX2               8                                16
    NEON               4                                32
    anything else      4                                16

A tile of `rows` x `vectors` running sums stays in registers for the whole inner loop; beside it the loop needs one register
for each of the `vectors` it loads and one for the number it spreads over all lanes: rows * vectors + vectors + 1 <= registers.
A squarer tile does more multiply-adds for each number loaded, so the tiles fill the registers.

The environment variable MINIZF_VECTOR_LANES (16, 8, 4, or 0 for plain loops without vector code) overrides what is found.
"""

import os
import platform

import llvmlite.binding as llvm


def _find() -> tuple[int, int, str]:
    """-> lanes (0: no vector code), registers, the words that `vector_code` reports."""
    wish = os.environ.get("MINIZF_VECTOR_LANES")
    if wish is not None and wish not in ("0", "4", "8", "16"):
        raise ValueError(f"MINIZF_VECTOR_LANES: {wish!r} is none of 16, 8, 4, 0; unset it to use what the processor has")
    if wish == "0":
        return 0, 16, "plain loops: MINIZF_VECTOR_LANES=0 asks for them"
    try:
        has = llvm.get_host_cpu_features()
    except RuntimeError:
        return 0, 16, "plain loops: LLVM cannot tell which vector instructions this processor has"
    arm = platform.machine().lower() in ("arm64", "aarch64")
    if has.get("avx512f"):
        lanes, registers, name = 16, 32, "AVX-512"
    elif has.get("avx2") and has.get("fma"):
        lanes, registers, name = 8, 16, "AVX2"
    elif arm:
        lanes, registers, name = 4, 32, "NEON"
    else:
        lanes, registers, name = 4, 16, "four-lane vectors"
    if wish is not None and int(wish) < lanes:
        lanes, name = int(wish), f"{name}, narrowed by MINIZF_VECTOR_LANES"
        registers = 32 if arm else 16
    return lanes, registers, f"{name}, {lanes} lanes, {registers} registers"


LANES, REGISTERS, DESCRIPTION = _find()
PLAIN = LANES == 0
if PLAIN:
    LANES = 8

# rows of a tile, by its number of vectors
ROWS = {1: 20, 2: 12, 3: 9, 4: 6} if REGISTERS == 32 else {1: 10, 2: 6, 3: 4, 4: 2}
# a tile for very few rows: three colours on their way down to pixels
FLAT_ROWS, FLAT_VECTORS = (3, 8) if REGISTERS == 32 else (3, 4)
