"""Random draws named by what they are for, equal on every machine and numpy.

Only a generator's raw words are promised to stay the same between versions of numpy, so orders and choices are made
from those and not by `Generator.permutation` or `Generator.integers`.
"""

import zlib

import numpy as np


def words(count: int, purpose: str, *numbers: int) -> np.ndarray:
    """`count` random uint64, a function of the purpose and of the numbers (seed, epoch)."""
    seed = np.random.SeedSequence([zlib.crc32(purpose.encode()), *numbers])
    return np.random.PCG64(seed).random_raw(count)


def order(count: int, purpose: str, *numbers: int) -> np.ndarray:
    """A random order of `range(count)`."""
    return np.argsort(words(count, purpose, *numbers), kind="stable")


def below(limits: np.ndarray, purpose: str, *numbers: int) -> np.ndarray:
    """For each limit an integer from 0 to below it; the excess of small values is of the order limit / 2^64."""
    return (words(len(limits), purpose, *numbers) % limits.astype(np.uint64)).astype(np.int64)
