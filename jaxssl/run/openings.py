"""How often the test subjects of a store were looked at: the first answer counts, a later one was chosen knowing it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxssl import config
from jaxssl.data.store import LEDGER
from jaxssl.errors import UserError
from jaxssl.recipe import Recipe, lasting
from jaxssl.workdir import Workdir, existing, now

NOT_CHOICES = ("data.store", "init.run", "init.weights", "name")
"""Where things lie, and what they are called."""


def opening(store: Path, question: Mapping[str, Any], way: str, run: Path) -> int | None:
    """Note that a question was put to the test subjects of a store; which time it is, from 1.

    Asking again in the same way gives the same answer and is no new opening. None where the store cannot be written to,
    so that nobody counts.
    """
    asked = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]
    ways = _ways(store / LEDGER, asked)
    if way in ways:
        return 1 + ways.index(way)
    try:
        with (store / LEDGER).open("a", encoding="utf-8") as ledger:
            # On a line of its own, whatever a full disk has left of the last.
            ledger.write("\n" + json.dumps({"question": asked, "way": way, "run": run.name, "when": now()}))
    except OSError:
        return None
    return 1 + len(ways)


def way_of(recipe: Recipe) -> str:
    """A hash of all choices that lead to a result: the recipe's, and those of the run that it starts from."""
    choices = {name: value for name, value in lasting(config.to_dict(recipe)).items() if name not in NOT_CHOICES}
    before = _before(recipe)
    told = [choices, before and way_of(config.load(before.path / "recipe.json")), recipe.init.weights]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def origin(recipe: Recipe) -> str:
    """What a run starts from, by method: runs that differ in it are compared, and are no second try."""
    before = _before(recipe)
    if before is None:
        return "weights" if recipe.init.weights else "scratch"
    return f"{before.facts().get('method', '')} {' '.join(recipe.init.parts)}"


def _before(recipe: Recipe) -> Workdir | None:
    try:
        return existing(recipe.init.run) if recipe.init.run else None
    except UserError:
        return None


def _ways(ledger: Path, asked: str) -> list[str]:
    """The ways in which a question was put, in their order; a line that a full disk cut off tells nothing."""
    try:
        lines = ledger.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    ways = []
    for line in lines:
        try:
            entry = json.loads(line)
            if entry["question"] == asked:
                ways.append(entry["way"])
        except (ValueError, TypeError, KeyError):
            continue
    return list(dict.fromkeys(ways))
