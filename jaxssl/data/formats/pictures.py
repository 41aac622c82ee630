"""PNG and JPEG: 8 bits a channel, or 16 bits of grey; Pillow gives colours of 16 bits as 8.

Transparency is left out, and so are all frames of an animation but the first.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image as Picture
from PIL import ImageOps, UnidentifiedImageError

from jaxssl.data.formats.image import Image, Unreadable, check_size

DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def read(path: Path) -> Iterator[Image]:
    """The one image of a file, turned upright where the camera noted how it was held."""
    try:
        picture = Picture.open(path, formats=("PNG", "JPEG"))
    except UnidentifiedImageError as error:
        raise Unreadable("it is no PNG or JPEG file") from error
    with picture:
        check_size(picture.height, picture.width)
        upright = ImageOps.exif_transpose(picture)
        if upright.mode in DEEP:
            pixels = np.asarray(upright).astype(np.uint16)
        else:
            grey = upright.mode in ("1", "L", "LA")
            pixels = np.asarray(upright.convert("L" if grey else "RGB"))
        yield Image(pixels.reshape(*pixels.shape[:2], -1), None)
