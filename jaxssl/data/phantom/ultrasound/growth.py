"""How large a fetus is at a gestational age, and the circumference that a sonographer would measure."""

import math
from dataclasses import dataclass

import numpy as np

WEEKS = (18, 20, 24, 28, 32)
BIPARIETAL = (42, 48, 60, 72, 82)
ABDOMEN = (128, 150, 195, 240, 281)
FEMUR = (27, 33, 44, 54, 62)
"""Rounded medians in mm: outer biparietal diameter, abdominal circumference, length of the femur."""


@dataclass(frozen=True)
class Size:
    """The measures that everything else scales with; mm."""

    head: float
    """Half the outer biparietal diameter."""
    lengthening: float
    """Occipitofrontal over biparietal diameter."""
    trunk: float
    """Radius of the abdomen."""
    femur: float

    @property
    def head_circumference(self) -> float:
        """Of the outer outline of the skull where it is widest."""
        return ellipse_circumference(self.head, self.head * self.lengthening)


def draw_size(weeks: float, rng: np.random.Generator) -> Size:
    """A fetus of that age: measures about the median, each a few per cent off on its own."""

    def about(table: tuple[int, ...], spread: float) -> float:
        return float(np.interp(weeks, WEEKS, table) * np.clip(rng.normal(1, spread), 1 - 2 * spread, 1 + 2 * spread))

    circumference = about(ABDOMEN, 0.04)
    return Size(
        about(BIPARIETAL, 0.03) / 2, float(rng.uniform(1.2, 1.36)), circumference / math.tau, about(FEMUR, 0.03)
    )


def ellipse_circumference(a: float, b: float) -> float:
    """Ramanujan's second formula, right to 1e-5 for heads."""
    h = ((a - b) / (a + b)) ** 2
    return math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))
