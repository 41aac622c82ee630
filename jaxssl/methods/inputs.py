"""Which part of an image a network is shown: study A's input styles (Nakashima et al. 2022), made from masks.

What is taken away becomes the image's own minimum, which is air. That is what 0 was in the study, whose images run from
0 to 1; in standardised images 0 is the subject's mean, and a region of it would be grey tissue with a bright outline.

To hide the heart, the study blackened its mask, whose outline then shows what was hidden. Here a box is.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxssl.errors import UserError
from jaxssl.methods import parts
from jaxssl.methods.base import Batch, Spec

Input = Literal["full", "heart", "box", "swapped"]
"""The whole image; the heart alone; all but a box about the heart; the heart before another subject's background."""


def check(style: Input, spec: Spec) -> None:
    """Refuse a style for which the data lack masks or partners."""
    if style != "full" and not spec.classes:
        raise UserError(
            f"method.input {style} is made from masks of the heart; set data.masks, and choose a store that has some."
        )
    if style == "swapped" and "subject" not in spec.partners:
        raise UserError("method.input swapped takes the background of another subject; add subject to data.partners.")


def shown(style: Input, batch: Batch, sample: Batch) -> Batch:
    """The batch with its images in this style: standardised already, so of mean 0 and standard deviation 1.

    `batch` is `sample` itself, or a partner of it. `box` is one for all images of a sample, ED and ES, so that how the
    heart moves is hidden too; its sides and its place tell how large that is and where. Heart and background of
    `swapped` are each in units of their own subject; where the other heart was is air.
    """
    images = parts.standardised(batch)
    if style == "heart":
        images = _cleared(images, batch["mask"] == 0)
    elif style == "box":
        images = _cleared(images, _boxes(_in_any(sample)))
    elif style == "swapped":
        other = sample["partners"]["subject"]
        background = _cleared(parts.standardised(other), other["mask"] > 0)
        images = jnp.where(batch["mask"][..., None] > 0, images, background)
    return {**batch, "image": images, "mean": jnp.zeros_like(batch["mean"]), "std": jnp.ones_like(batch["std"])}


def _cleared(
    images: Float[Array, "batch y x channel"], where: Bool[Array, "batch y x"]
) -> Float[Array, "batch y x channel"]:
    """The images with their own minimum in each channel where they are cleared."""
    return jnp.where(where[..., None], images.min(axis=(1, 2), keepdims=True), images)


def _in_any(sample: Batch) -> Bool[Array, "batch y x"]:
    """Where the heart is in any image of a sample; that of another subject, who lends the background, is left out."""
    own = [image for kind, image in sample.get("partners", {}).items() if kind != "subject"]
    return jnp.stack([image["mask"] > 0 for image in (sample, *own)]).any(axis=0)


def _boxes(where: Bool[Array, "batch y x"]) -> Bool[Array, "batch y x"]:
    """The smallest filled boxes that hold all that is marked; none where nothing is."""
    return _spanned(where.any(axis=2))[:, :, None] & _spanned(where.any(axis=1))[:, None, :]


def _spanned(where: Bool[Array, "batch n"]) -> Bool[Array, "batch n"]:
    """From the first that is marked to the last."""
    marked = where.astype(jnp.int8)
    return (jax.lax.cummax(marked, axis=1) & jax.lax.cummax(marked, axis=1, reverse=True)) > 0
