"""`predict`: what a segmentation run makes of files, as NIfTI masks that lie over them, volumes and pictures."""

from collections.abc import Callable, Iterator
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from jaxssl.data.datasets.folder import Folder
from jaxssl.data.store import SUMMARY
from jaxssl.data.subject import Series, Subject
from jaxssl.errors import UserError
from jaxssl.run import overlay
from jaxssl.run.common import load_run, refuse_unfinished
from jaxssl.run.segmenter import Segmenter
from jaxssl.run.shown import shown
from jaxssl.run.sizes import Sizes
from jaxssl.run.terminal import bar_on, console_of, warner
from jaxssl.workdir import existing

Place = Annotated[Path, tyro.conf.Positional]
SAID = 20
"""Files left out that are named; of more, the number is told."""


def predict(
    run: Place, source: Place, out: Path, subject: Literal["folder", "file"] | None = None, overlays: bool = True
) -> Path:
    """Segment the images of files by a finished segmentation run.

    Each acquisition becomes a mask in NIfTI that lies over it in any viewer: of a NIfTI file one of its own shape and
    affine, of DICOM one for each stack, in the scanner's coordinates. volumes.csv has the size of each class in every
    frame; hearts.csv the volumes of the left ventricle and what it ejects, where there are slices and frames.

    >>> masks = jaxssl.predict("runs/segment", "scans", "masks", subject="file", overlays=False)
    >>> sorted(path.name for path in masks.iterdir())
    ['a_mask.nii.gz', 'b_mask.nii.gz', 'volumes.csv']

    Args:
        run: Folder of a finished segmentation run.
        source: A file, or a folder of DICOM, NIfTI, PNG, JPEG, GIF, AVI and MP4 files; a store is for `jaxssl segment`.
        out: A new folder.
        subject: Whether pictures, clips and NIfTI files of one folder are one person's, whose intensities are
            standardised together, or each file is another's; unless given, NIfTI files are told by their names.
        overlays: Draw the outlines over the slices as PNG, and as GIF where there are frames.
    """
    console, workdir, source, out = console_of(None), existing(run), Path(source), Path(out)
    refuse_unfinished(workdir)
    if (source / SUMMARY).exists():
        raise UserError(f"{source} is a store; write it again with masks by: jaxssl segment {run} --store {source}.")
    if not source.exists():
        raise UserError(f"There is no {source}; name a file or a folder of images.")
    if out.exists():
        raise UserError(f"{out} exists already; give another --out, or delete it first.")
    warn = warner(console)
    loaded = load_run(workdir, warn)
    if loaded.method.task != "segmentation":
        raise UserError(f"{run} has not learnt to segment; name a run of jaxssl finetune segment.")
    if seen := shown(loaded.recipe):
        warn(f"in training {run} was shown {seen}.")
    segmenter, left_out = Segmenter(loaded, workdir.facts(), workdir.seen()), dict[Path, str]()
    subjects = list(_subjects(source, subject, left_out.setdefault))
    sizes, taken = Sizes(segmenter.classes), set[Path]()
    with bar_on(console) as bar:
        for who in bar.track(subjects, description="segmenting"):
            for volume, masks in segmenter(who, source, left_out.setdefault):
                path = _free(out / volume.name, taken)
                path.parent.mkdir(parents=True, exist_ok=True)
                array = volume.write(masks, path.with_name(f"{path.name}_mask.nii.gz"))
                largest = sizes.add(path.relative_to(out), volume, array)
                if overlays:
                    overlay.write(overlay.overlays(volume, array, segmenter.classes, largest), path)
    _say(console, left_out)
    if not taken:
        raise UserError(f"{source} has no image that could be segmented; name a folder of images of {segmenter.views}.")
    sizes.write(out)
    if segmenter.known:
        warn(
            f"{segmenter.known} of {len(subjects)} subjects were trained on by {run} or what it started from: their "
            "masks say nothing of how good it is."
        )
    if sizes.unknown:
        console.print(f"Of unknown size, as no file says how large a pixel is or how far slices lie: {sizes.unknown}.")
    console.print(f"Masks: {len(taken)}, subjects: {len(subjects)}; with their sizes and pictures in {out}.")
    return out


def _subjects(
    source: Path, subject: Literal["folder", "file"] | None, reject: Callable[[Path, str], Any]
) -> Iterator[Subject]:
    if source.is_file():
        return iter([Subject(source.name, (Series((source,)),))])
    return Folder(subject=subject).subjects(source, reject)


def _free(path: Path, taken: set[Path]) -> Path:
    """The path, or with a number where another acquisition has that name."""
    tried = chain([path], (path.with_name(f"{path.name}-{number}") for number in count(2)))
    free = next(each for each in tried if each not in taken)
    taken.add(free)
    return free


def _say(console: Console, left_out: dict[Path, str]) -> None:
    if not left_out:
        return
    lines = [f"{path}: {reason}" for path, reason in left_out.items()]
    more = [f"and {len(lines) - SAID} more"] if len(lines) > SAID else []
    console.print(f"Left out: {len(lines)} files or series.", *lines[:SAID], *more, sep="\n  ")
