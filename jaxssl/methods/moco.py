"""MoCo v2: a view attracts the key of the other view of its image and is repelled by keys of past steps (Chen et al.
2020, arXiv 2003.04297).

Keys come from a slowly moving copy of encoder and head. The original shuffles samples between devices, so that a query
and its key, normalised in one group, do not find each other by the group's statistics. Here the copy is normalised by
running statistics (as in Cai et al. 2021, arXiv 2101.08482): a key depends on its own view alone, on no group and no
device, and there is nothing to shuffle.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxssl.errors import UserError
from jaxssl.methods import contrastive, pairs, parts, teacher
from jaxssl.methods.base import Method, Seen, Spec
from jaxssl.methods.contrastive import restricted
from jaxssl.methods.network import Network
from jaxssl.models.norm import parameter_type
from jaxssl.numerics import island
from jaxssl.objectives import Rule, contrastive_loss, same_instance, same_label
from jaxssl.objectives.contrastive import unit_rows

QUERY, KEY = 0, 1
ORIGIN = ("cine", "study", "subject")
"""What is kept of each key beside itself: whose it is."""
NOBODY = -1
"""The origin of the keys that the queue begins with."""


@dataclass(frozen=True)
class Options(contrastive.Options):
    """Those of every contrastive method, the queue and the key encoder; the defaults are study A's."""

    temperature: float = 0.07
    projector: tuple[int, ...] = (2048, 128)
    queue: int = 1024
    """Keys that are kept, the newest; fewer than a batch keep the last of it."""
    momentum: float = 0.999
    """How much of the key encoder is kept at a step."""

    def check(self) -> None:
        super().check()
        if self.queue < 1:
            raise UserError(f"method.queue must be at least 1 key, not {self.queue}.")
        if not 0 <= self.momentum < 1:
            raise UserError(f"method.momentum is a share from 0 to below 1, not {self.momentum}.")


def build(options: Options, model, spec: Spec) -> Method:
    """The method on one backbone. Evaluation and others are given the encoder of queries."""
    projector = pairs.head(options, options.projector, model, spec, model.group)
    network = Network({"encoder": model.encoder(dtype=spec.dtype, rows=model.group), "head": projector}, on="embedding")
    wide, repelled = parameter_type(spec.dtype), contrastive.negatives_of(options, spec)

    def init(key, views):
        params, statistics = network.start(key, views[:, QUERY])
        nobody = jnp.full(options.queue, NOBODY, jnp.int32)
        random = jax.random.normal(jax.random.fold_in(key, len(params)), (options.queue, options.projector[-1]), wide)
        carry = {
            "statistics": statistics,
            "teacher": teacher.copy(params, statistics, network.modules),
            "queue": {"key": unit_rows(random), **dict.fromkeys(ORIGIN, nobody)},
        }
        return {**params, **contrastive.temperature_part(options, spec)}, carry

    def forward(params, carry, views, keys, progress):
        del progress
        queries, moments, _ = network.train(params, carry["statistics"], views[:, QUERY], keys)
        follower = carry["teacher"]
        found = network.evaluate(follower["params"], follower["statistics"], views[:, KEY])
        return Seen(queries, unit_rows(island(found)), moments)

    def objective(params, carry, seen, batch, progress):
        del progress
        newest = {"key": seen.fixed.astype(wide), **{name: batch[name] for name in ORIGIN}}
        candidates = jax.tree.map(lambda *both: jnp.concatenate(both), newest, carry["queue"])
        own, queued = _rules(len(seen.outputs), options.queue)
        loss, aux = contrastive_loss(
            seen.outputs,
            own,
            candidates=candidates["key"],
            negatives=restricted(queued, repelled, batch, candidates),
            temperature=contrastive.temperature(options, params),
            block_size=options.block,
        )
        monitor = {**parts.spread(seen.outputs), **aux, **contrastive.temperature_monitor(options, params)}
        monitor |= contrastive.chance(repelled, 1 + options.queue)
        return loss, {"newest": newest, "monitor": monitor}

    def update(params, carry, statistics, moments, progress):
        moved = parts.update(model.norm)(params, carry, statistics, moments, progress)
        return {
            **moved,
            "teacher": teacher.follow(carry["teacher"], params, moved["statistics"], options.momentum, progress),
            "queue": jax.tree.map(_pushed, carry["queue"], statistics["newest"]),
        }

    views = pairs.views_of(options, spec)
    return Method(views, init, forward, objective, update, parts.of_dicts, pictures=pairs.pictures)


def _rules(batch: int, queue: int) -> tuple[Rule, Rule]:
    """Which of the keys of a batch and the queue after it are an anchor's own, and which are in the queue."""
    places = jnp.arange(batch)
    in_queue = jnp.arange(batch + queue) >= batch
    return (
        same_instance(places, jnp.arange(batch + queue)),
        same_label(jnp.ones_like(places), in_queue.astype(places.dtype)),
    )


def _pushed(queue: Float[Array, "queue *rest"], newest: Float[Array, "batch *rest"]) -> Float[Array, "queue *rest"]:
    """First in, first out: the newest stand at the end."""
    return jnp.concatenate([queue, newest.astype(queue.dtype)])[-len(queue) :]
