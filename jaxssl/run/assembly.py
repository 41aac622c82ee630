"""A recipe put together on this machine: its data opened, its network, its optimiser and its step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import optax
from jax.sharding import Mesh
from rich.console import Console

from jaxssl import config
from jaxssl.data.seen import refuse_leak
from jaxssl.data.source import Source
from jaxssl.errors import UserError
from jaxssl.methods.base import Batch, Method, Spec, Tree, build
from jaxssl.methods.parts import adopt
from jaxssl.recipe import Recipe, lasting
from jaxssl.run.common import opened, spec_on
from jaxssl.run.feed import Feed
from jaxssl.run.pictures import first_views
from jaxssl.train import resident
from jaxssl.train.loop import Hook, run_steps
from jaxssl.train.mesh import check_divisible, first_devices, make_mesh, put_batch
from jaxssl.train.optim import learning_rate, make_optimiser
from jaxssl.train.processes import first_goes_ahead
from jaxssl.train.state import State, abstract_state, create_state
from jaxssl.train.step import Schedule, Step, make_dispatch, pure_step


@dataclass(frozen=True, eq=False)
class Assembly:
    """All that training is made of, and its steps; it knows no folder and no run."""

    recipe: Recipe
    source: Source
    feed: Feed
    mesh: Mesh
    spec: Spec
    method: Method
    schedule: Schedule
    optimiser: optax.GradientTransformation
    step: Step

    @cached_property
    def views(self) -> Tree:
        """Shapes of those of one sample, by which a network is made."""
        train = self.recipe.train
        return jax.eval_shape(partial(first_views, self.method, self.schedule, train.seed), self.feed.first(1))

    def abstract(self) -> State:
        """Shapes, types and shardings of the state; nothing is compiled for them."""
        given = (self.recipe.train.seed, self.views, self.mesh, self.schedule.average is not None)
        return abstract_state(self.method, self.optimiser, *given)

    def trace(self, abstract: State, taken: dict[str, Tree]) -> None:
        """Trace a step without compiling it: shapes that do not fit are refused here."""
        adopt(abstract.params, abstract.carry, taken)
        jax.eval_shape(self.step, abstract, self.feed.abstract(self.mesh))

    def fresh(self, abstract: State) -> State:
        """The state that training begins with."""
        return create_state(self.method, self.optimiser, self.recipe.train.seed, self.views, abstract)

    def meta(self, step: int) -> dict[str, Any]:
        """What a checkpoint holds beside the state: the place in the data, and what the run is."""
        return {"batches": step, "recipe": lasting(config.to_dict(self.recipe)), "data": self.source.store.fingerprint}

    def batch(self, step: int) -> Batch:
        """What a step is given, whole."""
        return put_batch(self.mesh, next(self.feed.batches(step, self.mesh, pixels=True)))

    def take_steps(self, state: State, start: int, hooks: list[Hook], warn: Callable[[str], None]) -> State:
        """Take those that are left."""
        images = self.feed.resident(self.mesh, warn)
        dispatch = make_dispatch(self.step, resident.complete(self.mesh))
        return run_steps(
            lambda state, batch: dispatch(state, batch, images),
            state,
            self.feed.batches(start, self.mesh, pixels=images is None),
            self.mesh,
            start,
            self.schedule.steps,
            self.recipe.train.steps_per_dispatch,
            hooks,
        )


def assembled(recipe: Recipe, console: Console) -> Assembly:
    """Refuse what cannot be trained on this machine, or on these data, and put the rest together."""
    config.check(recipe)
    train = recipe.train
    mesh = make_mesh(first_devices(train.devices), train.fsdp)
    check_divisible(mesh, train.batch, train.micro_batches)
    source = _source_of(recipe, console)
    feed = Feed(source, train)
    steps = train.total_steps(feed.steps_per_epoch)
    schedule = Schedule(steps, feed.steps_per_epoch, train.micro_batches, train.average)
    spec = spec_on(recipe, source)
    method = build(recipe.method, recipe.model, spec)
    if method.averaged and train.average is not None:
        raise UserError(f"{recipe.name} hands on an average already, its teacher; leave train.average none.")
    optimiser = make_optimiser(recipe.optim, steps)
    # Inlined: traced once, when it is checked, and the program is the same.
    step = jax.jit(pure_step(method, optimiser, learning_rate(recipe.optim, steps), schedule, mesh), inline=True)
    return Assembly(recipe, source, feed, mesh, spec, method, schedule, optimiser, step)


def _source_of(recipe: Recipe, console: Console) -> Source:
    """The data, if no test subject was seen by what made their masks."""
    with first_goes_ahead():
        source = opened(recipe.data, console)
    refuse_leak(
        source.masks_learnt_from,
        source.seen(source.split.test),
        f"the network that made the masks of {recipe.data.store}",
    )
    return source
