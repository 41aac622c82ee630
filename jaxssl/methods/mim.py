"""Masked image modelling: hidden patches are filled in.

By a U-Net as in study B (de Mooij et al. 2024), or by a ViT and one linear layer as in SimMIM (Xie et al. 2022).
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.methods import masking, parts
from jaxssl.methods.base import Method, Seen, Spec, for_display
from jaxssl.methods.network import Network
from jaxssl.models.heads import PixelHeads
from jaxssl.models.patches import PatchPixels
from jaxssl.models.vit import ViT
from jaxssl.numerics import island
from jaxssl.objectives import filled, masked_pixel_loss, patch_mask, patches_to_pixels


@dataclass(frozen=True)
class Options:
    """What is hidden and how, what is minimised, and how views are made."""

    patch: int = 32
    """Side of a patch in pixels; for fill `token` a multiple of model.patch."""
    ratio: float = 0.75
    """Share of the patches that is hidden; their number is the same in every image, round(ratio * patches)."""
    within: masking.Within = "image"
    """Hide anywhere, or only within the fan of an ultrasound image, round(ratio * patches in the fan)."""
    fill: Literal["zero", "noise", "shuffle", "replacement", "token"] = "zero"
    """What is shown instead: 0 (the mean), noise, the hidden patches in another order, copies of visible patches, or a
    learnt token, for a ViT, whose tokens a linear layer turns into pixels."""
    error: Literal["l2", "l1"] = "l2"
    """Squared error, or the absolute one as in SimMIM; of hidden pixels only."""
    augment: Augment = field(default_factory=Augment)

    def check(self) -> None:
        masking.check_ratio(self.ratio)
        if self.patch < 1:
            raise UserError(f"method.patch must be at least 1 pixel, not {self.patch}.")


def build(options: Options, model, spec: Spec) -> Method:
    """The method on a backbone with a decoder, both worth handing on, or with fill `token` on a ViT without one."""
    if spec.size[0] % options.patch or spec.size[1] % options.patch:
        raise UserError(
            f"method.patch {options.patch} does not divide the image size {spec.size[0]} x {spec.size[1]}; "
            "choose a patch that divides both sides."
        )
    grid = (spec.size[0] // options.patch, spec.size[1] // options.patch)
    masking.check_count(grid[0] * grid[1], options.ratio)
    encoder = model.encoder(dtype=spec.dtype, rows=model.group)
    network = Network({"encoder": encoder, **_after_encoder(options, model, spec)}, on="features")

    def one_view(key, image, fan):
        hidden = patch_mask(jax.random.fold_in(key, 1), grid, options.ratio, fan)
        # For a token the network replaces what stands there; until then it is nothing.
        fill = "zero" if options.fill == "token" else options.fill
        masked = filled(jax.random.fold_in(key, 2), image, hidden, fan, patch=options.patch, fill=fill)
        return {
            "image": image,
            "masked": masked,
            "hidden": patches_to_pixels(hidden, grid, options.patch)[..., None] > 0,
        }

    def views(keys, batch, progress):
        del progress
        images, fans = masking.view(keys, batch, options.augment, options.within, options.patch)
        return jax.vmap(one_view)(keys, images, fans)

    def for_encoder(views) -> dict[str, Any]:
        if options.fill != "token":
            return {}
        height, width = model.patch_size
        return {"hidden": views["hidden"][:, ::height, ::width, 0].reshape(len(views["hidden"]), -1)}

    def init(key, views):
        params, statistics = network.start(key, views["masked"], **for_encoder(views))
        return params, {"statistics": statistics}

    def forward(params, carry, views, keys, progress):
        del progress
        (prediction,), moments, features = network.train(
            params, carry["statistics"], views["masked"], keys, **for_encoder(views)
        )
        fixed = {"image": views["image"], "hidden": views["hidden"], "embedding": features.embedding}
        return Seen(prediction, fixed, moments)

    def objective(params, carry, seen, batch, progress):
        del params, carry, batch, progress
        loss = masked_pixel_loss(seen.outputs, seen.fixed["image"], seen.fixed["hidden"], options.error)
        return loss, {
            "monitor": {"prediction_std": island(seen.outputs).std(), **parts.spread(seen.fixed["embedding"])}
        }

    def pictures(views, seen):
        image = views["image"]
        completed = jnp.where(views["hidden"], seen.outputs.astype(image.dtype), image)
        return {
            "reconstruction/original": for_display(image),
            "reconstruction/masked": for_display(views["masked"], image),
            "reconstruction/prediction": for_display(completed, image),
        }

    return Method(views, init, forward, objective, parts.update(model.norm), parts.of_dicts, pictures=pictures)


def _after_encoder(options: Options, model, spec: Spec) -> dict[str, nn.Module]:
    """The parts that make pixels of features, in their order."""
    if options.fill != "token":
        head = PixelHeads(spec.channels, scales=1, dtype=spec.dtype)
        return {"decoder": model.decoder(dtype=spec.dtype, rows=model.group), "head": head}
    if not isinstance(model, ViT):
        raise UserError("method.fill token is for a ViT; choose zero, noise, shuffle or replacement, or another model.")
    if any(options.patch % side for side in model.patch_size):
        raise UserError(
            f"method.patch {options.patch} is no multiple of model.patch {model.patch}, and a token is hidden as a "
            "whole; choose one that is."
        )
    return {"head": PatchPixels(model.patch_size, spec.channels, spec.dtype)}
