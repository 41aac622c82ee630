"""What a step was given that came out as not finite: kept as a checkpoint is, and read back without its store.

A dump holds images as the run was given them: where those are patients', it is data of patients.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl import config
from jaxssl.errors import UserError
from jaxssl.methods.base import Batch, Method, Spec, build
from jaxssl.recipe import Recipe
from jaxssl.train.checkpoint import Checkpoints, read
from jaxssl.train.state import State
from jaxssl.train.step import Schedule

Warn = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Dump:
    """A step that was left out: the state that it began with, its batch, and what its program is made from."""

    recipe: Recipe
    spec: Spec
    schedule: Schedule
    state: State
    batch: Batch

    def method(self, dtype: Any) -> Method:
        """The method in another arithmetic."""
        return build(self.recipe.method, self.recipe.model, replace(self.spec, dtype=jnp.dtype(dtype)))


def write_dump(
    folder: Path, recipe: Recipe, spec: Spec, schedule: Schedule, state: State, batch: Batch, warn: Warn
) -> Path:
    """Keep the last step before `state`, which was left out: all but the counts is as it was before it."""
    path = folder / f"not-finite-{int(state.step) - 1}"
    meta = {
        "recipe": config.to_dict(recipe),
        "spec": config.to_dict(replace(spec, dtype=str(jnp.dtype(spec.dtype)))),
        "schedule": config.to_dict(schedule),
    }
    before = replace(state, step=state.step - 1)
    with Checkpoints(path, keep=1, warn=warn) as checkpoints:
        checkpoints.save(int(before.step), {"state": before, "batch": dict(batch)}, meta)
    return path


def read_dump(path: Path, warn: Warn) -> Dump:
    """Read what `write_dump` wrote, every array compared with its checksum."""
    saved = read(path, warn)
    where = str(path)
    if not {"recipe", "spec", "schedule"} <= saved.meta.keys() or saved.state.keys() != {"state", "batch"}:
        raise UserError(f"{path} is no dump of a step; name the folder that a run which stopped has named.")
    recipe, spec, schedule = (config.from_dict(saved.meta[name], where) for name in ("recipe", "spec", "schedule"))
    fields = saved.state["state"]
    state = State(**{name: fields.get(name, {}) for name in State.__dataclass_fields__})
    return Dump(recipe, spec, schedule, jax.tree.map(np.asarray, state), saved.state["batch"])
