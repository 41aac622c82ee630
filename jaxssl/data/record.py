"""One image and what is known of it: what data sets yield, stores keep and evaluation compares with."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from jaxssl.geometry import Plane

CINE_CLASSES = ("background", "RV", "MYO", "LV")  # the mask codes 0..3 of a cine, as ACDC has them
MOMENTS = ("", "ED", "ES")  # meaning of the moment codes 0..2


@dataclass(frozen=True, eq=False)
class Record:
    """One image in its original in-plane grid.

    `image` is [y, x, channel], uint8 or uint16; `mask`, if there is one, is [y, x] uint8; its store names the codes.
    `slice` counts from base (0) to apex, or only along the stack where it is not `ordered`; `phase` is the frame index
    of `phases` over the cycle. A label that is missing from `labels` is unknown, not negative.
    """

    image: np.ndarray
    subject: str
    study: str
    view: str
    slice: int
    slices: int
    phase: int
    phases: int
    moment: str
    plane: Plane
    thickness: float
    mask: np.ndarray | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    ordered: bool = True

    def __post_init__(self):
        if self.image.ndim != 3 or self.image.dtype not in (np.uint8, np.uint16):
            raise ValueError(
                f"image must be [y, x, channel] of uint8 or uint16, got {self.image.shape} {self.image.dtype}"
            )
        if self.mask is not None and (self.mask.shape != self.image.shape[:2] or self.mask.dtype != np.uint8):
            raise ValueError(f"mask must be uint8 {self.image.shape[:2]}, got {self.mask.shape} {self.mask.dtype}")
        if self.moment not in MOMENTS:
            raise ValueError(f"moment must be one of {MOMENTS}, got {self.moment!r}")
        if not (0 <= self.slice < self.slices and 0 <= self.phase < self.phases):
            raise ValueError(f"slice {self.slice} of {self.slices}, phase {self.phase} of {self.phases}: out of range")

    @property
    def position(self) -> float:
        """Place in the stack, 0 at the base to 1 at the apex; nan for a stack of one, or of unknown order."""
        return self.slice / (self.slices - 1) if self.ordered and self.slices > 1 else float("nan")


def unplaced(shape: tuple[int, int], spacing: tuple[float, float] | None) -> Plane:
    """The plane of an image of which nobody knows where in the patient it lies, or not even how large a pixel is."""
    return Plane(
        origin=np.full(3, np.nan),
        x_axis=np.array([1.0, 0.0, 0.0]),
        y_axis=np.array([0.0, 1.0, 0.0]),
        spacing=np.array(spacing or (np.nan, np.nan), np.float64),
        shape=np.array(shape),
    )
