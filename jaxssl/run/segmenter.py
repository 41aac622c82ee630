"""A segmentation run's network over the files of one subject after the other."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from jaxssl.data import grid
from jaxssl.data.columns import hash_of
from jaxssl.data.formats.prepare import on_layout
from jaxssl.data.ingest.loading import Hearers, load
from jaxssl.data.intensity import Moments
from jaxssl.data.seen import Seen
from jaxssl.data.study import Loaded, acquisitions
from jaxssl.data.study.volume import Volume, volumes
from jaxssl.data.subject import Subject
from jaxssl.run.common import LoadedRun

Mask = UInt8[np.ndarray, "y x"]
BATCH = 32
DEEPEST = np.iinfo(np.uint16).max
"""The largest value that a store holds; an image with others is none of its images."""


class Segmenter:
    """`segmenter(subject, source, reject)` gives its acquisitions with a mask for each image."""

    def __init__(self, loaded: LoadedRun, facts: Mapping[str, Any], seen: Seen):
        data, predict = loaded.recipe.data, loaded.method.predict
        assert predict is not None  # noqa: S101 - the caller has seen that it segments
        variables = jax.device_put(loaded.parts)
        self.classes: list[str] = facts["classes"][1:]
        self.channels, self.layout, self.views = facts["channels"], data.layout, data.views
        self.seen, self.known = seen.images(), 0
        """Hashes of the images that the run was trained on, and how many subjects have had one of them."""
        self.program = jax.jit(lambda batch: predict(variables, batch))

    def __call__(
        self, subject: Subject, source: Path, reject: Callable[[Path, str], Any]
    ) -> Iterator[tuple[Volume, list[Mask]]]:
        """As in training, all images of a subject are standardised together; views the run never saw are rejected."""
        loaded = load(subject, fan=False, hearers=Hearers(reject))
        moments = sum((Moments.of(each.image.pixels) for each in loaded), Moments())
        if not math.isfinite(moments.squares):
            for file in dict.fromkeys(each.series.files[each.file] for each in loaded):
                reject(file, "the pixels of its subject differ by more than can be counted")
            return
        self.known += any(self._is_known(each) for each in loaded)
        lowest = min([0.0, *(float(each.image.pixels.min()) for each in loaded)])
        for volume in volumes(acquisitions(loaded), source):
            if volume.view in (*self.views, "other"):
                yield volume, list(self._masks([each.loaded for each in volume.images], moments.scale, lowest))
                continue
            first = volume.images[0].loaded
            reason = f"it shows {volume.view}, and the run was trained on {', '.join(self.views)}"
            reject(first.series.files[first.file], reason)

    def _is_known(self, loaded: Loaded) -> bool:
        pixels = loaded.image.pixels
        whole = pixels.min() >= 0 and pixels.max() <= DEEPEST and not np.any(pixels % 1)
        return bool(whole and f"{hash_of(pixels.astype(np.uint16)):016x}" in self.seen)

    def _masks(self, images: Sequence[Loaded], scale: tuple[float, float], lowest: float) -> Iterator[Mask]:
        for start in range(0, len(images), BATCH):
            some = [_with_spacing(each) for each in images[start : start + BATCH]]
            ready = [on_layout(image, self.layout, self.channels, *scale, lowest).pixels for image in some]
            for image, probabilities in zip(some, self._probabilities(ready), strict=False):
                shape, spacing = image.pixels.shape[:2], image.spacing or (np.nan, np.nan)
                back = grid.on(self.layout, shape, spacing).back()
                yield back.image(probabilities, "linear").argmax(-1).astype(np.uint8)

    def _probabilities(self, images: list[np.ndarray]) -> Float[np.ndarray, "batch h w classes"]:
        """Of images in units of their subject's standard deviation; filled up, so that one program serves all."""
        filled = np.stack([*images, *images[-1:] * (BATCH - len(images))])
        scale = {"mean": np.zeros(BATCH, np.float32), "std": np.ones(BATCH, np.float32)}
        return np.asarray(self.program({"image": filled, **scale}))


def _with_spacing(loaded: Loaded):
    """The image with the size of its pixels as the set has it, where it knows better."""
    return loaded.image._replace(spacing=loaded.series.spacing or loaded.image.spacing)
