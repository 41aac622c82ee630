"""NumPy's own files: an image [y, x], or a stack [slice, y, x], of which nothing more is known."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from jaxssl.data.formats.image import Image, Unreadable, check_size

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(path: Path) -> Iterator[Image]:
    """The slices in their order, one in memory at a time."""
    with path.open("rb") as file:
        version = npy.read_magic(file)
        if version not in HEADERS:
            raise Unreadable(f"it is of version {version[0]} of its format")
        shape, by_columns, dtype = HEADERS[version](file)
        if dtype.hasobject or len(shape) not in (2, 3) or by_columns:
            raise Unreadable("it holds no numbers [y, x] or [slice, y, x], row by row")
        check_size(*shape[-2:])
        declared, there = math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell()
        if declared > there:
            raise Unreadable(f"it is cut off: it declares {declared} bytes, and has {there}")
        for place in range(math.prod(shape[:-2])):
            pixels = np.frombuffer(file.read(math.prod(shape[-2:]) * dtype.itemsize), dtype)
            yield Image(pixels.reshape(*shape[-2:], 1), None, slice=place)
