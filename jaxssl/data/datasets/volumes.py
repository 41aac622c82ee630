"""NIfTI files in a folder: whose they are, which belong together, which are masks.

A subject is the outermost folder (images, labels, train and the like apart) if the files in it are of one person by
their names. Where there is no such folder names decide: patient001_ED and patient001_ES are of patient001, who is told
by the parts of a name up to the first with a digit. Files of ED and ES whose names agree in everything else are one
stack in two phases.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from jaxssl.data.datasets.base import Reject
from jaxssl.data.datasets.masks import ByFile
from jaxssl.data.datasets.names import (
    STRUCTURAL,
    first_folder,
    identity,
    moment_in,
    stem_of,
)
from jaxssl.data.datasets.pairs import masks_of
from jaxssl.data.study.words import view_in
from jaxssl.data.subject import Series
from jaxssl.errors import UserError


def series(
    source: Path, paths: list[Path], subject: Literal["folder", "file"] | None, reject: Reject
) -> Iterator[tuple[str, Series]]:
    """The stacks and whose they are; files with the name of a mask and without an image are rejected."""
    masks = masks_of(paths, source, reject)
    images = list(masks)
    owners = _owners(source, images, subject)
    stacks = defaultdict(list)
    for path in images:
        rest, moment = moment_in(stem_of(path))
        stacks[owners[path], path.parent, rest if moment else path.name].append((moment, path))
    for (owner, folder, name), files in sorted(stacks.items()):
        files.sort()
        drawn = {place: masks[path] for place, (_, path) in enumerate(files)}
        known = {place: mask for place, mask in drawn.items() if mask is not None}
        yield (
            owner,
            Series(
                tuple(path for _, path in files),
                study=folder.relative_to(source).as_posix(),
                view=view_in(stem_of(Path(name))),
                masks=ByFile(known) if known else None,
                moments={place: moment for place, (moment, _) in enumerate(files) if moment},
            ),
        )


def _owners(source: Path, images: list[Path], subject: Literal["folder", "file"] | None) -> dict[Path, str]:
    folders = defaultdict(list)
    for path in images:
        folders[first_folder(path, source)].append(path)
    owners = {}
    for folder, own in folders.items():
        people = {path: identity(stem_of(path)) for path in own}
        numbered = {name for name in people.values() if re.search(r"\d", name)}
        by_file = subject == "file"
        if subject is None:
            sorts = not folder or STRUCTURAL(folder) is not None
            if len(numbered) > 1 and not sorts:
                raise UserError(
                    f"Whose the volumes in {source / folder} are cannot be told, {min(numbered)} and {max(numbered)} "
                    "may be two people: say --subject folder if each folder is one person, --subject file if the names "
                    "of the files tell people apart."
                )
            by_file = sorts and any(people.values())
        for path, name in people.items():
            owners[path] = (by_file and name) or folder or source.resolve().name
    return owners
