"""How strongly an image is changed."""

from dataclasses import dataclass, replace
from typing import Literal

from jaxssl.errors import UserError


@dataclass(frozen=True)
class Augment:
    """Ranges of the random changes; the defaults are those of study B.

    Millimetres and degrees for the geometry, pixels for the blur, standard deviations of the subject's intensities for
    the rest. Pairs are (low, high), a single number n is -n to n, `flip`, `noise` and `blur` are probabilities.
    `crop` is the share of the image's area that a window shows, which lies inside the image and is resized to the view
    before anything else; `aspect` its width over its height where 1 keeps shapes as they are. Without `crop` a view
    has the image's resolution.
    """

    translation: float = 40.0
    rotation: float = 180.0
    scale: tuple[float, float] = (0.7, 1.4)
    flip: float = 0.5
    flip_axes: tuple[Literal["y", "x"], ...] = ("y", "x")
    crop: tuple[float, float] | None = None
    aspect: tuple[float, float] = (1.0, 1.0)
    noise: float = 0.2
    noise_std: float = 0.2
    blur: float = 0.2
    blur_sigma: tuple[float, float] = (0.5, 1.5)
    contrast: tuple[float, float] = (0.6, 1.5)
    brightness: float = 0.4
    gamma: tuple[float, float] = (0.7, 1.5)

    @classmethod
    def upright(cls) -> "Augment":
        """Milder geometry, for few steps on small data: the patient stays upright and in view."""
        return cls(translation=15.0, rotation=45.0, scale=(0.8, 1.25), flip=0.0)

    @classmethod
    def windows(cls, smallest: float) -> "Augment":
        """Random resized crops, of `smallest` to all of the image and of the usual aspects, a flip along x, no more."""
        return cls(
            translation=0.0,
            rotation=0.0,
            scale=(1.0, 1.0),
            flip_axes=("x",),
            crop=(smallest, 1.0),
            aspect=(3 / 4, 4 / 3),
            noise=0.0,
            blur=0.0,
            contrast=(1.0, 1.0),
            brightness=0.0,
            gamma=(1.0, 1.0),
        )

    @classmethod
    def study_a(cls) -> "Augment":
        """Study A: windows, flips along both axes, turns and contrast."""
        return replace(cls.windows(0.08), flip_axes=("y", "x"), rotation=20.0, contrast=(0.7, 1.3))

    @classmethod
    def study_d(cls) -> "Augment":
        """Study D: windows, flip and intensity; the ranges are ours, the probe stays at the top."""
        return replace(cls.windows(0.2), contrast=(0.6, 1.4), brightness=0.4)

    def check(self) -> None:
        """Refuse values that mean nothing, with a UserError that names the option."""
        for name in ("flip", "noise", "blur"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UserError(f"augment.{name}={getattr(self, name)} is no probability: choose a number from 0 to 1.")
        for name in ("translation", "rotation", "noise_std", "brightness"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise UserError(f"augment.{name}={getattr(self, name)} is no range: choose a number of at least 0.")
        for name in ("scale", "aspect", "blur_sigma", "contrast", "gamma"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high < float("inf"):
                raise UserError(f"augment.{name}=({low}, {high}) is no range: choose 0 < low <= high.")
        if self.crop is not None and not 0.0 < self.crop[0] <= self.crop[1] <= 1.0:
            raise UserError(f"augment.crop={self.crop} is no range of shares: choose 0 < low <= high <= 1.")
