"""What SimCLR, PCL and AWCL share: views of a batch against each other. A method says which are positives, no more."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxssl.errors import UserError
from jaxssl.methods import pairs, parts
from jaxssl.methods.base import Batch, Method, Seen, Spec, Tree
from jaxssl.methods.network import Network
from jaxssl.methods.pairs import VIEWS, by_sample, in_rows
from jaxssl.models.norm import parameter_type
from jaxssl.objectives import Rule, contrastive_loss, same_instance, same_subject

SHARPEST = math.log(100)
"""Bound on the logarithm of 1/T where T is learnt, that of CLIP (Radford et al. 2021): below .01 a few pairs decide."""

From = Literal["all", "other_slices", "other_studies", "other_subjects"]
"""Where candidates may come from: from anywhere, or not from the anchor's own slice, study or subject."""


@dataclass(frozen=True)
class Options(pairs.Options):
    """What every contrastive method has."""

    temperature: float = 0.1
    """What cosine similarities are divided by: the lower, the more the nearest candidates decide."""
    learn_temperature: bool = False
    """Train the temperature, from that value on and down to .01 at the least."""
    negatives: From = "all"
    """Which views repel: neighbouring slices of one's own subject may be too much alike for it. Where partners of
    another phase attract, no other frame of the slice repels, whatever is said here."""
    block: int | None = None
    """Rows of a block of the similarity matrix; none takes 640. It changes memory, not results."""

    def check(self) -> None:
        super().check()
        if self.temperature <= 0:
            raise UserError(f"method.temperature must be above 0, not {self.temperature}.")
        if self.learn_temperature and self.temperature < 0.01:
            raise UserError(f"method.temperature {self.temperature} is learnt from .01 upwards; begin there or above.")
        if self.block is not None and self.block < 1:
            raise UserError(f"method.block is a number of rows of at least 1, or none, not {self.block}.")


def build(options: Options, model, spec: Spec, relatives: Callable[[Batch], Rule] | None = None) -> Method:
    """The method on one backbone; `relatives` relates views to others than the second of their own image.

    It is given the batch's metadata, one row a view.
    """
    rows = VIEWS * model.group
    projector = pairs.head(options, options.projector, model, spec, rows)
    network = Network({"encoder": model.encoder(dtype=spec.dtype, rows=rows), "head": projector}, on="embedding")

    repelled = negatives_of(options, spec)

    def init(key, views):
        params, statistics = network.start(key, views[:, 0])
        return {**params, **temperature_part(options, spec)}, {"statistics": statistics}

    def forward(params, carry, views, keys, progress):
        del progress
        keys = parts.keys_of_views(keys, VIEWS)
        embeddings, moments, _ = network.train(params, carry["statistics"], in_rows(views), keys)
        return Seen(by_sample(embeddings), None, moments)

    def objective(params, carry, seen, batch, progress):
        del carry, progress
        embeddings = in_rows(seen.outputs)
        of_views = jax.tree.map(lambda x: jnp.repeat(x, VIEWS, axis=0), dict(batch))
        positives = same_instance(of_views["id"])
        loss, aux = contrastive_loss(
            embeddings,
            positives if relatives is None else positives | relatives(of_views),
            negatives=elsewhere(repelled, of_views),
            temperature=temperature(options, params),
            block_size=options.block,
        )
        monitor = {**parts.spread(embeddings), **aux, **temperature_monitor(options, params)}
        return loss, {"monitor": {**monitor, **chance(repelled, len(embeddings) - 1)}}

    views = pairs.views_of(options, spec)
    return Method(views, init, forward, objective, parts.update(model.norm), parts.of_dicts, pictures=pairs.pictures)


def negatives_of(options: Options, spec: Spec) -> From:
    """Where negatives come from: what is a frame's positive may stand in the same batch as a sample of its own."""
    return "other_slices" if options.negatives == "all" and "phase" in spec.partners else options.negatives


def elsewhere(which: From, of_anchors: Batch, of_candidates: Batch | None = None) -> Rule | None:
    """The rule of candidates from elsewhere; none where they may come from anywhere."""
    if which == "all":
        return None
    name = {"other_slices": "cine", "other_studies": "study", "other_subjects": "subject"}[which]
    return ~same_subject(of_anchors[name], None if of_candidates is None else of_candidates[name])


def restricted(rule: Rule, which: From, of_anchors: Batch, of_candidates: Batch | None = None) -> Rule:
    """The rule, kept to candidates from elsewhere."""
    others = elsewhere(which, of_anchors, of_candidates)
    return rule if others is None else rule & others


def temperature_part(options: Options, spec: Spec) -> dict[str, Tree]:
    """The part of the params that is the temperature, where it is learnt."""
    if not options.learn_temperature:
        return {}
    return {"temperature": {"sharpness": jnp.asarray(-math.log(options.temperature), parameter_type(spec.dtype))}}


def temperature(options: Options, params: Tree) -> float | Float[Array, ""]:
    """The temperature as it is: a number, or exp(-sharpness) where it is learnt."""
    if not options.learn_temperature:
        return options.temperature
    return jnp.exp(-at_most(params["temperature"]["sharpness"], SHARPEST))


def chance(repelled: From, candidates: int) -> dict[str, Any]:
    """The loss where nothing is told apart, if every candidate counts: ln(2N - 1) of two views of N images."""
    return {"chance_loss": math.log(candidates)} if repelled == "all" else {}


def temperature_monitor(options: Options, params: Tree) -> dict[str, Any]:
    """What the log says of a temperature that is learnt."""
    return {"temperature": temperature(options, params)} if options.learn_temperature else {}


@jax.custom_vjp
def at_most(x: Float[Array, ""], bound: float) -> Float[Array, ""]:
    """min(x, bound) whose gradient still leads back: that of a plain minimum is zero beyond the bound, for good."""
    return jnp.minimum(x, bound)


def _at_most_forward(x: jax.Array, bound: float) -> tuple[jax.Array, Bool[Array, ""]]:
    return at_most(x, bound), x >= bound


def _at_most_backward(beyond: Bool[Array, ""], gradient: jax.Array) -> tuple[jax.Array, None]:
    # Descent against a negative gradient would lead further beyond.
    return jnp.where(beyond & (gradient < 0), 0, gradient), None


at_most.defvjp(_at_most_forward, _at_most_backward)
