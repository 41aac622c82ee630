"""How often the test subjects of a store were looked at: the first answer counts, a later one was chosen knowing it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxssl import config
from jaxssl.data.source import Source
from jaxssl.data.store import LEDGER
from jaxssl.errors import UserError
from jaxssl.recipe import PLACES, Recipe, lasting
from jaxssl.workdir import Workdir, existing, now


def beginnings(recipe: Recipe, source: Source, start: Mapping[str, Any]) -> dict[str, str]:
    """What run.json keeps to count by: "origin" and "way". `start` is what it says of the run's beginning.

    Runs that differ in their origin, the method of the run that they start from and what that was shown, are compared,
    and are no second try. A way is a hash of all choices that lead to a result: the recipe's, who is in which part, and
    those of the run or of the file that it starts from. It is told when the run is begun, since what it starts from may
    be gone later.
    """
    init = recipe.init
    before = existing(init.run).facts() if init.run else {}
    if init.run:
        options = config.read_json(existing(init.run).path / "recipe.json")
        origin = " ".join([before.get("method", ""), *told_apart(options), *init.parts])
    else:
        origin = "weights" if init.weights else "scratch"
    choices = {name: value for name, value in lasting(config.to_dict(recipe)).items() if name not in (*PLACES, "name")}
    file = start.get("init_weights", {}).get("sha256")
    return {"origin": origin, "way": _hash([choices, source.split_fingerprint, before.get("way"), file])}


def told_apart(recipe: Mapping[str, Any]) -> list[str]:
    """What of its options makes another arm of a study, and no second try: which input, and a frozen encoder."""
    method = recipe.get("method", {})
    style = method.get("input", "full")
    return [*([style] if style != "full" else []), *(["frozen"] if method.get("freeze_encoder") else [])]


def begun(folder: Workdir) -> tuple[str, str]:
    """The origin and the way of a run."""
    facts = folder.facts()
    if not {"origin", "way"} <= facts.keys():
        raise UserError(f"{folder.path} was begun before openings of the test subjects were counted; train it again.")
    return facts["origin"], facts["way"]


def tested(source: Source) -> dict[str, Any]:
    """Which test subjects a question is put to, whoever else of the store is trained on.

    A store made from another, with other masks or another label, has the same subjects.
    """
    return {"fingerprint": source.store.lineage[0], "test": _hash(sorted(source.split.test))}


def opening(store: Path, question: Mapping[str, Any], way: str, run: Path) -> int | None:
    """Note that a question was put to the test subjects of a store; which time it is, from 1.

    Asking again in the same way gives the same answer and is no new opening. None where the store cannot be written to,
    so that nobody counts, and nobody has.
    """
    asked = _hash(question)
    ways = _ways(store / LEDGER, asked)
    if way in ways:
        return 1 + ways.index(way)
    try:
        with (store / LEDGER).open("a", encoding="utf-8") as ledger:
            # On a line of its own, whatever a full disk has left of the last.
            ledger.write("\n" + json.dumps({"question": asked, "way": way, "run": run.name, "when": now()}))
    except OSError:
        return 1 + len(ways) if ways else None
    # Of two that ask at once, the ledger knows who came first.
    return 1 + [*_ways(store / LEDGER, asked), way].index(way)


def _hash(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


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
