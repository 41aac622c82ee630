"""`probe`: what a finished run has learned, asked of its frozen encoder."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from jaxssl import config
from jaxssl.data.plan import label
from jaxssl.data.source import Source
from jaxssl.errors import UserError
from jaxssl.evaluate.classify import Unit, cases_of, unit_of
from jaxssl.evaluate.knn import knn_accuracy
from jaxssl.evaluate.linear import Samples, linear_probe
from jaxssl.evaluate.metrics import measures
from jaxssl.evaluate.representation import represent
from jaxssl.recipe import Recipe
from jaxssl.run.common import load_run, opened_again, refuse_unfinished
from jaxssl.run.embedding import of_rows
from jaxssl.run.encoder import encoder_of
from jaxssl.run.openings import begun, opening, tested
from jaxssl.run.table import write_table
from jaxssl.run.terminal import console_of, warner
from jaxssl.workdir import Workdir, existing

Folder = Annotated[Path, tyro.conf.Positional]


def probe(run: Folder, target: str = "group", k: int = 20, temperature: float = 0.07) -> dict:
    """Say by kNN and by a linear probe how well the frozen encoder tells the classes of a label apart.

    Each image is asked about by itself; where the label is the subject's, each subject as well, by the mean of the
    probabilities of all their images.

    >>> found = jaxssl.probe("runs/mim", target="vendor")
    >>> found["target"], found["subjects_test"], 0 <= found["knn"]["accuracy"] <= 1
    ('vendor', 3, True)

    Args:
        run: Folder of a finished run.
        target: The label, such as group or vendor.
        k: Neighbours of the kNN.
        temperature: Of the neighbours' votes.
    """
    if k < 1 or temperature <= 0:
        raise UserError(f"A kNN needs k of at least 1 and a temperature above 0, not {k} and {temperature}.")
    console, workdir = console_of(None), existing(run)
    refuse_unfinished(workdir)
    warn = warner(console)
    loaded = load_run(workdir, warn)
    source = opened_again(loaded, workdir, console)
    _refuse_without(target, source, loaded.recipe)
    codes = label(source.cache, target)
    encoder = encoder_of(loaded, workdir)
    arrays = of_rows(encoder, source.cache, source.rows(source.cache.names["subject"]))
    write_table(workdir.path / "embedding.npz", arrays)
    train, validation, test = (
        _samples(arrays, subjects, codes)
        for subjects in (source.split.train, source.split.validation, source.split.test)
    )
    names = source.cache.names[f"label/{target}"]
    neighbours = knn_accuracy(
        *(train.features, train.labels, test.features, test.labels), k=k, temperature=temperature, classes=len(names)
    )
    linear = linear_probe(train, validation, test, classes=len(names))
    answers = {"knn": neighbours.probabilities, "linear": linear.probabilities}
    found = represent(
        encoder.encode, source.cache, arrays, train=source.split.train, test=source.split.test, batch=encoder.batch
    )
    own = unit_of(source.cache.table["subject"], codes)
    result = {
        "target": target,
        "unit": "image",
        "classes": names,
        "n_train": len(train.labels),
        "n_test": len(test.labels),
        "subjects_test": len(set(test.subjects.tolist())),
        "knn": {"k": k, "temperature": temperature, "accuracy": neighbours.top1},
        "linear": {name: value for name, value in asdict(linear).items() if name != "probabilities"},
        "chance": linear.chance,
        "images": _scores(test, answers, "image"),
        "subjects": _scores(test, answers, "subject") if own == "subject" else None,
        "representation": found.measures,
    }
    with workdir.alone(warn, wait=True):
        workdir.add_pictures(found.pictures)
        result["opening"] = _opening(loaded.recipe, source, result, workdir)
        config.write_json(result, _place(result, workdir))
    ways = {"knn": f"kNN (k={k}, T={temperature})", "linear": f"linear (l2={linear.l2:g})"}
    images = f"{len(test.labels)} test images of {result['subjects_test']} subjects"
    console.print(_probe_in_words(target, images, result["images"], ways))
    if result["subjects"]:
        subjects = f"{result['subjects_test']} test subjects, each the mean of its images"
        console.print(_probe_in_words(target, subjects, result["subjects"], ways))
    return result


def _refuse_without(target: str, source: Source, recipe: Recipe) -> None:
    """Refuse a label that the store has not."""
    if target not in (known := source.store.info.labels):
        others = f"it has {', '.join(known)}: name one by --target" if known else "it has none: nothing can be probed"
        raise UserError(f"{recipe.data.store} has no label {target!r}; {others}.")


def _opening(recipe: Recipe, source: Source, result: dict[str, Any], workdir: Workdir) -> int | None:
    """Of several recipes of a method, and of several k and T, the first that was asked is no choice by the answer."""
    origin, way = begun(workdir)
    method = workdir.facts()["method"]
    question = {"kind": "probe", "target": result["target"], "method": method, "seed": recipe.train.seed}
    question |= {"origin": origin, **tested(source)}
    way = f"{way} {result['knn']['k']} {result['knn']['temperature']}"
    return opening(source.store.path, question, way, workdir.path)


def _place(result: dict[str, Any], workdir: Workdir) -> Path:
    """The first answer stays in probe.json; what is asked otherwise later goes beside it."""
    number = 1
    while (path := workdir.path / ("probe.json" if number == 1 else f"probe-{number}.json")).exists():
        if asked(config.read_json(path)) == asked(result):
            return path
        number += 1
    return path


def asked(result: Mapping[str, Any]) -> tuple[Any, ...]:
    """The target, k and temperature that a file of results answers."""
    neighbours = result.get("knn", {})
    return result.get("target"), neighbours.get("k"), neighbours.get("temperature")


def _scores(test: Samples, answers: Mapping[str, np.ndarray], unit: Unit) -> dict[str, Any]:
    """How good the answers are, and how good one answer for all could be at most."""
    by_way = {way: cases_of(test.subjects, test.labels, found, unit) for way, found in answers.items()}
    truth = by_way["linear"].truth
    return {
        "n": len(truth),
        "chance": float(np.max(np.bincount(truth)) / len(truth)),
        **{way: measures(truth, cases.probabilities) for way, cases in by_way.items()},
    }


def _probe_in_words(target: str, of: str, scores: dict[str, Any], ways: Mapping[str, str]) -> str:
    """What a probe found, by image or by subject, in a sentence."""

    def said(way: str, words: str) -> str:
        auroc = scores[way]["auroc"]
        return f"{words} {scores[way]['accuracy']:.3f}" + ("" if auroc is None else f" (macro AUROC {auroc:.3f})")

    found = ", ".join(said(way, words) for way, words in ways.items())
    return f"{target}, accuracy: {found}, one answer for all at most {scores['chance']:.3f}; {of}."


def _samples(arrays: dict[str, np.ndarray], subjects: tuple[str, ...], codes: np.ndarray) -> Samples:
    """The embeddings of these subjects whose label is known; `codes` are those of the whole cache."""
    codes = codes[arrays["id"]]
    chosen = np.isin(arrays["subject"], subjects) & (codes >= 0)
    return Samples(arrays["embedding"][chosen], codes[chosen], arrays["subject"][chosen])
