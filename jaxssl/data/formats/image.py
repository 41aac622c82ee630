"""One image of a file, as every reader gives it, and what is said of a file that gives none."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from jaxssl.geometry import Plane

LARGEST = 2**26
"""Pixels of an image: a damaged header may ask for any amount of memory."""

SQUARE = 1e-3
"""Products of axes that are written as decimals come so close to 0 and 1."""

LUMA = (299, 587, 114)
"""Thousandths that red, green and blue add to the brightness of a picture (ITU-R BT.601)."""


class Unreadable(Exception):
    """A file that gives no images which can be used; the message says in a few words why.

    `passing` is what may be otherwise another time, with the same file: something is not installed, or a disk fails.
    """

    def __init__(self, reason: str, passing: bool = False):
        super().__init__(reason)
        self.passing = passing


class Box(NamedTuple):
    """A part of an image: rows from `top`, columns from `left`, up to and without `bottom` and `right`."""

    top: int
    left: int
    bottom: int
    right: int


class Image(NamedTuple):
    """One image of a file; `pixels` are integers or floats, in the file's own scale.

    `spacing` is (dy, dx) in mm, where the file says it. `slice` and `frame` are its places in the file, from 0.
    """

    pixels: Shaped[np.ndarray, "y x channel"]
    spacing: tuple[float, float] | None
    slice: int = 0
    frame: int = 0
    plane: Plane | None = None
    """Where it lies in the patient, where the file says it."""
    thickness: float | None = None
    """Of the slice, in mm."""
    time: float | None = None
    """In ms after the trigger, or the start of the clip."""
    depth: float | None = None
    """Along its stack in mm, where the file says no more of its place than that."""
    about: str = ""
    """What the scanner calls it: tells views apart, and is never stored."""
    ultrasound: bool = False
    """Of a file that says so: its frame may hold text, and nothing where no beam went."""
    echoes: tuple[Box, ...] = ()
    """Where the file says that echoes are shown in an ultrasound image."""
    written: bool = False
    """Of a file that says so, or is a screen that was saved: names may stand in its pixels."""
    instance: str = ""
    """The UID of the DICOM file: tells files apart, and is never stored."""


def check_size(height: int, width: int) -> None:
    """Refuse to make room for what no camera or scanner takes."""
    if height * width > LARGEST:
        raise Unreadable(f"it declares images of {height}x{width} pixels")


def checked(image: Image) -> Image:
    """The image, if its pixels are real numbers, and in the byte order of this machine."""
    pixels = image.pixels
    if pixels.dtype.kind not in "buif":
        raise Unreadable(f"its pixels are {pixels.dtype}, no real numbers")
    if not pixels.size:
        raise Unreadable(f"its images have {pixels.shape[0]}x{pixels.shape[1]} pixels")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise Unreadable("it has pixels that are not finite")
    kind = np.dtype(np.uint8) if pixels.dtype.kind == "b" else pixels.dtype.newbyteorder("=")
    return image._replace(pixels=pixels.astype(kind, copy=False))


def in_mm(dy: float, dx: float, unit: float = 1.0) -> tuple[float, float] | None:
    """A spacing given in a unit of so many mm; none where it says nothing."""
    spacing = (float(dy) * unit, float(dx) * unit)
    return spacing if all(math.isfinite(side) and side > 0 for side in spacing) else None


def size(length: float) -> float | None:
    """A length or a duration; none where it says nothing."""
    return float(length) if math.isfinite(length) and length > 0 else None


def in_patient(
    origin: Iterable[float],
    x_axis: Iterable[float],
    y_axis: Iterable[float],
    spacing: tuple[float, float] | None,
    shape: Iterable[int],
) -> Plane | None:
    """The place of an image, in LPS; none where what its file says is no rectangle of pixels in space.

    Without a spacing it is known where the image begins and how it lies, which puts slices in order.
    """
    start, along_x, along_y = (np.array([*vector], np.float64) for vector in (origin, x_axis, y_axis))
    gram = np.stack([along_x, along_y]) @ np.stack([along_x, along_y]).T
    if not np.isfinite(start).all() or not np.allclose(gram, np.eye(2), rtol=0, atol=SQUARE):
        return None
    along_x /= np.linalg.norm(along_x)
    along_y -= (along_y @ along_x) * along_x
    along_y /= np.linalg.norm(along_y)
    return Plane(start, along_x, along_y, np.array(spacing or (np.nan, np.nan)), np.array([*shape]))


def with_channels(pixels: Shaped[np.ndarray, "y x _"], channels: int) -> Shaped[np.ndarray, "y x {channels}"]:
    """The pixels with as many channels: colours become their luma, grey is repeated."""
    own = pixels.shape[-1]
    if own == channels:
        return pixels
    if own == 1:
        return np.repeat(pixels, channels, axis=-1)
    if (own, channels) == (3, 1):
        return _luma(pixels)[..., None]
    raise Unreadable(f"its images have {own} channels where {channels} are wanted")


def _luma(pixels: Shaped[np.ndarray, "y x 3"]) -> Shaped[np.ndarray, "y x"]:
    """The brightness of colours, rounded where they are whole; 8 and 16 bits in integers, for clips have many."""
    if pixels.dtype in (np.uint8, np.uint16):
        thousandths = sum(pixels[..., n].astype(np.uint32) * np.uint32(part) for n, part in enumerate(LUMA))
        return ((thousandths + np.uint32(500)) // np.uint32(1000)).astype(pixels.dtype)
    grey = pixels @ (np.array(LUMA) / 1000)
    return np.rint(grey).astype(pixels.dtype) if pixels.dtype.kind in "ui" else grey
