"""What a training step does beside its layers: launches of `training.cu`."""

from math import prod

import numpy as np

from kernels.backends import Array
from kernels.cuda.device import Device

FILE = "training.cu"
THREADS = 256
WARPS = THREADS // 32
EACH = 4  # weights a thread of sgd_update
ENOUGH_BLOCKS = 132 * 8  # what an H200 keeps resident


def bias_grad(device: Device, dy: Array) -> Array:
    """dy (N,K,P,Q) or (N,K) -> db (K,). In two steps where images are many: sums over some images, then their sum."""
    images, maps, pixels = dy.shape[0], dy.shape[1], prod(dy.shape[2:])
    db = device.empty((maps,))
    if dy.size == 0:
        db.fill(0)
        return db
    if pixels == 1:
        return sum_rows(device, dy, images, db)
    images_each = -(-images // max(1, ENOUGH_BLOCKS // maps))
    images_each = -(-images_each // WARPS) * WARPS
    pieces = -(-images // images_each)
    sums = db if pieces == 1 else device.empty((pieces, maps))
    sizes = map(np.int32, (images, maps, pixels, images_each))
    device.launch(FILE, "sum_maps", (maps, pieces), (THREADS,), (dy, sums, *sizes))
    return db if pieces == 1 else sum_rows(device, sums, pieces, db)


def sum_rows(device: Device, table: Array, rows: int, sums: Array) -> Array:
    """table (rows, columns) -> sums (columns,), which is returned."""
    columns = sums.size
    device.launch(FILE, "sum_rows", (-(-columns // 32),), (THREADS,), (table, sums, np.int32(rows), np.int32(columns)))
    return sums


def softmax_cross_entropy(device: Device, logits: Array, labels: Array) -> tuple[Array, Array]:
    """logits (N,G), labels (N,) int32 -> losses (N,), dlogits (N,G)."""
    images, classes = logits.shape
    losses, dlogits = device.empty((images,)), device.empty(logits.shape)
    if images:
        arguments = logits, labels, losses, dlogits, np.int32(images), np.int32(classes)
        device.launch(FILE, "softmax_cross_entropy", (-(-images // WARPS),), (THREADS,), arguments)
    return losses, dlogits


def sgd_update(device: Device, w: Array, v: Array, dw: Array, rate: float, momentum: float, decay: float) -> None:
    """v <- momentum v - rate dw - rate decay w;  w <- w + v, in place."""
    if w.size:
        numbers = np.float32(rate), np.float32(momentum), np.float32(rate * decay)
        device.launch(FILE, "sgd_update", (-(-w.size // (THREADS * EACH)),), (THREADS,), (w, v, dw, np.int32(w.size), *numbers))


def renormalise_filters(device: Device, w: Array, radius: float) -> None:
    """Every w[k] whose RMS exceeds radius scaled back to it, in place."""
    if w.size:
        device.launch(FILE, "renormalise_filters", (len(w),), (THREADS,), (w, np.int32(w.size // len(w)), np.float32(radius)))
