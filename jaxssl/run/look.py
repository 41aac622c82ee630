"""`probe` and `report`: what a finished run has learned."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from jaxssl import config
from jaxssl.data.plan import label
from jaxssl.data.source import Source
from jaxssl.errors import UserError
from jaxssl.evaluate.knn import knn_accuracy
from jaxssl.evaluate.linear import Samples, linear_probe
from jaxssl.reporting import write_report
from jaxssl.reporting.compare import ENOUGH, Row, comparison
from jaxssl.reporting.read import read_runs
from jaxssl.run.common import console_of, load_run, opened
from jaxssl.run.embedding import of_rows
from jaxssl.run.encoder import encoder_of
from jaxssl.run.table import write_table
from jaxssl.workdir import existing

Folder = Annotated[Path, tyro.conf.Positional]


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
    loaded = load_run(workdir, lambda sentence: console.print(f"Warning: {sentence}"))
    source = opened(loaded.recipe.data, console)
    arrays = of_rows(encoder_of(loaded, workdir), source.cache, source.rows(source.cache.names["subject"]))
    write_table(workdir.path / "embedding.npz", arrays)
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


def _samples(source: Source, arrays: dict[str, np.ndarray], subjects: tuple[str, ...], target: str) -> Samples:
    """The embeddings of these subjects whose label is known."""
    codes = label(source.cache, target)[arrays["id"]]
    chosen = np.isin(arrays["subject"], subjects) & (codes >= 0)
    return Samples(arrays["embedding"][chosen], codes[chosen], arrays["subject"][chosen])
