"""Masks of files: where the files' images lie, as a run segments them, with the sizes that follow."""

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image, ImageColor
from scanner import write_dicom_series, write_nifti

import jaxssl
from jaxssl.cli import main
from jaxssl.data.sheet import OUTLINES
from jaxssl.data.store import open_store
from jaxssl.errors import UserError
from jaxssl.geometry import patient_point
from jaxssl.run.overlay import LINE


@pytest.fixture(scope="module")
def segmenting(store, tmp_path_factory):
    options = {"data.store": str(store), "train.steps": 60, "optim.lr": 1e-2}
    return jaxssl.finetune("segment:tiny", tmp_path_factory.mktemp("runs") / "segment", options)


@pytest.fixture(scope="module")
def truth(segmenting, store, tmp_path_factory):
    """The store with the masks that the run predicts, which is another way to them."""
    return open_store(jaxssl.segment(segmenting, store, tmp_path_factory.mktemp("stores") / "segmented"))


def examined(truth, view="sax"):
    """One subject's records of a view, by slice and phase."""
    subject = truth.record(0).subject
    return [record for record in truth.records() if (record.subject, record.view) == (subject, view)]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_masks_of_nifti_have_its_shape_and_affine_and_are_those_of_a_store(segmenting, truth, tmp_path, capsys):
    records = examined(truth)
    source = write_nifti(records, tmp_path / "scans" / "ann" / "sax.nii.gz", form="qform")
    assert main(["predict", str(segmenting), str(source.parents[1]), "--out", str(tmp_path / "out")]) == 0
    assert "Masks: 1, subjects: 1; with" in capsys.readouterr().err
    image, mask = nibabel.load(source), nibabel.load(tmp_path / "out" / "ann" / "sax_mask.nii.gz")
    np.testing.assert_array_equal(mask.affine, image.affine)
    assert (mask.shape, mask.get_data_dtype()) == (image.shape, np.uint8)
    assert mask.header.get_zooms() == image.header.get_zooms()
    assert mask.header.get_xyzt_units() == image.header.get_xyzt_units()
    for name in ("qform_code", "sform_code"):
        assert mask.header[name] == image.header[name]
    array = np.asarray(mask.dataobj)
    for record in records:
        # The store's statistics are of all views, the file's of this one: borders may move by a pixel here and there.
        agree = record.mask == array[:, :, record.slice, record.phase].T
        assert agree.mean() > 0.97
    assert (array > 0).any()


def test_sizes_are_those_of_the_masks(segmenting, truth, tmp_path):
    source = write_nifti(examined(truth), tmp_path / "sax.nii.gz")
    out = jaxssl.predict(segmenting, source, tmp_path / "out", overlays=False)
    mask = nibabel.load(out / "sax_mask.nii.gz")
    voxel = abs(np.linalg.det(mask.affine[:3, :3])) / 1000
    counts = [[(np.asarray(mask.dataobj)[..., frame] == code).sum() for code in (1, 2, 3)] for frame in range(2)]
    table = rows(out / "volumes.csv")
    assert [(row["acquisition"], row["frame"]) for row in table] == [("sax", "0"), ("sax", "1")]
    for row, own in zip(table, counts, strict=True):
        found = [float(row[f"{name}_ml"]) for name in ("RV", "MYO", "LV")]
        np.testing.assert_allclose(found, np.array(own) * voxel, atol=0.006)
    (heart,) = rows(out / "hearts.csv")
    ventricle = [own[2] * voxel for own in counts]
    edv, esv = max(ventricle), min(ventricle)
    assert heart["ed_frame"] == str(ventricle.index(edv))
    assert float(heart["ef_percent"]) == pytest.approx(100 * (edv - esv) / edv, abs=0.01)
    muscle = counts[ventricle.index(edv)][1] * voxel * 1.05
    assert float(heart["mass_g"]) == pytest.approx(muscle, abs=0.01)
    assert not list(out.glob("*.png"))


