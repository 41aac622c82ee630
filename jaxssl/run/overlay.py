"""Pictures of a segmented acquisition: all its slices side by side, and of one with frames as it moves."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageColor, ImageDraw

from jaxssl.data.sheet import OUTLINES, border, legend, windowed
from jaxssl.data.study.volume import Volume
from jaxssl.files import beside

SIDE, WIDEST = 160, 6
"""Pixels of the longer side of a slice, and slices in a row."""
LINE = 18
"""Pixels below the slices, for the names of the classes."""
BEAT_MS = 1000
"""For which a loop is shown: about a heartbeat."""


def overlays(
    volume: Volume, masks: UInt8[np.ndarray, "x y slices frames"], classes: Sequence[str], shown: int
) -> list[Image.Image]:
    """The mosaic of frame `shown`, and where there are several those of all, in their order."""
    greys = _greys(volume)
    frames = [_mosaic(greys, masks, frame, volume.spacing or (1.0, 1.0)) for frame in range(masks.shape[3])]
    for frame in frames:
        legend(ImageDraw.Draw(frame), (4, frame.height - LINE + 2), classes)
    return [frames[shown], *(frames if len(frames) > 1 else [])]


def write(pictures: Sequence[Image.Image], path: Path) -> None:
    """The first as PNG; the others, if any, as a GIF that goes round."""
    still, *loop = pictures
    with beside(path.with_name(f"{path.name}.png")) as unfinished:
        still.save(unfinished)
    if loop:
        duration = max(20, BEAT_MS // len(loop))
        with beside(path.with_name(f"{path.name}.gif")) as unfinished:
            loop[0].save(unfinished, save_all=True, append_images=loop[1:], duration=duration, loop=0)


def _greys(volume: Volume) -> dict[tuple[int, int], UInt8[np.ndarray, "y x"]]:
    """The image at each place; all between the same black and white, so that a loop does not flicker."""
    pixels = np.stack([each.loaded.image.pixels.mean(axis=-1) for each in volume.images])
    return dict(zip(volume.places, windowed(pixels), strict=True))


def _mosaic(
    greys: dict[tuple[int, int], np.ndarray], masks: np.ndarray, frame: int, spacing: tuple[float, float]
) -> Image.Image:
    slices = masks.shape[2]
    tiles = [_tile(greys.get((number, frame)), masks[:, :, number, frame].T, spacing) for number in range(slices)]
    height, width, _ = tiles[0].shape
    across = min(WIDEST, slices)
    page = np.zeros((-(-slices // across) * height + LINE, across * width, 3), np.uint8)
    for number, tile in enumerate(tiles):
        y, x = number // across * height, number % across * width
        page[y : y + height, x : x + width] = tile
    return Image.fromarray(page)


def _tile(
    grey: UInt8[np.ndarray, "y x"] | None, mask: UInt8[np.ndarray, "y x"], spacing: tuple[float, float]
) -> UInt8[np.ndarray, "h w 3"]:
    grey = np.zeros_like(mask) if grey is None else grey
    high, wide = mask.shape[0] * spacing[0], mask.shape[1] * spacing[1]
    scale = SIDE / max(high, wide)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    picture = np.array(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR).convert("RGB"))
    codes = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    for code in np.unique(codes[codes > 0]):
        picture[border(codes == code)] = ImageColor.getrgb(OUTLINES[(int(code) - 1) % len(OUTLINES)])
    return picture
