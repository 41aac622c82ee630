"""Run folders drawn for the tests: made-up numbers and hearts of ellipses, in the form that `run` writes."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CLASSES = ["RV", "MYO", "LV"]
RECIPE = {
    "kind": "jaxssl.recipe:Recipe",
    "data": {"kind": "jaxssl.data.source:Data", "store": "stores/phantom", "subset_seed": 0, "views": ["sax"]},
    "optim": {"name": "adamw", "lr": 1e-3, "clip": 1.0},
}

MakeRun = Callable[..., Path]
PARTS = ("curves", "pictures", "evaluation", "probe", "embedding")


def heart(rng: np.random.Generator, shape: tuple[int, int] = (96, 112)) -> tuple[np.ndarray, np.ndarray]:
    """A short-axis slice of ellipses and its mask: image [y, x] in 0..1, codes 1 RV, 2 MYO, 3 LV."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    cy, cx, radius = (*(np.array(shape) / 2 + rng.uniform(-6, 6, 2)), rng.uniform(9, 12))
    outer = np.hypot(y - cy, x - cx) / (radius * 1.55)
    inner = np.hypot(y - cy, x - cx) / radius
    right = np.hypot((y - cy) / 1.25, x - cx + radius * 1.6) / (radius * 1.5)
    mask = np.select([inner < 1, outer < 1, right < 1], [3, 2, 1], 0).astype(np.uint8)
    body = np.hypot((y - shape[0] / 2) / shape[0], (x - shape[1] / 2) / shape[1]) < 0.46
    image = np.select([mask == 1, mask == 2, mask == 3, body], [0.85, 0.22, 0.9, 0.35], 0.03) + rng.normal(
        0, 0.03, shape
    )
    return np.clip(image, 0, 1).astype(np.float32), mask


