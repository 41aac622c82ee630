"""How strongly an image is changed."""

from dataclasses import dataclass

from jaxssl.errors import UserError


@dataclass(frozen=True)
class Augment:
    """Ranges of the random changes; the defaults are those of study B.

    Millimetres and degrees for the geometry, pixels for the blur, standard deviations of the subject's intensities for
    the rest. Pairs are (low, high), a single number n is -n to n, `flip`, `noise` and `blur` are probabilities.
    """

    translation: float = 40.0
    rotation: float = 180.0
    scale: tuple[float, float] = (0.7, 1.4)
    flip: float = 0.5
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

    def check(self) -> None:
        """Refuse values that mean nothing, with a UserError that names the option."""
        for name in ("flip", "noise", "blur"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UserError(f"augment.{name}={getattr(self, name)} is no probability: choose a number from 0 to 1.")
        for name in ("translation", "rotation", "noise_std", "brightness"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise UserError(f"augment.{name}={getattr(self, name)} is no range: choose a number of at least 0.")
        for name in ("scale", "blur_sigma", "contrast", "gamma"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high < float("inf"):
                raise UserError(f"augment.{name}=({low}, {high}) is no range: choose 0 < low <= high.")
