"""How a map lies to the mask. Plain arrays, no jax."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class Overlap(NamedTuple):
    """Scores in 0..1. A map that is 0 everywhere points nowhere and scores 0 in all; `share` is no score."""

    dice: float
    """Of the map's brightest pixels, as many as the mask has, with the mask."""
    energy: float
    """The part of the map's sum that lies in the mask."""
    pointing: float
    """1 where the map's maximum lies in the mask and 0 where it does not: the pointing game."""
    share: float
    """The mask's part of the image: what each of the three comes to, on average, with values strewn at random."""


def overlap(map: Float[np.ndarray, "y x"], mask: Bool[np.ndarray, "y x"]) -> Overlap:
    """Score a map of numbers from 0 up against a mask that has at least one pixel.

    Dice is 2 |P & M| / (|P| + |M|) with P the pixels above 0 that are at least as large as the |M|-th largest: equals
    at that threshold are all taken, so that P may be larger than M. Energy is sum of map in M / sum of map. Where
    several pixels share the maximum, pointing is the part of them that lies in M.
    """
    if map.shape != mask.shape:
        raise ValueError(f"map {map.shape} and mask {mask.shape} differ in shape")
    if not mask.any():
        raise ValueError("an image without a mask has no overlap: leave it out, and count it")
    if not np.isfinite(map).all() or map.min() < 0:
        raise ValueError("a map is of finite numbers from 0 up")
    pixels, share = int(mask.sum()), float(mask.mean())
    if not map.any():
        return Overlap(0.0, 0.0, 0.0, share)
    scaled = np.float64(map) / map.max()  # the sum of small numbers would vanish in their own type
    threshold = np.partition(scaled.ravel(), -pixels)[-pixels]
    inside, outside = scaled[mask].sum(), scaled[~mask].sum()
    brightest = (scaled >= threshold) & (scaled > 0)
    return Overlap(
        dice=float(2 * (brightest & mask).sum() / (brightest.sum() + pixels)),
        energy=float(inside / (inside + outside)),
        pointing=float(mask[scaled == 1].mean()),
        share=share,
    )
