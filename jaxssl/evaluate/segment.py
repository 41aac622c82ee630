"""Segmentation of held-out subjects, scored in the grid that their images were acquired in."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from jaxssl.data.cache import Cache
from jaxssl.data.plan import Rows, select
from jaxssl.data.store import Store
from jaxssl.evaluate.batches import outputs
from jaxssl.evaluate.volume import hearts, scores
from jaxssl.methods.base import Batch, for_display

EXAMPLES = 3
"""Subjects of whom slices are shown."""

BASAL_MID_APICAL = (1 / 6, 1 / 2, 5 / 6)
"""Where in its stack a slice that is shown lies; the very ends often miss the heart."""


FRAMES = 16
"""Of a beat that is shown, at most."""


class Segmentation(NamedTuple):
    """`scores` has {"subject", "study", "view", "moment"} and what `volume.scores` gives of each volume, `hearts` what
    `volume.hearts` gives of each study, ready for JSON.

    `pictures` has a few slices on the cached grid: "segmentation/image" float32 in 0..1, "segmentation/truth" and
    "segmentation/prediction" uint8, [n, y, x] each; and where there are frames, "cine/image" and "cine/prediction" of
    one slice over the beat.
    """

    scores: list[dict[str, Any]]
    hearts: list[dict[str, Any]]
    pictures: dict[str, np.ndarray]


def segment_subjects(
    predict: Callable[[Batch], jax.Array],
    store: Store,
    cache: Cache,
    subjects: Collection[str],
    *,
    views: Sequence[str],
    moments: Sequence[str],
    batch: int,
) -> Segmentation:
    """Scores of each class but the background, for every volume of these subjects that has true masks.

    A volume is the slices of one study, view and moment; a frame of no moment is a volume by itself. `predict` is
    jitted; it gives class probabilities or logits [batch, y, x, class] of images on the cached grid. They are
    interpolated to each image's own grid, and the most probable class there is compared with the store's mask; beyond
    the cached grid all is background. True masks serve for scoring and showing only: `predict` sees the images as they
    are cropped for everyone.
    """
    volumes = _volumes(cache, subjects, views, moments)
    examples = _examples(cache, volumes)
    predictions = outputs(predict, cache, np.concatenate(volumes), batch)
    classes = list(store.info.classes[1:])
    scored, shown = [], {}
    for rows in volumes:
        probabilities = list(islice(predictions, len(rows)))
        masks = [_to_mask(cache, row, each) for row, each in zip(rows, probabilities, strict=True)]
        found = scores([store.record(row) for row in rows], masks, classes)
        scored.append({**_names(cache, rows[0]), **found})
        shown |= {row: each.argmax(-1) for row, each in zip(rows, probabilities, strict=True) if row in examples}
    pictures = _pictures(cache, [(row, shown[row]) for row in examples])
    return Segmentation(scored, hearts(scored, classes), pictures | _beat(predict, cache, volumes[0], batch))


def predicted_masks(
    predict: Callable[[Batch], jax.Array], cache: Cache, rows: Rows, batch: int
) -> Iterator[UInt8[np.ndarray, "y x"]]:
    """The most probable class of each pixel of these rows, in each image's own grid; `predict` as above."""
    for row, probabilities in zip(rows, outputs(predict, cache, rows, batch), strict=True):
        yield _to_mask(cache, row, probabilities)


def _to_mask(cache: Cache, row: int, probabilities: Float[np.ndarray, "h w classes"]) -> UInt8[np.ndarray, "y x"]:
    return cache.to_original(row, probabilities).argmax(-1).astype(np.uint8)


def _volumes(cache: Cache, subjects: Collection[str], views: Sequence[str], moments: Sequence[str]) -> list[list[int]]:
    """Rows of each volume from base to apex; a subject's volumes in the order of `views` and `moments`."""

    def place(row: int) -> tuple[str, str, int, int, float, int]:
        names = _names(cache, row)
        view, moment = views.index(names["view"]), moments.index(names["moment"])
        frame = 0.0 if names["moment"] else float(cache.table["phase"][row])
        return names["subject"], names["study"], view, moment, frame, int(cache.table["slice"][row])

    rows = sorted(select(cache, subjects, views, moments, masked=True).tolist(), key=place)
    return [list(volume) for _, volume in groupby(rows, key=lambda row: place(row)[:-1])]


def _names(cache: Cache, row: int) -> dict[str, str]:
    return {key: cache.names[key][cache.table[key][row]] for key in ("subject", "study", "view", "moment")}


def _examples(cache: Cache, volumes: Sequence[Sequence[int]]) -> list[int]:
    """A basal, a mid and an apical row of the first volume of the first few subjects."""
    first: dict[int, Sequence[int]] = {}
    for rows in volumes:
        first.setdefault(int(cache.table["subject"][rows[0]]), rows)
    shown = [rows[int(place * len(rows))] for rows in islice(first.values(), EXAMPLES) for place in BASAL_MID_APICAL]
    return list(dict.fromkeys(shown))


def _pictures(cache: Cache, shown: Sequence[tuple[int, np.ndarray]]) -> dict[str, np.ndarray]:
    rows = [row for row, _ in shown]
    return {
        "segmentation/image": np.asarray(for_display(jnp.asarray(cache.images[rows]))),
        "segmentation/truth": np.asarray(cache.masks)[rows],
        "segmentation/prediction": np.stack([prediction for _, prediction in shown]).astype(np.uint8),
    }


def _beat(
    predict: Callable[[Batch], jax.Array], cache: Cache, volume: Sequence[int], batch: int
) -> dict[str, np.ndarray]:
    """The middle slice of a volume in all frames, those without true masks too; nothing where there is one alone."""
    middle = volume[len(volume) // 2]
    alike = [cache.table[name] == cache.table[name][middle] for name in ("subject", "study", "view", "slice")]
    rows = np.flatnonzero(np.all(alike, axis=0))
    _, in_time = np.unique(cache.table["phase"][rows], return_index=True)
    if len(in_time) < 2:
        return {}
    rows = rows[in_time[np.unique(np.linspace(0, len(in_time) - 1, FRAMES).round().astype(int))]]
    masks = [each.argmax(-1) for each in outputs(predict, cache, rows, batch)]
    return {
        "cine/image": np.asarray(for_display(jnp.asarray(cache.images[rows]))),
        "cine/prediction": np.stack(masks).astype(np.uint8),
    }
