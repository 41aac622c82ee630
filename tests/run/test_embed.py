"""`jaxssl embed`: of the run's own store, of another store, and of a folder of files."""

import os

import nibabel
import numpy as np
import pytest
import samples
from PIL import Image
from pyarrow import parquet
from scans import dicom

import jaxssl
from jaxssl.cli import main
from jaxssl.data.store import open_store, write

RNG = np.random.default_rng(1)
CINE = RNG.integers(0, 4000, (24, 32, 3, 2)).astype(np.int16)
PICTURE = RNG.integers(0, 65536, (32, 24)).astype(np.uint16)
CLIP = RNG.integers(0, 256, (4, 32, 24)).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of the run's own size and spacing, so that nothing is resampled, and files that are none."""
    path = tmp_path_factory.mktemp("scans")
    (path / "b" / "deep").mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(CINE, np.diag([4, 4, 8, 1])), path / "b" / "cine.nii.gz")
    Image.fromarray(PICTURE).save(path / "b" / "deep" / "ö [1].png")
    dicom(path / "I0001", CLIP, PixelSpacing=[4, 4])
    (path / "notes.txt").write_text("no image")
    (path / "empty.png").write_bytes(b"")
    (path / "text.nii").write_text("no image either " * 100)
    cut = (path / "b" / "cine.nii.gz").read_bytes()
    (path / "cut.nii.gz").write_bytes(cut[: len(cut) // 2])
    (path / "b" / "round").symlink_to(path)
    return path


FILES = ["I0001"] * 4 + ["b/cine.nii.gz"] * 6 + ["b/deep/ö [1].png"]


def read(path):
    with np.load(path, allow_pickle=False) as table:
        return dict(table)


def test_every_file_of_a_folder_is_embedded_by_itself(run, folder, tmp_path, capsys):
    assert main(["embed", str(run), str(folder), "--out", str(tmp_path / "new" / "all.npz")]) == 0
    table = read(tmp_path / "new" / "all.npz")
    assert table["file"].tolist() == FILES
    assert table["slice"].tolist() == [0, 0, 0, 0, 0, 1, 2, 0, 1, 2, 0]
    assert table["frame"].tolist() == [0, 1, 2, 3, 0, 0, 0, 1, 1, 1, 0]
    np.testing.assert_array_equal(table["spacing"], [[4, 4]] * 10 + [[np.nan] * 2])
    images = [*CLIP, *(CINE[:, :, z, t].T for t in range(2) for z in range(3)), PICTURE]
    wanted = jaxssl.load(run)(np.array(images, np.float64), subjects=FILES)
    np.testing.assert_allclose(table["embedding"], wanted, rtol=1e-5, atol=1e-5)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:-4] == [
        "Files that do not say their spacing, fitted in as a whole: 1.",
        "Files that are no NIfTI, DICOM, PNG, JPEG, GIF, AVI or MP4, passed over: 1.",
        "Files that could not be read, skipped: 3.",
    ]
    assert lines[-4].startswith("  cut.nii.gz: EOFError")
    assert lines[-3:-1] == ["  empty.png: it is empty", "  text.nii: it is no NIfTI file"]
    assert lines[-1].startswith(f"11 embeddings of {wanted.shape[1]} numbers in ")


def test_files_of_a_dicom_series_are_standardised_together(run, tmp_path):
    """Three files of an image each, with others between them, are what they would be as three frames of a file."""
    scans, bright = tmp_path / "scans", np.array([1, 2, 4, 1], np.uint8)[:, None, None]
    images, other = CLIP // 4 * bright, CLIP[:1] // 2
    scans.mkdir()
    for name, image in zip(("I1", "I3", "I5.dcm"), images, strict=False):
        dicom(scans / name, image, PixelSpacing=[4, 4], SeriesInstanceUID="1.2.3.4")
    dicom(scans / "I2", other, PixelSpacing=[4, 4], SeriesInstanceUID="1.2.3.5")
    dicom(scans / "I4", images[3:], PixelSpacing=[4, 4])
    dicom(tmp_path / "frames", images[:3], PixelSpacing=[4, 4], SeriesInstanceUID="1.2.3.4")

    table = read(jaxssl.embed(run, scans, tmp_path / "all.npz"))
    assert table["file"].tolist() == ["I1", "I3", "I5.dcm", "I2", "I4"]
    encoder = jaxssl.load(run)
    pixels = np.concatenate([images[:3], other, images[3:]])
    wanted = encoder(pixels, subjects=[0, 0, 0, 1, 2])
    np.testing.assert_allclose(table["embedding"], wanted, rtol=1e-5, atol=1e-5)
    assert np.abs(wanted - encoder(pixels))[:3].max(1).min() > 1e-4
    frames = read(jaxssl.embed(run, tmp_path / "frames", tmp_path / "frames.npz"))
    np.testing.assert_allclose(table["embedding"][:3], frames["embedding"], rtol=1e-5, atol=1e-5)


def test_parquet_holds_the_same(run, folder, tmp_path):
    """Whatever is computed at a time: a file for itself is what it is among others."""
    table = read(jaxssl.embed(str(run), str(folder), str(tmp_path / "all.npz")))
    path = jaxssl.embed(run, folder / "b" / "cine.nii.gz", tmp_path / "part.parquet")
    columns = parquet.read_table(path)
    types = {field.name: str(field.type) for field in columns.schema}
    assert types.pop("embedding") == f"fixed_size_list<element: float>[{table['embedding'].shape[1]}]"
    assert types.pop("spacing") == "fixed_size_list<element: float>[2]"
    assert types == {"file": "string", "slice": "int32", "frame": "int32"}
    part = columns.to_pydict()
    assert part["file"] == ["cine.nii.gz"] * 6
    for name in ("embedding", "slice", "frame", "spacing"):
        np.testing.assert_allclose(np.array(part[name]), table[name][4:10], rtol=1e-5, atol=1e-5)
    assert sorted(os.listdir(tmp_path)) == ["all.npz", "part.parquet"]


def test_one_file_stands_for_itself(run, folder):
    path = jaxssl.embed(run, folder / "I0001")
    assert path == run / "embedding_I0001.npz"
    assert read(path)["file"].tolist() == ["I0001"] * 4


def test_a_store_is_embedded_whole_and_the_runs_own_by_its_recipe(run, store, tmp_path):
    own = read(jaxssl.embed(run))
    everything = read(jaxssl.embed(run, store, tmp_path / "all.npz"))
    info = open_store(store).info
    assert len(everything["id"]) == info.records
    assert set(everything["view"]) == set(info.views) > {"sax"} == set(own["view"])
    np.testing.assert_allclose(everything["embedding"][own["id"]], own["embedding"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("source", "out", "sentence"),
    [
        ("scans", "all.csv", "all.csv ends in none of .npz, .parquet"),
        ("scans", "folder.npz", "folder.npz cannot be written"),
        ("scans", "file/all.npz", "all.npz cannot be written"),
        ("nowhere", "all.npz", "nowhere is neither a folder nor a file"),
        ("hollow", "all.npz", "hollow has no image that can be read"),
        ("file", "all.npz", "file has no image that can be read"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(source, out, sentence, run, tmp_path, capsys):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow" / "broken.png").write_bytes(b"x")
    before = sorted(tmp_path.rglob("*"))
    assert main(["embed", str(run), str(tmp_path / source), "--out", str(tmp_path / out)]) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_store_of_colours_is_refused_by_a_network_of_grey(run, tmp_path, capsys):
    records = samples.records(1, 1, 1, channels=3)
    write(records, tmp_path / "store", name="discs", description="Random (synthetic).", licence="none")
    assert main(["embed", str(run), str(tmp_path / "store"), "--out", str(tmp_path / "a.npz")]) == 2
    assert "images of 3 channels, and the run was trained on 1" in capsys.readouterr().err
