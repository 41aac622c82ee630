"""The timing of one heartbeat."""

import math
from typing import NamedTuple


class Beat(NamedTuple):
    """A moment of the beat: contraction, 0 at end-diastole and 1 at end-systole, and whether the ventricles fill."""

    contraction: float
    filling: bool


def end_systole(phases: int) -> int:
    """The phase of greatest contraction, a little more than a third into the beat."""
    return max(round(0.36 * phases), 1) if phases > 1 else 0


def beat(phase: int, phases: int) -> Beat:
    """The moment of one of `phases` frames: contraction, fast filling, rest, and filling by the atria."""
    systole = end_systole(phases)
    if phase <= systole:
        return Beat(math.sin(math.pi / 2 * phase / max(systole, 1)) ** 2, False)
    rest = (phase - systole) / (phases - systole)
    return Beat(1 - 0.78 * _smooth(rest / 0.5) - 0.22 * _smooth((rest - 0.65) / 0.35), True)


def _smooth(t: float) -> float:
    t = min(max(t, 0.0), 1.0)
    return t * t * (3 - 2 * t)
