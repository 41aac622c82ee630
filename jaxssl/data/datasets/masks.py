"""Masks as data sets distribute them: volumes and pictures of codes, outlines, contours.

Each is called with the place of an image in its file, and picklable: see `jaxssl.data.subject.Masks`.
"""

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from jaxssl.data.formats import read
from jaxssl.data.formats.image import Image, Unreadable, with_channels
from jaxssl.data.subject import Masks

Mask = UInt8[np.ndarray, "y x"]
HALF = 127
"""What is brighter belongs to the mask, in a picture of black and white that may have been compressed."""


@dataclass(frozen=True)
class ByFile:
    """Masks of the files of a series; a file that is not named has none."""

    parts: Mapping[int, Masks]

    def __call__(self, file: int, slice: int, frame: int, shape: tuple[int, int]) -> Mask | None:
        """What the part of a file says of its only file."""
        return self.parts[file](0, slice, frame, shape) if file in self.parts else None


@dataclass(frozen=True)
class ByFrame:
    """Masks of the frames of a file, each in a file of its own."""

    parts: Mapping[int, Masks]

    def __call__(self, file: int, slice: int, frame: int, shape: tuple[int, int]) -> Mask | None:
        """What the part of a frame says of its only frame."""
        return self.parts[frame](file, slice, 0, shape) if frame in self.parts else None


@dataclass(frozen=True)
class Together:
    """Masks of one image, each of other things in it; where they meet, the higher code holds."""

    parts: tuple[Masks, ...]

    def __call__(self, file: int, slice: int, frame: int, shape: tuple[int, int]) -> Mask | None:
        """All of them in one."""
        drawn = [part(file, slice, frame, shape) for part in self.parts]
        known = [mask for mask in drawn if mask is not None]
        return np.maximum.reduce(known) if known else None


@dataclass(frozen=True)
class Volume:
    """A file of codes in the images' own grid."""

    path: Path
    codes: tuple[int, ...] = ()
    """What the codes 0, 1, ... of the file are here; empty: the same."""
    frames: Collection[int] | None = None
    """The frames that somebody drew on; none: all."""
    clip: bool = False
    """Whether what the file calls slices are frames."""

    def __call__(self, file: int, slice: int, frame: int, shape: tuple[int, int]) -> Mask | None:
        """The codes of an image."""
        if self.frames is not None and frame not in self.frames:
            return None
        volume = _volume(self.path)
        if isinstance(volume, Unreadable):
            raise volume
        mask = volume.get((frame, 0) if self.clip else (slice, frame))
        if mask is None:
            raise Unreadable(f"its mask {self.path.name} has no slice {slice} of frame {frame}")
        return recoded(fitting(mask, shape, self.path), self.codes, self.path)


@dataclass(frozen=True)
class Pictures:
    """Pictures in black and white, each of one thing; what is white in any of them has the code 1."""

    paths: tuple[Path, ...]

    def __call__(self, file: int, slice: int, frame: int, shape: tuple[int, int]) -> Mask:
        """All of them in one."""
        white = [fitting(_grey(path) > HALF, shape, path) for path in self.paths]
        return np.logical_or.reduce(white).astype(np.uint8)


@dataclass(frozen=True)
class Picture:
    """A picture of codes; in one of black and white (0 and 255) alone white is the code 1."""

    path: Path

    def __call__(self, file: int, slice: int, frame: int, shape: tuple[int, int]) -> Mask:
        """The codes."""
        grey = fitting(_grey(self.path), shape, self.path)
        if grey.dtype != np.uint8:
            raise Unreadable(f"its mask {self.path.name} has more than 8 bits")
        return (grey > HALF).astype(np.uint8) if np.isin(grey, (0, 255)).all() else grey


@dataclass(frozen=True)
class Ellipse:
    """A picture of the outline of an ellipse, parts of which may lie outside; its inside has the code 1."""

    path: Path

    def __call__(self, file: int, slice: int, frame: int, shape: tuple[int, int]) -> Mask:
        """The whole of the ellipse that is in the image."""
        try:
            return inside_ellipse(fitting(_grey(self.path) > HALF, shape, self.path)).astype(np.uint8)
        except ValueError as error:
            raise Unreadable(f"its mask {self.path.name} shows no ellipse") from error


@dataclass(frozen=True)
class Polygons:
    """Corners (x, y) of a polygon for each frame; its inside has the code 1."""

    corners: Mapping[int, tuple[tuple[float, float], ...]]

    def __call__(self, file: int, slice: int, frame: int, shape: tuple[int, int]) -> Mask | None:
        """The polygon of a frame, if it has one."""
        corners = self.corners.get(frame)
        return None if corners is None else filled(np.array(corners), shape).astype(np.uint8)


