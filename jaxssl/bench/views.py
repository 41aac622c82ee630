"""Which views a method makes of a sample, in words that a peer understands, and the same without chance."""

from dataclasses import asdict, replace
from typing import Any

from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.methods.crops import GLOBAL
from jaxssl.methods.pairs import VIEWS

COUNTS = {"mae": 1, "mim": 1, "segment": 1, **dict.fromkeys(("simclr", "pcl", "awcl", "moco", "byol"), VIEWS)}
"""Views of the whole image's size, by method."""


def views_of(method: Any) -> list[dict[str, Any]]:
    """How many views of which kind a method with these options makes of a sample."""
    kind = type(method).__module__.rpartition(".")[2]
    if kind in COUNTS:
        return [{"augment": asdict(method.augment), "size": None, "count": COUNTS[kind]}]
    if kind == "dino":
        wide = {"augment": asdict(method.augment), "size": None, "count": GLOBAL}
        return [wide, {"augment": asdict(method.local_augment), "size": method.local_size, "count": method.local_views}]
    raise UserError(f"Nobody has said how many views {kind} makes; choose one of {', '.join(COUNTS)} and dino.")


def certain(options: Augment) -> Augment:
    """Of these options those that leave nothing to chance: each change at the middle of its range, or at its end."""

    def middle(ends: tuple[float, float]) -> tuple[float, float]:
        centre = (ends[0] + ends[1]) / 2
        return centre, centre

    ranges = {name: middle(getattr(options, name)) for name in ("scale", "blur_sigma", "contrast", "gamma")}
    chances = {name: float(getattr(options, name) > 0) for name in ("flip", "blur")}
    return replace(options, translation=0.0, rotation=0.0, brightness=0.0, noise=0.0, crop=None, **ranges, **chances)
