"""`data split`: who is trained, validated and tested on, written as small files."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from jaxssl.data.divide import Division, divide, values_of
from jaxssl.data.given import given_split
from jaxssl.data.ingest.pseudonym import site_key
from jaxssl.data.splitfile import PARTS, SplitFile
from jaxssl.data.store import open_store
from jaxssl.errors import UserError
from jaxssl.reporting.scores import CANNOT
from jaxssl.run.terminal import bar_on, console_of


def data_split(
    store: Annotated[Path, tyro.conf.Positional],
    out: Path,
    by: str | None = None,
    seed: int = Division.seed,
    fractions: tuple[float, float, float] = Division.fractions,
    sizes: tuple[int, ...] = Division.sizes,
    seeds: int = Division.seeds,
    shift: tuple[str, ...] = Division.shifts,
    csv: Path | None = None,
    key: Path | None = None,
) -> Path:
    """Divide the subjects of a store, once and for all runs, into files that --data.split reads.

    Beside the whole split there are subsets of its training subjects for few labels, the smaller within the larger, and
    shifts: training on some values of a label or one moment of the beat, and test on the others.

    >>> folder = jaxssl.data_split("stores/hearts", "splits/hearts", sizes=(2,), seeds=1, shift=("phase",))
    >>> sorted(path.name for path in folder.iterdir())
    ['phase-ED.json', 'phase-ES.json', 'split.json', 'subset-2-seed0.json']

    Args:
        store: Folder of the store.
        out: Folder for the files, which must not be there yet.
        by: A label whose values are to have the same share in each part and subset.
        seed: Another seed divides otherwise.
        fractions: Shares of training, validation and test.
        sizes: Training subjects of the subsets; more than there are is left out.
        seeds: Subsets of each size.
        shift: LABEL=value,value trains on these values and tests on them and on all others, and the other way round;
            phase trains on ED, or on ES.
        csv: A table that says already who is in which part, in place of fractions and seed: its columns are subject, by
            the names that the source has, and split, which is train, validation or test.
        key: The key that the store was ingested with, by which it knows these names; the usual one unless given.
    """
    store, out, console = Path(store), Path(out), console_of(None)
    if seed < 0 or seeds < 0 or min(sizes, default=1) < 1:
        raise UserError("--seed and --seeds must be at least 0, and --sizes at least 1.")
    if csv is not None and (tuple(fractions), seed) != (Division.fractions, Division.seed):
        raise UserError("--csv says who is in which part: leave --fractions and --seed as they are.")
    if out.exists():
        raise UserError(f"{out} exists already: runs may depend on it, so give another folder.")
    opened = open_store(store)
    with bar_on(console) as bar:
        task = bar.add_task("reading labels", total=len(opened))
        values = values_of(opened, lambda done, total: bar.update(task, completed=done))
    parts = None if csv is None else given_split(csv, opened, site_key(key, store)[0] if opened.info.key_id else None)
    files = divide(opened, values, Division(fractions, seed, by, tuple(sizes), seeds, tuple(shift), parts))
    _write(files, out)
    _tell(files, out, console)
    usual = "" if csv or tuple(fractions) != Division.fractions else "; --fractions 0.4 0.3 0.3 would make more"
    for part, use in (("validation", "to choose by"), ("test", "to ask in the end")):
        few = len(getattr(files["split"].parts, part))
        if few < CANNOT and (few or csv):
            said = f"{few} {part} subject{'' if few == 1 else 's'} {use}"
            console.print(f"{said}: fewer than {CANNOT} can show no difference{usual}.")
    if left := sorted(size for size in set(sizes) if size > len(files["split"].parts.train)):
        console.print(f"No subsets of {', '.join(map(str, left))}: so many are not in training.")
    return out


def _write(files: Mapping[str, SplitFile], out: Path) -> None:
    """All files or none."""
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        for name, file in files.items():
            file.write(unfinished / f"{name}.json")
        unfinished.chmod(0o755)
        unfinished.rename(out)
    except BaseException:
        shutil.rmtree(unfinished)
        raise


def _tell(files: Mapping[str, SplitFile], out: Path, console: Console) -> None:
    """How many subjects each file has in each part, and of which kinds they are."""
    table = Table("file", *PARTS, title=str(out), title_justify="left")
    for name, file in files.items():
        table.add_row(f"{name}.json", *(str(len(getattr(file.parts, part))) for part in PARTS))
    console.print(table)
    for label, parts_of in files["split"].made["strata"].items():
        for part, counts in parts_of.items():
            said = ", ".join(f"{count} {value}" for value, count in counts.items())
            console.print(f"{part}, by {label}: {said or 'nobody'}")
