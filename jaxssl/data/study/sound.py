"""Whether what files say of the places of their images can be true."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from jaxssl.data.formats.image import Image
from jaxssl.data.study.loaded import Loaded
from jaxssl.geometry import PARALLEL, normal

RIGHT_ANGLED = 1e-3
"""Largest error of the products of two axes: files write them with six digits or so."""

SAME_DEPTH = 0.1
"""Planes that are nearer to each other (mm) are one slice: places are written to about a thousandth."""


def contradictions(images: Iterable[Loaded]) -> Mapping[Loaded, str]:
    """What is wrong with the geometry of each image that has one which cannot be true."""
    found, files = {}, defaultdict(list)
    for each in images:
        if reason := _contradiction(each.image):
            found[each] = reason
        elif each.image.plane is not None:
            files[each.series.files, each.file].append(each)
    for file in files.values():
        if _flat(file):
            found |= dict.fromkeys(file, "its slices lie in one place")
    return found


def _contradiction(image: Image) -> str:
    plane = image.plane
    if plane is None:
        return ""
    axes = np.stack([plane.x_axis, plane.y_axis])
    if not (np.isfinite(plane.origin).all() and np.isfinite(axes).all()):
        return "its place in the patient is not finite"
    if np.max(abs(axes @ axes.T - np.eye(2))) > RIGHT_ANGLED:
        return "the axes of its plane are not at right angles, or not of length 1"
    known = not np.isnan(plane.spacing).all()
    if known and not (np.all(np.asarray(plane.spacing) > 0) and np.isfinite(plane.spacing).all()):
        return "the pixels of its plane have no size"
    if tuple(plane.shape) != image.pixels.shape[:2]:
        return "its plane has another shape than its pixels"
    return ""


def _flat(file: list[Loaded]) -> bool:
    """Whether parallel slices that a file tells apart lie in the same plane."""
    depths: dict[int, float] = {}
    first = file[0].plane
    across = normal(first)
    for each in file:
        if abs(normal(each.plane) @ across) > PARALLEL:
            depths.setdefault(each.image.slice, float((each.plane.origin - first.origin) @ across))
    return len(depths) > 1 and np.min(np.diff(np.sort([*depths.values()]))) < SAME_DEPTH
