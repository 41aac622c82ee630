"""From an image's own grid to the layout of a cache, and back.

Both ways are separable: along each axis, output pixel j lies at input coordinate `offset + j * step`.
"""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped, UInt8
from scipy.sparse import csr_array

from jaxssl.errors import UserError
from jaxssl.geometry import Plane, patient_point

Kernel = Literal["linear", "cubic"]
SAME = 1e-4
"""Spacings that differ relatively by less are equal: over a whole image that is a small part of a pixel."""


@dataclass(frozen=True)
class Layout:
    """The fixed grid of a cache."""

    size: tuple[int, int] = (128, 128)
    """Pixels, (y, x)."""
    spacing: float | None = 1.5
    """In-plane spacing in mm; none keeps each image's own. Images whose spacing nobody knows are fitted in whole."""

    def check(self) -> None:
        """Refuse a grid without pixels or of no extent."""
        if min(self.size) < 1 or (self.spacing is not None and not self.spacing > 0):
            raise UserError(
                f"A layout of size {self.size} and spacing {self.spacing} is impossible: both are positive."
            )


@dataclass(frozen=True)
class Axis:
    """Sampling of `source` pixels at `count` places, `offset + step * j`."""

    source: int
    count: int
    offset: float
    step: float

    @classmethod
    def centred(cls, source: int, count: int, step: float) -> "Axis":
        """Both grids share their centre; at step 1 to a whole pixel, since half a pixel would blur every image."""
        offset = (source - 1) / 2 - step * (count - 1) / 2
        return cls(source, count, math.floor(offset) if step == 1 else offset, step)

    def back(self) -> "Axis":
        """The way from the output grid to the input grid."""
        return Axis(self.count, self.source, -self.offset / self.step, 1 / self.step)

    def coordinates(self) -> Float[np.ndarray, " count"]:
        """Input coordinate of every output pixel."""
        return self.offset + self.step * np.arange(self.count)

    def nearest(self) -> tuple[np.ndarray, np.ndarray]:
        """Index of the input pixel in which each output pixel's centre lies, and whether there is one."""
        index = np.floor(self.coordinates() + 0.5).astype(np.int64)
        return np.clip(index, 0, self.source - 1), (index >= 0) & (index < self.source)


@functools.lru_cache(maxsize=256)
def weights(axis: Axis, kernel: Kernel) -> csr_array:
    """Interpolation as a sparse matrix [count, source] whose rows sum to one inside the input and are zero outside it.

    Where the output is coarser the kernel widens with the step, so that fine detail is averaged rather than aliased.
    """
    width = max(axis.step, 1.0)
    distance = np.abs(axis.coordinates()[:, None] - np.arange(axis.source)) / width
    matrix = np.maximum(1 - distance, 0) if kernel == "linear" else _cubic(distance)
    inside = axis.nearest()[1][:, None]
    return csr_array(np.divide(matrix, matrix.sum(axis=1, keepdims=True), out=np.zeros_like(matrix), where=inside))


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' cubic with a = -1/2, exact for parabolas."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


@dataclass(frozen=True)
class Grid:
    """How one image lies on a layout."""

    y: Axis
    x: Axis

    def back(self) -> "Grid":
        """The way back to the image's own grid."""
        return Grid(self.y.back(), self.x.back())

    def image(self, image: Shaped[np.ndarray, "y x *channel"], kernel: Kernel) -> Float[np.ndarray, "h w *channel"]:
        """Interpolate; zero outside the input."""
        rows = weights(self.y, kernel) @ image.reshape(self.y.source, -1)
        upright = rows.reshape(self.y.count, self.x.source, -1).swapaxes(0, 1)
        columns = weights(self.x, kernel) @ upright.reshape(self.x.source, -1)
        return columns.reshape(self.x.count, self.y.count, *image.shape[2:]).swapaxes(0, 1)

    def labels(self, labels: UInt8[np.ndarray, "y x"]) -> UInt8[np.ndarray, "h w"]:
        """Take the nearest label; 0 outside the input."""
        (rows, in_y), (columns, in_x) = self.y.nearest(), self.x.nearest()
        return labels[np.ix_(rows, columns)] * np.outer(in_y, in_x)

    def plane(self, plane: Plane) -> Plane:
        """The plane of the output grid, where `plane` is that of the input."""
        step = np.array([self.y.step, self.x.step])
        return Plane(
            origin=patient_point(plane, self.y.offset, self.x.offset),
            x_axis=plane.x_axis,
            y_axis=plane.y_axis,
            spacing=plane.spacing * step,
            shape=np.array([self.y.count, self.x.count]),
        )


def on(layout: Layout, shape: Iterable[int], spacing: Iterable[float]) -> Grid:
    """How an image of this shape and spacing lies on `layout`: resampled, then padded or cut about its centre.

    An image of unknown spacing (nan) just fits in, with square pixels, unless the layout keeps each image's own.
    """
    shape, own = tuple(map(int, shape)), np.array([*spacing], np.float64)
    if layout.spacing is None:
        steps = np.ones(2)
    elif np.isfinite(own).all():
        steps = layout.spacing / own
    else:
        steps = np.full(2, np.max(np.divide(shape, layout.size)))
    steps = np.where(abs(steps - 1) < SAME, 1.0, steps)
    y, x = (Axis.centred(n, count, float(step)) for n, count, step in zip(shape, layout.size, steps, strict=True))
    return Grid(y, x)


def round_to(values: Float[np.ndarray, "..."], dtype: np.dtype) -> np.ndarray:
    """Round to an unsigned integer type; overshoot of the cubic kernel is cut to its range instead of wrapping."""
    return np.clip(np.rint(values), 0, np.iinfo(dtype).max).astype(dtype)
