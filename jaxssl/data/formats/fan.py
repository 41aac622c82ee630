"""What an ultrasound image shows of the patient, and what its machine has written round it.

Echoes fill a sector or a rectangle. It is found as the convex outline of the area that is densely filled with anything
but the background, in any frame of a clip; writing, rulers and grey scales fill an area too thinly for that. Where no
fan is found, what a file of an ultrasound scanner writes anywhere would stay: such a file is refused. What this cannot
do: it does not read. Writing and callipers inside the fan of a single image stay, and so do those in a clip that move,
are dim or lie on saturated tissue. So does what stands in the hollow under a curved probe, or between two fans in one
image, or beside it where a background is brighter. A border of the fan where there are no echoes at all is not seen, so
that it may be drawn narrower there; what is lost has the brightness of the background. Where the file names the regions
of its echoes, the fan is looked for in these alone.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Int32, Shaped
from PIL import Image as Picture
from PIL import ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from jaxssl.data.formats.image import Box, Image, Unreadable

LEVEL = 0.006
"""Of the brightest pixel: what differs by less is of one level."""
FLAT, LEAST = 5, 0.01
"""The background is of one level over windows of this side, and these over at least this part of the image."""
NOISE, EVEN, ROOM = 9, 0.95, 0.1
"""Side of the windows whose medians a noisy background shows in, how much of it is then of one level, and how much of
the image it is. Measured: 0.98 is of one level where noise is of 0 to 7 grey levels; shadows in breast images (BUSI)
that fill the picture are less even, but for three that are less than 0.06 of it."""
WHOLE = 0.95
"""A file that names more of the image than this as that of its echoes does not say where it writes; nor does a fan that
fills more, as a background that grows brighter from side to side does."""
WINDOW, STROKE = 0.04, 0.008
"""Side of the area in which filling is looked at, and of what no stroke of writing fills; parts of the shorter side."""
FILLED, CORNER = 0.5, 0.25
"""How full the window is at the fan's straight border, and at a right angle."""
SMALLEST, DENSE = 0.05, 0.25
"""Part of the image that a fan fills, and how full it is: else it is a line of writing, or several with room between.
Measured: fans of real images are full to 0.44 or more, the outline of writing on a noisy screen to 0.06."""
MINOR = 0.1
"""A filled area this much smaller than the largest is none of echoes."""
RECTANGLE = 0.97
"""An outline that fills so much of its box is that box."""
BRIGHT, OUTSIDE = 0.75, 0.2
"""Writing is so bright; so much of what is connected lies beyond the fan if it was written across its border."""
ALIVE, STILL = 0.05, 0.005
"""Echoes change by more than this part of the brightest pixel in a clip, writing by less."""
FEWEST = 5
"""Frames of a clip in which what stands still is known to be written."""


def fan_of(frames: Iterable[Shaped[np.ndarray, "y x channel"]], echoes: Sequence[Box] = ()) -> Bool[np.ndarray, "y x"]:
    """The area of a clip, or of one image, in which echoes lie; all of it where none is found."""
    _, high = _extremes(frames)
    fan = _fan(high, echoes)
    return np.ones(high.shape, bool) if fan is None else fan


def cleaned(images: Sequence[Image]) -> list[Image]:
    """The frames of a clip with 0 outside of the fan, in writing across its border, and in writing that never moves.

    Images that no scanner says to be of ultrasound may hold nothing but echoes: without a fan they are left whole.
    """
    low, high = _extremes(image.pixels for image in images)
    fan = _fan(high, images[0].echoes)
    if (fan is None or fan.mean() > WHOLE) and any(image.ultrasound for image in images):
        raise Unreadable("its fan was not found, so that text in it would stay")
    if fan is None:
        fan = np.ones(high.shape, bool)
    kept = fan & ~_across(high, fan)
    if len(images) >= FEWEST:
        kept &= ~_still(low, high, fan)
    return [
        image._replace(pixels=np.where(kept[..., None], image.pixels, image.pixels.dtype.type(0))) for image in images
    ]


