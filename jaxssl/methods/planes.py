"""Imaging planes of study C: find the lines in which other views cut an image, and its place in its stack (Zhang et al.
2024). Both targets come from the geometry that a scanner writes down; nobody annotates."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.geometry import Plane
from jaxssl.methods import parts
from jaxssl.methods.base import Method, Seen, Spec, for_display
from jaxssl.methods.network import Network
from jaxssl.models.heads import PixelHeads, Projector
from jaxssl.objectives import heatmap_loss, line_heatmaps, location_loss


@dataclass(frozen=True)
class Options:
    """The two tasks and their weights, how a line is drawn, and how views are made."""

    lines: float = 1.0
    """Weight of the lines; 0 leaves them out, decoder and all."""
    location: float = 1.0
    """Weight of the place in the stack; 0 leaves it out."""
    sigma: float | None = 7.6
    """Width of a line's profile in mm; none takes half the slice thickness of the view that it belongs to."""
    hidden: tuple[int, ...] = (128,)
    """Widths of the layers between the embedding and the place in the stack."""
    augment: Augment = field(default_factory=Augment)

    def check(self) -> None:
        for name in ("lines", "location"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"method.{name} is a weight of at least 0, not {getattr(self, name)}.")
        if not self.lines and not self.location:
            raise UserError("method.lines and method.location are both 0, so there is no task; set one above 0.")
        if self.sigma is not None and not 0 < self.sigma < float("inf"):
            raise UserError(f"method.sigma is a width above 0 mm or none, not {self.sigma}.")


def build(options: Options, model, spec: Spec) -> Method:
    """The method on one backbone; with lines it needs a decoder, which is worth handing on too."""
    if options.lines and not spec.guests:
        raise UserError(
            "The lines of other views need to know which views; set data.guests, such as 2ch 4ch, or method.lines to 0."
        )
    if options.location and not spec.positions:
        raise UserError(
            "No image that is trained on knows its place between base and apex; take images of stacks whose order is "
            "known, or set method.location to 0."
        )
    modules: dict[str, nn.Module] = {"encoder": model.encoder(dtype=spec.dtype, rows=model.group)}
    if options.lines:
        modules["decoder"] = model.decoder(dtype=spec.dtype, rows=model.group)
        modules["head"] = PixelHeads(spec.guests, scales=1, dtype=spec.dtype)
    network, locator = Network(modules, on="features"), Projector((*options.hidden, 1), dtype=spec.dtype)

    def views(keys, batch, progress):
        del progress
        image, _ = parts.view(keys, 0, batch, options.augment)
        if not options.lines:
            return {"image": image}
        guests = batch["guests"]
        width = guests["thickness"] / 2 if options.sigma is None else jnp.full_like(guests["thickness"], options.sigma)
        draw = jax.vmap(lambda *sample: line_heatmaps(*sample, size=spec.size))
        matrix = parts.maps(keys, 0, batch, options.augment)
        lines, valid = draw(plane(batch["plane"]), plane(guests), guests["valid"], width, matrix)
        return {"image": image, "lines": lines, "valid": valid}

    def init(key, views):
        params, statistics = network.start(key, views["image"])
        if options.location:
            features = parts.evaluate(modules["encoder"], params["encoder"], statistics["encoder"], views["image"])
            own = jax.random.fold_in(key, len(modules))
            params["location"], _ = parts.start(locator, own, features.embedding)
        return params, {"statistics": statistics}

    def forward(params, carry, views, keys, progress):
        del progress
        maps, moments, features = network.train(params, carry["statistics"], views["image"], keys)
        outputs = {}
        if options.lines:
            outputs["lines"] = maps[0]
        if options.location:
            outputs["location"] = parts.evaluate(locator, params["location"], {}, features.embedding)[:, 0]
        fixed = {name: views[name] for name in ("lines", "valid") if name in views}
        return Seen(outputs, {**fixed, "embedding": features.embedding}, moments)

    def objective(params, carry, seen, batch, progress):
        del params, carry, progress
        loss, monitor = jnp.zeros(()), parts.spread(seen.fixed["embedding"])
        if options.lines:
            monitor["line_loss"] = heatmap_loss(seen.outputs["lines"], seen.fixed["lines"], seen.fixed["valid"])
            monitor["lines_seen"] = seen.fixed["valid"].mean()
            loss += options.lines * monitor["line_loss"]
        if options.location:
            monitor["location_loss"] = location_loss(seen.outputs["location"], batch["position"])
            monitor["locations_known"] = 1 - jnp.isnan(batch["position"]).mean()
            loss += options.location * monitor["location_loss"]
        return loss, {"monitor": monitor}

    def pictures(views, seen):
        shown = {"views/image": for_display(views["image"])}
        if options.lines:
            # All lines in one picture, those that are no target left out of both.
            predicted = jnp.where(views["valid"][:, None, None, :], seen.outputs["lines"], 0)
            shown["views/lines"] = in_one(views["lines"])
            shown["views/lines predicted"] = in_one(predicted)
        return shown

    return Method(views, init, forward, objective, parts.update(model.norm), parts.of_dicts, pictures=pictures)


def plane(fields: dict[str, jax.Array]) -> Plane:
    """The planes of a batch."""
    return Plane(*(fields[name] for name in ("origin", "x_axis", "y_axis", "spacing", "shape")))


def in_one(heatmaps: jax.Array) -> jax.Array:
    """Heatmaps [n, y, x, guest] as one picture each, in 0..1."""
    return jnp.clip(heatmaps.max(axis=-1), 0, 1).astype(jnp.float32)
