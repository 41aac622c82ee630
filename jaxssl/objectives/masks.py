"""Which patches of an image are hidden. In every mask 1 means hidden."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from jaxssl.objectives.patches import Side, share_by_patch


def hidden_count(patches: int, ratio: float) -> int:
    """How many of the patches are hidden: ratio * patches to the nearest whole number, a half to the even one.

    SimMIM (Xie et al. 2022) rounds up: .6 of 36 cells are 22 either way, of 49 cells 30 there and 29 here.

    >>> hidden_count(36, 0.6), hidden_count(49, 0.6)
    (22, 29)
    """
    return round(ratio * patches)


def patch_mask(
    key: PRNGKeyArray, grid: tuple[int, int], ratio: float, within: Bool[Array, " patches"] | None = None
) -> Float[Array, " patches"]:
    """Hide exactly `hidden_count` of the patches of a grid (rows, columns), all choices equally likely.

    With `within` only these patches are counted and hidden.

    Half of the patches in the first row of a grid:

    >>> mask = patch_mask(jax.random.key(0), (2, 4), 0.5, within=jnp.arange(8) < 4)
    >>> mask.reshape(2, 4).sum(axis=1).tolist()
    [2.0, 0.0]
    """
    patches = grid[0] * grid[1]
    rank, count = jax.random.permutation(key, patches), hidden_count(patches, ratio)
    if within is not None:
        rank = _rank(first(rank, within))
        # A table, because the product rounded on the device could be another number than on the host.
        count = jnp.asarray([hidden_count(n, ratio) for n in range(patches + 1)])[within.sum()]
    return (rank < count).astype(jnp.float32)


def keep_least(noise: Shaped[Array, " patches"], count: int) -> tuple[Int[Array, " count"], Int[Array, " patches"]]:
    """The `count` patches of least noise, in its order, and where each patch stands in that order.

    The second restores: rows in the order of noise, taken at it, are rows in the order of patches. A patch is kept if
    it stands before `count`. So MAE draws what its encoder sees (He et al. 2022).

    >>> kept, place = keep_least(jnp.array([0.9, 0.1, 0.5]), 2)
    >>> kept.tolist(), place.tolist()
    ([1, 2], [2, 0, 1])
    """
    return jnp.argsort(noise)[:count], _rank(noise)


def first(noise: Shaped[Array, " patches"], favoured: Bool[Array, " patches"]) -> Shaped[Array, " patches"]:
    """Noise below that of all others for the favoured patches, whose order among themselves stays as it is."""
    return jnp.where(favoured, noise, noise + (noise.max() - noise.min() + 1))


def fan_of(image: Shaped[Array, "y x channel"]) -> Bool[Array, "y x"]:
    """The pixels of an ultrasound image that the beam reached; outside of its fan the image as stored is 0.

    A pixel belongs to the fan if it lies between others that are not 0 in its column, or, with one above it, in its
    row: so do dark speckles, shadows and fluid, and the hollow above the fan, where the probe is, does not.

    In a column of pixels a dark one between bright ones is part of the fan:

    >>> fan_of(jnp.array([0, 5, 0, 5, 0]).reshape(5, 1, 1)).ravel().tolist()
    [False, True, True, True, False]
    """
    bright = (image != 0).any(-1)
    above, below = _seen_from(bright, 0)
    left, right = _seen_from(above & below, 1)
    return (above & below) | (above & left & right)


def mostly(pixels: Shaped[Array, "batch y x"], patch: Side) -> Bool[Array, "batch patches"]:
    """The patches of which a mask holds at least half of the pixels.

    >>> mostly(jnp.array([[[1, 1, 1, 0], [0, 0, 0, 0]]]), 2).tolist()
    [[True, False]]
    """
    return share_by_patch(pixels, patch) >= 0.5


def _seen_from(pixels: Bool[Array, "y x"], axis: int) -> tuple[Bool[Array, "y x"], Bool[Array, "y x"]]:
    """Whether there is a pixel of the mask here or before, and here or after, along an axis."""
    before, after = (jax.lax.cummax(pixels.astype(np.int8), axis, reverse=reverse) for reverse in (False, True))
    return before > 0, after > 0


def _rank(values: Shaped[Array, " n"]) -> Int[Array, " n"]:
    return jnp.argsort(jnp.argsort(values))
