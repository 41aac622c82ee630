"""How far it is from slice to slice of a volume, however its array lies in the patient and whatever its unit is."""

from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec
from scipy.spatial.transform import Rotation

from jaxssl.data.formats import read
from jaxssl.data.study.volume import volumes

SIZES = (1.5, 1.25, 8.0)


def volume_of(path: Path, affine: np.ndarray, unit: str = "mm", slices: int = 4):
    image = nib.Nifti1Image(np.zeros((6, 5, slices), np.int16), affine)
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    series = SimpleNamespace(files=(path,), spacing=None)
    placed = [
        SimpleNamespace(loaded=SimpleNamespace(series=series, file=0, image=each), study="", view="sax")
        for each in read(path)
    ]
    (volume,) = volumes(placed, path)
    return volume


@pytest.mark.parametrize("unit", ["mm", "micron", "unknown"])
def test_the_step_is_in_millimetres_however_the_planes_are_turned(unit, tmp_path):
    scale = {"micron": 1000.0}.get(unit, 1.0)
    turned = Rotation.from_euler("xyz", (20, -35, 70), degrees=True).as_matrix()
    volume = volume_of(tmp_path / "a.nii.gz", from_matvec(scale * turned @ np.diag(SIZES), (3, 2, 1)), unit)
    assert volume.step == pytest.approx(SIZES[2], rel=1e-5)


def test_slices_that_are_shifted_in_their_planes_are_no_further_apart(tmp_path):
    sheared = np.diag(SIZES)
    sheared[:2, 2] = 5.0, -4.0
    assert volume_of(tmp_path / "a.nii.gz", from_matvec(sheared, (0, 0, 0))).step == pytest.approx(SIZES[2], rel=1e-5)


def test_one_slice_has_no_step(tmp_path):
    assert volume_of(tmp_path / "a.nii.gz", np.diag([*SIZES, 1.0]), slices=1).step is None
