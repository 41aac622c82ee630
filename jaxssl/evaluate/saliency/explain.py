"""A classifier explained on the images of held-out subjects: maps against the masks, and against weights drawn anew."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int64

from jaxssl.data.cache import Cache
from jaxssl.data.loader import Gather
from jaxssl.data.plan import Samples
from jaxssl.evaluate.batches import outputs_of
from jaxssl.evaluate.saliency.overlap import Overlap, overlap
from jaxssl.evaluate.saliency.sanity import LIMIT, rank_correlation
from jaxssl.methods.base import Batch, Method, Tree, for_display

EXAMPLES = 8
"""Subjects of whom an image is shown."""

Explanation = Callable[[Method, dict[str, Tree], Batch, jax.Array], jax.Array]
"""(method, variables, batch, target class) -> maps [batch, image, y, x]; compiled and pure."""


@dataclass(frozen=True, eq=False)
class Explainer:
    """A trained classifier, a way to explain it, and the cache that its images lie in.

    Each map is the size of the explanation, whatever its sign, for the class that the trained network finds most
    probable. `masks` says whether the network is shown masks.
    """

    explain: Explanation
    method: Method
    variables: dict[str, Tree]
    cache: Cache
    masks: bool
    batch: int

    def maps(
        self, samples: Samples, variables: dict[str, Tree] | None = None
    ) -> Iterator[Float[np.ndarray, "image y x"]]:
        """The maps of each sample's images, of a network with other `variables` if there are any."""

        def explained(batch: Batch) -> jax.Array:
            target = self._predict(self.variables, batch).argmax(axis=1)
            return jnp.abs(self.explain(self.method, variables or self.variables, batch, target))

        return outputs_of(explained, Gather(self.cache, masks=self.masks), samples, self.batch)

    @cached_property
    def _predict(self) -> Callable[[dict[str, Tree], Batch], jax.Array]:
        assert self.method.predict is not None  # noqa: S101 - for classifiers
        return jax.jit(self.method.predict)


class Scores(NamedTuple):
    """`subjects` has an entry {"subject", "images", "dice", "energy", "pointing", "share"} a subject, ready for JSON.

    `images` were scored, of which `empty` had maps that are 0 everywhere; `left_out` have an empty mask, or
    none. `pictures` has an image of each of the first few subjects: "saliency/image" and "saliency/map" float32 in
    0..1, "saliency/mask" uint8, [n, y, x] each.
    """

    subjects: list[dict[str, Any]]
    images: int
    empty: int
    left_out: int
    pictures: dict[str, np.ndarray]


def score_subjects(explainer: Explainer, samples: Samples) -> Scores:
    """The overlap of every image's map with its mask, as the mean over the images of each subject.

    Masks are those of the cache, true or predicted, and serve for scoring and showing only.
    """
    cache = explainer.cache
    assert cache.masks is not None  # noqa: S101 - the caller refuses a store without
    found: dict[str, list[Overlap]] = defaultdict(list)
    shown: dict[str, tuple[int, np.ndarray]] = {}
    empty, left_out = 0, 0
    for rows, maps in zip(image_rows(samples), explainer.maps(samples), strict=True):
        for row, values in zip(rows.tolist(), maps, strict=True):
            mask = cache.masks[row] > 0
            if not mask.any():
                left_out += 1
                continue
            name = cache.names["subject"][cache.table["subject"][row]]
            found[name].append(overlap(values, mask))
            empty += not values.any()
            if _better(cache, row, shown, name):
                shown[name] = (row, values)
    subjects = [
        {"subject": name, "images": len(own), **Overlap(*np.mean(own, axis=0).tolist())._asdict()}
        for name, own in sorted(found.items())
    ]
    return Scores(
        subjects, sum(row["images"] for row in subjects), empty, left_out, _pictures(cache, [*shown.values()])
    )


def compare_with_chance(
    explainer: Explainer, samples: Samples, drawn: Sequence[dict[str, Tree]]
) -> dict[str, float | int | bool | None]:
    """Spearman's rank correlation of the maps with those of networks `drawn` anew, ready for JSON.

    "all" is with every layer drawn anew, "head" with all but the encoder: the mean over draws of the size of the mean
    over images, so that a network which gives the map and one which gives its inverse do not cancel. `undefined` pairs
    of "all" have a map that is the same everywhere and are left out. `passed` says that "all" lies below LIMIT, and is
    none where no pair is defined. An explanation that does not ask for the head has a "head" of 1.
    """
    own = np.concatenate([*explainer.maps(samples)])

    def against(variables: dict[str, Tree]) -> list[float | None]:
        others = np.concatenate([*explainer.maps(samples, variables)])
        return [rank_correlation(one, other) for one, other in zip(own, others, strict=True)]

    pairs = {
        "all": [against(fresh) for fresh in drawn],
        "head": [against({**fresh, "encoder": explainer.variables["encoder"]}) for fresh in drawn],
    }
    likeness = {name: _likeness(found) for name, found in pairs.items()}
    return {
        **likeness,
        "limit": LIMIT,
        "passed": None if likeness["all"] is None else likeness["all"] < LIMIT,
        "draws": len(drawn),
        "images": len(own),
        "undefined": sum(found.count(None) for found in pairs["all"]),
    }


def image_rows(samples: Samples) -> Int64[np.ndarray, "n image"]:
    """The rows of each sample's images: its own, then its partners'."""
    return np.stack([samples.rows, *samples.partners.values()], axis=1)


def _better(cache: Cache, row: int, shown: dict[str, tuple[int, np.ndarray]], name: str) -> bool:
    """Whether an image is to be shown of its subject: the one with the largest mask, of the first few subjects."""
    assert cache.masks is not None  # noqa: S101 - as above
    if name not in shown:
        return len(shown) < EXAMPLES
    before, _ = shown[name]
    return bool(np.count_nonzero(cache.masks[row]) > np.count_nonzero(cache.masks[before]))


def _pictures(cache: Cache, shown: Sequence[tuple[int, np.ndarray]]) -> dict[str, np.ndarray]:
    if not shown:
        return {}
    assert cache.masks is not None  # noqa: S101 - as above
    rows = [row for row, _ in shown]
    largest = [max(values.max(), np.finfo(values.dtype).tiny) for _, values in shown]
    return {
        "saliency/image": np.asarray(for_display(jnp.asarray(cache.images[rows]))),
        "saliency/map": np.stack([values / top for (_, values), top in zip(shown, largest, strict=True)]).astype(
            np.float32
        ),
        "saliency/mask": np.asarray(cache.masks[rows]),
    }


def _likeness(draws: Sequence[Sequence[float | None]]) -> float | None:
    known = [[value for value in values if value is not None] for values in draws]
    sizes = [abs(np.mean(values)) for values in known if values]
    return float(np.mean(sizes)) if sizes else None
