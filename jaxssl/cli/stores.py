"""What is done with data sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro


def data(words: Sequence[str]) -> None:
    """jaxssl data ingest NAME SOURCE --out STORE | phantom|ultrasound|knee --out STORE | info|check|split|lvef."""
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
    tyro.extras.subcommand_cli_from_dict(verbs, args=words, prog="jaxssl data")
