"""A recipe's training step, set up to be timed: on one batch that is always the same, or fed as training is."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

from jaxssl.bench.batch import fixed_batch
from jaxssl.bench.products import Product
from jaxssl.bench.scale import on_one_device
from jaxssl.bench.step import FED, STEP, STILL, Call, compiled, model_products, programs
from jaxssl.data.record import CINE_CLASSES
from jaxssl.methods.base import Method, build
from jaxssl.recipe import Recipe
from jaxssl.run.common import spec_on
from jaxssl.run.feed import Feed
from jaxssl.train import resident
from jaxssl.train.loop import drawn
from jaxssl.train.mesh import check_divisible, first_devices, make_mesh, put_batch
from jaxssl.train.optim import learning_rate, make_optimiser
from jaxssl.train.state import State, abstract_state, create_state
from jaxssl.train.step import Schedule, make_dispatch

STEPS, EPOCH = 100, 10
"""Of a run that is not taken to its end: schedules want to know them."""


@dataclass(frozen=True, eq=False)
class Workbench:
    """Without a feed the batch is noise of the recipe's size, else the feed's first."""

    recipe: Recipe
    feed: Feed | None = None

    @cached_property
    def mesh(self):
        mesh = make_mesh(first_devices(self.recipe.train.devices), self.recipe.train.fsdp)
        check_divisible(mesh, self.recipe.train.batch, self.recipe.train.micro_batches)
        return mesh

    @cached_property
    def method(self) -> Method:
        return self._method_of(self.recipe)

    def _method_of(self, recipe: Recipe) -> Method:
        if self.feed:
            return build(recipe.method, recipe.model, spec_on(recipe, self.feed.source))
        return method_of(recipe)

    @cached_property
    def optimiser(self):
        return make_optimiser(self.recipe.optim, STEPS)

    @cached_property
    def batch(self) -> Any:
        return put_batch(self.mesh, self.some(self.recipe.train.batch))

    def some(self, count: int) -> dict[str, Any]:
        """So many samples, on the host."""
        if self.feed:
            return dict(self.feed.first(count))
        return fixed_batch(self.recipe.data, 1, count, len(CINE_CLASSES))

    @cached_property
    def programs(self):
        return self.programs_of(self.method, self.recipe.train.micro_batches)

    def programs_of(self, method: Method, micro_batches: int):
        rate, train = learning_rate(self.recipe.optim, STEPS), self.recipe.train
        schedule = Schedule(STEPS, EPOCH, micro_batches, train.average)
        return programs(method, self.optimiser, rate, schedule, self.mesh)

    @cached_property
    def views(self) -> Any:
        """Of one sample, by whose shapes a network is made."""
        keys = jax.random.split(jax.random.key(0), 1)
        progress = Schedule(STEPS, EPOCH).progress(jnp.int32(0))
        return jax.eval_shape(lambda batch: self.method.views(keys, batch, progress), self.some(1))

    @cached_property
    def abstract(self) -> State:
        averaged = self.recipe.train.average is not None
        return abstract_state(self.method, self.optimiser, self.recipe.train.seed, self.views, self.mesh, averaged)

    def state(self) -> State:
        return create_state(self.method, self.optimiser, self.recipe.train.seed, self.views, self.abstract)

    @property
    def state_bytes(self) -> int:
        """Of one device."""
        return sum(on_one_device(leaf) for leaf in jax.tree.leaves(self.abstract))

    def compiled(self) -> dict[str, jax.stages.Compiled]:
        """The step and, unless it is made of micro-batches, what it begins with."""
        chosen = self.programs if self.recipe.train.micro_batches == 1 else {STEP: self.programs[STEP]}
        return {
            name: compiled(program, self.abstract, self.batch, donate=name == STEP) for name, program in chosen.items()
        }

    def dispatched(self, feed: Feed, warn: Callable[[str], None]) -> dict[str, Call]:
        """A dispatch of training on batches that are there already, and fed: from the store, or from the devices' own
        memory."""
        images, count = feed.resident(self.mesh, warn), self.recipe.train.steps_per_dispatch
        dispatch = make_dispatch(self.programs[STEP], resident.complete(self.mesh))
        still = drawn(itertools.repeat(self.some(self.recipe.train.batch)), count, self.mesh)
        batches = feed.batches(0, self.mesh, pixels=images is None)

        def on_still(state: State) -> tuple[State, Any]:
            state, log = dispatch(state, still, None)
            return state, (state, log)

        def fed(state: State) -> tuple[State, Any]:
            state, log = dispatch(state, drawn(batches, count, self.mesh), images)
            return state, (state, log)

        return {STILL: on_still, FED: fed}

    def work(self) -> list[Product]:
        """The products of network and loss, nothing made again."""
        plain = self.programs_of(self._method_of(without_remat(self.recipe)), micro_batches=1)
        return model_products(plain, self.abstract, self.batch)


def method_of(recipe: Recipe) -> Method:
    """For data like the cine phantom's, where there is no store to ask."""
    return build(recipe.method, recipe.model, recipe.spec(classes=len(CINE_CLASSES), labels=len(CINE_CLASSES)))


def without_remat(recipe: Recipe) -> Recipe:
    """Nothing is made again; a model that never does has no such option."""
    model: Any = recipe.model
    if not hasattr(model, "remat"):
        return recipe
    return replace(recipe, model=replace(model, remat=type(model.remat)(0)))
