"""Kernels in steps: the same operation again and again, each time with one idea more, in CUDA C++ and in Numba CUDA.

    python -m kernels.ladder conv2d                      every step: is it right, and what does it read and write
    python -m kernels.ladder conv2d --step 3 --break barrier

The page to read is README.md. The steps themselves are the numbered files in conv2d/ and unpool2d/.
"""

from kernels.ladder.conv2d import LADDER as CONV2D
from kernels.ladder.unpool2d import LADDER as UNPOOL2D

LADDERS = {ladder.name: ladder for ladder in (CONV2D, UNPOOL2D)}
