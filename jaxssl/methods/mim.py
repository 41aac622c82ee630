"""Masked image modelling of study B: patches are hidden, the U-Net fills them in (de Mooij et al. 2024)."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.methods import parts
from jaxssl.methods.base import Method, Seen, Spec, for_display
from jaxssl.models.heads import PixelHeads
from jaxssl.numerics import island
from jaxssl.objectives import masked_pixel_loss, patch_mask, patches_to_pixels


@dataclass(frozen=True)
class Options:
    """What is hidden, and how views are made."""

    patch: int = 32
    """Side of a patch in pixels."""
    ratio: float = 0.75
    """Share of the patches that is hidden; their number is the same in every image."""
    augment: Augment = field(default_factory=Augment)

    def check(self) -> None:
        if not 0 < self.ratio < 1:
            raise UserError(f"method.ratio is a share in (0, 1), not {self.ratio}.")
        if self.patch < 1:
            raise UserError(f"method.patch must be at least 1 pixel, not {self.patch}.")


def build(options: Options, model, spec: Spec) -> Method:
    """The method on one backbone with a decoder; encoder and decoder are both worth handing on."""
    if spec.size[0] % options.patch or spec.size[1] % options.patch:
        raise UserError(
            f"method.patch {options.patch} does not divide the image size {spec.size[0]} x {spec.size[1]}; "
            "choose a patch that divides both sides."
        )
    grid = (spec.size[0] // options.patch, spec.size[1] // options.patch)
    network = parts.PixelNetwork(
        encoder=model.encoder(dtype=spec.dtype, rows=model.group),
        decoder=model.decoder(dtype=spec.dtype, rows=model.group),
        head=PixelHeads(spec.channels, scales=1, dtype=spec.dtype),
    )

    def views(keys, batch, progress):
        del progress
        image, _ = parts.view(keys, 0, batch, options.augment)
        hidden = jax.vmap(lambda key: patch_mask(jax.random.fold_in(key, 1), grid, options.ratio))(keys)
        return {"image": image, "hidden": patches_to_pixels(hidden, grid, options.patch)[..., None] > 0}

    def init(key, views):
        return network.start(key, views["image"])

    def forward(params, carry, views, keys, progress):
        del progress
        visible = jnp.where(views["hidden"], 0, views["image"])
        (prediction,), moments = network.train(params, carry["statistics"], visible, keys)
        return Seen(prediction, views, moments)

    def objective(params, carry, seen, batch, progress):
        del params, carry, batch, progress
        loss = masked_pixel_loss(seen.outputs, seen.fixed["image"], seen.fixed["hidden"])
        return loss, {"monitor": {"prediction_std": island(seen.outputs).std()}}

    def pictures(views, seen):
        image, hidden = views["image"], views["hidden"]
        filled = jnp.where(hidden, seen.outputs.astype(image.dtype), image)
        return {
            "reconstruction/original": for_display(image),
            "reconstruction/masked": for_display(jnp.where(hidden, image.min(), image), image),
            "reconstruction/prediction": for_display(filled, image),
        }

    return Method(views, init, forward, objective, parts.update(model.norm), parts.of_dicts, pictures=pictures)
