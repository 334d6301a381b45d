"""`python -m kernels.emulator file.cu`: what is in a CUDA file, and what g++ says about it."""

import argparse
import sys
import time
from pathlib import Path

from kernels.backends import BackendUnavailable
from kernels.emulator.compiler import CompileError, cache_folder
from kernels.emulator.module import Module

EXAMPLE = """\
example:
  python -m kernels.emulator kernels/cuda/pointwise.cu
      relu(const float* x, float* y, int count)   0 bytes of shared memory
      relu_grad(const float* dy, const float* y, float* dx, int count)   0 bytes of shared memory

Kernels must be `extern "C" __global__ void name(...)`. To run one, from Python:
  from kernels.emulator import Module
  kernel = Module(open("scale.cu").read(), name="scale.cu").get_function("scale")
  kernel((4,), (256,), (x, np.float32(2), np.int32(x.size)))      # arrays are NumPy's
  print(kernel.counts)                                            # reads and writes
"""


def main(arguments: list[str] | None = None) -> int:
    """Lists the kernels of each file. Returns 1 if one does not compile or has no kernel, 2 where none can be compiled."""
    parser = argparse.ArgumentParser(
        prog="python -m kernels.emulator",
        description="Compile CUDA C++ files for the CPU, with every access checked, and list their kernels. Needs g++, no GPU.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="file.cu")
    parser.add_argument("-D", dest="macros", action="append", default=[], metavar="NAME=VALUE", help="define a macro")
    parser.add_argument("--fast", action="store_true", help="compile for speed, without the checks")
    given = parser.parse_args(arguments)
    try:
        good = [_show(file, [f"-D{macro}" for macro in given.macros], not given.fast) for file in given.files]
    except (BackendUnavailable, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if all(good) else 1


def _show(file: Path, options: list[str], checked: bool) -> bool:
    try:
        code = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        print(f"{file}: {getattr(error, 'strerror', error)}", file=sys.stderr)
        return False
    start = time.perf_counter()
    try:
        module = Module(code, (*options, f"-I{file.resolve().parent}"), name=file.name, checked=checked)
    except CompileError as error:
        print(error, file=sys.stderr)
        return False
    took = time.perf_counter() - start
    print(
        f"{file}: compiled {'with every access checked' if checked else 'for speed'} in {took:.1f} s, kept in {cache_folder()}"
    )
    for name in module.kernels:
        kernel = module.get_function(name)
        print(f"  {kernel.signature}   {kernel.shared_size_bytes} bytes of shared memory")
    for name in module.not_extern_c:
        print(f'  {name}: cannot be launched by name; write extern "C" before its __global__')
    if module.warnings:
        print(f"  g++ remarks:\n{module.warnings}")
    if not module.kernels:
        print('  no kernel; one begins with extern "C" __global__ void', file=sys.stderr)
    return bool(module.kernels)


if __name__ == "__main__":
    sys.exit(main())
