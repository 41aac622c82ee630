"""One patient in two stores, under two names: nobody may be pretrained on there and tested on here."""

import json

import numpy as np
import pytest
from scans import nifti

import jaxssl
from jaxssl.data.store import open_store
from jaxssl.errors import UserError

FEW = {"data.moments": (), "train.steps": 1, "train.batch": 8}


def scans(folder, patients):
    """A volume and a mask of each of these patients, which are the same wherever they are written."""
    for patient in patients:
        rng = np.random.default_rng(patient)
        (folder / f"p{patient}").mkdir(parents=True)
        nifti(folder / f"p{patient}" / "sax.nii.gz", rng.integers(0, 900, (24, 20, 8)).astype(np.int16))
        nifti(folder / f"p{patient}" / "sax_gt.nii.gz", rng.integers(0, 4, (24, 20, 8)).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Of two sites with a key each; patient 9 was examined at both."""
    folder = tmp_path_factory.mktemp("sites")
    made = {}
    for site, patients in (("first", range(10)), ("second", range(9, 19)), ("third", range(20, 30))):
        source = scans(folder / f"{site}-scans", patients)
        made[site] = jaxssl.data_ingest("folder", source, folder / site, key=folder / f"{site}.key", workers=1)
    return made


@pytest.fixture(scope="module")
def pretrained(stores, tmp_path_factory):
    """A run that has seen everybody of the first site."""
    options = {**FEW, "data.store": str(stores["first"]), "data.fractions": (1.0, 0.0, 0.0)}
    return jaxssl.pretrain("mim:tiny", tmp_path_factory.mktemp("runs") / "mim", options)


def segmented(store, run, workdir):
    """Fine-tuned on the store, its test subjects being everybody but one."""
    options = {**FEW, "data.store": str(store), "data.fractions": (0.1, 0.1, 0.8), "init.run": str(run)}
    return jaxssl.finetune("segment:tiny", workdir, options)


def test_a_patient_of_both_stores_is_found_by_the_pixels(stores, pretrained, tmp_path):
    infos = [open_store(stores[site]).info for site in ("first", "second")]
    assert infos[0].key_id != infos[1].key_id
    with pytest.raises(UserError, match=r"1 test subjects were already seen by .*mim \([a-z0-9]+\)"):
        segmented(stores["second"], pretrained, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_others_are_let_through_and_known_from_then_on(stores, pretrained, tmp_path):
    run = segmented(stores["third"], pretrained, tmp_path / "run")
    seen = json.loads((run / "seen.json").read_text())
    assert {key: len(names) for key, names in seen.items()} == {
        open_store(stores["first"]).info.key_id: 10,
        open_store(stores["third"]).info.key_id: 1,
    }
    assert json.loads((run / "run.json").read_text())["subjects_seen"] == 11
    with pytest.raises(UserError, match="test subjects were already seen by"):
        segmented(stores["second"], run, tmp_path / "next")


def test_without_the_pixels_it_cannot_be_proved(stores, pretrained, tmp_path):
    file = pretrained / "seen.json"
    whole = file.read_text()
    try:
        file.write_text(json.dumps({key: {name: [] for name in names} for key, names in json.loads(whole).items()}))
        with pytest.raises(UserError, match="cannot be proved that no test subject was seen by"):
            segmented(stores["third"], pretrained, tmp_path / "run")
        file.unlink()
        with pytest.raises(UserError, match="nobody knows which subjects the run has seen"):
            segmented(stores["third"], pretrained, tmp_path / "run")
    finally:
        file.write_text(whole)
