"""The stages of a study's points, and the recipes of their trainings."""

from collections.abc import Iterable
from pathlib import Path

from jaxssl.recipe import Recipe, load_recipe
from jaxssl.sweep import Point, Stage, in_order


def stages_of(points: Iterable[Point]) -> list[Stage]:
    """Each once, after those that it needs."""
    return in_order(stage for point in points for stage in point.stages)


def recipe_of(stage: Stage) -> Recipe:
    """With its overrides; folders of other stages go by their names, and equal time is three steps, as no other is."""
    recipe, options = stage.resolved(lambda other: other.name, lambda *_: 3)
    dotted = {name: str(value) if isinstance(value, Path) else value for name, value in options.items() if "." in name}
    return load_recipe(recipe, dotted)
