"""A subject's pixels in the 8 or 16 bits of a store, on one scale that gives the values back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped, UInt8, UInt16

from jaxssl.data.formats.image import Unreadable

DEEPEST = 2**16 - 1
PERCENTILES = (0.1, 1.0, 50.0, 99.0, 99.9)
SMALLEST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Depth:
    """How values are stored: value = stored * scale + offset.

    Whole numbers that span less than 2^16 are kept exactly, all others to half of `scale`. Nothing wraps or is clipped:
    the range is that of the subject's own values.
    """

    dtype: str
    offset: int | float
    """An integer where values are whole."""
    scale: float

    def stored(
        self, pixels: Shaped[np.ndarray, "*shape"]
    ) -> UInt8[np.ndarray, "*shape"] | UInt16[np.ndarray, "*shape"]:
        """The values as a store has them."""
        if pixels.dtype.kind in "ui" and isinstance(self.offset, int):
            # Modulo 2^64 the difference is right whatever type the values have, and in range it is the difference.
            return (pixels.astype(np.uint64) - np.uint64(self.offset % 2**64)).astype(self.dtype)
        return np.rint((pixels.astype(np.float64) - self.offset) / self.scale).astype(self.dtype)

    def values(self, stored: Shaped[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """The values again."""
        return stored * self.scale + self.offset


def depth_of(images: Sequence[Shaped[np.ndarray, "..."]]) -> Depth:
    """The depth that holds all images of a subject."""
    low, high = min(image.min().item() for image in images), max(image.max().item() for image in images)
    whole = all(_is_whole(image) for image in images)
    if whole and low >= 0 and high <= 255 and all(image.dtype == np.uint8 for image in images):
        return Depth("uint8", 0, 1.0)
    if whole and high - low <= DEEPEST:
        return Depth("uint16", 0 if low >= 0 and high <= DEEPEST else int(low), 1.0)
    span = float(high) - float(low)
    if not np.isfinite(span):
        raise Unreadable("its pixels differ by more than can be counted")
    # Of the smallest floats steps may be too small to divide by.
    return Depth("uint16", float(low), max(span / DEEPEST, SMALLEST))


@dataclass(frozen=True)
class Intensity:
    """What became of a subject's intensities; percentiles are of all its pixels, in the values of the files."""

    subject: str
    dtype: str
    offset: int | float
    scale: float
    percentiles: dict[str, float]
    clipped: float = 0.0
    """Share of the pixels that were cut off at either end."""


def intensity_of(subject: str, depth: Depth, stored: Iterable[Shaped[np.ndarray, "..."]]) -> Intensity:
    """Measure the images as they are stored; a percentile is the lowest value that so many pixels do not exceed."""
    counts = sum(np.bincount(image.ravel(), minlength=DEEPEST + 1) for image in stored)
    below = np.cumsum(counts)
    codes = np.searchsorted(below, np.array(PERCENTILES) / 100 * below[-1])
    values = depth.values(codes.astype(np.float64)).tolist()
    percentiles = {f"{percentile:g}": value for percentile, value in zip(PERCENTILES, values, strict=True)}
    return Intensity(subject, depth.dtype, depth.offset, depth.scale, percentiles)


def _is_whole(image: np.ndarray) -> bool:
    return image.dtype.kind in "ui" or bool((image == np.rint(image)).all())