def _lines(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def _curves(folder: Path, rng: np.random.Generator, steps: int) -> None:
    at = np.arange(10, steps + 1, 10)
    _lines(
        folder / "metrics.jsonl",
        [
            {
                "step": int(step),
                "loss": 1.2 + 3 * float(np.exp(-step / 80)) + float(rng.normal(0, 0.04)),
                "learning_rate": 1e-3 * float(np.cos(np.pi / 2 * step / steps)),
                "gradient_norm": float(rng.lognormal(0, 0.2)),
            }
            for step in at
        ],
    )
    _lines(
        folder / "timing.jsonl",
        [
            {"step": int(s), "images_per_second": float(rng.normal(140, 5)), "data_wait": 0.02, "seconds": s / 7}
            for s in at
        ],
    )


def _evaluation(folder: Path, rng: np.random.Generator, level: float, subjects: int, labelled: int, seed: int) -> None:
    difficulty = np.random.default_rng(99).normal(0, 0.04, subjects)
    entries = [
        {
            "subject": f"s{place:02d}",
            "moment": moment,
            "dice": np.clip(level + difficulty[place] + rng.normal([0.0, -0.06, 0.05], 0.02), 0, 1).tolist(),
            "hd95": [None if place == 1 else 4.0 + place, *rng.uniform(2, 9, 2).tolist()],
            "assd": [None if place == 1 else 1.0, *rng.uniform(0.5, 2, 2).tolist()],
            "slices": [{"position": at, "dice": [level - at / 4] * 3} for at in (0.0, 0.5, 1.0)],
        }
        for place in range(subjects)
        for moment in ("ED", "ES")
    ]
    dice = np.array([entry["dice"] for entry in entries])
    content = {
        "kind": "segmentation",
        "unit": "subject",
        "data": "phantom (synthetic)",
        "classes": CLASSES,
        "training_subjects": labelled,
        "subset_seed": 0,
        "seed": seed,
        "subjects": entries,
        "hearts": [
            {
                "subject": f"s{place:02d}",
                "study": "",
                "edv": 150 + place,
                "edv_true": 145.0,
                "ef": 55.0 - place,
                "ef_true": 55.0,
            }
            for place in range(subjects)
        ],
        "mean_dice": float(dice.mean()),
        "per_class": dice.mean(axis=0).tolist(),
        "n": subjects,
    }
    (folder / "evaluation.json").write_text(json.dumps(content))


def _classification(
    folder: Path, rng: np.random.Generator, level: float, subjects: int, labelled: int, seed: int
) -> None:
    truth = np.arange(subjects) % 3
    evidence = rng.normal(size=(subjects, 3)) + 3 * level * np.eye(3)[truth]
    chances = np.exp(evidence) / np.exp(evidence).sum(axis=1, keepdims=True)
    content = {
        "kind": "classification", "on": "test", "target": "group", "unit": "subject", "data": "phantom (synthetic)",
        "classes": ["NOR", "DCM", "HCM"], "training_subjects": labelled, "subset_seed": 0, "seed": seed,
        "cases": [
            {"subject": f"s{place:02d}", "truth": int(truth[place]), "probabilities": chances[place].tolist()}
            for place in range(subjects)
        ],
        "measures": {"auroc": 0.8, "auprc": 0.7, "f1": 0.6, "balanced_accuracy": 0.65, "accuracy": 0.66, "ece": 0.1},
        "n": subjects,
    }  # fmt: skip
    (folder / "evaluation.json").write_text(json.dumps(content))


def _saliency(folder: Path, rng: np.random.Generator, subjects: int = 12) -> dict[str, np.ndarray]:
    content = {
        "kind": "saliency", "map": "gradcam", "on": "test", "target": "group", "masks_by": "segment on x", "images": 24,
        "subjects": [
            {"subject": f"s{place:02d}", "dice": 0.4 + place / 100, "energy": 0.5, "pointing": 1.0, "share": 0.1}
            for place in range(subjects)
        ],
        "n": subjects, "empty": 1, "left_out": 3, "sanity": {"all": 0.12, "limit": 0.3, "passed": True},
    }  # fmt: skip
    (folder / "saliency.json").write_text(json.dumps(content))
    drawn = [heart(np.random.default_rng(place)) for place in range(3)]
    return {
        "saliency/image": np.stack([image for image, _ in drawn]),
        "saliency/map": np.stack([mask / 3 for _, mask in drawn]).astype(np.float32),
        "saliency/mask": np.stack([mask for _, mask in drawn]),
    }


def _neighbours() -> dict[str, np.ndarray]:
    images = np.stack([heart(np.random.default_rng(place))[0] for place in range(8)])
    return {"neighbours/query": images[:2], "neighbours/found": images[2:].reshape(2, 3, *images.shape[1:])}


def _segmentation(rng: np.random.Generator, most: int = 4) -> dict[str, np.ndarray]:
    drawn = [heart(np.random.default_rng(place)) for place in range(most)]
    truth = np.stack([mask for _, mask in drawn])
    shift = rng.integers(-2, 3, size=(most, 2))
    prediction = np.stack([np.roll(mask, by, axis=(0, 1)) for mask, by in zip(truth, shift, strict=True)])
    image = np.stack([image for image, _ in drawn])
    beat = {"cine/image": image, "cine/prediction": prediction}
    return {"segmentation/image": image, "segmentation/truth": truth, "segmentation/prediction": prediction, **beat}


def _pretraining(rng: np.random.Generator, method: str) -> dict[str, np.ndarray]:
    images = np.stack([heart(np.random.default_rng(place))[0] for place in range(6)])
    if method == "simclr":
        return {"views/first": images[:, ::-1], "views/second": np.clip(images * 1.2 - 0.05, 0, 1)}
    hidden = np.kron(rng.random((6, 12, 14)) < 0.6, np.ones((8, 8))).astype(bool)
    return {
        "reconstruction/original": images,
        "reconstruction/masked": np.where(hidden, 0.5, images).astype(np.float32),
        "reconstruction/prediction": np.where(hidden, images * 0.8 + 0.1, images).astype(np.float32),
    }


def _embedding(folder: Path, rng: np.random.Generator, rows: int = 400) -> None:
    view = rng.integers(0, 4, rows)
    moment = rng.integers(0, 3, rows)
    spread = rng.normal(size=(rows, 16)) + 3 * np.eye(16)[view] + 2 * np.eye(16)[moment + 5]
    np.savez(
        folder / "embedding.npz",
        embedding=spread.astype(np.float32),
        id=np.arange(rows),
        subject=np.array([f"s{place % 16:02d}" for place in range(rows)]),
        view=np.array(["sax", "2ch", "3ch", "4ch"])[view],
        moment=np.array(["ED", "ES", ""])[moment],
        group=np.array(["NOR", "DCM", "HCM", "MINF", "RV"])[np.arange(rows) % 16 % 5],
    )


def _probe(folder: Path, level: float) -> None:
    content = {
        "target": "view",
        "classes": ["sax", "2ch", "3ch", "4ch"],
        "n_train": 320,
        "n_test": 96,
        "subjects_test": 19,
        "knn": {"k": 20, "temperature": 0.07, "accuracy": level},
        "linear": {"l2": 1e-3, "accuracy": level + 0.03, "balanced_accuracy": level - 0.05, "tried": []},
        "chance": 0.5,
        "subjects": {"n": 19, "chance": 0.4, "knn": {"auroc": 0.71}, "linear": {"auroc": 0.73}},
        "representation": {
            "images": 96, "subjects": 19, "dim": 16, "rankme": 9.5, "effective_rank": 4.2, "alignment": 0.3,
            "uniformity": -1.7,
            "neighbours": [
                {"view": "sax", "found": [{"view": "2ch", "similarity": 0.9 - place / 10} for place in range(3)]}
                for _ in range(2)
            ],
        },
    }  # fmt: skip
    (folder / "probe.json").write_text(json.dumps(content))


def draw_run(root: Path, name: str, verb: str = "pretrain", method: str = "simclr", init: str | None = None,
             seed: int = 0, level: float = 0.8, subjects: int = 12, labelled: int = 4,
             extra: Mapping[str, Any] | None = None, parts: Sequence[str] = PARTS) -> Path:  # fmt: skip
    """One run folder under `root`/runs."""
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    rng = np.random.default_rng(sum(name.encode()))
    facts = {
        "verb": verb, "name": f"{method}:small", "method": method, "commit": f"{sum(name.encode()):040x}"[::-1],
        "jaxssl": "0.1.0", "jax": "0.10.2", "device": "cpu (2 cores)", "devices": 1,
        "started": "2026-11-21T04:00:00+00:00",
        "finished": "2026-11-21T04:03:12+00:00", "seconds": 192.0, "status": "finished", "init": init,
        "parameters": 1_234_567,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(facts | dict(extra or {})))
    recipe = RECIPE | {"train": {"seed": seed, "steps": 300}, "init": {"run": init}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    if "curves" in parts:
        _curves(folder, rng, 300)
    if "pictures" in parts:
        drawn = {**_pretraining(rng, method), **_neighbours()} if verb == "pretrain" else _segmentation(rng)
        drawn = _saliency(folder, rng) if method == "classify" else drawn
        np.savez(folder / "pictures.npz", allow_pickle=False, **drawn)
    if verb == "finetune" and "evaluation" in parts:
        (_classification if method == "classify" else _evaluation)(folder, rng, level, subjects, labelled, seed)
    if verb == "pretrain" and "probe" in parts:
        _probe(folder, level)
    if verb == "pretrain" and "embedding" in parts:
        _embedding(folder, rng)
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A function that draws one run folder under `tmp_path`/runs."""
    return functools.partial(draw_run, tmp_path)


@pytest.fixture(scope="module")
def lasting_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """The same for runs that several tests only read."""
    return functools.partial(draw_run, tmp_path_factory.mktemp("lasting"))
