"""What is done with data sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jaxssl.cli.told import cli, known

DATA = """usage: jaxssl data {phantom,ultrasound,knee} --out STORE [options]
       jaxssl data ingest NAME SOURCE --out STORE [options]
       jaxssl data {info,check,split,lvef} STORE [options]

  phantom     make synthetic hearts: cine MR in short-axis stacks and long-axis views
  ultrasound  make synthetic fetal ultrasound: the standard planes of an examination
  knee        make synthetic knee MR: a sagittal and a coronal stack
  ingest      make a store of a public set, or of any folder of DICOM, NIfTI,
              PNG, JPEG and clips
  info        say what a store holds
  check       look through it: checksums, privacy, near duplicates, masks, geometry
  split       divide its subjects once for all runs, with few labels and shifts
  lvef        write it again with ejection fractions as a label

Each explains itself with --help.

Example: jaxssl data ingest folder SCANS --out stores/mine
"""


def data(words: Sequence[str]) -> None:
    """jaxssl data ingest NAME SOURCE --out STORE | phantom|ultrasound|knee --out STORE | info|check|split|lvef."""
    if not words or words[0] in ("-h", "--help"):
        print(DATA, end="")
        return
    from jaxssl import CineOptions, KneeOptions, UltrasoundOptions, run

    def phantom(out: Path, options: Annotated[CineOptions, tyro.conf.arg(name="")]) -> None:
        """Make a synthetic cine data set: beating hearts in short-axis stacks and long-axis views, with exact labels.

        Args:
            out: Folder of the new store.
            options: Size and seed of the set.
        """
        run.data_phantom(out, options)

    def ultrasound(out: Path, options: Annotated[UltrasoundOptions, tyro.conf.arg(name="")]) -> None:
        """Make a synthetic fetal ultrasound data set: the standard planes of an examination, with exact labels.

        Args:
            out: Folder of the new store.
            options: Size and seed of the set.
        """
        run.data_phantom(out, options)

    def knee(out: Path, options: Annotated[KneeOptions, tyro.conf.arg(name="")]) -> None:
        """Make a synthetic knee MR data set: a sagittal and a coronal stack, with exact labels.

        Args:
            out: Folder of the new store.
            options: Size and seed of the set.
        """
        run.data_phantom(out, options)

    verbs = {
        "phantom": phantom,
        "ultrasound": ultrasound,
        "knee": knee,
        "ingest": run.data_ingest,
        "info": run.data_info,
        "check": run.data_check,
        "split": run.data_split,
        "lvef": run.data_lvef,
    }
    name = known(words[0], verbs, "data")
    cli(f"data {name}", verbs[name], words[1:])
