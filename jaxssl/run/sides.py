"""jaxssl's own sides of `bench augment` and `bench step --against`, each in a process of its own.

python -m jaxssl.run.sides '{"side": "augment", "recipe": "recipe.json"}'
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl import config
from jaxssl.augment.affine import draw_affine, resample
from jaxssl.augment.views import augment, standardise
from jaxssl.bench.here import side
from jaxssl.bench.serve import Side, memory_of, serve
from jaxssl.bench.step import STEP
from jaxssl.bench.views import certain
from jaxssl.memory import keep_freed
from jaxssl.methods.base import Batch, metadata
from jaxssl.run.workbench import EPOCH, STEPS, Workbench
from jaxssl.train.keys import sample_keys
from jaxssl.train.state import State
from jaxssl.train.step import Schedule

MATRICES = 8


def augment_side(options: Mapping[str, Any]) -> Side:
    """All views of a batch, as the recipe's method makes them."""
    bench = Workbench(config.load(Path(options["recipe"])))
    batch, progress = bench.batch, Schedule(STEPS, EPOCH).progress(jnp.int32(0))
    keys = sample_keys(0, "views", progress.step, batch["place"])
    lowered = jax.jit(lambda keys, batch: bench.method.views(keys, batch, progress)).lower(keys, batch)
    views, compiling = memory_of(lowered.compile)

    def run(count: int) -> None:
        for _ in range(count):
            found = views(keys, batch)
        jax.block_until_ready(found)

    def check(folder: Path) -> None:
        """Some random moves, and one view of which nothing is left to chance."""
        chosen, spacing = bench.recipe.method.augment, batch["spacing"][0]
        draws = jax.random.split(jax.random.key(1), MATRICES)

        @jax.jit
        def made(pixels: jax.Array) -> tuple[jax.Array, ...]:
            image = standardise(pixels, batch["mean"][0], batch["std"][0])
            shape = (image.shape[0], image.shape[1])
            matrices = jax.vmap(lambda key: draw_affine(key, chosen, shape, spacing))(draws)
            moved = jax.vmap(lambda matrix: resample(matrix, image, None)[0])(matrices)
            same = augment(draws[0], image, None, spacing, certain(chosen))[0]
            return image, matrices, jnp.concatenate([moved, same[None]])

        image, matrices, views = made(batch["image"][0])
        np.save(folder / "image.npy", image[..., 0])
        np.save(folder / "matrices.npy", matrices)
        np.save(folder / "jaxssl.npy", views[..., 0])

    return side(run, check, compiling)


def step_side(options: Mapping[str, Any]) -> Side:
    """The step of a recipe on views that are given: forward and backward pass, optimiser, teacher and averages.

    Views lie on the disk before memory counts, and are read afterwards, as the other side reads them.
    """
    recipe = config.load(Path(options["recipe"]))
    bench = Workbench(recipe)
    views = jax.jit(bench.programs["views"])(bench.state(), bench.batch)
    _save(Path(options["recipe"]).with_name("views.npz"), views)
    views = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), views)
    given = replace(bench.method, views=lambda keys, batch, progress: batch["views"])
    programs = bench.programs_of(given, recipe.train.micro_batches)
    known = metadata(bench.batch)
    lowered = jax.jit(programs[STEP], donate_argnums=0).lower(bench.abstract, {**known, "views": views})
    step, compiling = memory_of(lowered.compile)
    begun: list[tuple[State, Batch]] = []

    def check(folder: Path) -> float:
        """Weights and gradients by name, for the other side."""
        state, batch = bench.state(), {**known, "views": _load(folder / "views.npz", views)}
        loss, gradient = jax.jit(programs["gradient"])(state, batch)
        _save(folder / "params.npz", state.params)
        _save(folder / "jaxssl.npz", gradient)
        begun.append((state, batch))
        return float(loss)

    def run(count: int) -> None:
        state, batch = begun.pop()
        for _ in range(count):
            state, _ = step(state, batch)
        begun.append((jax.block_until_ready(state), batch))

    return side(run, check, compiling)


def _save(file: Path, tree: Any) -> None:
    """Arrays by the names that lead to them, bfloat16 as float32, for NumPy knows no bfloat16."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {_name(path): np.asarray(x, np.float32 if x.dtype == jnp.bfloat16 else None) for path, x in leaves}
    np.savez(file, allow_pickle=False, **named)


def _load(file: Path, shapes: Any) -> Any:
    """Undo `_save` of a tree of these shapes, types and places."""
    with np.load(file, allow_pickle=False) as saved:
        return jax.tree_util.tree_map_with_path(
            lambda path, x: jax.device_put(saved[_name(path)].astype(x.dtype, copy=False), x.sharding), shapes
        )


def _name(path: Any) -> str:
    """One that stands alone is called views."""
    return jax.tree_util.keystr(path, simple=True, separator="/") or "views"


def make(options: Mapping[str, Any]) -> Side:
    """The side that is asked for, with its memory kept as a command's is."""
    keep_freed()
    return {"augment": augment_side, "step": step_side}[options["side"]](options)


if __name__ == "__main__":
    serve(make)
