"""The lung ultrasound of POCOVID-Net."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from jaxssl.data.datasets import tables
from jaxssl.data.datasets.alike import gathered
from jaxssl.data.datasets.base import Reject, Set
from jaxssl.data.subject import Series, Subject

TABLE = "dataset_metadata.csv"
GROUPS = {"cov": "covid", "pneu": "bacterial_pneumonia", "vir": "viral_pneumonia", "reg": "regular"}
"""By the beginning of a file's name."""
BEGINNING = re.compile(rf"^({'|'.join(GROUPS)})[-_ ]", re.IGNORECASE)
PERSON = re.compile(r".*?((pat|case|set)[\W_]*\d+|day(?=[\W_]*\d))")
"""As in pat1Image_132943, pneucase3_clip1 or Atlas-Day+2: up to what may name somebody."""
SIGNS = ("b_lines", "a_lines", "consolidation", "effusion")
PRESENCE = {"1.0": "yes", "1": "yes", "0.0": "no", "0": "no"}


class PocusLung(Set):
    """POCUS lung: point-of-care ultrasound of healthy and of infected lungs, without masks.

    Clips and stills gathered from public sources, of convex and linear probes; how many depends on the state of the
    repository, covid19_ultrasound of J. Born at GitHub. Each clip has a licence of its own, in its label `licence`:
    choose by it what may be used. Who is on a clip is not said: clips are one subject if their names have the same
    patient, case, set or series of days in them, whatever they are said to show, or if images in them are nearly the
    same; else each is another subject.

        dataset_metadata.csv            Filename, Label, License, Probe, ...
        pocus_videos/convex/Cov-Atlas+(44).gif, pocus_videos/linear/..., pocus_images/convex/...

    or, of another copy, frames.csv (file, clip, frame, label, probe, licence, b_lines, ...) and frames/*.png. Nobody
    knows how large a pixel is.
    """

    modality = "lung ultrasound"
    licence = "each clip has its own, in the label `licence`: CC BY, CC BY-NC, CC BY-NC-SA, or none"
    citation = "Born et al., Applied Sciences 11(2):672, 2021, 10.3390/app11020672"
    layout = "dataset_metadata.csv and pocus_videos/convex, or frames.csv and frames/*.png"

    def listed(self, source: Path, reject: Reject) -> Iterator[Subject]:
        """The people on the clips of either layout, as far as is known, each clip a study of its own."""
        clips = [*(_frames(path) if (path := source / "frames.csv").is_file() else _clips(source))]
        subject_of = gathered(((_person(clip.study), file) for clip in clips for file in clip.files), source)
        people = defaultdict(list)
        for clip in clips:
            people[subject_of[_person(clip.study)]].append(clip)
        for name, own in sorted(people.items()):
            yield Subject(name, tuple(own))


def _frames(path: Path) -> Iterator[Series]:
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
        files = tuple(path.parent / "frames" / row["file"] for row in rows)
        yield Series(files, study=name, view="lung", labels=labels)


def _clips(source: Path) -> Iterator[Series]:
    about = {_key(row["Filename"]): row for path in source.rglob(TABLE) for row in tables.rows(path, "Filename")}
    files = [
        file for kind in ("pocus_videos", "pocus_images") for file in source.rglob(f"{kind}/*/*") if file.is_file()
    ]
    for file in sorted(files, key=lambda file: (file.name, file)):
        row = about.get(_key(file.name), {})
        if beginning := BEGINNING.match(file.name):
            group = GROUPS[beginning[1].lower()]
            labels = tables.known(group=group, probe=file.parent.name.lower(), licence=row.get("License", ""))
            yield Series((file,), study=file.relative_to(source).as_posix(), view="lung", labels=labels)


def _key(name: str) -> str:
    """The names of the table have an ending now and then, and capitals as they please."""
    return re.sub(r"\.(mp4|avi|mov|gif|mpe?g|png|jpe?g)$", "", name.lower())


def _person(clip: str) -> str:
    """What in the name of a clip may name a person, else that name."""
    name = _key(clip.rpartition("/")[2])
    found = PERSON.match(BEGINNING.sub("", name, count=1))
    return re.sub(r"[\W_]", "", found[0]) if found else name
