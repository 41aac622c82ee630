"""Alarms of pretraining that has collapsed: what is logged anyway is looked at, and the mode is named with a remedy.

The limits were chosen by the logs of 72 small runs on phantoms, and nobody has tried them on others; of these they tell
two, of MoCo, whose effective rank later rose again. A mode is told when it has lasted for some looks and past the
beginning of the run, in which nothing is told apart yet.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from jaxssl.errors import UserError
from jaxssl.train.loop import Tick

Values = Mapping[str, float]

LOOKS = 3
"""In a row, for which a mode must last."""

BEGINNING, STEPS = 0.1, 20
"""Share of a run, and steps at the least, before which nothing is told."""

EVEN = 0.995
"""Share of the largest entropy from which a teacher says everything of an image, and nothing."""


@dataclass(frozen=True)
class Monitors:
    """What is done about what is watched."""

    on_collapse: Literal["warn", "stop"] = "warn"
    """When all images become alike to a network: say so once, or end the run."""


@dataclass(frozen=True)
class Mode:
    """A way to collapse: what the log shows of it, what it is, and the first thing to change."""

    shows: Callable[[Values], bool]
    what: str
    remedy: str


def _below(name: str, limit: float) -> Callable[[Values], bool]:
    return lambda values: values.get(name, math.inf) < limit


def _above(name: str, limit: float) -> Callable[[Values], bool]:
    return lambda values: values.get(name, -math.inf) > limit


def _one_for_all(values: Values) -> bool:
    """Whether the entropy of what a teacher says on average is that of what it says of an image: of all the same."""
    of_one, of_all = (values.get(name, math.nan) for name in ("teacher_entropy_share", "prototype_use_share"))
    return of_one < EVEN and of_all - of_one < 5e-3


def _as_by_chance(values: Values) -> bool:
    """Whether the loss is that of answers which do not depend on the image: ln K, or ln(2N - 1)."""
    chance = values.get("chance_loss", math.nan)
    # Of a loss with several terms, the one that would be that of guessing.
    return abs(values.get("views_loss", values["loss"]) - chance) < 5e-4 * chance


MODES = {
    "constant": Mode(
        _below("embedding_std", 1e-3),
        "all embeddings are one (embedding_std {embedding_std:.2g})",
        "lower optim.lr or optim.weight_decay",
    ),
    "alike": Mode(
        # Only where embeddings are compared: others lie near each other without harm, as class tokens do.
        lambda values: "positive_similarity" in values and values.get("off_diagonal_similarity", 0) > 0.998,
        "different images are as similar as one (off_diagonal_similarity {off_diagonal_similarity:.4f})",
        "lower optim.lr; for BYOL and MoCo raise method.momentum",
    ),
    "one direction": Mode(
        lambda values: values.get("effective_rank", math.inf) < 1.02 and values.get("embedding_std", math.inf) >= 1e-3,
        "embeddings differ in a single direction (effective_rank {effective_rank:.3f})",
        "lower optim.lr, or widen method.projector",
    ),
    "even teacher": Mode(
        _above("teacher_entropy_share", EVEN),
        "the teacher says all prototypes of each image (teacher_entropy_share {teacher_entropy_share:.4f})",
        "lower method.teacher_temperature",
    ),
    "one prototype": Mode(
        _one_for_all,
        "the teacher says the same of all images (prototype_use_share {prototype_use_share:.3f}, "
        "teacher_entropy_share {teacher_entropy_share:.3f})",
        "set method.targets sinkhorn, or lower method.centre_momentum",
    ),
    "chance": Mode(
        _as_by_chance,
        "the loss is that of guessing (chance_loss {chance_loss:.4f})",
        "raise optim.warmup and lower optim.lr; then look at the views in the report",
    ),
    "nothing attracts": Mode(
        _above("anchors_without_positives", 0),
        "{anchors_without_positives:.0f} anchors of a batch have no positive and are not learnt from",
        "set method.positives all, or look at the labels and positions of the store",
    ),
}
"""By the name that a sentence begins with."""


class CollapseAlarm:
    """Tells each mode once, or ends the run at the first."""

    def __init__(self, options: Monitors, every: int, warn: Callable[[str], None]):
        self.options, self.every, self.warn = options, every, warn
        self.lasting: Counter[str] = Counter()
        self.told: set[str] = set()

    def __call__(self, tick: Tick) -> None:
        if tick.step % self.every and tick.step != tick.steps:
            return
        for name, mode in MODES.items():
            self.lasting[name] = self.lasting[name] + 1 if mode.shows(tick.values) else 0
            due = self.lasting[name] >= LOOKS and tick.step >= max(STEPS, BEGINNING * tick.steps)
            if due and name not in self.told:
                self._tell(name, mode, tick)

    def _tell(self, name: str, mode: Mode, tick: Tick) -> None:
        self.told.add(name)
        sentence = f"Collapse ({name}) at step {tick.step}: {mode.what.format(**tick.values)}; {mode.remedy}"
        if self.options.on_collapse == "stop":
            raise UserError(f"{sentence}, or set monitors.on_collapse warn to go on.")
        self.warn(f"{sentence}. --monitors.on-collapse stop would end the run.")
