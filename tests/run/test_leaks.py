"""One patient in two stores, under two names: nobody may be pretrained on there and tested on here."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from scans import nifti

import jaxssl
from jaxssl.data.columns import hash_of
from jaxssl.data.ingest.pseudonym import KEY_BYTES
from jaxssl.data.splitfile import SplitFile
from jaxssl.data.splits import Split
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
        source, key = scans(folder / f"{site}-scans", patients), folder / f"{site}.key"
        # By the key patients have names, and by these their part: a drawn one would leave patient 9 out of some tests.
        key.write_bytes(hashlib.sha256(f"{site} site".encode()).digest()[:KEY_BYTES])
        key.chmod(0o600)
        made[site] = jaxssl.data_ingest("folder", source, folder / site, key=key, workers=1)
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


def test_a_patient_under_two_names_in_one_store_is_not_trained_and_tested_on(tmp_path):
    source = scans(tmp_path / "scans", range(10))
    shutil.copytree(source / "p3", source / "p77")
    store = jaxssl.data_ingest("folder", source, tmp_path / "store", key=tmp_path / "key", workers=1)
    opened = open_store(store)
    owners: dict[int, list[str]] = {}
    for record in opened.records():
        owners.setdefault(hash_of(record.image), []).append(record.subject)
    one, other = next(own for own in owners.values() if len(own) > 1)
    rest = sorted({record.subject for record in opened.records()} - {one, other})
    split = SplitFile(opened.path.name, opened.fingerprint, Split((one,), tuple(rest[:2]), (other, *rest[2:])))
    split.write(tmp_path / "split.json")
    options = {**FEW, "data.store": str(store), "data.split": str(tmp_path / "split.json")}
    with pytest.raises(UserError, match="1 test subjects were already seen by this run in its own training"):
        jaxssl.finetune("segment:tiny", tmp_path / "run", options)
    assert not (tmp_path / "run").exists()
