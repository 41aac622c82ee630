"""Small synthetic records for the tests of the data room."""

from collections.abc import Iterator

import numpy as np

from jaxssl.data.record import Record
from jaxssl.geometry import Plane


def plane(height: int, width: int, spacing=(1.5, 1.5), depth: float = 0.0) -> Plane:
    """An oblique plane, `depth` mm along its normal."""
    x_axis, y_axis = np.array([0.8, 0.6, 0.0]), np.array([0.0, 0.0, -1.0])
    origin = np.array([-101.3, 20.07, 55.5]) + depth * np.cross(x_axis, y_axis)
    return Plane(origin, x_axis, y_axis, np.asarray(spacing, np.float64), np.array([height, width]))


def disc(height: int, width: int, centre=(0.5, 0.5), radius: float = 0.3) -> np.ndarray:
    """Mask of nested discs, codes 1 to 3 inwards; radius as a part of the shorter side."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - centre[0] * (height - 1), x - centre[1] * (width - 1)) / (radius * min(height, width))
    return (3 - np.minimum(np.floor(distance * 3), 3)).astype(np.uint8)


def records(
    subjects: int = 4,
    slices: int = 3,
    phases: int = 4,
    *,
    size=(20, 24),
    dtype="uint8",
    channels: int = 1,
    seed: int = 0,
) -> Iterator[Record]:
    """Short-axis stacks and one 4-chamber cine a subject; masks at ED and ES of the stack.

    Every other subject has a label. Sizes differ between subjects, intensities are random, and pixel (0, 0) of
    channel 0 holds the record's running number.
    """
    rng, number = np.random.default_rng(seed), 0
    for s in range(subjects):
        height, width = size[0] + 2 * s, size[1] - s
        views = [("sax", i, slices) for i in range(slices)] + [("4ch", 0, 1)]
        for view, i, n in views:
            for phase in range(phases):
                image = rng.integers(1, np.iinfo(dtype).max, (height, width, channels)).astype(dtype)
                image[0, 0, 0] = number
                moment = {0: "ED", phases // 2: "ES"}.get(phase, "")
                yield Record(
                    image=image,
                    subject=f"s{s}",
                    study=f"s{s}-a",
                    view=view,
                    slice=i,
                    slices=n,
                    phase=phase,
                    phases=phases,
                    moment=moment,
                    plane=plane(height, width, depth=8.0 * i),
                    thickness=8.0,
                    mask=disc(height, width) if moment and view == "sax" else None,
                    labels={"group": ["normal", "dilated"][s // 2 % 2]} if s % 2 == 0 else {},
                )
                number += 1
