"""The card beside exported networks: what they are, what an image needs first, and what is known of them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined

from jaxssl import config
from jaxssl.reporting import words
from jaxssl.reporting.read import Run, read_runs
from jaxssl.reporting.results import Segmentation
from jaxssl.version import __version__

CARD = "README.md"
MARK = "<!-- Written by jaxssl export -->\n"
"""How a card begins, by which a later export knows that it may replace it."""


class Program(Protocol):
    """What an ONNX file gives for one image, and its largest difference from JAX; none where they were not compared."""

    @property
    def output(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def difference(self) -> float | None: ...


@dataclass(frozen=True)
class Torch:
    """What torch calls a network of a file's names, and the Python that builds and loads it with timm."""

    network: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Product:
    """What was exported."""

    format: str
    path: Path
    parts: tuple[str, ...]
    step: int
    licence: str
    """Of the images that were learnt from, as their store has it; empty where it is gone."""
    shown: str = ""
    """What of each image training showed; empty where that was all."""
    torch: Torch = Torch()
    program: Program | None = None
    """Of an ONNX file."""


def write_card(folder: Path, run: Path, product: Product) -> Path:
    """Write README.md about this product of a run, from the run's own files."""
    found = read_runs([run])[0]
    environment = Environment(
        loader=PackageLoader("jaxssl.reporting"),
        autoescape=False,  # noqa: S701 - Markdown, shown by whoever has the file
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cell": _cell,
        "fixed": words.fixed,
        "thousands": words.thousands,
        "millions": words.millions,
        "duration": words.duration,
        "listed": words.listed,
    }
    with product.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    text = environment.get_template("card.md").render(_context(found, run, product), sha256=digest)
    path = folder / CARD
    path.write_text(MARK + text, encoding="utf-8", errors="replace")
    return path


def _context(found: Run, run: Path, product: Product) -> dict[str, Any]:
    """What the template is given."""
    facts, recipe = config.read_json(run / "run.json"), config.read_json(run / "recipe.json")
    return {
        "product": product,
        "size": product.path.stat().st_size,
        "label": found.label,
        "facts": found.facts,
        "data": facts["data"],
        "channels": facts["channels"],
        "classes": facts["classes"],
        "seen": facts["subjects_seen"],
        "before": _before(facts),
        "model": str(recipe["model"]["kind"]).rpartition(":")[2],
        "layout": recipe["data"]["layout"],
        "options": recipe["data"],
        "precision": recipe["train"]["precision"],
        "recipe": json.dumps(recipe, indent=1),
        "evaluation": found.judged if isinstance(found.judged, Segmentation) else None,
        "probe": found.probes[0] if found.probes else None,
        "version": __version__,
    }


def _before(facts: Mapping[str, Any]) -> str:
    """What the run started from."""
    if not facts.get("init"):
        return "random weights"
    begin = f"{words.listed(facts.get('init_parts', ()))} of {facts['init']}"
    file = facts.get("init_weights")
    if not file:
        return begin
    # Every run of a chain knows the file at the chain's beginning.
    between = "" if file["file"] == facts["init"] else f", which began from {file['file']}"
    return f"{begin}{between} (sha256 {file['sha256']})"


def _cell(value: object) -> str:
    """Text that stays within its cell of a table."""
    return " ".join(str(value).split()).replace("|", "\\|")
