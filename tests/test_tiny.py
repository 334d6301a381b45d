"""Does anything work at all? Seconds: one net, one step of learning, one look inside."""

import subprocess
import sys

import numpy as np

from minizf import deconvnet
from minizf.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU, softmax_cross_entropy
from minizf.net import Net


def test_learn_and_look():
    rng = np.random.default_rng(0)
    filters = rng.standard_normal((4, 1, 3, 3)).astype(np.float32) * 0.3
    net = Net(
        [
            ("conv1", Conv2d(filters, np.zeros(4, np.float32), pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2, 2)),
            ("flatten", Flatten()), ("fc2", Linear(np.zeros((2, 64), np.float32), np.zeros(2, np.float32))),
        ],
        (1, 8, 8),
    )  # fmt: skip
    x, labels = rng.standard_normal((16, 1, 8, 8), dtype=np.float32), np.arange(16) % 2
    x[labels == 1, :, 2:4, 2:6] += 2  # a bar to find
    losses = []
    for _ in range(30):
        logits, tape = net.forward(x)
        loss, dlogits = softmax_cross_entropy(logits, labels)
        losses.append(loss)
        _, grads = net.backward(dlogits, tape, to_input=False)
        for name, array in net.state().items():
            array -= 0.1 * grads[name]
    assert losses[-1] < losses[0] / 3
    _, tape = net.forward(x)
    pixels = deconvnet.project(net, tape, "fc2", image=1, map=1)
    bar = np.abs(pixels[0, 1:5, 1:7]).sum()
    assert bar > np.abs(pixels).sum() / 2, "the evidence for class 1 lies on its bar"
    window = deconvnet.project_windows(net, tape, "relu1", [1], [0])
    assert window.pixels.shape == (1, 1, 3, 3)


def test_import_is_quick():
    code = "import time; t = time.perf_counter(); import minizf; print(time.perf_counter() - t)"
    taken = min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(3))
    assert taken < 0.5
