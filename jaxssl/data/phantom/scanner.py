"""From signal to image: coils, k-space of limited extent, complex noise, vendors that differ."""

from dataclasses import dataclass, field

import numpy as np

from jaxssl.data.phantom.tissue import Tissues

HIGHEST = 4095
"""12 bits, as scanners store them: nothing wraps."""


@dataclass(frozen=True)
class Vendor:
    """How one maker's images look."""

    gain: float
    """Stored value of blood."""
    noise: float
    """Standard deviation of the complex noise, with blood at 1."""
    spacing: float
    """In-plane, mm."""
    field_of_view: tuple[float, float]
    """Longer and shorter side, mm."""
    thickness: float
    resolution: float
    """Extent of the measured k-space, as a part of that of the image."""
    coil: float
    """How much of the coils' fall-off is left in the image: 0 none, 1 all."""
    tissues: Tissues = field(default_factory=Tissues)


VENDORS = {
    "A": Vendor(560, 0.035, 1.4, (350, 290), 6.0, 0.82, 0.75),
    "B": Vendor(
        900, 0.022, 1.25, (340, 300), 8.0, 0.75, 0.35, Tissues(fat=-0.75, myocardium=0.4, muscle=0.27, liver=0.42)
    ),
    "C": Vendor(330, 0.05, 1.56, (375, 312), 8.0, 0.9, 0.95, Tissues(fat=-1.1, myocardium=0.3, muscle=0.18, liver=0.3)),
    "D": Vendor(
        720, 0.04, 1.8, (360, 306), 7.0, 0.95, 0.55, Tissues(fat=-0.85, myocardium=0.46, muscle=0.32, liver=0.48)
    ),
}


@dataclass(frozen=True)
class Coils:
    """Sensitivity of the coils that lie on one subject: strong near the skin, front and back, and a little uneven."""

    front: float
    back: float
    tilt: tuple[float, float]

    @classmethod
    def random(cls, rng: np.random.Generator) -> "Coils":
        """Coils as they came to lie."""
        return cls(
            float(rng.uniform(0.7, 1.2)),
            float(rng.uniform(0.25, 0.6)),
            (float(rng.normal(0, 0.12)), float(rng.normal(0, 0.12))),
        )

    def sensitivity(self, where: np.ndarray, strength: float) -> np.ndarray:
        """Smooth factor, about 1 at the heart, at chest-frame points [..., 3]."""
        x, y, z = np.moveaxis(where.astype(np.float32), -1, 0)
        front = self.front * np.exp(-np.sqrt((y + 120) ** 2 + (0.5 * (x - 25)) ** 2 + (0.35 * z) ** 2) / 60)
        back = self.back * np.exp(-np.sqrt((y - 120) ** 2 + (0.4 * x) ** 2 + (0.35 * z) ** 2) / 60)
        uneven = 1 + self.tilt[0] * np.sin(x / 95 + self.tilt[1] * 9) + self.tilt[1] * np.cos(z / 80)
        return ((0.62 + front + back) * uneven) ** np.float32(strength)


def acquire(signal: np.ndarray, vendor: Vendor, rng: np.random.Generator) -> np.ndarray:
    """Stored values (uint16) of a signal image [y, x]: blurred by the limited k-space, with Rician noise, scaled."""
    noise = rng.standard_normal((2, *signal.shape), dtype=np.float32) * np.float32(vendor.noise / vendor.resolution)
    spectrum = np.fft.fft2(signal + (noise[0] + 1j * noise[1]))
    rows, columns = (_window(n, vendor.resolution) for n in signal.shape)
    magnitude = np.abs(np.fft.ifft2(spectrum * rows[:, None] * columns[None, :]))
    return np.clip(np.rint(vendor.gain * magnitude), 0, HIGHEST).astype(np.uint16)


def _window(samples: int, resolution: float) -> np.ndarray:
    """Flat in the middle of k-space, falling smoothly to zero at its measured edge."""
    frequency = np.abs(np.fft.fftfreq(samples)) * 2 / resolution
    return (0.5 + 0.5 * np.cos(np.pi * np.clip((frequency - 0.7) / 0.3, 0, 1))).astype(np.float32)
