"""The lung ultrasound of POCOVID-Net."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.subject import Series, Subject

TABLE = "dataset_metadata.csv"
GROUPS = {"cov": "covid", "pneu": "bacterial_pneumonia", "vir": "viral_pneumonia", "reg": "regular"}
"""By the beginning of a file's name."""
SIGNS = ("b_lines", "a_lines", "consolidation", "effusion")
PRESENCE = {"1.0": "yes", "1": "yes", "0.0": "no", "0": "no"}


class PocusLung(Set):
    """POCUS lung: point-of-care ultrasound of healthy and of infected lungs, without masks.

    Clips and stills gathered from public sources, of convex and linear probes; how many depends on the state of the
    repository, covid19_ultrasound of J. Born at GitHub. Each clip has a licence of its own, in its label `licence`:
    choose by it what may be used. A clip is a subject, since who is on it is not said.

        dataset_metadata.csv            Filename, Label, License, Probe, ...
        pocus_videos/convex/Cov-Atlas+(44).gif, pocus_videos/linear/..., pocus_images/convex/...

    or, of another copy, frames.csv (file, clip, frame, label, probe, licence, b_lines, ...) and frames/*.png. GIF is
    not read: save those clips as MP4 first. Nobody knows how large a pixel is.
    """

    licence = "each clip has its own, in the label `licence`: CC BY, CC BY-NC, CC BY-NC-SA, or none"
    citation = "Born et al., Applied Sciences 11(2):672, 2021, 10.3390/app11020672"
    layout = "dataset_metadata.csv and pocus_videos/convex, or frames.csv and frames/*.png"

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The clips of either layout."""
        if (path := source / "frames.csv").is_file():
            yield from _frames(path)
        else:
            yield from _clips(source)


def _frames(path: Path) -> Iterator[Subject]:
    clips = defaultdict(list)
    for row in tables.rows(path, "file", "clip", "frame", "label", "probe", "licence"):
        clips[row["clip"]].append(row)
    for name, rows in sorted(clips.items()):
        rows.sort(key=lambda row: tables.number(row["frame"], path, "a frame"))
        first = rows[0]
        labels = tables.known(
            group=first["label"],
            probe=first["probe"],
            licence=first["licence"],
            **{sign: PRESENCE.get(first.get(sign, ""), "") for sign in SIGNS},
        )
        yield Subject(
            name, (Series(tuple(path.parent / "frames" / r["file"] for r in rows), view="lung", labels=labels),)
        )


def _clips(source: Path) -> Iterator[Subject]:
    about = {_key(row["Filename"]): row for path in source.rglob(TABLE) for row in tables.rows(path, "Filename")}
    files = [
        file for kind in ("pocus_videos", "pocus_images") for file in source.rglob(f"{kind}/*/*") if file.is_file()
    ]
    for file in sorted(files, key=lambda file: (file.name, file)):
        row = about.get(_key(file.name), {})
        beginning = re.split(r"[-_ ]", file.name.lower())[0]
        if group := GROUPS.get(beginning, ""):
            labels = tables.known(group=group, probe=file.parent.name.lower(), licence=row.get("License", ""))
            study = file.relative_to(source).as_posix()
            yield Subject(study, (Series((file,), view="lung", labels=labels),))


def _key(name: str) -> str:
    """The names of the table have an ending now and then, and capitals as they please."""
    return re.sub(r"\.(mp4|avi|mov|gif|mpe?g|png|jpe?g)$", "", name.lower())
