"""`embed`, `probe` and `report`: what a finished run has learned."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import tyro
from rich.console import Console

from jaxssl import config
from jaxssl.data.plan import label
from jaxssl.data.source import Source
from jaxssl.errors import UserError
from jaxssl.evaluate.embed import embed as embed_rows
from jaxssl.evaluate.knn import knn_accuracy
from jaxssl.evaluate.linear import Samples, linear_probe
from jaxssl.methods import parts
from jaxssl.methods.base import Batch
from jaxssl.reporting import write_report
from jaxssl.reporting.compare import ENOUGH, Row, comparison
from jaxssl.reporting.read import read_runs
from jaxssl.run.common import LoadedRun, console_of, load_run, opened
from jaxssl.workdir import Workdir, existing

Folder = Annotated[Path, tyro.conf.Positional]
BATCH = 64


def embed(run: Folder, out: Path | None = None) -> Path:
    """Embed every image of the run's views and subjects by its encoder.

    Args:
        run: Folder of a finished run.
        out: Where to write; embedding.npz in the run's folder unless given.
    """
    console, workdir = console_of(None), existing(run)
    loaded, source = _load(workdir, console)
    arrays = _embedding(loaded, source)
    path = workdir.write_arrays("embedding.npz", arrays) if out is None else _write(out, arrays)
    console.print(f"{len(arrays['id'])} embeddings of {arrays['embedding'].shape[1]} numbers in {path}.")
    return path


def probe(run: Folder, target: str = "group", k: int = 20, temperature: float = 0.07) -> dict:
    """Say by kNN and by a linear probe how well the frozen encoder tells the classes of a label apart.

    Args:
        run: Folder of a finished run.
        target: The label, such as group or vendor.
        k: Neighbours of the kNN.
        temperature: Of the neighbours' votes.
    """
    if k < 1 or temperature <= 0:
        raise UserError(f"A kNN needs k of at least 1 and a temperature above 0, not {k} and {temperature}.")
    console, workdir = console_of(None), existing(run)
    loaded, source = _load(workdir, console)
    arrays = _embedding(loaded, source)
    workdir.write_arrays("embedding.npz", arrays)
    train, validation, test = (
        _samples(source, arrays, subjects, target)
        for subjects in (source.split.train, source.split.validation, source.split.test)
    )
    neighbours = knn_accuracy(train.features, train.labels, test.features, test.labels, k=k, temperature=temperature)
    linear = linear_probe(train, validation, test)
    result = {
        "target": target,
        "unit": "image",
        "classes": source.cache.names[f"label/{target}"],
        "n_train": len(train.labels),
        "n_test": len(test.labels),
        "subjects_test": len(set(test.subjects.tolist())),
        "knn": {"k": k, "temperature": temperature, "accuracy": neighbours.top1},
        "linear": asdict(linear),
        "chance": linear.chance,
    }
    config.write_json(result, workdir.path / "probe.json")
    console.print(
        f"{target}: kNN (k={k}, T={temperature}) {neighbours.top1:.3f}, "
        f"linear (l2={linear.l2:g}) {linear.accuracy:.3f}, always the most frequent class {linear.chance:.3f}; "
        f"{len(test.labels)} test images of {result['subjects_test']} subjects.",
    )
    return result


def report(runs: Annotated[tuple[Path, ...], tyro.conf.Positional], out: Path = Path("report.html")) -> Path:
    """Write one self-contained HTML page about one or many runs.

    Args:
        runs: Folders of runs.
        out: The page.
    """
    console = console_of(None)
    # `runs/*` may well catch a page or a folder of runs.
    others = [run for run in runs if run.exists() and not (run / "run.json").exists()]
    if others and len(others) < len(runs):
        console.print(f"Passed over, being no run folders: {', '.join(map(str, others))}.")
        runs = tuple(run for run in runs if run not in others)
    page = write_report(runs, out)
    for row in comparison(read_runs(runs)):
        console.print(_in_words(row))
    console.print(f"The page is {page}.")
    return page


def _in_words(row: Row) -> str:
    """One evaluated run in a sentence."""
    evaluation = row.evaluation
    sentence = (
        f"{row.run.label}: Dice {evaluation.mean:.3f} on {len(evaluation.dice)} test subjects of {evaluation.data}, "
        f"{evaluation.training_subjects} labelled, {row.origin}"
    )
    if row.paired is None:
        return f"{sentence}."
    paired = row.paired
    if len(paired.differences) < 2:
        return f"{sentence}; against scratch {paired.mean:+.3f} (one subject gives no interval)."
    few = f"; {len(paired.differences)} subjects are few for an interval" if len(paired.differences) < ENOUGH else ""
    return (
        f"{sentence}; against scratch {paired.mean:+.3f} (95% interval {paired.low:+.3f} to {paired.high:+.3f}{few})."
    )


def _load(workdir: Workdir, console: Console) -> tuple[LoadedRun, Source]:
    loaded = load_run(workdir, lambda sentence: console.print(f"Warning: {sentence}"))
    return loaded, opened(loaded.recipe.data, console)


def _embedding(loaded: LoadedRun, source: Source) -> dict[str, np.ndarray]:
    """Embeddings of the run's images, and what is known of each."""
    rows = source.rows(source.cache.names["subject"])
    encode = _encoder(loaded)
    named = {
        name: np.asarray(source.cache.names[name])[source.cache.table[name][rows]]
        for name in ("subject", "view", "moment")
    }
    labels = {
        name.removeprefix("label/"): np.asarray([*source.cache.names[name], ""])[codes[rows]]
        for name, codes in source.cache.table.items()
        if name.startswith("label/")
    }
    return {"embedding": embed_rows(encode, source.cache, rows, BATCH), "id": rows, **named, **labels}


def _encoder(loaded: LoadedRun) -> Callable[[Batch], jax.Array]:
    encoder = loaded.recipe.model.encoder(dtype=loaded.recipe.train.dtype, rows=1)
    variables = loaded.parts["encoder"]

    @jax.jit
    def encode(batch: Batch) -> jax.Array:
        images = parts.standardised(batch)
        return parts.evaluate(encoder, variables["params"], variables["statistics"], images).embedding

    return encode


def _samples(source: Source, arrays: dict[str, np.ndarray], subjects: tuple[str, ...], target: str) -> Samples:
    """The embeddings of these subjects whose label is known."""
    codes = label(source.cache, target)[arrays["id"]]
    chosen = np.isin(arrays["subject"], subjects) & (codes >= 0)
    return Samples(arrays["embedding"][chosen], codes[chosen], arrays["subject"][chosen])


def _write(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Workdir(path.parent).write_arrays(path.name, arrays)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); choose another --out.") from error
