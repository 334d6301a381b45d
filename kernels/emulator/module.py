"""A CUDA source text compiled for the CPU, and its kernels: what `cupy.RawModule` is on a GPU."""

import ctypes
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

HEADER = Path(__file__).with_name("cuda_cpu.h")
KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(')
SYNC = re.compile(r"__sync|_sync\s*\(|mma_|cp_async")
ORDERS = {"forward": 0, "reverse": 1, "shuffled": 2}
FLAGS = ("-std=c++20", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fPIC", "-shared", "-w")


class KernelError(RuntimeError):
    """A kernel did what a GPU would not allow."""

    def __init__(self, kernel, block, thread, what, file="", line=None):
        super().__init__(f"{kernel}, block {block}, thread {thread}: {what}")
        self.kernel, self.block, self.thread, self.what, self.file, self.line = kernel, block, thread, what, file, line


def empty(shape, dtype=np.float32):
    """An array whose content nothing wrote yet (NaN where the dtype has it)."""
    array = np.empty(shape, dtype)
    array.view(np.uint8 if array.ndim else array.dtype).fill(255)
    return array


class Module:
    def __init__(self, code, options=(), name="kernel.cu", checked=None):
        options = tuple(options)
        text = f'#line 1 "{name}"\n{code}\n'
        bare = subprocess.run(
            ["g++", "-std=c++20", "-E", "-P", "-x", "c++", "-", *options], input=text, capture_output=True, text=True
        )
        if bare.returncode:
            raise RuntimeError(f"{name} does not compile:\n{bare.stderr}")
        self.kernels = KERNEL.findall(bare.stdout)
        self.fibers = bool(SYNC.search(bare.stdout))
        source = f'#include "{HEADER}"\n' + text + "".join(f"MINIZF_KERNEL_WRAPPER({kernel})\n" for kernel in self.kernels)
        key = hashlib.sha256((source + HEADER.read_text() + " ".join((*FLAGS, *options))).encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"minizf-emulator-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        library = folder / f"{key}.so"
        if not library.exists():
            own = folder / f"{key}.{os.getpid()}"
            own.with_suffix(".cpp").write_text(source)
            command = ["g++", *FLAGS, *options, str(own.with_suffix(".cpp")), "-o", str(own.with_suffix(".so"))]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{name} does not compile:\n{done.stderr}")
            own.with_suffix(".so").replace(library)
        self.name, self.library = name, ctypes.CDLL(str(library))
        self.library.minizf_message.restype = ctypes.c_char_p
        self.library.minizf_where.restype = ctypes.POINTER(ctypes.c_uint * 6)

    def get_function(self, name):
        return Kernel(self, name)


class Kernel:
    def __init__(self, module, name):
        self.module, self.name, self.max_dynamic_shared_size_bytes = module, name, 48 * 1024
        self.function = getattr(module.library, "cpu_" + name)

    def __call__(self, grid, block, args, shared_mem=0, order="forward"):
        grid, block = (tuple(grid) + (1, 1, 1))[:3], (tuple(block) + (1, 1, 1))[:3]
        kept, pointers = [], (ctypes.c_void_p * len(args))()
        for index, argument in enumerate(args):
            if isinstance(argument, np.ndarray) and argument.ndim > 0:
                value = ctypes.c_void_p(argument.ctypes.data)
                pointers[index] = ctypes.addressof(value)
            else:
                value = np.array(argument)
                pointers[index] = value.ctypes.data
            kept.append(value)
        sizes = (ctypes.c_uint * 6)(*grid, *block)
        self.function(sizes, ctypes.c_size_t(shared_mem), ORDERS[order], int(self.module.fibers), pointers)
        message = self.module.library.minizf_message()
        if message:
            where = tuple(self.module.library.minizf_where().contents)
            raise KernelError(self.name, where[:3], where[3:], message.decode(), self.module.name)
