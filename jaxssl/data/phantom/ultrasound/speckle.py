"""From scatterers to an image: point-spread function, envelope, log compression, scan conversion."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from jaxssl.data.phantom.shapes import Numbers
from jaxssl.data.phantom.ultrasound.probe import Sector


@dataclass(frozen=True)
class Beam:
    """The point-spread function: Gaussian, separable, wider across the beam away from the focus."""

    axial: float
    """Standard deviation along the beam in mm."""
    lateral: float
    """Standard deviation across the beam at the focus in mm."""
    focus: float
    """Depth in mm."""
    zone: float
    """Distance from the focus in mm at which the beam is wider by the square root of 2."""

    def width(self, depth: Numbers) -> Numbers:
        """Standard deviation in mm across the beam: lateral sqrt(1 + ((depth - focus) / zone)^2)."""
        return np.float32(self.lateral) * np.sqrt(1 + ((depth - np.float32(self.focus)) / np.float32(self.zone)) ** 2)


@dataclass(frozen=True)
class Display:
    """How echoes become grey values."""

    gain: float
    """dB added to all echoes."""
    range: float
    """dB between black and white."""
    noise: float
    """Level in dB of the receiver's noise at the deepest row."""
    looks: int
    """Directions from which the probe looks; their mean is shown (spatial compounding)."""


def transmitted(loss: Numbers, row: float, compensated: float) -> Numbers:
    """dB by which echoes [row, beam] are weaker for the loss on the way there and back, after depth compensation.

    What lies behind fluid is brighter than the compensation (dB/mm) reckons with, what lies behind bone is black.
    """
    return np.float32(row) * np.cumsum(np.float32(compensated) - loss, axis=0)


def envelope(amplitude: Numbers, mirror: Numbers, sector: Sector, beam: Beam, rng: np.random.Generator) -> Numbers:
    """|blurred (amplitude x complex white noise) + blurred mirror| on the grid [row, beam].

    Where the amplitude is even and nothing mirrors, this is Rayleigh distributed with a mean square of amplitude^2.
    """
    lateral = beam.width(sector.depths) / sector.pitch(sector.depths)
    axial = np.full(1, beam.axial / sector.row, np.float32)
    quadratures = rng.standard_normal((2, *amplitude.shape), dtype=np.float32) * np.float32(np.sqrt(0.5)) * amplitude
    fields = np.concatenate([quadratures, mirror[None]])
    across, across_energy = _kernels(lateral)
    along, along_energy = _kernels(axial)
    fields = _blur(fields, across[:, None, :], axis=2)
    fields = _blur(fields, along[:, None, :], axis=1)
    scattered = fields[:2] / np.sqrt(across_energy * along_energy)[:, None]
    return np.hypot(scattered[0] + fields[2], scattered[1])


def compress(echo: Numbers, display: Display) -> Numbers:
    """Grey values 0 to 255 of an envelope: its level in dB, over the range of the display."""
    level = 20 * np.log10(np.maximum(echo, np.float32(1e-6)))
    return 255 * np.clip(1 + (level + np.float32(display.gain)) / np.float32(display.range), 0, 1)


def scan_convert(grey: Numbers, sector: Sector) -> np.ndarray:
    """The uint8 image of grey values on the beams; black outside of the fan."""
    row, beam, shown = sector.pixel_beams()
    image = np.zeros(shown.shape, np.uint8)
    image[shown] = np.rint(map_coordinates(grey, [row[shown], beam[shown]], order=1, mode="nearest"))
    return image


def _kernels(width: Numbers) -> tuple[Numbers, Numbers]:
    """Gaussian kernels [n, tap] of unit sum, widths [n] in samples, and the sums of their squares [n]."""
    reach = int(np.ceil(2.8 * width.max()))
    taps = np.arange(-reach, reach + 1, dtype=np.float32)
    kernels = np.exp(-0.5 * (taps / np.maximum(width[:, None], np.float32(0.3))) ** 2)
    kernels /= kernels.sum(1, keepdims=True)
    return kernels, (kernels**2).sum(1)


def _blur(fields: Numbers, kernels: Numbers, axis: int) -> Numbers:
    """Fields [field, row, beam] convolved along an axis; kernels [row or 1, 1, tap]."""
    size, taps = fields.shape[axis], kernels.shape[-1]
    edge = [(taps // 2, taps // 2) if k == axis else (0, 0) for k in range(3)]
    padded, total = np.pad(fields, edge, mode="symmetric"), np.zeros_like(fields)
    for tap in range(taps):
        here = slice(tap, tap + size)
        total += kernels[..., tap] * (padded[:, here] if axis == 1 else padded[:, :, here])
    return total
