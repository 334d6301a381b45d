"""minizf: train a convolutional network from hand-written layers, then look at what every feature in it sees."""

import kernels

__version__ = "0.1.0"

if getattr(kernels, "PROJECT", None) != "minizf":
    raise ImportError(
        f"minizf needs its own package `kernels`, but {getattr(kernels, '__file__', 'another one')} was found first; "
        "uninstall that package (`pip uninstall kernels`) or put minizf's folder first on the path"
    )
