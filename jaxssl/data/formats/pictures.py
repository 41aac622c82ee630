"""PNG and JPEG: 8 bits a channel, or 16 bits of grey; Pillow gives colours of 16 bits as 8. GIF is a clip in colours.

Transparency is left out, and so are all frames of an animated PNG but the first.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from PIL import ImageOps, ImageSequence, UnidentifiedImageError

from jaxssl.data.formats.image import Image, Unreadable, check_size

DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")
GIF, END = "GIF", b";"
"""A clip, and the last byte that one has."""
USUAL = 100.0
"""Milliseconds for which browsers show a frame that says nothing, or 0."""
SLACK = 4096
"""Zeros that may follow, where a file was copied by blocks."""


def read(path: Path) -> Iterator[Image]:
    """The one image of a file, or the frames of a clip at the times at which they are shown."""
    try:
        picture = Picture.open(path, formats=("PNG", "JPEG", GIF))
    except UnidentifiedImageError as error:
        raise Unreadable("it is no PNG, JPEG or GIF file") from error
    with picture:
        check_size(picture.height, picture.width)
        if picture.format == GIF:
            _check_end(path)
            yield from _frames(picture)
        else:
            yield _still(picture)


def _still(picture: Picture.Image) -> Image:
    """Turned upright where the camera noted how it was held."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in DEEP:
        pixels = np.asarray(upright).astype(np.uint16)
    else:
        grey = upright.mode in ("1", "L", "LA")
        pixels = np.asarray(upright.convert("L" if grey else "RGB"))
    return Image(pixels.reshape(*pixels.shape[:2], -1), None)


def _frames(picture: Picture.Image) -> Iterator[Image]:
    time = 0.0
    for number, frame in enumerate(ImageSequence.Iterator(picture)):
        check_size(frame.height, frame.width)
        yield Image(np.asarray(frame.convert("RGB")), None, frame=number, time=time)
        time += frame.info.get("duration") or USUAL


def _check_end(path: Path) -> None:
    """Refuse a clip that is cut off, for Pillow takes the lack of a frame for the end of the clip."""
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, SLACK), os.SEEK_END)
        if not file.read().rstrip(b"\0").endswith(END):
            raise Unreadable("it is cut off: a GIF file ends with a semicolon")
