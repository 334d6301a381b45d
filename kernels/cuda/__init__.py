"""The contract in CUDA C++: kernels in `.cu` files, and beside each the Python that decides how they are launched.

Where to start reading: `conv_fp32.cu`, the tile that carries every convolution; `geometry.py`, which turns a convolution and
its adjoint into the same table of taps; `device.py`, what a launch is, on a GPU or under the emulator.

    on_gpu.py       the implementations `cuda` and `cuda-tf32`: CuPy arrays, a GPU
    emulated.py     `cuda-emulated` and `cuda-tf32-emulated`: the same files executed on the CPU, NumPy arrays
    operations.py   which function serves which operation of the contract
"""
