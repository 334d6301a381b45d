"""How large the output of a convolution or a pooling is.

    P = floor((H + 2 * pad - R) / stride) + 1        and Q likewise from W and S

H x W is the input, R x S the filter or window. Rows and columns that no whole window reaches are left out, as in every
framework.
"""

from operator import index

Pair = int | tuple[int, int]
MOST_INDEX = 2**31 - 1  # of 32 bits


def conv_output_size(size: Pair, filter_size: Pair, stride: Pair = 1, pad: Pair = 0) -> tuple[int, int]:
    """(P, Q) of a convolution over an input of `size` (H, W); ValueError where the filter does not fit."""
    operation = "conv_output_size"
    return output_size(
        operation,
        "filter",
        pair(operation, "size", size, 1),
        pair(operation, "filter_size", filter_size, 1),
        pair(operation, "stride", stride, 1),
        pair(operation, "pad", pad, 0),
    )


def pool_output_size(size: Pair, window: Pair, stride: Pair, pad: Pair = 0) -> tuple[int, int]:
    """(P, Q) of a pooling over an input of `size` (H, W); ValueError where the window does not fit or is all padding."""
    operation = "pool_output_size"
    sides = pair(operation, "window", window, 1)
    border = pair(operation, "pad", pad, 0)
    check_pool_pad(operation, sides, border)
    return output_size(
        operation, "window", pair(operation, "size", size, 1), sides, pair(operation, "stride", stride, 1), border
    )


def pair(operation: str, name: str, value: Pair, least: int) -> tuple[int, int]:
    """(height, width) from an int or a pair of them, each at least `least` and at most what 32 bits hold."""
    try:
        if type(value) is int:
            height = width = value
        elif isinstance(value, tuple | list):
            height, width = (index(side) for side in value)
        else:
            height = width = index(value)
    except (TypeError, ValueError):
        raise TypeError(f"{operation}: {name} is {value!r}; expected an int or a pair of them (height, width)") from None
    if height < least or width < least:
        raise ValueError(f"{operation}: {name} is {value!r}; expected at least {least} in each direction")
    if height > MOST_INDEX or width > MOST_INDEX:
        raise ValueError(f"{operation}: {name} is {value!r}; expected at most 2^31 - 1 in each direction")
    return height, width


def output_size(
    operation: str,
    what: str,
    size: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    pad: tuple[int, int],
) -> tuple[int, int]:
    """(P, Q); `what` is the word for the window in the error, "filter" or "window"."""
    height = size[0] + 2 * pad[0]
    width = size[1] + 2 * pad[1]
    if window[0] > height or window[1] > width:
        raise ValueError(
            f"{operation}: {what} {window[0]}x{window[1]} is larger than the padded input {height}x{width}; "
            f"use a smaller {'size' if what == 'window' else what} or more padding"
        )
    return (height - window[0]) // stride[0] + 1, (width - window[1]) // stride[1] + 1


def check_pool_pad(operation: str, window: tuple[int, int], pad: tuple[int, int]) -> None:
    """Padding never wins, so a window of nothing but padding would have no winner."""
    if pad[0] >= window[0] or pad[1] >= window[1]:
        raise ValueError(
            f"{operation}: padding {pad[0]}x{pad[1]} is not smaller than the window {window[0]}x{window[1]}, so a window "
            "could hold nothing but padding and would have no winner; use less padding or a larger window"
        )


def formula(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int]) -> str:
    """The formula with its numbers, for errors: `5x8 (floor((9 + 2*1 - 3) / 2) + 1 = 5, floor(...) + 1 = 8)`."""
    outputs = [(h + 2 * p - r) // s + 1 for h, r, s, p in zip(size, window, stride, pad, strict=True)]
    steps = [
        f"floor(({h} + 2*{p} - {r}) / {s}) + 1 = {out}"
        for h, r, s, p, out in zip(size, window, stride, pad, outputs, strict=True)
    ]
    return f"{outputs[0]}x{outputs[1]} ({', '.join(steps)})"
