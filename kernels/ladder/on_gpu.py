"""The CUDA C++ steps on an NVIDIA GPU, through CuPy: right first, then timed, then right again.

Written without a GPU at hand: what is here has run on a stand-in for one in the tests, not yet on a GPU.
"""

from typing import Any

import numpy as np

from kernels.ladder.running import SEED, check
from kernels.ladder.steps import Ladder, Step

RUNS, WARM_UP = 21, 3


def microseconds(ladder: Ladder, step: Step, problem: Any) -> float:
    """Median time of one launch with a cold cache. ImportError in words where there is no GPU; WrongResult as on the CPU."""
    from kernels.bench.clock import gpu_clock
    from kernels.cuda.device import Gpu

    try:
        device = Gpu()
    except ImportError as error:
        raise ImportError(f"real times need an NVIDIA GPU and CuPy (pip install 'minizf[cuda]'): {error}") from error
    path = ladder.path(step, "cuda")
    kernel = device.compiled(path.read_text(), path.name, ()).get_function(ladder.kernel)
    for small in ladder.awkward:
        launch, arguments, output = prepared(device, ladder, step, small)
        kernel(*launch, arguments)
        check(ladder, step, small, output.get())

    launch, arguments, output = prepared(device, ladder, step, problem)
    clock = gpu_clock(device.arrays)
    seconds = []
    for _ in range(WARM_UP + RUNS):
        output.fill(0 if step.cleared else np.nan)
        clock.flush()
        seconds.append(clock.time(lambda: kernel(*launch, arguments))[1])
    check(ladder, step, problem, output.get())
    return 1e6 * float(np.median(seconds[WARM_UP:]))


def prepared(device: Any, ladder: Ladder, step: Step, problem: Any) -> tuple[Any, tuple, Any]:
    """The launch, its arguments on the device, and the output among them."""
    case = ladder.case(problem, step, SEED)
    output = device.empty(case.expected.shape)
    output.fill(0 if step.cleared else np.nan)
    return step.launch(problem), (*map(device.arrays.asarray, case.inputs), output, *map(np.int32, case.numbers)), output
