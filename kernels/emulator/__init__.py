"""Runs CUDA C++ kernels on the CPU, behind CuPy's launch signature: no GPU, no CUDA toolkit, only g++.

    import numpy as np
    from kernels.emulator import Module, empty

    scale = Module(open("scale.cu").read(), name="scale.cu").get_function("scale")
    x, y = np.arange(1000, dtype=np.float32), empty(1000)
    scale((4,), (256,), (x, y, np.float32(2), np.int32(1000)))       NumPy arrays; y counts as unwritten until it is written
    print(scale.counts)                                              reads, writes, sectors, bank passes

Kernels written in Python for Numba CUDA have a place of their own to run: kernels/emulator/simulator.py.

A mistake is an exception that names kernel, block, thread and line:

    KernelError: scale, block (3, 0, 0), thread (232, 0, 0), scale.cu line 3: reads x[1000], which has 1000 elements

`python -m kernels.emulator scale.cu` lists a file's kernels and shows what g++ remarks.

Two modes: `Module(..., checked=True)`, the default, looks at every load and store; `checked=False` only computes, some ten
times faster. MINIZF_EMULATOR=fast makes that the default. Three orders of blocks and threads: `order="forward" | "reverse" |
"shuffled"` (MINIZF_EMULATOR_ORDER). MINIZF_EMULATOR_LIMIT_S (60): seconds after which a launch counts as endless.
MINIZF_EMULATOR_CACHE: where compiled kernels are kept. MINIZF_EMULATOR_FIBERS=ucontext: the switch of threads that works on
every processor.

It knows: 1-3 dimensional grids and blocks, static and dynamic shared memory (`extern __shared__`, DYN_SHARED), __constant__,
templates, structs by value, float4 and its relatives, __syncthreads and its counting forms, __syncwarp, shuffles, votes,
__reduce_*_sync, __match_any_sync, atomics, printf, assert, and by the names of kernels/cuda/prelude.cuh cp.async and mma.sync
in TF32. It does not know: inline PTX, headers of the toolkit, half precision, textures, cooperative groups, wgmma.

The checked mode sees
- accesses outside every argument array and shared array (exact to the byte; between two shared arrays lies a gap), null
  pointers;
- reads of what nothing wrote: shared memory since its block began, arrays from `empty`;
- races: two threads, one of which writes, with no __syncthreads between (within a warp no __syncwarp; shuffles and votes do
  not order memory), in shared and in global memory, and any two blocks in global memory. Found from who touched what, so the
  order in which threads happen to run matters little. Writing the same value twice is let pass;
- barriers that some threads do not reach or that are not the same line, lanes at different warp operations, lanes outside
  their mask;
- misaligned vectors; cp.async to or from the wrong memory, or used before its wait;
- integer division by zero, assertions, locals beyond 256 KB, loops without end;
- before anything runs: wrong number, dtype or size of arguments, CUDA's limits on grid, block and shared memory.
The fast mode poisons shared memory with NaN, looks at guard bands around arrays from `empty`, and
survives pointers to no memory at all.

Neither sees
- time: caches, latency, occupancy, registers and the launches they forbid. `counts` says what is moved, not how long it takes;
- a missing __threadfence (one that is there ends the search for races between blocks of that launch);
- memcpy and memset of a size known only at run time;
- the bounds of arrays inside a thread (locals), and of arrays inside a struct or __constant__ memory;
- an access that misses its array but lands in another array of the same launch;
- of three or more threads that read one word unordered, all but two: a later write then may race unseen;
- what needs two blocks or warps to make progress at the same time: a thread that spins for another never ends;
- the rounding of the hardware's fast intrinsics and the order in which a tensor core adds.
Counts are those of g++ -O1: a value read twice with nothing written between may be read once, as with nvcc.
"""

from kernels.emulator.compiler import CompileError, unavailable_reason
from kernels.emulator.memory import empty
from kernels.emulator.module import Kernel, Module
from kernels.emulator.report import KernelError
from kernels.emulator.traffic import Traffic

__all__ = ["CompileError", "Kernel", "KernelError", "Module", "Traffic", "empty", "unavailable_reason"]
