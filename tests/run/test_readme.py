"""README's commands, from the first to the last, as somebody types them into a shell."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pages import ROOT, typed
from PIL import Image
from scanner import write_dicom_series

from jaxssl.data.phantom.cine import CineOptions, cine_subject

SMALLER = {":small": ":tiny", "--scale small": "--scale smoke"}
"""What takes minutes or hours in README; all else is run as it stands."""


def examined(folder: Path, subjects: int) -> None:
    """A folder of DICOM as README takes it, and beside it the table of who has drawn on what."""
    rows = ["file,moment,mask"]
    (folder / "SCANS" / "masks").mkdir(parents=True)
    for index in range(subjects):
        records = cine_subject(CineOptions(subjects, phases=4, slices=4), index)
        files = write_dicom_series(records, folder / "SCANS" / f"P{index}", seed=index)
        for record, file in zip(records, files, strict=True):
            if record.mask is not None and record.view == "sax" and record.moment:
                mask = f"masks/{index}-{file.name}.png"
                Image.fromarray(np.asarray(record.mask, np.uint8)).save(folder / "SCANS" / mask)
                rows.append(f"P{index}/{file.name},{record.moment},{mask}")
    (folder / "masks.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.slow
def test_every_command_of_readme_runs_in_its_order(tmp_path):
    examined(tmp_path, subjects=20)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    lines = typed(ROOT / "README.md")
    assert len(lines) > 15
    for command in lines:
        for usual, smaller in SMALLER.items():
            command = command.replace(usual, smaller)
        shell = f'jaxssl() {{ {sys.executable} -m jaxssl "$@"; }}; {command}'
        done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr[-2000:]}"
    for page in ("report.html", "sweeps/site/report.html"):
        assert "subjects against scratch: " in (tmp_path / page).read_text(), page
    assert list((tmp_path / "masks").rglob("*_mask.nii.gz"))
