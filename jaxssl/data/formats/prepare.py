"""The images of a file as an encoder takes them: on its layout, in units of the file's own intensities."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxssl.data import grid
from jaxssl.data.formats import Image, read
from jaxssl.data.formats.image import with_channels
from jaxssl.data.grid import Layout

STORED = (np.uint8, np.uint16)
"""What a store holds: these are rounded after interpolation as they would be there."""


def prepared(path: Path, layout: Layout, channels: int) -> Iterator[Image]:
    """The images of a file on a layout, standardised, as float32; an image without a spacing is taken to have its own.

    The file stands for the subject: the mean and the standard deviation are those of all its pixels, padding left out.
    It is read twice, first for these, so that one that is damaged anywhere gives no image at all.
    """
    mean, std, air = _intensities(path, channels)
    for image in read(path):
        pixels = with_channels(image.pixels, channels)
        own = grid.on(layout, pixels.shape[:2], image.spacing or (layout.spacing or 1.0,) * 2)
        # What lies outside the image becomes 0, which is air once no value is below it.
        placed = own.image(pixels - air if air else pixels, "cubic")
        if pixels.dtype in STORED:
            placed = grid.round_to(placed, pixels.dtype)
        yield image._replace(pixels=((placed + air - mean) / std).astype(np.float32))


def _intensities(path: Path, channels: int) -> tuple[float, float, float]:
    """Mean and standard deviation of all pixels of a file, and its lowest value where that is below 0, else 0."""
    count, total, squares, lowest, first = 0, 0.0, 0.0, 0.0, None
    for image in read(path):
        pixels = with_channels(image.pixels, channels).astype(np.float64)
        lowest = min(lowest, float(pixels.min()))
        # Sums about some pixel instead of 0: squares of far values would drown how little they differ.
        first = pixels[0, 0, 0] if first is None else first
        pixels -= first
        count, total, squares = count + pixels.size, total + pixels.sum(), squares + (pixels**2).sum()
    std = float(np.sqrt(max(squares / count - (total / count) ** 2, 0.0)))
    # An image of one value has nothing to scale; 1 keeps it finite.
    return (first or 0.0) + total / count, std or 1.0, lowest
