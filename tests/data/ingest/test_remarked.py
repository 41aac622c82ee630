"""From a scanner's DICOM, with tables of masks and of patients, to the store that they came from."""

from pathlib import Path

import numpy as np
import samples
import scanner
from PIL import Image as Picture

import jaxssl
from jaxssl.data.store import open_store


def exported(folder: Path) -> list:
    """DICOM of two patients with masks.csv and patients.csv beside it; the records."""
    records = [each for each in samples.records(2, slices=3, dtype="uint16") if each.view == "sax"]
    rows = ["file,moment,mask"]
    for subject in ("s0", "s1"):
        own = [each for each in records if each.subject == subject]
        for record, path in zip(own, scanner.write_dicom_series(own, folder / "scans" / subject), strict=True):
            if record.moment and record.mask is not None:
                mask = path.with_suffix(".png")
                Picture.fromarray(record.mask).save(mask)
                names = (each.relative_to(folder / "scans").as_posix() for each in (path, mask))
                rows.append(f"{next(names)},{record.moment},{next(names)}")
    (folder / "masks.csv").write_text("\n".join(rows) + "\n")
    patients = [f"{scanner.PATIENT_ID}{subject},{group}" for subject, group in (("s0", "DCM"), ("s1", "NOR"))]
    (folder / "patients.csv").write_text("\n".join(["patient,diagnosis", *patients]) + "\n")
    return records


def test_a_store_comes_back_with_masks_moments_and_labels(tmp_path):
    given = exported(tmp_path)
    tables = (tmp_path / "masks.csv", tmp_path / "patients.csv")
    kind = {"labels": ("diagnosis",), "classes": ("RV", "MYO", "LV"), "key": tmp_path / "key", "workers": 1}
    store = open_store(jaxssl.data_ingest("folder", tmp_path / "scans", tmp_path / "store", csv=tables, **kind))
    assert list(store.info.classes) == ["background", "RV", "MYO", "LV"]
    found = {each.image.tobytes(): each for each in store.records()}
    assert found.keys() == {each.image.tobytes() for each in given}
    groups = {"s0": "DCM", "s1": "NOR"}
    for record in given:
        same = found[record.image.tobytes()]
        assert same.labels["diagnosis"] == groups[record.subject]
        assert same.moment == record.moment
        if record.moment and record.mask is not None:
            np.testing.assert_array_equal(same.mask, record.mask)
        else:
            assert same.mask is None
    assert not (tmp_path / "store.rejected.jsonl").exists() or not (tmp_path / "store.rejected.jsonl").read_text()
