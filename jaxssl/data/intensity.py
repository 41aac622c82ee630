"""The mean and the standard deviation of a subject's pixels, from moments that add image by image."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped

FLAT = 1e-12
"""Standard deviations of less, in units of the mean, are what rounding leaves of a single value."""


@dataclass(frozen=True)
class Moments:
    """Of some pixels: how many, their mean, and the sum of their squared deviations from it.

    Deviations are from the mean, not from 0: squares of far values would drown how little they differ.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, pixels: Shaped[np.ndarray, "..."]) -> "Moments":
        """Of all values of an array; not finite where one is not, or where they lie too far apart for float64."""
        with np.errstate(all="ignore"):
            values = pixels.astype(np.float64)
            mean = values.mean()
            values -= mean
            return cls(values.size, float(mean), float(np.square(values, out=values).sum()))

    def __add__(self, other: "Moments") -> "Moments":
        """Of the pixels of both (Chan et al. 1983)."""
        if not self.count:
            return other
        count, way = self.count + other.count, other.mean - self.mean
        share = other.count / count
        between = way * way * self.count * share
        return Moments(count, self.mean + way * share, self.squares + other.squares + between)

    @property
    def scale(self) -> tuple[float, float]:
        """The mean and the standard deviation; 1 where there is only one value, which has nothing to scale."""
        std = math.sqrt(self.squares / self.count)
        return self.mean, 1.0 if std <= FLAT * abs(self.mean) else std
