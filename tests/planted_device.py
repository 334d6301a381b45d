"""Emulated devices whose threads run in another order, or whose kernels have a bug planted in their text."""

from kernels import emulator
from kernels.cuda.device import Emulated

ORDERS = ("forward", "reverse", "shuffled")


class Ordered(Emulated):
    """Blocks and threads in the given order."""

    def __init__(self, order):
        super().__init__()
        self.order = order

    def compiled(self, text, file, options):
        return emulator.Module(text, options, name=file, order=self.order)


class Planted(Emulated):
    """In one file, with what it includes, every `old` is `new`.

    `keep`, such as "TENSOR_CONV(64, 64": of the lines that call this macro only those that begin so stay, so that one variant
    of the kernel is compiled instead of all.
    """

    def __init__(self, file, old, new, keep=""):
        super().__init__()
        self.file, self.old, self.new, self.keep = file, old, new, keep

    def compiled(self, text, file, options):
        if file == self.file:
            assert self.old in text, f"{file} no longer holds {self.old!r}"
            text = text.replace(self.old, self.new)
            name = self.keep.split("(")[0]
            lines = [line for line in text.split("\n") if not line.startswith(f"{name}(") or line.startswith(self.keep)]
            text = "\n".join(lines)
        return emulator.Module(text, options, name=file, checked=True)
