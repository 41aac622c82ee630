"""`bench step --against`: the same step on the same views in PyTorch, by turns."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console

from jaxssl import config
from jaxssl.bench.sides import OURS, Against, Process, ours, peer
from jaxssl.data.record import CINE_CLASSES
from jaxssl.methods import dino
from jaxssl.methods.base import Progress
from jaxssl.models.vit import ViT
from jaxssl.recipe import Recipe
from jaxssl.run.comparing import compared, tell

Arrays = Mapping[str, np.ndarray]
BOUNDS = {"float32": (1e-5, 1e-3), "bfloat16": (1e-2, 0.1)}
"""How far losses and gradients may lie apart, of the loss and of the gradient's norm."""
RECTIFIED = 0.03
"""The same for gradients through rectifiers, which are known less well: where rounding turns a millionth of them over,
a thousandth of the norm changes in each layer. Of jaxssl itself, compiled with and without optimisation, a ResNet-18's
gradient differed by .002 of its norm, and that of a U-Net of seven levels by .012."""
PEER, COMPILED = "torch", "torch.compile"


def step_against(
    recipe: Recipe, against: Against, rounds: int, seconds: float, out: Path, console: Console
) -> dict[str, Any]:
    """Forward and backward pass, optimiser and teacher of both, from the same weights; views are made beforehand."""
    with tempfile.TemporaryDirectory() as folder:
        config.save(recipe, Path(folder) / "recipe.json")
        sides = [ours("jaxssl.run.sides", {"side": "step", "recipe": f"{folder}/recipe.json"})]
        for name in (PEER, COMPILED) if against.against == COMPILED else (PEER,):
            options = _told(recipe) | {"compiled": name == COMPILED}
            sides.append(peer(name, "step.py", options, against.python))
        record = compared(
            sides,
            lambda processes: _check(processes, Path(folder), _bounds(recipe)),
            against.threads,
            rounds,
            seconds,
            console,
        )
    record |= {"bench": "step", "recipe": recipe.name, "batch": recipe.train.batch, "options": config.to_dict(recipe)}
    title = f"Step of {recipe.name} on views that are there, batch {recipe.train.batch}, {recipe.train.precision}"
    tell(record, "a step", title, out, "against", console)
    return record


def _bounds(recipe: Recipe) -> tuple[float, float]:
    of_loss, of_gradient = BOUNDS[recipe.train.precision]
    return of_loss, of_gradient if isinstance(recipe.model, ViT) else max(of_gradient, RECTIFIED)


def _told(recipe: Recipe) -> dict[str, Any]:
    """What the peer is told: options, and what follows from them at the first step."""
    heat = None
    if isinstance(recipe.method, dino.Options):
        heat = float(dino.teacher_temperature(recipe.method, Progress(jax.numpy.int32(0), 1, jax.numpy.float32(0))))
    return {"recipe": config.to_dict(recipe), "classes": len(CINE_CLASSES), "heat": heat}


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as saved:
        return dict(saved)


def _check(processes: Mapping[str, Process], folder: Path, bounds: tuple[float, float]) -> str | None:
    """Loss and gradient of jaxssl, and of each peer in turn, whose gradients all lie in one file."""
    here = processes[OURS].check(folder)
    own = _arrays(folder / "jaxssl.npz")
    for name, process in processes.items():
        if name == OURS:
            continue
        there = process.check(folder)["loss"]
        if found := _difference(here, there, own, _arrays(folder / "torch.npz"), bounds):
            return f"{found}, in {name}"
    return None


def _difference(here: float, there: float, own: Arrays, theirs: Arrays, bounds: tuple[float, float]) -> str | None:
    """By every parameter; what only jaxssl has must have no gradient."""
    if missing := theirs.keys() - own.keys():
        return f"torch trains {', '.join(sorted(missing))}, and jaxssl does not"
    of_loss, of_gradient = bounds
    if abs(there - here) > of_loss * abs(here):
        return f"the loss is {there} there and {here} here"
    apart = {name: float(np.linalg.norm(own[name] - theirs.get(name, 0))) for name in own}
    norm = float(np.linalg.norm([np.linalg.norm(gradient) for gradient in own.values()]))
    if np.linalg.norm(list(apart.values())) > of_gradient * norm:
        return f"gradients of norm {norm:.3g} differ, most by {max(apart, key=apart.__getitem__)}"
    return None
