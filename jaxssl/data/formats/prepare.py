"""The images of files as an encoder takes them: on its layout, in units of their subject's intensities."""

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from jaxssl.data import grid
from jaxssl.data.formats import Image, Unreadable, header, read
from jaxssl.data.formats.image import with_channels
from jaxssl.data.grid import Layout
from jaxssl.data.intensity import Moments

STORED = (np.uint8, np.uint16)
"""What a store holds: these are rounded after interpolation as they would be there, if nothing is below 0."""


def subjects(files: Iterable[Path]) -> list[list[Path]]:
    """The files of a DICOM series together, any other by itself, in the order of the first ones."""
    found: dict[str | Path, list[Path]] = {}
    for path in files:
        known = header(path)
        found.setdefault((known and known.series) or path, []).append(path)
    return list(found.values())


def prepared(
    files: Iterable[Path], layout: Layout, channels: int, skip: Callable[[Path, Unreadable], None]
) -> Iterator[tuple[Path, Image]]:
    """The images of a subject's files on a layout, standardised, as float32, each with its file.

    The mean and the standard deviation are those of all pixels of the subject, padding left out. Files are read twice,
    first for these, so that one that is damaged anywhere gives no image and no part of them at all; `skip` hears of it.
    An image without a spacing is fitted into the layout.
    """
    moments, air, whole = Moments(), 0.0, []
    for path in files:
        try:
            own, lowest = _intensities(path, channels)
        except Unreadable as error:
            skip(path, error)
        else:
            whole.append(path)
            moments, air = moments + own, min(air, lowest)
    for path in whole:
        try:
            for image in read(path):
                yield path, on_layout(image, layout, channels, *moments.scale, air)
        except Unreadable as error:
            skip(path, error)


def on_layout(image: Image, layout: Layout, channels: int, mean: float, std: float, air: float) -> Image:
    """An image on a layout, in units of `std` about `mean`; `air` is the lowest value of its subject if below 0."""
    pixels = with_channels(image.pixels, channels)
    own = grid.on(layout, pixels.shape[:2], image.spacing or (np.nan, np.nan))
    # What lies outside the image becomes 0, which is air once no value is below it.
    placed = own.image(pixels - air if air else pixels, "cubic")
    if pixels.dtype in STORED and not air:
        placed = grid.round_to(placed, pixels.dtype)
    return image._replace(pixels=((placed + air - mean) / std).astype(np.float32))


def _intensities(path: Path, channels: int) -> tuple[Moments, float]:
    """The moments of all pixels of a file, and its lowest value."""
    moments, lowest = Moments(), math.inf
    for image in read(path):
        pixels = with_channels(image.pixels, channels)
        moments, lowest = moments + Moments.of(pixels), min(lowest, float(pixels.min()))
    if not math.isfinite(moments.squares):
        raise Unreadable("its pixels differ by more than can be counted")
    return moments, lowest
