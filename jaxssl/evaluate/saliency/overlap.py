"""How a map lies to the heart. Plain arrays, no jax."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class Overlap(NamedTuple):
    """Scores in 0..1. A map that is 0 everywhere points nowhere and scores 0 in all; `share` is no score."""

    dice: float
    """Of the map's brightest pixels, as many as the heart has, with the heart."""
    energy: float
    """The part of the map's sum that lies in the heart."""
    pointing: float
    """1 where the map's maximum lies in the heart and 0 where it does not: the pointing game."""
    share: float
    """The heart's part of the image: what each of the three comes to, on average, with values strewn at random."""


def overlap(map: Float[np.ndarray, "y x"], heart: Bool[np.ndarray, "y x"]) -> Overlap:
    """Score a map of numbers from 0 up against a heart that has at least one pixel.

    Dice is 2 |P & H| / (|P| + |H|) with P the pixels above 0 that are at least as large as the |H|-th largest: equals
    at that threshold are all taken, so that P may be larger than H. Energy is sum of map in H / sum of map. Where
    several pixels share the maximum, pointing is the part of them that lies in H.
    """
    if map.shape != heart.shape:
        raise ValueError(f"map {map.shape} and heart {heart.shape} differ in shape")
    if not heart.any():
        raise ValueError("an image without a heart has no overlap: leave it out, and count it")
    if not np.isfinite(map).all() or map.min() < 0:
        raise ValueError("a map is of finite numbers from 0 up")
    pixels, share = int(heart.sum()), float(heart.mean())
    if not map.any():
        return Overlap(0.0, 0.0, 0.0, share)
    scaled = np.float64(map) / map.max()  # the sum of small numbers would vanish in their own type
    threshold = np.partition(scaled.ravel(), -pixels)[-pixels]
    inside, outside = scaled[heart].sum(), scaled[~heart].sum()
    brightest = (scaled >= threshold) & (scaled > 0)
    return Overlap(
        dice=float(2 * (brightest & heart).sum() / (brightest.sum() + pixels)),
        energy=float(inside / (inside + outside)),
        pointing=float(heart[scaled == 1].mean()),
        share=share,
    )
