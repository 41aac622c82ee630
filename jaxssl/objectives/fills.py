"""What is shown in the place of hidden patches."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from jaxssl.objectives.patches import patches_to_pixels, patchify, unpatchify

Fill = Literal["zero", "noise", "shuffle", "replacement"]


def filled(
    key: PRNGKeyArray,
    image: Float[Array, "y x channel"],
    hidden: Shaped[Array, " patches"],
    within: Bool[Array, " patches"] | None,
    *,
    patch: int,
    fill: Fill,
) -> Float[Array, "y x channel"]:
    """The image with something else in the place of its hidden patches; all other pixels are as they were.

    zero: 0, the mean of a standardised image. noise: normal, mean 0 and variance 1. shuffle: the hidden patches change
    places, none of two or more stays where it was. replacement: for each a patch that is not hidden, the same one as
    often as it is drawn, and of those `within` only; any patch where all of these are hidden.

    Where the first and the last of four patches of one pixel are hidden, these two change places:

    >>> image, hidden = jnp.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1), jnp.array([1, 0, 0, 1])
    >>> filled(jax.random.key(0), image, hidden, None, patch=1, fill="shuffle").ravel().tolist()
    [4.0, 2.0, 3.0, 1.0]
    """
    grid = (image.shape[0] // patch, image.shape[1] // patch)
    hidden = hidden != 0
    if fill == "zero":
        other = jnp.zeros_like(image)
    elif fill == "noise":
        other = jax.random.normal(key, image.shape, image.dtype)
    else:
        shown = hidden | ~within if fill == "replacement" and within is not None else hidden
        source = _shuffled(key, hidden) if fill == "shuffle" else _replaced(key, ~shown)
        other = unpatchify(patchify(image[None], patch)[:, source], grid, patch)[0]
    return jnp.where(patches_to_pixels(hidden, grid, patch)[..., None], other, image)


def _shuffled(key: PRNGKeyArray, hidden: Bool[Array, " patches"]) -> Int[Array, " patches"]:
    """The patch to show at each place: the hidden ones in one random circle, each followed by the next.

    A permutation drawn from all would on average leave one patch in its place, where the answer could be read off.
    """
    rank = jax.random.permutation(key, len(hidden))
    circle = jnp.argsort(jnp.where(hidden, rank, len(hidden)))
    place, count = jnp.arange(len(hidden)), hidden.sum()
    follower = circle[jnp.where(place + 1 < count, place + 1, 0)]
    return place.at[circle].set(jnp.where(place < count, follower, circle))


def _replaced(key: PRNGKeyArray, candidates: Bool[Array, " patches"]) -> Int[Array, " patches"]:
    """A candidate for each place, all equally likely; where there is none, any patch."""
    candidates = candidates | ~candidates.any()
    return jax.random.categorical(key, jnp.where(candidates, 0.0, -jnp.inf), shape=candidates.shape)
