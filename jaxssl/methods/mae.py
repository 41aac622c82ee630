"""Masked autoencoder: a ViT sees a few patches of an image, a light decoder fills in the others (He et al. 2022)."""

from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.methods import masking, parts
from jaxssl.methods.base import Method, Seen, Spec, Tree, for_display
from jaxssl.models.mae import Decoder, Light
from jaxssl.models.vit import ViT
from jaxssl.numerics import island
from jaxssl.objectives import hidden_count, keep_least, mae_loss, patches_to_pixels, unpatchify
from jaxssl.objectives.masks import first
from jaxssl.objectives.reconstruction import in_units_of


@dataclass(frozen=True)
class Options:
    """How much is hidden and where, what the decoder is, and how views are made."""

    ratio: float = 0.75
    """Share of the patches that is hidden; their number is the same in every image, round(ratio * patches)."""
    within: masking.Within = "image"
    """With `fan` an ultrasound image shows as many patches, but from its fan first, and only hidden patches of the fan
    are scored. Of a fan that fills the share f of the image 1 - (1 - ratio) / f is then hidden: .5 where ratio is .75
    and f .5, nothing where f is at most 1 - ratio. Choose a larger ratio than usual and a layout that the fan fills."""
    normalise: bool = True
    """Predict each patch's pixels less their mean and divided by their standard deviation."""
    decoder: Light = field(default_factory=Light)
    augment: Augment = field(default_factory=Augment)

    def check(self) -> None:
        masking.check_ratio(self.ratio)


def build(options: Options, model, spec: Spec) -> Method:
    """The method on a ViT; the encoder is what is worth handing on, the decoder goes on with masked autoencoding."""
    if not isinstance(model, ViT):
        raise UserError(
            "A masked autoencoder leaves patches out, which a network of convolutions cannot; "
            "take the method mim for it, or a ViT for mae."
        )
    patch = model.patch_size
    model.check_size(spec.size)
    grid = (spec.size[0] // patch[0], spec.size[1] // patch[1])
    patches = grid[0] * grid[1]
    masking.check_count(patches, options.ratio)
    shown = patches - hidden_count(patches, options.ratio)
    encoder = model.encoder(dtype=spec.dtype, rows=1)
    decoder = Decoder(
        options.decoder,
        grid,
        values=patch[0] * patch[1] * spec.channels,
        has_class=model.pool == "token",
        remat=model.remat,
        scan=model.scan,
        dtype=spec.dtype,
    )

    def views(keys, batch, progress):
        del progress
        images, fans = masking.view(keys, batch, options.augment, options.within, patch)
        draw = partial(_masks, shown=shown)
        return {"image": images, **jax.vmap(draw)(keys, jnp.ones((len(keys), patches), bool) if fans is None else fans)}

    def init(key, views):
        of_encoder, of_decoder = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
        features, encoded = encoder.init_with_output(of_encoder, views["image"], train=False, visible=views["visible"])
        decoded, _ = parts.start(decoder, of_decoder, features, views["restore"])
        return {"encoder": encoded["params"], "decoder": decoded}, {"statistics": {}}

    def forward(params, carry, views, keys, progress):
        del carry, progress
        features, _ = parts.train(encoder, params["encoder"], {}, views["image"], keys=keys, visible=views["visible"])
        values = parts.evaluate(decoder, params["decoder"], {}, features, views["restore"])
        fixed = {"image": views["image"], "scored": views["scored"], "embedding": features.embedding}
        return Seen(values, fixed, {})

    def objective(params, carry, seen, batch, progress):
        del params, carry, batch, progress
        loss = mae_loss(seen.outputs, seen.fixed["image"], seen.fixed["scored"], patch, options.normalise)
        return loss, {
            "monitor": {
                "prediction_std": island(seen.outputs).std(),
                "scored_share": seen.fixed["scored"].mean(),
                **parts.spread(seen.fixed["embedding"]),
            }
        }

    return Method(
        views,
        init,
        forward,
        objective,
        parts.update(model.norm),
        parts.of_dicts,
        pictures=partial(_pictures, options, patch),
    )


def _masks(key: Key[Array, ""], where: Bool[Array, " patches"], *, shown: int) -> dict[str, Array]:
    """Which patches of an image are visible, of those `where` first, and which are hidden and scored."""
    noise = first(jax.random.permutation(jax.random.fold_in(key, 1), len(where)), where)
    visible, restore = keep_least(noise, shown)
    hidden = restore >= shown
    return {"visible": visible, "restore": restore, "hidden": hidden, "scored": hidden & where}


def _pictures(options: Options, patch: tuple[int, int], views: Tree, seen: Seen) -> dict[str, Array]:
    image = views["image"]
    grid = (image.shape[1] // patch[0], image.shape[2] // patch[1])
    values = in_units_of(seen.outputs, image, patch) if options.normalise else island(seen.outputs)
    pixels = unpatchify(values, grid, patch).astype(image.dtype)
    hidden, scored = (patches_to_pixels(views[name], grid, patch)[..., None] for name in ("hidden", "scored"))
    return {
        "reconstruction/original": for_display(image),
        "reconstruction/masked": for_display(jnp.where(hidden, image.min(), image), image),
        "reconstruction/prediction": for_display(jnp.where(scored, pixels, image), image),
    }
