"""Checks of what a training step does beside its layers; `kernel_checks` lists them with all others."""

import numpy as np
from comparing import call, close, exactly, normal, same

import kernels
from kernels import reference

BIASES = ((1, 1), (5, 3), (0, 4), (2, 3, 5, 7), (3, 17, 1, 4), (0, 2, 3, 1), (7, 1, 11, 13))
LOGITS = ((1, 1), (1, 7), (5, 3), (0, 4), (3, 37), (67, 2))  # N, G
WEIGHTS = ((1,), (7,), (5, 3), (3, 2, 5), (4, 3, 5, 2), (0, 3), (67, 3, 7, 1))
FILTERS = ((1, 1), (2, 3), (5, 3, 2, 7), (19, 1, 11, 13), (4,))


def check_bias_grad(shape, seed, dtype):
    dy = normal(np.random.default_rng(seed), shape, dtype)
    close("bias_grad", call("bias_grad", dy), *exactly("bias_grad", dy.size // shape[1], dy))
    dy.reshape(-1)[dy.size // 2 : dy.size // 2 + 1] = np.nan
    close("bias_grad of NaN", call("bias_grad", dy), *exactly("bias_grad", dy.size // shape[1], dy))


def check_softmax_cross_entropy(shape, seed, dtype):
    rng = np.random.default_rng(seed)
    logits, labels = 4 * normal(rng, shape, dtype), rng.integers(0, shape[1], shape[0])
    for numbers in (logits, logits + dtype.type(1000), 30 * logits, with_strange_rows(logits, labels)):
        losses, dlogits = call("softmax_cross_entropy", numbers, labels)
        with np.errstate(all="ignore"):
            span = np.nanmax(numbers, initial=0) - np.nanmin(np.where(np.isinf(numbers), 0, numbers), initial=0)
        expected_losses, expected = reference.softmax_cross_entropy(numbers.astype(np.float64), labels)
        relative = (shape[1] + 16 + 2 * (span if np.isfinite(span) else 0)) * np.finfo(dtype).eps
        close(
            "softmax_cross_entropy: losses",
            losses,
            expected_losses,
            relative * (1 + abs(np.nan_to_num(expected_losses, posinf=0))),
        )
        close("softmax_cross_entropy: dlogits", dlogits, expected, relative / max(len(logits), 1))


def with_strange_rows(logits, labels):
    """A NaN, an infinity, a class that cannot be (-inf), and the true class that cannot be."""
    strange = logits.copy()
    for row, value in zip(range(len(strange)), (np.nan, np.inf, -np.inf, -np.inf), strict=False):
        strange[row, (labels[row] + (row < 3)) % strange.shape[1]] = value
    return strange


def check_sgd_update(shape, seed, dtype):
    rng = np.random.default_rng(seed)
    w, v, dw = (normal(rng, shape, dtype) for _ in range(3))
    for rate, momentum, decay in ((0.1, 0.9, 0.01), (0.5, 0.0, 0.0), (0.01, 0.5, 2.0)):
        expected = w.astype(np.float64), v.astype(np.float64)
        reference.sgd_update(*expected, dw.astype(np.float64), rate, momentum, decay)
        sizes = abs(momentum * v.astype(np.float64)) + abs(rate * dw) + abs((1 + rate * decay) * w)
        after = changed("sgd_update", (w, v), dw, rate, momentum, decay)
        for name, actual, wanted in zip("wv", after, expected, strict=True):
            close(f"sgd_update: {name}", actual, wanted, 8 * np.finfo(dtype).eps * sizes)


def check_renormalise_filters(shape, seed, dtype):
    rng = np.random.default_rng(seed)
    w = normal(rng, shape, np.float64)
    rms = np.sqrt(np.mean(w.reshape(len(w), -1) ** 2, axis=1)).reshape(-1, *[1] * (w.ndim - 1))
    w *= rng.choice([0.02, 0.09, 0.11, 3.0], rms.shape) / rms
    w[:1] = 0.3  # at least one too large, at least one within the radius
    w[1:2] = 0.05
    w[2:3, ...] = np.nan
    w = w.astype(dtype)
    expected = w.astype(np.float64)
    reference.renormalise_filters(expected, 0.1)
    (after,) = changed("renormalise_filters", (w,), 0.1)
    close("renormalise_filters", after, expected, (w[0].size + 8) * np.finfo(dtype).eps * abs(np.nan_to_num(expected)))
    within = ~(abs(expected) < abs(w))
    same("renormalise_filters: filters within the radius", after[within], w[within])


def changed(operation, arrays, *others):
    """What an operation that works in place makes of copies of `arrays`; the same bits twice, and `others` untouched."""
    before = [other.tobytes() for other in others if isinstance(other, np.ndarray)]
    runs = []
    for _ in range(2):
        copies = [array.copy() for array in arrays]
        assert getattr(kernels, operation)(*copies, *others) is None, f"{operation}: something came back"
        runs.append(copies)
    assert [other.tobytes() for other in others if isinstance(other, np.ndarray)] == before, f"{operation}: modified an input"
    for one, other in zip(*runs, strict=True):
        same(f"{operation}: two runs", other, one)
    return runs[0]
