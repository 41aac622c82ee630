"""What pretraining has learnt so far: now and then a kNN and a linear probe of its encoder, beside the loss.

A curve to follow and not a result: few images, no choice of a penalty, and no test subject, which `jaxssl probe` opens.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from rich.console import Console
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jaxssl.data import draws
from jaxssl.data.cache import Cache
from jaxssl.data.columns import LABEL
from jaxssl.data.plan import Rows, label
from jaxssl.data.source import Source
from jaxssl.errors import UserError
from jaxssl.evaluate.classify import count_by_class, unit_of
from jaxssl.evaluate.embed import embed
from jaxssl.evaluate.knn import knn_accuracy
from jaxssl.evaluate.metrics import accuracy
from jaxssl.methods import parts
from jaxssl.methods.base import Batch, Method
from jaxssl.recipe import Recipe
from jaxssl.train.loop import Hook, Tick, Train
from jaxssl.train.mesh import own_places, put_batch, replicated
from jaxssl.train.processes import is_first
from jaxssl.train.state import State, evaluated

TIMES = 10
"""Looks in a run that does not say how many."""

TRAINING, VALIDATION = 96, 64
"""Images at most, the same for every run on a store. On a CPU one that is embedded costs about an eighth of one that is
trained on."""

NEIGHBOURS, TEMPERATURE, L2 = 20, 0.07, 1.0

SEEN = ("image", "mean", "std")
"""What an encoder takes of a batch."""


class Labelled(NamedTuple):
    """Images of one part, spread over its subjects, and their classes."""

    rows: Rows
    codes: Int[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class OnlineProbe:
    """Adds "probe/knn" and "probe/linear" to what is logged, accuracies on images of validation subjects, and
    "probe/chance", the most that one answer for all could have. Every process embeds: weights may lie across them."""

    encode: Callable[[State, Batch], Float[Array, "batch dim"]]
    cache: Cache
    training: Labelled
    validation: Labelled
    batch: int
    every: int

    def __call__(self, tick: Tick) -> None:
        if tick.step % self.every and tick.step != tick.steps:
            return
        # The step may still be under way: what is left of it is none of the probe's time.
        values, began = tick.values, time.perf_counter()
        rows = np.concatenate([self.training.rows, self.validation.rows])
        embeddings = embed(partial(self.encode, tick.state), self.cache, rows, self.batch)
        if is_first():
            scores = _scores(self.training.codes, self.validation.codes, embeddings)
            values.update({f"probe/{name}": value for name, value in scores.items()})
        tick.probed += time.perf_counter() - began


def online_probes(
    recipe: Recipe, source: Source, method: Method, mesh: Mesh, steps: int, console: Console
) -> list[Hook]:
    """The hook; none where it is not wanted, or nobody asked for it and the store has no label that would do."""
    train = recipe.train
    if train.probe_every == 0:
        return []
    try:
        target = _subjects_label(source) if train.probe_label is None else train.probe_label
        training, validation = _chosen(source, target)
    except UserError:
        if train.probe_every is None and train.probe_label is None:
            return []
        raise
    every = train.probe_every or _tenth(steps, train)
    batch = train.batch // train.micro_batches
    k = min(NEIGHBOURS, len(training.rows))
    console.print(
        f"Probed every {every} steps for {target}: kNN (k={k}, T={TEMPERATURE}) and ridge regression, "
        f"{len(training.rows)} images of training and {len(validation.rows)} of validation subjects."
    )
    return [OnlineProbe(_encoder(recipe, method, mesh, batch), source.cache, training, validation, batch, every)]


def _tenth(steps: int, train: Train) -> int:
    """A tenth of the run, rounded up to steps that are logged."""
    return train.log_every * -(-steps // (TIMES * train.log_every))


def _subjects_label(source: Source) -> str:
    """`group`, or the first other label that each training subject has one value of, shared with others."""
    cache, rows = source.cache, source.rows(source.training_subjects)

    def will_do(name: str) -> bool:
        subjects, codes = cache.table["subject"][rows], label(cache, name)[rows]
        counts = count_by_class(subjects, codes, "subject", classes=0)
        return unit_of(subjects, codes) == "subject" and 2 <= int(np.count_nonzero(counts)) <= int(counts.sum()) // 2

    names = [column.removeprefix(LABEL) for column in cache.table if column.startswith(LABEL)]
    # How its publisher has divided a set is no property of a subject.
    candidates = sorted(set(names) - {"split"}, key=lambda name: (name != "group", name))
    if found := next(filter(will_do, candidates), None):
        return found
    raise UserError(f"No label of {cache.store} tells subjects apart; name one as train.probe_label.")


def _chosen(source: Source, target: str) -> tuple[Labelled, Labelled]:
    """Images whose label is known, of training and of validation subjects."""
    codes = label(source.cache, target)

    def of(subjects: tuple[str, ...], most: int) -> Labelled:
        rows = source.rows(subjects)
        rows = _in_turn(source.cache, rows[codes[rows] >= 0])[:most]
        return Labelled(rows, codes[rows])

    training, validation = of(source.training_subjects, TRAINING), of(source.split.validation, VALIDATION)
    if len(np.unique(training.codes)) < 2 or not len(validation.codes):
        raise UserError(
            f"A probe wants two values of {target} among the training subjects and one known among the validation "
            "subjects; choose another train.probe_label, or set train.probe_every 0."
        )
    return training, validation


def _in_turn(cache: Cache, rows: Rows) -> Rows:
    """One image of each subject, then another of each, and so on, at random but the same for every run."""
    mixed = rows[draws.order(len(rows), "online probe")]
    subjects = cache.table["subject"][mixed]
    turn = np.zeros(len(mixed), np.int64)
    for subject in np.unique(subjects):
        turn[subjects == subject] = np.arange(np.sum(subjects == subject))
    return mixed[np.argsort(turn, kind="stable")]


def _encoder(recipe: Recipe, method: Method, mesh: Mesh, batch: int) -> Callable[[State, Batch], jax.Array]:
    """What is handed on of a state, its encoder, as a function of whole batches; compiled at its first use."""
    encoder, places = recipe.model.encoder(dtype=recipe.train.dtype, rows=1), own_places(mesh, batch)

    def embedding(state: State, images: Batch) -> Float[Array, "batch dim"]:
        variables = method.parts(*evaluated(state.params, state.carry, state.average))["encoder"]
        # Each device computes with the whole encoder on its own samples, as in training.
        variables = jax.lax.with_sharding_constraint(variables, replicated(mesh))
        pixels = parts.standardised(images)
        return parts.evaluate(encoder, variables["params"], variables["statistics"], pixels).embedding

    program = jax.jit(embedding, out_shardings=replicated(mesh))
    return lambda state, images: program(state, put_batch(mesh, {name: images[name][places] for name in SEEN}))


def _scores(
    known: Int[np.ndarray, " n"], asked: Int[np.ndarray, " m"], embeddings: Float[np.ndarray, "n+m dim"]
) -> dict[str, float]:
    """Accuracies on the images that come last, learnt from the first; nan where a diverged encoder gives no numbers.

    The linear probe is a ridge regression of +-1 on standardised features, which has a closed form.
    """
    chance = float(np.max(np.bincount(asked)) / len(asked))
    if not np.isfinite(embeddings).all():
        return {"knn": float("nan"), "linear": float("nan"), "chance": chance}
    train, test = np.split(embeddings.astype(np.float64), [len(known)])
    k = min(NEIGHBOURS, len(known))
    near = knn_accuracy(train, known, test, asked, k=k, temperature=TEMPERATURE)
    linear = make_pipeline(StandardScaler(), RidgeClassifier(alpha=L2 * len(known))).fit(train, known)
    return {"knn": near.top1, "linear": accuracy(np.asarray(linear.predict(test)), asked), "chance": chance}
