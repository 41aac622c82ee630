"""Pretrain by one method with several seeds, and say how well a linear probe of its encoder tells planes or levels
apart, before and after: `learn.py RECIPE FOLDER SEEDS` prints a line of JSON a seed. As users run it: no flags."""

import json
import sys
from pathlib import Path

import numpy as np

import jaxssl
from jaxssl import config
from jaxssl.data.source import Source, open_source
from jaxssl.data.store import open_store
from jaxssl.evaluate.linear import Samples, linear_probe

UNTRAINED = {"optim.lr": 1e-12, "train.steps": 20}
"""Steps that move nothing but running statistics, so that before and after are normalised alike."""

COMMON = {
    "data.layout.size": (32, 32),
    "data.layout.spacing": 5.0,
    "data.fractions": (0.5, 0.1, 0.4),
    "train.batch": 32,
    "train.log_every": 20,
}
SPECIAL = {
    "simclr": {"train.steps": 150},
    "mim": {"train.steps": 400, "method.patch": 8},
    # Of the 36 patches of so small an image a quarter shows too little.
    "mae": {"train.steps": 600, "data.layout.size": (48, 48), "data.layout.spacing": 3.5, "method.ratio": 0.5},
    "dino": {"train.steps": 300, "method.local_size": (16, 16)},
}
ON_HEARTS = ("mim", "pcl", "planes")
"""Methods that are shown hearts, in slices from base to apex; the others see fetal planes."""


def options_of(name: str, store: Path) -> dict:
    """What differs from the method's `small` recipe: less data and smaller images, so that minutes are enough."""
    views = {} if name in ON_HEARTS else {"data.views": tuple(open_store(store).info.views)}
    return {**COMMON, "train.steps": 300, **views, **SPECIAL.get(name, {}), "data.store": str(store)}


def made_store(name: str, folder: Path) -> Path:
    path = folder / "store"
    cine, fetal = jaxssl.CineOptions(32, phases=2, slices=6, seed=1), jaxssl.UltrasoundOptions(32, scans=1, seed=1)
    return jaxssl.data_phantom(path, cine if name in ON_HEARTS else fetal)


def look(run: Path) -> dict[str, float]:
    """What the encoder makes of images: accuracy of a linear probe on the test subjects, of planes or of basal, mid and
    apical slices; and in how many directions embeddings differ, exp(entropy of their singular values)."""
    arrays = np.load(jaxssl.embed(run), allow_pickle=False)
    recipe = config.load(run / "recipe.json")
    source = open_source(recipe.data)
    codes = targets(source)[arrays["id"]]

    def of(subjects: tuple[str, ...]) -> Samples:
        chosen = np.isin(arrays["subject"], subjects) & (codes >= 0)
        return Samples(arrays["embedding"][chosen], codes[chosen], arrays["subject"][chosen])

    probe = linear_probe(of(source.split.train), of(source.split.validation), of(source.split.test))
    singular = np.linalg.svd(arrays["embedding"] - arrays["embedding"].mean(0), compute_uv=False)
    share = singular[singular > 0] / singular.sum()
    return {"accuracy": probe.accuracy, "rank": float(np.exp(-(share * np.log(share)).sum()))}


def targets(source: Source) -> np.ndarray:
    if "label/plane" in source.cache.table:
        return source.cache.table["label/plane"]
    position = source.cache.table["position"]
    return np.where(np.isnan(position), -1, np.minimum(np.nan_to_num(position) * 3, 2)).astype(np.int32)


def main(name: str, folder: Path, seeds: int) -> None:
    store = made_store(name, folder)
    for seed in range(seeds):
        options = {**options_of(name, store), "train.seed": seed}
        before, after = folder / f"{name}-before-{seed}", folder / f"{name}-after-{seed}"
        jaxssl.pretrain(f"{name}:small", before, {**options, **UNTRAINED})
        jaxssl.pretrain(f"{name}:small", after, options)
        last = json.loads((after / "metrics.jsonl").read_text().splitlines()[-1])
        print(json.dumps({"before": look(before), "after": look(after), "last": last}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
