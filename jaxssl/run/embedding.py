"""`embed`: what an encoder makes of images, in a table."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.console import Console

from jaxssl.data.cache import Cache, open_cache
from jaxssl.data.formats import Unreadable
from jaxssl.data.formats.find import find
from jaxssl.data.formats.prepare import prepared, subjects
from jaxssl.data.plan import Rows
from jaxssl.data.store import SUMMARY, open_store
from jaxssl.errors import UserError
from jaxssl.evaluate.embed import embed as embed_rows
from jaxssl.run.common import load_run, opened
from jaxssl.run.encoder import Encoder, encoder_of
from jaxssl.run.table import check_place, write_table
from jaxssl.run.terminal import bar_on, console_of, warner
from jaxssl.workdir import existing

Place = Annotated[Path, tyro.conf.Positional]
OptionalPlace = Annotated[Path | None, tyro.conf.Positional]


def embed(run: Place, source: OptionalPlace = None, out: Path | None = None) -> Path:
    """Embed images by the encoder of a run.

    Without a source these are the images of the run's own views and moments. Of another store they are all its
    images, whatever their view and moment, standardised by subject. Of any other folder they are its NIfTI, DICOM, PNG,
    JPEG, GIF, AVI and MP4 files and those in the folders below: put on the run's layout by their own spacing, with a
    line for each that could not be read. The files of one DICOM series are standardised together, as a subject; any
    other file is one by itself.

    >>> table = np.load(jaxssl.embed("runs/mim", "scans", out="scans.npz"))
    >>> list(table), table["file"].tolist()
    (['embedding', 'file', 'slice', 'frame', 'spacing'], ['a.png', 'b.png'])

    Args:
        run: Folder of a run.
        source: A store, a folder of images, or an image; the run's own store unless given.
        out: An .npz or .parquet file; embedding.npz in the run's folder unless given, with the source's name if any.
    """
    console, workdir = console_of(None), existing(run)
    name = "embedding.npz" if source is None else f"embedding_{Path(source).resolve().name}.npz"
    path = workdir.path / name if out is None else Path(out)
    check_place(path)
    loaded = load_run(workdir, warner(console))
    encoder = encoder_of(loaded, workdir)
    if source is None:
        data = opened(loaded.recipe.data, console)
        columns = of_rows(encoder, data.cache, data.rows(data.cache.names["subject"]))
    elif (Path(source) / SUMMARY).exists():
        columns = _of_store(encoder, Path(source), console)
    else:
        columns = _of_files(encoder, Path(source), console)
    write_table(path, columns)
    console.print(f"{len(columns['embedding'])} embeddings of {encoder.width} numbers in {path}.")
    return path


def of_rows(encoder: Encoder, cache: Cache, rows: Rows) -> dict[str, np.ndarray]:
    """Embeddings of rows of a cache, and what is known of each."""
    named = {name: np.asarray(cache.names[name])[cache.table[name][rows]] for name in ("subject", "view", "moment")}
    labels = {
        name.removeprefix("label/"): np.asarray([*cache.names[name], ""])[codes[rows]]
        for name, codes in cache.table.items()
        if name.startswith("label/")
    }
    return {"embedding": embed_rows(encoder.encode, cache, rows, encoder.batch), "id": rows, **named, **labels}


def _of_store(encoder: Encoder, path: Path, console: Console) -> dict[str, np.ndarray]:
    store = open_store(path)
    if store.info.channels != encoder.channels:
        raise UserError(
            f"{path} has images of {store.info.channels} channels, and the run was trained on {encoder.channels}; "
            "choose another store or another run."
        )
    with bar_on(console) as bar:
        task = bar.add_task("preparing arrays", visible=False)
        cache = open_cache(
            store, encoder.layout, lambda done, total: bar.update(task, completed=done, total=total, visible=True)
        )
    return of_rows(encoder, cache, np.arange(len(cache)))


def _of_files(encoder: Encoder, source: Path, console: Console) -> dict[str, np.ndarray]:
    """Embeddings of the images of files, and where each comes from; says which files were left out, and why."""
    files, others = find(source)
    columns: dict[str, list[Any]] = defaultdict(list)
    skipped: list[str] = []

    def name(path: Path) -> str:
        return _readable(path.relative_to(source) if source.is_dir() else Path(path.name))

    def skip(path: Path, error: Unreadable) -> None:
        skipped.append(f"{name(path)}: {error}")

    def counted(group: list[Path]) -> Iterator[Path]:
        for path in group:
            yield path
            bar.advance(task)

    def images() -> Iterator[np.ndarray]:
        for group in groups:
            for path, image in prepared(counted(group), encoder.layout, encoder.channels, skip):
                for column, value in (
                    ("file", name(path)),
                    ("slice", image.slice),
                    ("frame", image.frame),
                    ("spacing", image.spacing or (np.nan, np.nan)),
                ):
                    columns[column].append(value)
                yield image.pixels

    with bar_on(console) as bar:
        groups = subjects(bar.track(files, description="reading headers"))
        task = bar.add_task("embedding files", total=len(files))
        embeddings = list(encoder.stream(images()))
    _say(console, columns, skipped, len(others), encoder.spacing)
    if not embeddings:
        raise UserError(f"{source} has no image that can be read; name a store, a folder of images or an image.")
    types = {"slice": np.int32, "frame": np.int32, "spacing": np.float32}
    known = {name: np.asarray(values, types.get(name)) for name, values in columns.items()}
    return {"embedding": np.stack(embeddings), **known}


def _say(
    console: Console, columns: dict[str, list[Any]], skipped: list[str], others: int, spacing: float | None
) -> None:
    """What became of files that are not in the table, or are there on an assumption."""
    sizeless = {file for file, own in zip(columns["file"], columns["spacing"], strict=True) if np.isnan(own[0])}
    if sizeless and spacing is not None:
        console.print(f"Files that do not say their spacing, fitted in as a whole: {len(sizeless)}.")
    if others:
        console.print(f"Files that are no NIfTI, DICOM, PNG, JPEG, GIF, AVI or MP4, passed over: {others}.")
    if skipped:
        console.print(f"Files that could not be read, skipped: {len(skipped)}.", *skipped, sep="\n  ")


def _readable(path: Path) -> str:
    """A path as text that any program can write, whatever bytes are in its name."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")
