"""Random numbers that depend on nothing but a counter, so that image 4711 is the same on every machine and in any order.

A stream is a 64-bit key; its k-th number is a hash of (key, k) by the finaliser of splitmix64 (Steele, Lea, Flood:
Fast splittable pseudorandom number generators, 2014). All of it is integer arithmetic modulo 2**64, and one exact
conversion to float64, for whole batches at once: one key per image.
"""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST_MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)
SECOND_MULTIPLIER = np.uint64(0x94D049BB133111EB)


def mix(z):
    """Scramble 64 bits so that neighbouring numbers come out unrelated: uint64 (n,) -> uint64 (n,)."""
    z = (z ^ (z >> np.uint64(30))) * FIRST_MULTIPLIER
    z = (z ^ (z >> np.uint64(27))) * SECOND_MULTIPLIER
    return z ^ (z >> np.uint64(31))


def stream_keys(seed, split, index):
    """One key per image, uint64 (n,), from a seed (int), a split (its number) and image numbers (n,)."""
    index = np.asarray(index, np.int64).astype(np.uint64)
    # one after the other, not side by side: seed 0 of split 1 must not be seed 1 of split 0
    key = mix(np.array([seed % 2**64], np.uint64) + GOLDEN)
    key = mix(key + np.array([split + 1], np.uint64) * GOLDEN)
    return mix(key + (index + np.uint64(1)) * GOLDEN)


class Dice:
    """Independent throws for a batch: every call gives the next number of each image's own stream.

    `purpose` separates the streams of one image, so that a change in how clutter is thrown leaves the object as it was.
    """

    def __init__(self, keys, purpose):
        self.keys = mix(keys ^ mix(np.array([purpose], np.uint64) + GOLDEN))
        self.thrown = 0

    def bits(self):
        self.thrown += 1
        return mix(self.keys + np.array([self.thrown], np.uint64) * GOLDEN)

    def uniform(self, low=0.0, high=1.0):
        """float64 (n,) in [low, high)."""
        unit = (self.bits() >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return low + (high - low) * unit

    def around_zero(self, reach):
        """float64 (n,) in (-reach, reach), the middle more likely (a triangle)."""
        return reach * (self.uniform() - self.uniform())

    def choice(self, count):
        """int64 (n,) in 0..count-1."""
        return (self.uniform() * count).astype(np.int64)

    def chance(self, probability):
        """bool (n,)."""
        return self.uniform() < probability
