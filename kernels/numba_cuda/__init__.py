"""The operations in Numba CUDA: the same tiled kernels as in CUDA C++, as Python that one can read, and run without a GPU.

    tiles.py          how products are cut into blocks, and what one step of a block does
    convolution.py    conv2d, its adjoint, the deconvnet's step        weight_grad.py      the gradient for the filters
    products.py       the fully connected layer and its gradients      pooling.py          max pooling with switches
    unpooling.py      the way back, by collision rule                  normalisation.py    contrast normalisation
    pointwise.py      the rectifier                                    training.py         loss, update, renormalisation
    device.py         a GPU, or the simulator                          loader.py           numba.cuda, whatever its version

Kernels are plain Python functions that say `cuda.threadIdx` and `cuda.syncthreads()` as Numba has it; `language.py` says where
their `cuda` comes from. They compute in float32: every number in them stands in float32(...), because Numba takes 0.5 for a
double. They index flat arrays with int32, and what decides a block's shape is a constant to the compiler, so that the loops
over a thread's own sums unroll and the sums stay in registers.
"""
