"""`export`: the networks of a run as a file for elsewhere, with a card that says what they are."""

import contextlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxssl import config
from jaxssl.data.store import open_store
from jaxssl.errors import UserError
from jaxssl.models.weights.files import write_file
from jaxssl.models.weights.names import table_of
from jaxssl.models.weights.native import to_native
from jaxssl.models.weights.timm import lines
from jaxssl.models.weights.torch import to_torch
from jaxssl.reporting.card import CARD, MARK, Product, Torch, write_card
from jaxssl.run.common import LoadedRun, load_run
from jaxssl.run.shown import shown
from jaxssl.run.terminal import console_of, warner
from jaxssl.workdir import Workdir, existing

Format = Literal["safetensors", "timm", "onnx"]
FILES = {"safetensors": "model.safetensors", "timm": "model.safetensors", "onnx": "model.onnx"}
EVERYTHING = ("encoder", "decoder", "head")
"""What a segmentation takes, from the image to the masks."""


def export(
    run: Annotated[Path, tyro.conf.Positional],
    format: Format = "safetensors",
    parts: tuple[str, ...] = (),
    out: Path | None = None,
) -> Path:
    """Write the networks of a run as one file for elsewhere, and beside it a card that says what they are.

    >>> folder = jaxssl.export("runs/mim", parts=("encoder",))
    >>> jaxssl.load(folder).width == jaxssl.load("runs/mim").width
    True

    Args:
        run: Folder of a run.
        format: safetensors has jaxssl's names, for --init.weights and jaxssl.load; timm has torch's layout and the
            names of timm; onnx is a program from images to embeddings, or to masks after finetune segment.
        parts: encoder, decoder, head, as many as the run has. Unless given: all for safetensors, the encoder for timm,
            for onnx what gives masks or else the encoder.
        out: The folder to write; RUN/export/FORMAT unless given. An export that lies there is replaced.
    """
    console, workdir = console_of(None), existing(run)
    out = workdir.path / "export" / format if out is None else Path(out)
    _refuse_in_the_way(out)
    _refuse_without_packages(format)
    warn = warner(console)
    loaded = load_run(workdir, warn)
    chosen = _chosen(loaded, format, parts, str(run))
    if not workdir.finished:
        warn(f"{run} is not finished; this is its checkpoint of step {loaded.step}, and the card says so.")
    if seen := shown(loaded.recipe):
        warn(f"in training {run} was shown {seen}. The card says so.")
    with console.status(f"writing {out}"), _replaced(out) as folder:
        path = folder / FILES[format]
        torch, program = Torch(), None
        if format == "onnx":
            from jaxssl.run.onnx import write_onnx

            program = write_onnx(path, loaded, workdir.facts(), chosen, _metadata(loaded, workdir, chosen))
        else:
            torch = _write_tensors(path, loaded, workdir, format, chosen)
        # The library keeps what it writes to the one who wrote it, and this is to be handed on.
        path.chmod(0o644)
        licence = _licence(loaded, workdir)
        product = Product(format, path, chosen, loaded.step, licence, shown(loaded.recipe), torch, program)
        write_card(folder, workdir.path, product)
    console.print(f"{', '.join(chosen)} of {run} and a card in {out}.")
    return out


def _chosen(loaded: LoadedRun, format: Format, parts: tuple[str, ...], run: str) -> tuple[str, ...]:
    """The parts that are asked for, or that make sense for the format, in the order in which images pass them."""
    segments = loaded.method.task == "segmentation"
    if not parts:
        whole = {"safetensors": tuple(loaded.parts), "timm": EVERYTHING[:1], "onnx": EVERYTHING if segments else ()}
        parts = whole[format] or EVERYTHING[:1]
    if unknown := sorted(set(parts) - set(loaded.parts)):
        raise UserError(f"--parts asks for {', '.join(unknown)}, but {run} has {', '.join(sorted(loaded.parts))}.")
    if format == "onnx" and set(parts) not in ({"encoder"}, set(EVERYTHING) if segments else {"encoder"}):
        ways = "the encoder, or encoder, decoder and head together" if segments else "the encoder alone"
        raise UserError(f"An ONNX file of {run} can hold {ways}, not {', '.join(parts)}; choose other --parts.")
    return tuple(sorted(set(parts), key=lambda part: (EVERYTHING.index(part) if part in EVERYTHING else 9, part)))


def _write_tensors(path: Path, loaded: LoadedRun, workdir: Workdir, format: Format, chosen: tuple[str, ...]) -> Torch:
    """Write a safetensors file; what torch and timm have for a network of its names, if anything."""
    variables, model = {part: loaded.parts[part] for part in chosen}, loaded.recipe.model
    # A file of weights may be what another run starts from, which must not be tested on the same subjects.
    told = {**_metadata(loaded, workdir, chosen), "seen": json.dumps(workdir.seen().to_json())}
    if format == "safetensors":
        write_file(path, to_native(variables), {"format": "jaxssl", **told})
        return Torch()
    size = loaded.recipe.data.layout.size
    tensors, more = to_torch(model, variables, size)
    write_file(path, tensors, {"format": "pt", **told, **more})
    table, shapes = table_of(model), {name: tensor.shape for name, tensor in tensors.items()}
    # Where torch has no such network, an encoder goes by our own names.
    if table is None or "encoder" not in chosen or any(name.startswith("encoder.") for name in tensors):
        return Torch()
    return Torch(table.network(shapes) or "", lines(model, shapes, workdir.facts()["channels"], size, FILES[format]))


def _metadata(loaded: LoadedRun, workdir: Workdir, chosen: tuple[str, ...]) -> dict[str, str]:
    """What a file says of itself, as metadata have it: text."""
    facts, layout = workdir.facts(), loaded.recipe.data.layout
    return {
        "jaxssl": facts["jaxssl"],
        "recipe": json.dumps(config.to_dict(loaded.recipe)),
        "parts": json.dumps(chosen),
        "channels": str(facts["channels"]),
        "classes": json.dumps(facts["classes"]),
        "size": json.dumps(layout.size),
        "spacing": json.dumps(layout.spacing),
        "normalisation": "(image - mean) / standard deviation, both of all images of the subject",
        "data": json.dumps(facts["data"]),
        "step": str(loaded.step),
    }


def _licence(loaded: LoadedRun, workdir: Workdir) -> str:
    """What the store says of the licence of its images; nothing where it is gone or another by now."""
    try:
        store = open_store(loaded.recipe.data.store)
    except UserError:
        return ""
    return store.info.licence if store.fingerprint == workdir.facts()["data"]["fingerprint"] else ""


def _refuse_without_packages(format: Format) -> None:
    if format == "onnx" and importlib.util.find_spec("onnx") is None:
        raise UserError("ONNX files are written by the package onnx; install it with: pip install 'jaxssl[export]'.")


def _refuse_in_the_way(out: Path) -> None:
    """What is replaced must be an export, and nothing else must lie beside it."""
    if not out.exists():
        return
    names = {path.name for path in out.iterdir()} if out.is_dir() else {""}
    card = out / CARD
    ours = card.is_file() and card.read_text(encoding="utf-8").startswith(MARK)
    if names and not (ours and names <= {CARD, *FILES.values()}):
        raise UserError(f"{out} is there already and holds more than an export; choose another --out.")


@contextlib.contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `out` when all went well, and is gone otherwise."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror}); choose another --out.") from error
    fresh, old = beside / "new", beside / "old"
    try:
        fresh.mkdir()
        yield fresh
        if out.exists():
            os.replace(out, old)
        os.replace(fresh, out)
    except BaseException:
        if old.exists() and not out.exists():
            os.replace(old, out)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
