"""Pictures as inline PNG, and outlines of label masks as SVG paths over them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from contourpy import contour_generator
from jaxtyping import Float, UInt8
from PIL import Image

LARGEST = 256
"""Longest side, in pixels, that a picture is kept at."""

ORDER = ("original", "masked", "prediction")
"""How a reader follows a reconstruction; a file may hold the names in any order."""


@dataclass(frozen=True)
class Tile:
    """One picture of a figure and the word that stands under it."""

    png: str
    width: int
    height: int
    word: str


@dataclass(frozen=True)
class Outline:
    """The border of one class in one mask: its place among the classes, and an SVG path in pixels of the mask."""

    place: int
    path: str


@dataclass(frozen=True)
class Segmented:
    """One image with the outlines of the truth and of each run's prediction, and the part worth looking at."""

    tile: Tile
    window: tuple[float, float, float, float]
    truth: tuple[Outline, ...]
    predictions: tuple[tuple[Outline, ...], ...]


@dataclass(frozen=True)
class Frame:
    """One moment of a beat with the outlines of each run's prediction."""

    tile: Tile
    predictions: tuple[tuple[Outline, ...], ...]


def columns(pictures: Mapping[str, np.ndarray], prefix: str, most: int) -> list[list[Tile]]:
    """For each of the first `most` samples the pictures named `prefix/...`, in reading order, then by name."""
    named = {key.removeprefix(prefix): stack for key, stack in pictures.items() if key.startswith(prefix)}
    named = {name: stack for name, stack in named.items() if stack.ndim == 3}
    if not named:
        return []
    names = sorted(named, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    samples = min(most, *(len(stack) for stack in named.values()))
    return [[tile(named[name][place], name) for name in names] for place in range(samples)]


def tile(image: Float[np.ndarray, "y x"], word: str) -> Tile:
    """A picture in display range 0..1 as an 8-bit PNG, made smaller when it is larger than the page can show."""
    levels = np.round(255 * np.clip(np.nan_to_num(image), 0.0, 1.0)).astype(np.uint8)
    picture = Image.fromarray(levels)
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    height, width = image.shape
    return Tile(f"data:image/png;base64,{data}", width, height, word)


def segmented(
    image: Float[np.ndarray, "y x"], truth: UInt8[np.ndarray, "y x"], predictions: Sequence[UInt8[np.ndarray, "y x"]]
) -> Segmented:
    """An image, its true mask and the masks that runs predicted for it."""
    return Segmented(
        tile(image, "image"),
        window(np.any([truth > 0, *(mask > 0 for mask in predictions)], axis=0)),
        outlines(truth),
        tuple(outlines(mask) for mask in predictions),
    )


def beat(images: Float[np.ndarray, "frame y x"], predictions: Sequence[UInt8[np.ndarray, "frame y x"]]) -> list[Frame]:
    """One slice over the beat and what runs predicted for it, cut to where that is in any frame."""
    x, y, width, height = map(int, window(np.any([masks > 0 for masks in predictions], axis=(0, 1))))
    images, *predictions = (stack[:, y : y + height, x : x + width] for stack in (images, *predictions))
    return [
        Frame(tile(image, f"frame {place + 1}"), tuple(outlines(masks[place]) for masks in predictions))
        for place, image in enumerate(images)
    ]


def outlines(mask: UInt8[np.ndarray, "y x"]) -> tuple[Outline, ...]:
    """The border of every class above background, halfway between pixel centres; (0, 0) is the image's corner."""
    found = []
    for code in np.unique(mask[mask > 0]):
        padded = np.pad(mask == code, 1).astype(np.float64)
        lines = contour_generator(z=padded).lines(0.5)
        path = "".join(_ring(np.asarray(line) - 0.5) for line in lines)
        found.append(Outline(int(code) - 1, path))
    return tuple(found)


def window(inside: np.ndarray, margin: float = 0.3) -> tuple[float, float, float, float]:
    """(x, y, width, height) around the true pixels, with a margin, in the proportions of the whole; whole if none."""
    height, width = inside.shape
    if not inside.any():
        return 0.0, 0.0, float(width), float(height)
    ys, xs = np.nonzero(inside)
    share = max((np.ptp(ys) + 1) / height, (np.ptp(xs) + 1) / width) * (1 + 2 * margin)
    share = min(1.0, share)
    corner = [
        float(np.clip((values.min() + values.max() + 1) / 2 - share * extent / 2, 0, extent * (1 - share)))
        for values, extent in ((xs, width), (ys, height))
    ]
    return corner[0], corner[1], share * width, share * height


def _ring(points: Float[np.ndarray, "points 2"]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in np.round(points[:-1], 2)) + "Z"
