"""What a training took, by what it wrote down as it went."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jaxssl.reporting.read import Run

UNKNOWN = float("nan")


@dataclass(frozen=True)
class Cost:
    """Steps, images and time; nan where a run does not say."""

    steps: float = UNKNOWN
    images: float = UNKNOWN
    """Drawn for a step, each counted once however many views are made of it; one drawn again counts again."""
    step_seconds: float = UNKNOWN

    @property
    def seconds(self) -> float:
        """Of all steps, without compiling, probes and interruptions."""
        return self.steps * self.step_seconds


def cost(run: Run) -> Cost:
    """Of a run; what a step takes is the median over its log, with the wait for data and without the first entry.

    The first step compiles, and so does that after an interruption.
    """
    steps, speeds = run.timing.get("images_per_second", (np.empty(0), np.empty(0)))
    batch = _number(run.recipe.get("train.batch", ""))
    if not len(steps):
        return Cost()
    taken = float(steps[-1])
    known = speeds[1:][speeds[1:] > 0]
    return Cost(taken, taken * batch, batch / float(np.median(known)) if len(known) else UNKNOWN)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return UNKNOWN
