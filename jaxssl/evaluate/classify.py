"""Classification of held-out subjects: an answer for each patient where the label is theirs, else for each image."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Integer, Shaped

from jaxssl.data.cache import Cache
from jaxssl.data.loader import Gather
from jaxssl.data.plan import Samples
from jaxssl.evaluate.batches import outputs_of
from jaxssl.methods.base import Batch

Unit = Literal["subject", "image"]


class Cases(NamedTuple):
    """Who is asked about, which class is true, and how probable each class was found: one row a unit."""

    subjects: Shaped[np.ndarray, "n"]
    truth: Integer[np.ndarray, "n"]
    probabilities: Float[np.ndarray, "n classes"]


def unit_of(subjects: Shaped[np.ndarray, "n"], codes: Integer[np.ndarray, "n"]) -> Unit:
    """Whose a label is: the subject's if no subject has images of two values; unknown ones (-1) are of no account."""
    known = codes >= 0
    both = np.unique(np.stack([np.unique(subjects[known], return_inverse=True)[1].ravel(), codes[known]]), axis=1)
    return "subject" if both.shape[1] == len(np.unique(both[0])) else "image"


def count_by_class(
    subjects: Shaped[np.ndarray, "n"], codes: Integer[np.ndarray, "n"], unit: Unit, classes: int
) -> Integer[np.ndarray, "classes"]:
    """How many units have each class, of those whose label is known."""
    subjects, codes = subjects[codes >= 0], codes[codes >= 0]
    if unit == "subject":
        codes = codes[np.unique(subjects, return_index=True)[1]]
    return np.bincount(codes, minlength=classes)


def cases_of(
    subjects: Shaped[np.ndarray, "n"],
    truth: Integer[np.ndarray, "n"],
    probabilities: Float[np.ndarray, "n classes"],
    unit: Unit,
) -> Cases:
    """Samples joined to units: a subject's probabilities are the mean of those of its samples; subjects are sorted."""
    if unit == "image":
        return Cases(subjects, truth, probabilities)
    names, first, own, counts = np.unique(subjects, return_index=True, return_inverse=True, return_counts=True)
    sums = np.zeros((len(names), probabilities.shape[1]))
    np.add.at(sums, own.ravel(), probabilities)
    return Cases(names, truth[first], sums / counts[:, None])


def classify_subjects(
    predict: Callable[[Batch], jax.Array],
    cache: Cache,
    samples: Samples,
    codes: Integer[np.ndarray, "rows"],
    *,
    masks: bool,
    batch: int,
) -> Cases:
    """What `predict` says of those samples whose label is known; `codes` has that of every row of the cache.

    `predict` is jitted and gives class probabilities [batch, class] of samples with their partners. It sees masks only
    where it asks for them, and never a label.
    """
    known = codes[samples.rows] >= 0
    asked = Samples(samples.rows[known], {kind: rows[known] for kind, rows in samples.partners.items()})
    answers = np.stack([*outputs_of(predict, Gather(cache, masks=masks), asked, batch)]).astype(np.float64)
    names = np.asarray(cache.names["subject"])[cache.table["subject"][asked.rows]]
    return cases_of(names, codes[asked.rows], answers, unit_of(cache.table["subject"], codes))


def as_json(cases: Cases) -> list[dict[str, Any]]:
    """One entry a case."""
    return [
        {"subject": str(subject), "truth": int(truth), "probabilities": probabilities.tolist()}
        for subject, truth, probabilities in zip(*cases, strict=True)
    ]
