"""A decoded image with the series it came in."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from jaxssl.data.formats.image import Image
from jaxssl.data.subject import Series
from jaxssl.geometry import Plane


@dataclass(frozen=True, eq=False)
class Loaded:
    """An image, its series, and the number of its file among those of the series."""

    series: Series
    file: int
    image: Image

    @property
    def plane(self) -> Plane:
        """Where it lies in the patient; asked only of an image that has a place there."""
        return cast(Plane, self.image.plane)

    @property
    def sized(self) -> bool:
        """Whether it is known how large a pixel of its plane is."""
        return bool(np.isfinite(self.plane.spacing).all())

    def place(self) -> tuple[int, int, int]:
        """Its place in the files of the series: what orders images of which nothing else is known."""
        return self.file, self.image.frame, self.image.slice
