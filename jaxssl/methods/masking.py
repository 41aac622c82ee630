"""What masked image modelling and masked autoencoders share: where patches may be hidden."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from jaxssl.augment.options import Augment
from jaxssl.errors import UserError
from jaxssl.methods import parts
from jaxssl.methods.base import Batch
from jaxssl.objectives import fan_of, hidden_count, mostly
from jaxssl.objectives.patches import Side

Within = Literal["image", "fan"]
"""Where patches are hidden: anywhere, or within the fan of an ultrasound image."""


def check_ratio(ratio: float) -> None:
    """Refuse a ratio that is no share."""
    if not 0 < ratio < 1:
        raise UserError(f"method.ratio is a share in (0, 1), not {ratio}.")


def check_count(patches: int, ratio: float) -> None:
    """Refuse a ratio by which nothing is hidden, or nothing is left."""
    if not 0 < hidden_count(patches, ratio) < patches:
        raise UserError(
            f"method.ratio {ratio} hides {hidden_count(patches, ratio)} of {patches} patches, which leaves nothing to "
            "learn; choose another ratio, or smaller patches."
        )


def view(
    keys: Key[Array, " batch"], batch: Batch, augment: Augment, within: Within, patch: Side
) -> tuple[Float[Array, "batch y x channel"], Bool[Array, "batch patches"] | None]:
    """A view of every sample and the patches of which at least half lies in the fan; None if all may be hidden.

    The fan is read from the image as stored and moved with it: in the view there is noise outside of it as well.
    """
    if within == "fan":
        batch = {**batch, "mask": jax.vmap(fan_of)(batch["image"]).astype(jnp.uint8)}
    images, moved = parts.view(keys, 0, batch, augment)
    return images, mostly(moved, patch) if within == "fan" and moved is not None else None
