"""The contract in CUDA C++: kernels in `.cu` files, and beside each the Python that decides how they are launched.

Where to start reading: `implicit_product.cuh` and `tile.cuh`, the product that carries every convolution; `geometry.py`, which
turns a convolution and its adjoint into the same table of taps; `device.py`, what a launch is, on a GPU or under the emulator.

    on_gpu.py       the implementations `cuda` and `cuda-tf32`: CuPy arrays, a GPU
    emulated.py     `cuda-emulated` and `cuda-tf32-emulated`: the same files executed on the CPU, NumPy arrays
    operations.py   which function serves which operation of the contract
    gate.py         compiles all files without a GPU and holds registers and spills against resources.json

    convolution.py  conv_fp32.cu, deconv_step.cu     few_maps.py  first_layer.cu, to_colours.cu     linear.py  linear_fp32.cu
    weight_grad.py  weight_grad.cu                   tensor_cores.py  tensor_cores_conv.cu, tensor_cores_weight_grad.cu

Nothing here has run on a GPU yet: what is said of registers and instructions was read from the compiled code, what is said of
time is counted, not measured.
"""
