"""Softmax and cross-entropy: scores become probabilities, and the loss is the surprise at the true class.

    logits (N, K), labels (N,)  -->  loss, dlogits (N, K)

forward   p[n,k] = exp(logits[n,k]) / sum over j of exp(logits[n,j]);      loss = mean over n of -log p[n, labels[n]]
backward  dlogits = (p - 1 at the true class) / N

The largest logit is subtracted first: it changes nothing and keeps exp from overflowing.
"""

import numpy as np

import kernels


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis."""
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean loss in nats and its gradient for the logits.

    logits (N, K) float, labels (N,) NumPy integers in 0..K-1. ValueError when a label names no class.
    """
    losses, dlogits = kernels.softmax_cross_entropy(logits, labels)
    return float(losses.mean()), dlogits
