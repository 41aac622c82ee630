"""Which part of an image a network is shown: study A's input styles (Nakashima et al. 2022), made from masks.

What is taken away becomes the image's own minimum, which is air. That is what 0 was in the study, whose images run from
0 to 1; in standardised images 0 is the subject's mean, and a region of it would be grey tissue with a bright outline.
"""

from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxssl.errors import UserError
from jaxssl.methods import parts
from jaxssl.methods.base import Batch, Spec

Input = Literal["full", "heart", "background", "swapped"]
"""The whole image; the heart alone; all but the heart; the heart before another subject's background."""


def check(style: Input, spec: Spec) -> None:
    """Refuse a style for which the data lack masks or partners."""
    if style != "full" and not spec.classes:
        raise UserError(
            f"method.input {style} is made from masks of the heart; set data.masks, and choose a store that has some."
        )
    if style == "swapped" and "subject" not in spec.partners:
        raise UserError("method.input swapped takes the background of another subject; add subject to data.partners.")


def shown(style: Input, batch: Batch, partners: Mapping[str, Batch]) -> Batch:
    """The batch with its images in this style: standardised already, so of mean 0 and standard deviation 1.

    Heart and background of `swapped` are each in units of their own subject; where the other heart was is air.
    """
    images = parts.standardised(batch)
    if style == "heart":
        images = _cleared(images, batch["mask"] == 0)
    elif style == "background":
        images = _cleared(images, batch["mask"] > 0)
    elif style == "swapped":
        other = partners["subject"]
        background = _cleared(parts.standardised(other), other["mask"] > 0)
        images = jnp.where(batch["mask"][..., None] > 0, images, background)
    return {**batch, "image": images, "mean": jnp.zeros_like(batch["mean"]), "std": jnp.ones_like(batch["std"])}


def _cleared(
    images: Float[Array, "batch y x channel"], where: Bool[Array, "batch y x"]
) -> Float[Array, "batch y x channel"]:
    """The images with their own minimum in each channel where they are cleared."""
    return jnp.where(where[..., None], images.min(axis=(1, 2), keepdims=True), images)