def test_masks_of_dicom_lie_where_the_scanner_says(segmenting, truth, tmp_path, capsys):
    """Slices in series of their own, names that tell no order, and a view that the run does not know."""
    sax, long = examined(truth), examined(truth, "4ch")
    write_dicom_series(sax, tmp_path / "scans" / "a", series=lambda record: (record.view, record.slice))
    write_dicom_series(long, tmp_path / "scans" / "b")
    out = jaxssl.predict(segmenting, tmp_path / "scans", tmp_path / "out")
    assert "it shows 4ch, and the run was trained on sax" in capsys.readouterr().err
    assert sorted(path.name for path in out.rglob("*_mask.nii.gz")) == ["sax_mask.nii.gz"]
    mask = nibabel.load(out / "a" / "sax_mask.nii.gz")
    array = np.asarray(mask.dataobj)
    assert array.shape == (*sax[0].image.shape[1::-1], 4, 2)
    for record in sax:
        for y, x in ((0, 0), (3, 7), (record.image.shape[0] - 1, record.image.shape[1] - 1)):
            lps = np.asarray(patient_point(record.plane, y, x))
            there = mask.affine @ [x, y, record.slice, 1]
            np.testing.assert_allclose(there[:3], lps * [-1, -1, 1], atol=1e-3)
        assert (record.mask == array[:, :, record.slice, record.phase].T).mean() > 0.97


def test_a_beating_heart_is_drawn(segmenting, truth, tmp_path):
    source = write_nifti(examined(truth), tmp_path / "sax.nii.gz")
    out = jaxssl.predict(segmenting, source, tmp_path / "out")
    with Image.open(out / "sax.gif") as loop, Image.open(out / "sax.png") as still:
        assert loop.n_frames == 2
        assert loop.size == still.size
        colours, below = np.split(np.asarray(still).astype(int), [still.height - LINE])
    # Letters are smoothed at their edges: what is nearest to a colour is nearly that.
    for colour in OUTLINES[:3]:
        assert np.abs(below - ImageColor.getrgb(colour)).sum(axis=2).min() < 60
    drawn = np.ptp(colours, axis=2) > 60
    assert drawn.any()
    assert drawn.mean() < 0.2


def test_a_picture_has_an_area_if_its_pixels_have_a_size(segmenting, tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "scans").mkdir()
    Image.fromarray(rng.integers(0, 256, (40, 50)).astype(np.uint8)).save(tmp_path / "scans" / "one.png")
    # Whose a single picture is need not be said.
    out = jaxssl.predict(segmenting, tmp_path / "scans", tmp_path / "out")
    assert "no file says how large a pixel is or how far slices lie: 1." in " ".join(capsys.readouterr().err.split())
    mask = nibabel.load(out / "one_mask.nii.gz")
    assert mask.shape == (50, 40, 1)
    assert (int(mask.header["qform_code"]), int(mask.header["sform_code"])) == (0, 0)
    assert rows(out / "volumes.csv") == [{"acquisition": "one", "view": "other", "frame": "0"}]
    assert not (out / "hearts.csv").exists()


def test_what_cannot_be_segmented_is_refused_in_a_sentence(segmenting, run, store, tmp_path):
    image = write_nifti(examined(open_store(store)), tmp_path / "sax.nii.gz")
    (tmp_path / "full").mkdir()
    (tmp_path / "broken.nii.gz").write_bytes(b"nothing")
    for which, source, out, sentence in (
        (segmenting, store, "new", "is a store; write it again with masks by: jaxssl segment"),
        (segmenting, tmp_path / "nowhere", "new", "There is no"),
        (segmenting, image, "full", "exists already"),
        (run, image, "new", "has not learnt to segment"),
        (segmenting, tmp_path / "broken.nii.gz", "new", "has no image that could be segmented"),
    ):
        with pytest.raises(UserError, match=sentence):
            jaxssl.predict(which, source, tmp_path / out)
        assert not (tmp_path / "new").exists()