def _extremes(frames: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest brightness of each pixel over time."""
    low = high = None
    for frame in frames:
        brightness = frame.max(axis=-1)
        low = brightness if low is None else np.minimum(low, brightness)
        high = brightness if high is None else np.maximum(high, brightness)
    if low is None or high is None:
        raise ValueError("a clip has at least one frame")
    return low.astype(np.float32), high.astype(np.float32)


def _fan(high: np.ndarray, echoes: Sequence[Box]) -> np.ndarray | None:
    """Where echoes lie, within what the file names for them; that itself, or nothing, where no fan is found."""
    within = np.zeros(high.shape, bool)
    for box in echoes:
        within[box.top : box.bottom, box.left : box.right] = True
    named = within.any() and within.mean() <= WHOLE
    inside, level = within if echoes else ~within, LEVEL * high.max()
    found = _found(high, level, inside)
    if found is None:
        found = _found(ndimage.median_filter(high, NOISE), level, inside, EVEN, ROOM)
    if found is None:
        return within if named else None
    return found & within if echoes else found


def _found(
    high: np.ndarray, level: float, inside: np.ndarray, even: float = 0.0, room: float = 0.0
) -> np.ndarray | None:
    """The convex outline of what is densely filled; the rest must be `room` of the image, and `even` of it empty."""
    flat = ndimage.maximum_filter(high, FLAT) - ndimage.minimum_filter(high, FLAT) <= level
    if flat.mean() < LEAST:
        return None
    values, counts = np.unique(high[flat], return_counts=True)
    filled = inside & (np.abs(high - values[counts.argmax()]) > level)
    window, stroke = (max(3, round(part * min(high.shape)) | 1) for part in (WINDOW, STROKE))
    density = ndimage.uniform_filter(filled.astype(np.float32), window, mode="nearest")
    names = _parts(density > FILLED)
    if not names.any():
        return None
    areas = np.bincount(names.ravel())[1:]
    main = np.isin(names, 1 + np.flatnonzero(areas >= MINOR * areas.max()))
    near = _grown(main, window // 2)
    solid = _opened(np.pad(filled, stroke, mode="edge"), stroke)[stroke:-stroke, stroke:-stroke]
    outline = _outline(main | (near & solid & (density > CORNER)))
    rest = ~outline
    apart = rest.mean() >= room and filled[rest].sum() <= (1 - even) * rest.sum()
    return outline if apart and outline.mean() >= SMALLEST and filled[outline].mean() >= DENSE else None


def _outline(area: np.ndarray) -> np.ndarray:
    """The convex hull of an area, or its box where that is hardly more."""
    rows, columns = (np.flatnonzero(area.any(axis=axis)) for axis in (1, 0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    first, last = area[rows].argmax(axis=1), area.shape[1] - 1 - area[rows, ::-1].argmax(axis=1)
    corners = np.stack([np.concatenate([first, last]), np.concatenate([rows, rows])], axis=-1)
    try:
        hull = corners[ConvexHull(corners).vertices]
    except QhullError:  # a line
        return area
    drawing = Picture.new("1", area.shape[::-1])
    ImageDraw.Draw(drawing).polygon([(int(x), int(y)) for x, y in hull], fill=1)
    outline = np.array(drawing)
    if outline.sum() > RECTANGLE * (bottom - top) * (right - left):
        outline[top:bottom, left:right] = True
    return outline


def _across(high: np.ndarray, fan: np.ndarray) -> np.ndarray:
    """What is bright, connected and in good part outside of the fan: writing across its border."""
    names = _parts(high > BRIGHT * high.max())
    areas, outside = (np.bincount(names[where], minlength=names.max() + 1) for where in (names > 0, (names > 0) & ~fan))
    return np.isin(names, np.flatnonzero(outside > OUTSIDE * np.maximum(areas, 1)))


def _still(low: np.ndarray, high: np.ndarray, fan: np.ndarray) -> np.ndarray:
    """Thin bright strokes that stand still in a fan where nearly all else moves."""
    top = high.max()
    change = (high - low) / max(top, 1)
    if np.median(change[fan]) < ALIVE:
        return np.zeros_like(fan)
    stroke = max(3, round(STROKE * min(high.shape)) | 1) + 2
    bright = fan & (change <= STILL) & (high > BRIGHT * top)
    names = _parts(bright & ~_opened(bright, stroke))
    alone = np.zeros(names.max() + 1, bool)
    for name, place in enumerate(ndimage.find_objects(names), start=1):
        around = tuple(slice(max(side.start - 2, 0), side.stop + 2) for side in place)
        own = names[around] == name
        ring = _grown(own, 2) & ~_grown(own, 1) & ~bright[around]
        # Saturated tissue fades into what is about it, and that hardly moves either.
        alone[name] = own.sum() > 2 and ring.any() and (low[around][ring] < BRIGHT / 2 * top).mean() > 0.8
    return alone[names]


def _parts(area: Bool[np.ndarray, "y x"]) -> Int32[np.ndarray, "y x"]:
    """A number for each connected part, from 1; corners connect."""
    names = np.zeros(area.shape, np.int32)
    ndimage.label(area, np.ones((3, 3)), output=names)
    return names


def _grown(area: Bool[np.ndarray, "y x"], steps: int) -> Bool[np.ndarray, "y x"]:
    return np.asarray(ndimage.maximum_filter(area, 2 * steps + 1), bool)


def _opened(area: Bool[np.ndarray, "y x"], side: int) -> Bool[np.ndarray, "y x"]:
    """What squares of this side fit into."""
    return np.asarray(ndimage.binary_opening(area, np.ones((side, side))), bool)
