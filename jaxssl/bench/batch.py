"""A batch like the loader's, for those who time or count a step and have no store."""

from typing import Any

import jax
import numpy as np

from jaxssl.data.source import Data


def fixed_batch(data: Data, channels: int, size: int, classes: int = 2) -> dict[str, Any]:
    """So many samples of noise, on one stack of parallel planes that every guest cuts across."""
    rng, height_width = np.random.default_rng(0), data.layout.size
    place, share = np.arange(size, dtype=np.int32), np.linspace(0, 1, size, dtype=np.float32)
    image = {
        "image": rng.integers(0, 2000, (size, *height_width, channels), np.uint16),
        "mean": np.full(size, 1000, np.float32),
        "std": np.full(size, 577, np.float32),
        **dict.fromkeys(("id", "place", "view"), place),
        **dict.fromkeys(("subject", "study", "cine"), place // 2),
        "label": place % classes,
        **dict.fromkeys(("position", "phase"), share),
        "spacing": np.full((size, 2), data.layout.spacing or 1.0, np.float32),
        "plane": _plane(data, (size,), (0.0, 1.0, 0.0)),
    }
    if data.masks:
        image["mask"] = rng.integers(0, classes, (size, *height_width), np.uint8)
    if data.guests:
        shape = (size, len(data.guests))
        across = _plane(data, shape, (0.0, 0.0, 1.0))
        image["guests"] = {**across, "thickness": np.full(shape, 8, np.float32), "valid": np.ones(shape, bool)}
    return image | ({"partners": dict.fromkeys(data.kinds, image)} if data.kinds else {})


def abstract_batch(data: Data, channels: int, size: int) -> dict[str, Any]:
    """Shapes and types of it, however large."""
    one = fixed_batch(data, channels, 1)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype), one)


def _plane(data: Data, shape: tuple[int, ...], y_axis: tuple[float, float, float]) -> dict[str, np.ndarray]:
    """Planes along x and another axis, each 8 mm from the one before it."""
    extent = np.array(data.layout.size)
    origin = np.zeros((*shape, 3), np.float32)
    origin[..., 2] = 8 * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return {
        "origin": origin,
        "x_axis": np.broadcast_to(np.array((1, 0, 0), np.float32), (*shape, 3)),
        "y_axis": np.broadcast_to(np.array(y_axis, np.float32), (*shape, 3)),
        "spacing": np.full((*shape, 2), data.layout.spacing or 1.0, np.float32),
        "shape": np.broadcast_to(extent.astype(np.int32), (*shape, 2)),
    }