@dataclass(frozen=True)
class Contours:
    """Text files with a corner "x y" a line, by code; a later one is drawn over those before it."""

    paths: tuple[tuple[int, Path], ...]

    def __call__(self, file: int, slice: int, frame: int, shape: tuple[int, int]) -> Mask:
        """The contours filled."""
        mask = np.zeros(shape, np.uint8)
        for code, path in self.paths:
            try:
                corners = np.loadtxt(path, ndmin=2)
                mask[filled(corners[:, :2], shape)] = code
            except (OSError, ValueError, IndexError, OverflowError) as error:
                raise Unreadable(f"its contour {path.name} is no list of points") from error
        return mask


def filled(corners: Float[np.ndarray, "n 2"], shape: tuple[int, int]) -> Bool[np.ndarray, "y x"]:
    """The pixels whose centres lie inside a polygon with corners (x, y), pixel (0, 0) having its centre at (0, 0).

    A pixel is inside if the ray from it to the left crosses the outline an odd number of times.
    """
    height, width = shape
    crossings = np.zeros((height, width + 1), np.int64)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        low, high = sorted((y0, y1))
        rows = np.arange(max(0, int(np.ceil(low))), min(height, int(np.ceil(high))))
        # Rows lie in [low, high), which counts a corner between two edges once; level edges have none.
        columns = np.ceil(x0 + (rows - y0) * (x1 - x0) / (y1 - y0)) if len(rows) else rows
        np.add.at(crossings, (rows, np.clip(columns, 0, width).astype(np.int64)), 1)
    return np.cumsum(crossings, axis=1)[:, :width] % 2 == 1


def inside_ellipse(outline: Bool[np.ndarray, "y x"]) -> Bool[np.ndarray, "y x"]:
    """The pixels in the ellipse whose outline passes through those of `outline`, which may be an arc of it.

    Least squares for the conic a u^2 + b u v + c v^2 + d u + e v = 1 about the middle of the outline, in units of its
    extent; `ValueError` where that is no ellipse.
    """
    points = np.argwhere(outline)
    y, x = points[:, 0], points[:, 1]
    if len(y) < 5:
        raise ValueError("fewer than five points make no ellipse")
    middle, unit = (y.mean(), x.mean()), max(np.ptp(y), np.ptp(x), 1) / 2

    def terms(y: Shaped[np.ndarray, "*n"], x: Shaped[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 5"]:
        v, u = (y - middle[0]) / unit, (x - middle[1]) / unit
        return np.stack([u * u, u * v, v * v, u, v], axis=-1)

    conic, _, rank, _ = np.linalg.lstsq(terms(y, x), np.ones(len(y)), rcond=None)
    a, b, c, *_ = conic
    if rank < len(conic) or not (4 * a * c > b * b and a > 0):
        raise ValueError("the points lie on no ellipse")
    grid = np.indices(outline.shape)
    return terms(grid[0], grid[1]) @ conic <= 1


def recoded(mask: Mask, codes: tuple[int, ...], path: Path) -> Mask:
    """The mask with other codes."""
    if not codes:
        return mask
    if mask.max() >= len(codes):
        raise Unreadable(f"its mask {path.name} has the code {mask.max()}, beyond {len(codes) - 1}")
    return np.array(codes, np.uint8)[mask]


def fitting(mask: Shaped[np.ndarray, "y x"], shape: tuple[int, int], path: Path) -> Shaped[np.ndarray, "y x"]:
    """The mask, if it has the shape of its image."""
    if mask.shape != tuple(shape):
        raise Unreadable(f"its mask {path.name} is {mask.shape[0]}x{mask.shape[1]}, not {shape[0]}x{shape[1]}")
    return mask


@functools.lru_cache(maxsize=2)  # a subject's images come one after the other, at most from one file of ED and of ES
def _volume(path: Path) -> Mapping[tuple[int, int], Mask] | Unreadable:
    """A damaged file is a result too: it is not unpacked again for each image."""
    try:
        return {(image.slice, image.frame): _codes(image, path) for image in _images(path)}
    except Unreadable as error:
        return error


def _codes(image: Image, path: Path) -> Mask:
    values = image.pixels
    if values.shape[-1] == 1 and values.min() >= 0 and values.max() <= 255 and not np.any(values % 1):
        return values[..., 0].astype(np.uint8)
    raise Unreadable(f"its mask {path.name} has values that are no codes from 0 to 255")


def _grey(path: Path) -> Shaped[np.ndarray, "y x"]:
    return with_channels(next(iter(_images(path))).pixels, 1)[..., 0]


def _images(path: Path) -> list[Image]:
    try:
        return list(read(path))
    except Unreadable as error:
        raise Unreadable(f"its mask {path.name}: {error}") from error
