"""The true masks of the planes that are measured or segmented."""

from collections.abc import Collection

import numpy as np

from jaxssl.data.phantom.shapes import Points
from jaxssl.data.phantom.ultrasound.head import skull
from jaxssl.data.phantom.ultrasound.heart import chambers, turned
from jaxssl.data.phantom.ultrasound.limb import shaft
from jaxssl.data.phantom.ultrasound.population import Fetus
from jaxssl.data.phantom.ultrasound.trunk import skin

ULTRASOUND_CLASSES = ("background", "head", "abdomen", "LV", "RV", "LA", "RA", "femur")
"""What the mask codes of all planes mean."""
SHOWN_BY = {
    "transventricular": ("head",),
    "transthalamic": ("head",),
    "transcerebellar": ("head",),
    "abdomen": ("abdomen",),
    "four_chamber": ("LV", "RV", "LA", "RA"),
    "femur": ("femur",),
}
"""Of the planes that have masks, what these outline."""


def classes_of(planes: Collection[str]) -> tuple[str, ...]:
    """The background and what the masks of these planes outline, in the order of `ULTRASOUND_CLASSES`."""
    shown = {name for plane in planes for name in SHOWN_BY.get(plane, ())}
    return tuple(name for name in ULTRASOUND_CLASSES if name == "background" or name in shown)


def mask(fetus: Fetus, plane: str, where: Points, contraction: float) -> np.ndarray | None:
    """Codes of `ULTRASOUND_CLASSES` at patient points, or None for a plane that has no mask."""
    if plane in ("transventricular", "transthalamic", "transcerebellar"):
        head = _local(where, fetus.head, fetus.size.head)
        return _coded(skull(head, fetus.size.lengthening), "head")
    if plane == "abdomen":
        return _coded(skin(_local(where, (0, 0, 0), fetus.size.trunk)), "abdomen")
    if plane == "femur":
        return _coded(shaft(where, fetus.thighs[1]), "femur")
    if plane == "four_chamber":
        heart = turned(_local(where, fetus.heart, fetus.heart_unit), fetus.heart_axis)
        found = chambers(heart, contraction)
        return np.maximum.reduce([_coded(each, name.upper()) for name, each in found._asdict().items()])
    return None


def _coded(distance: np.ndarray, name: str) -> np.ndarray:
    return np.where(distance < 0, ULTRASOUND_CLASSES.index(name), 0).astype(np.uint8)


def _local(where: Points, centre: tuple[float, float, float], unit: float) -> Points:
    return Points(*((q - np.float32(c)) / np.float32(unit) for q, c in zip(where, centre, strict=True)))
