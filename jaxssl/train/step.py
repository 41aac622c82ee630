"""One training step for every method: exact under micro-batches, on any number of devices, with bad steps left out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from jaxssl.methods.base import Batch, Method, Progress, Seen, Tree, metadata
from jaxssl.train.keys import sample_keys
from jaxssl.train.mesh import by_sample, of_state, replicated
from jaxssl.train.state import State, weights

Log = dict[str, jax.Array]
Step = Callable[[State, Batch], tuple[State, Log]]


@dataclass(frozen=True)
class Schedule:
    """What a step knows of the run that it belongs to."""

    steps: int
    steps_per_epoch: int
    micro_batches: int = 1
    average: float | None = None
    """Decay of the average of the weights; none keeps none."""

    def progress(self, step: jax.Array) -> Progress:
        return Progress(step, self.steps, step / self.steps_per_epoch)


def make_step(
    method: Method, optimiser: optax.GradientTransformation, rate: optax.Schedule, schedule: Schedule, mesh: Mesh
) -> Step:
    """The jitted step: (state, batch) -> (state, scalars for the log); the state it is given is donated."""
    return jax.jit(pure_step(method, optimiser, rate, schedule, mesh), donate_argnums=0)


def make_dispatch(step: Step, complete: Callable[[Batch, Tree], Batch]) -> Callable[[State, Batch, Tree], Any]:
    """Several steps in one jitted call, over batches stacked along a new first axis; the log is that of the last.

    `complete` is given a batch and the third argument, and adds what lies on the devices already.
    """

    def dispatch(state: State, batches: Batch, resident: Tree) -> tuple[State, Log]:
        def one(state: State, batch: Batch) -> tuple[State, Log]:
            return step(state, complete(batch, resident))

        if len(batches["id"]) == 1:
            # Without a loop: in one, XLA computes convolutions several times slower on a CPU.
            return one(state, jax.tree.map(lambda x: x[0], batches))
        state, logs = jax.lax.scan(one, state, batches)
        return state, jax.tree.map(lambda x: x[-1], logs)

    return jax.jit(dispatch, donate_argnums=0)


def pure_step(
    method: Method, optimiser: optax.GradientTransformation, rate: optax.Schedule, schedule: Schedule, mesh: Mesh
) -> Step:
    """The step as a pure function of arrays that lie on the mesh."""

    def step(state: State, batch: Batch) -> tuple[State, Log]:
        progress = schedule.progress(state.step)
        loss, statistics, moments, gradient, trainable, norm = masked_gradient(method, schedule, mesh, state, batch)
        proposed = _advance(method, optimiser, state, gradient, statistics, moments, trainable, progress)
        if schedule.average is not None:
            proposed = replace(proposed, average=_averaged(schedule.average, state, proposed))
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        log = {
            "loss": loss,
            "gradient_norm": norm,
            # The optimiser counts the steps that it took.
            "learning_rate": rate(state.step - state.skipped),
            **statistics.get("monitor", {}),
        }
        state = _keep_if(finite, proposed, state)
        state = jax.lax.with_sharding_constraint(state, of_state(mesh, state))
        log = {**log, "skipped": state.skipped, "skipped_in_a_row": state.skipped_in_a_row}
        return state, jax.lax.with_sharding_constraint(log, replicated(mesh))

    return step


def masked_gradient(
    method: Method, schedule: Schedule, mesh: Mesh, state: State, batch: Batch
) -> tuple[jax.Array, Tree, Tree, Tree, Tree, jax.Array]:
    """Loss, statistics, moments, the gradient of what is trained, what that is, and the norm of the gradient."""
    progress = schedule.progress(state.step)
    # Losses look the mesh up to divide their work over it.
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        loss, statistics, moments, gradient = loss_and_gradient(
            method, state.params, state.carry, batch, progress, state.seed, schedule.micro_batches, mesh
        )
    trainable = method.trainable(state.params, progress)
    gradient = jax.tree.map(lambda t, g: jnp.where(t, g, 0), trainable, gradient)
    return loss, statistics, moments, gradient, trainable, optax.tree.norm(gradient)


def loss_and_gradient(
    method: Method,
    params: Tree,
    carry: Tree,
    batch: Batch,
    progress: Progress,
    seed: int | jax.Array,
    micro_batches: int,
    mesh: Mesh,
) -> tuple[jax.Array, Tree, Tree, Tree]:
    """Loss, statistics and moments of the whole batch, and the gradient with respect to the parameters.

    With k micro-batches the outputs of all are made first, the objective is differentiated with respect to them and to
    the parameters, and each micro-batch then pulls its share back through `forward`: the same numbers as in one piece.
    """

    # Each device computes with whole arrays on its own samples; what it stores of them may be a part.
    params, carry = jax.lax.with_sharding_constraint((params, carry), replicated(mesh))

    def see(params: Tree, part: Batch) -> Seen:
        view_keys, forward_keys = (
            sample_keys(seed, name, progress.step, part["place"]) for name in ("views", "forward")
        )
        return method.forward(params, carry, method.views(view_keys, part, progress), forward_keys, progress)

    def objective(params: Tree, outputs: Tree, fixed: Tree) -> tuple[jax.Array, Tree]:
        return method.objective(params, carry, Seen(outputs, fixed, None), metadata(batch), progress)

    if micro_batches == 1:
        loss, statistics, moments, gradient = _in_one_piece(see, objective, params, batch)
    else:
        pieces = _in_micro_batches(see, objective, params, batch, micro_batches, mesh)
        loss, statistics, moments, gradient = pieces
    return loss, statistics, moments, jax.lax.with_sharding_constraint(gradient, of_state(mesh, gradient))


def _in_one_piece(see: Callable, objective: Callable, params: Tree, batch: Batch) -> tuple[Any, Tree, Tree, Tree]:
    def whole(params: Tree) -> tuple[jax.Array, tuple[Tree, Tree]]:
        seen = see(params, batch)
        loss, statistics = objective(params, seen.outputs, jax.lax.stop_gradient(seen.fixed))
        return loss, (statistics, seen.moments)

    (loss, (statistics, moments)), gradient = jax.value_and_grad(whole, has_aux=True)(params)
    return loss, statistics, moments, gradient


def _in_micro_batches(
    see: Callable, objective: Callable, params: Tree, batch: Batch, count: int, mesh: Mesh
) -> tuple[Any, Tree, Tree, Tree]:
    split = by_sample(mesh, axis=1)
    parts = jax.tree.map(
        lambda x: jax.lax.with_sharding_constraint(x.reshape(count, -1, *x.shape[1:]), split), dict(batch)
    )
    seen = jax.lax.map(lambda part: see(params, part), parts)
    outputs, fixed = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (seen.outputs, seen.fixed))
    moments = jax.tree.map(lambda x: x.sum(0), seen.moments)

    (loss, statistics), (direct, cotangents) = jax.value_and_grad(objective, argnums=(0, 1), has_aux=True)(
        params, outputs, fixed
    )

    def pull(total: Tree, part_and_cotangent: tuple[Batch, Tree]) -> tuple[Tree, None]:
        part, cotangent = part_and_cotangent
        _, through = jax.vjp(lambda p: see(p, part).outputs, params)
        return jax.tree.map(jnp.add, total, through(cotangent)[0]), None

    cotangents = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[1:]), cotangents)
    gradient, _ = jax.lax.scan(pull, direct, (parts, cotangents))
    return loss, statistics, moments, gradient


def _advance(
    method: Method,
    optimiser: optax.GradientTransformation,
    state: State,
    gradient: Tree,
    statistics: Tree,
    moments: Tree,
    trainable: Tree,
    progress: Progress,
) -> State:
    """The state after a good step; leaves that are not trained keep their values and their moments."""
    updates, new_moments = optimiser.update(gradient, state.moments, state.params)
    updates = jax.tree.map(lambda t, u: jnp.where(t, u, 0), trainable, updates)
    moves = optax.tree.map_params(
        optimiser, lambda _, t: t, new_moments, trainable, transform_non_params=lambda _: True
    )
    params = optax.apply_updates(state.params, updates)
    return replace(
        state,
        step=state.step + 1,
        params=params,
        carry=method.update(params, state.carry, statistics, moments, progress),
        moments=jax.tree.map(jnp.where, moves, new_moments, state.moments),
        skipped_in_a_row=jnp.zeros_like(state.skipped_in_a_row),
    )


def _averaged(decay: float, state: State, proposed: State) -> Tree:
    """a <- d a + (1 - d) w, with d = min(decay, (1 + t) / (10 + t)) so that the first weights are soon forgotten."""
    taken = (state.step - state.skipped).astype(jnp.float32)
    kept = jnp.minimum(decay, (1 + taken) / (10 + taken))
    new = weights(proposed.params, proposed.carry)
    return jax.tree.map(lambda a, w: a + (1 - kept).astype(a.dtype) * (w - a), state.average, new)


def _keep_if(finite: jax.Array, proposed: State, state: State) -> State:
    """The proposed state, or the old one to the bit with only step and counts advanced."""
    left_out = replace(
        state,
        step=state.step + 1,
        skipped=state.skipped + 1,
        skipped_in_a_row=state.skipped_in_a_row + 1,
    )
    return jax.tree.map(lambda new, old: jnp.where(finite, new, old), proposed, left_out)
