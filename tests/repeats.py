"""Runs that differ in their seeds alone, and what the tests of a report change and expect of them."""

import json

import numpy as np

SEEDS = ((0, 0), (0, 1), (1, 0))
"""Label subset and seed of each run of an arm."""


def edited(folder, file="evaluation.json", **changes):
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | changes))
    return folder


def runs_of(make_run, name, **about):
    """A run for each subset and seed."""
    folders = []
    for subset, seed in SEEDS:
        folder = make_run(f"{name}-{subset}{seed}", verb="finetune", seed=seed, parts=("evaluation",), **about)
        recipe = json.loads((folder / "recipe.json").read_text())
        recipe["data"]["subset_seed"] = subset
        (folder / "recipe.json").write_text(json.dumps(recipe))
        folders.append(edited(folder, subset_seed=subset))
    return folders


def dice_of(folder):
    """By subject, averaged over its volumes and classes."""
    rows = {}
    for entry in json.loads((folder / "evaluation.json").read_text())["subjects"]:
        rows.setdefault(entry["subject"], []).append(entry["dice"])
    return np.array([np.mean(rows[subject]) for subject in sorted(rows)])
