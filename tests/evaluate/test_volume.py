"""Scores of one volume whose structures are boxes, and of hearts; real volumes where JAXSSL_DATA names their folder."""

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import samples

from jaxssl.data.datasets import set_of
from jaxssl.data.ingest.engine import ingest
from jaxssl.data.ingest.pseudonym import Pseudonyms, site_key
from jaxssl.data.record import CINE_CLASSES, Record, unplaced
from jaxssl.data.store import open_store
from jaxssl.evaluate.volume import ejected, hearts, scores

CLASSES = CINE_CLASSES[1:]
RV, MYO, LV = 1, 2, 3
SIZE, SPACING, STEP = (40, 36), (1.5, 1.25), 10.0
PIXEL = 1.5 * 1.25


def labels(slices: int = 5) -> np.ndarray:
    """A box of 20 x 16 of LV in all slices but the last, of 10 x 8 of RV in the first two, no muscle."""
    mask = np.zeros((slices, *SIZE), np.uint8)
    mask[:-1, 10:30, 8:24] = LV
    mask[:2, 2:10, 10:20] = RV
    return mask


def stack(masks: np.ndarray) -> list[Record]:
    return [
        Record(
            image=np.zeros((*mask.shape, 1), np.uint8),
            subject="a",
            study="b",
            view="sax",
            slice=number,
            slices=len(masks),
            phase=0,
            phases=1,
            moment="ED",
            plane=samples.plane(*mask.shape, SPACING, STEP * number),
            thickness=8.0,
            mask=mask,
        )
        for number, mask in enumerate(masks)
    ]


def test_the_truth_scores_best():
    truth = labels()
    found = scores(stack(truth), truth, CLASSES)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["dice"] == [1, 1, 1]
    assert found["hd95"] == found["assd"] == [0, None, 0]
    assert found["volume"] == found["volume_true"]
    np.testing.assert_allclose(found["volume"], np.array([2 * 80, 0, 4 * 320]) * PIXEL * STEP / 1000)
    assert found["slices"] == [{"position": place, "dice": [1, 1, 1]} for place in (0, 0.25, 0.5, 0.75, 1)]
    assert found["circumference"] is found["circumference_true"] is None


def test_what_a_study_ejects_is_in_its_own_masks():
    """Of four slices of 20 x 16 pixels in ED half the rows are left in ES; slices come in any order."""
    smaller = labels()
    smaller[:, 20:30] = 0
    ed, es = stack(labels()), [replace(record, moment="ES", phase=0) for record in stack(smaller)]
    assert ejected([*es[::-1], *ed], CLASSES) == pytest.approx(50)
    lone = [replace(record, view="4ch") for record in (ed[0], es[0])]
    assert ejected([*lone, *ed, *es], CLASSES) == pytest.approx(50)
    hidden = [replace(record, mask=None) for record in es]
    for study in (ed, [*ed, *hidden], lone, []):
        assert ejected(study, CLASSES) is None
    assert ejected([*ed, *es], ("RV", "MYO")) is None


def test_a_slice_too_few_is_a_step_too_short():
    """The end that is missing is 10 mm off, the sides that are there are not; steps come from places, not thickness."""
    truth, prediction = labels(), labels()
    prediction[3] = 0
    found = scores(stack(truth), prediction, CLASSES)
    assert found["dice"] == [1, 1, pytest.approx(2 * 3 / 7)]
    assert found["hd95"] == [0, None, STEP]
    assert found["volume"][2] == pytest.approx(3 / 4 * found["volume_true"][2])
    assert [each["dice"][2] for each in found["slices"]] == [1, 1, 1, 0, 1]
    # Of the true box the last slice is a step away. Of the predicted one, the inside of the last slice lies where the
    # true one has no border: a step away, or the way to the nearest side.
    side = 2 * (20 + 16) - 4
    y, x = np.indices((20, 16))
    inner = np.minimum(np.minimum(y, 19 - y) * SPACING[0], np.minimum(x, 15 - x) * SPACING[1])
    there = np.minimum(inner, STEP).sum()
    total = (2 * 320 + side) + (2 * 320 + 2 * side)
    assert found["assd"][2] == pytest.approx((there + 320 * STEP) / total)


def test_a_shift_in_the_plane_is_a_distance_in_its_mm():
    truth = labels()
    for shift, mm in (((0, 2, 0), 3.0), ((0, 0, -3), 3.75)):
        found = scores(stack(truth), np.roll(truth, shift, (0, 1, 2)), CLASSES)
        assert found["hd95"] == [pytest.approx(mm), None, pytest.approx(mm)]
        assert found["volume"] == found["volume_true"]


def test_a_structure_that_only_one_has_is_missing():
    truth, prediction = labels(), labels()
    prediction[prediction == RV] = MYO
    found = scores(stack(truth), prediction, CLASSES)
    assert found["dice"] == [0, 0, 1]
    assert found["hd95"] == found["assd"] == [None, None, 0]
    assert (found["volume"][0], found["volume_true"][1]) == (0, 0)
    assert found["slices"][4]["dice"] == [1, 1, 1]


def test_slices_of_unequal_size_have_volumes_and_no_distances():
    truth = [*labels()]
    truth[2] = truth[2][1:-3]
    found = scores(stack(truth), truth, CLASSES)
    assert found["dice"] == [1, 1, 1]
    assert found["hd95"] == found["assd"] == [None] * 3
    assert found["volume"][2] == pytest.approx(4 * 320 * PIXEL * STEP / 1000)


def test_a_single_slice_has_distances_in_its_plane_and_no_volume():
    truth = labels()[:1].copy()
    truth[0, 10:30, 8:24] = LV
    found = scores(stack(truth), np.roll(truth, 2, 1), CLASSES)
    assert found["volume"] == found["volume_true"] == [None] * 3
    assert found["hd95"][2] == 3.0
    # Of outlines, not of all pixels.
    y, x = np.indices((20, 16))
    outline = np.argwhere((y % 19 == 0) | (x % 15 == 0)) * SPACING
    apart = np.linalg.norm(outline[:, None] - (outline + np.array([3.0, 0]))[None], axis=-1)
    assert len(outline) == 2 * (20 + 16) - 4
    assert found["assd"][2] == pytest.approx(np.mean([apart.min(0), apart.min(1)]))
    assert [each["position"] for each in found["slices"]] == [None]


def test_what_nobody_knows_is_missing():
    truth = labels()
    placed = stack(truth)
    nowhere = [replace(each, plane=unplaced(SIZE, SPACING), thickness=float("nan"), ordered=False) for each in placed]
    found = scores(nowhere, truth, CLASSES)
    assert found["volume"] == found["hd95"] == [None] * 3
    assert {each["position"] for each in found["slices"]} == {None}
    sizeless = [replace(each, plane=unplaced(SIZE, None)) for each in placed]
    for slices in (sizeless, sizeless[:1]):
        found = scores(slices, truth[: len(slices)], ("head", "MYO", "LV"))
        assert found["volume"] == found["hd95"] == [None] * 3
        assert found["circumference"] is None
        assert found["dice"] == [1, 1, 1]


def test_slices_without_places_are_a_thickness_apart():
    truth = labels()
    found = scores([replace(each, plane=unplaced(SIZE, SPACING)) for each in stack(truth)], truth, CLASSES)
    assert found["volume"][2] == pytest.approx(4 * 320 * PIXEL * 8 / 1000)


def test_a_head_has_its_circumference_beside_the_true_one():
    y, x = np.indices((120, 130)).astype(float)
    head = [(np.hypot((y - 60) * 1.5, (x - 65) * 1.25) <= radius).astype(np.uint8)[None] for radius in (50, 60)]
    found = scores(stack(head[1]), head[0], ("head",))
    assert found["circumference"] == pytest.approx(2 * np.pi * 50, rel=2e-3)
    assert found["circumference_true"] == pytest.approx(2 * np.pi * 60, rel=2e-3)
    nothing = scores(stack(head[1]), np.zeros_like(head[0]), ("head",))
    assert nothing["circumference"] is None
    assert nothing["circumference_true"] == found["circumference_true"]
    assert scores(stack(head[1]), head[0], ("lung",))["circumference_true"] is None


def entry(moment, volume, true, study="s", view="sax"):
    return {"subject": "a", "study": study, "view": view, "moment": moment, "volume": volume, "volume_true": true}


def test_hearts_have_volumes_fraction_and_mass_with_the_truth_beside():
    found = hearts([entry("ED", [9.0, 100, 150], [9, 110, 160]), entry("ES", [9.0, 99, 60], [9, 99, 56])], CLASSES)
    assert found == [
        {
            **{"subject": "a", "study": "s", "edv": 150, "esv": 60, "ef": 60, "mass": 105},
            **{"edv_true": 160, "esv_true": 56, "ef_true": 65, "mass_true": pytest.approx(115.5)},
        }
    ]


def test_hearts_are_one_a_study_that_has_the_volume_in_both_moments():
    both = [entry("ED", [9.0, 9, 9], [9.0, 9, 9], "whole"), entry("ES", [9.0, 9, 0], [9.0, 9, 9], "whole")]
    half = [entry("ED", [9.0, 9, 9], [9.0, 9, 9], "half"), entry("ES", [None] * 3, [None] * 3, "half")]
    plane = [entry(moment, [None] * 3, [None] * 3, "whole", "4ch") for moment in ("ED", "ES")]
    apart = [entry("ED", [9.0, 9, 9], [9.0, 9, 9], "views"), entry("ES", [9.0, 9, 9], [9.0, 9, 9], "views", "4ch")]
    again = [
        entry("ED", [9.0, 9, 9], [9.0, 9, 9], "whole", "other"),
        entry("ES", [9.0, 9, 3], [9.0] * 3, "whole", "other"),
    ]
    found = hearts([*plane, *half, *both, *apart, *again], CLASSES)
    assert [(heart["study"], heart["ef"], heart["ef_true"]) for heart in found] == [("whole", 100, 0)]
    assert hearts(both, ("RV", "MYO", "LA")) == []
    (without,) = hearts(both, ("RV", "LA", "LV"))
    assert without["mass"] is without["mass_true"] is None


def test_a_heart_that_was_not_found_has_no_fraction():
    (heart,) = hearts([entry("ED", [0.0] * 3, [9.0] * 3), entry("ES", [0.0] * 3, [9.0] * 3)], CLASSES)
    assert (heart["edv"], heart["ef"], heart["ef_true"]) == (0, None, 0)


def some_of(folder: Path, subjects: list[str], to: Path) -> Path:
    """A sample of these subjects, with links to the files of its own."""
    header, *lines = (folder / "subjects.csv").read_text().splitlines()
    (to / "subjects").mkdir(parents=True)
    (to / "subjects.csv").write_text("\n".join([header, *(x for x in lines if x.partition(",")[0] in subjects)]))
    for file in (folder / "subjects").iterdir():
        if file.name.partition("_")[0] in subjects:
            (to / "subjects" / file.name).symlink_to(file)
    return to


@pytest.mark.skipif("JAXSSL_DATA" not in os.environ, reason="JAXSSL_DATA names no folder of samples")
def test_real_hearts_have_the_volumes_of_their_table(tmp_path: Path):
    """Of true masks, to 1 ml where slices are 10 mm thick."""
    folder, kind = Path(os.environ["JAXSSL_DATA"]).absolute() / "acdc", set_of("acdc")
    about = list(csv.DictReader((folder / "subjects.csv").open()))[::4]
    source = some_of(folder, [row["subject"] for row in about], tmp_path / "acdc")
    store = open_store(ingest(kind, source, tmp_path / "store", key_file=tmp_path / "key").store)
    names = Pseudonyms(site_key(tmp_path / "key", tmp_path / "store")[0], kind.name)
    volumes: dict[tuple[str, str], list[Record]] = {}
    for record in store.records():
        volumes.setdefault((record.subject, record.moment), []).append(record)
    scored = [
        {
            **{"subject": subject, "study": records[0].study, "view": "sax", "moment": moment},
            **scores(records, [np.asarray(record.mask) for record in records], CLASSES),
        }
        for (subject, moment), records in volumes.items()
    ]
    found = {heart["subject"]: heart for heart in hearts(scored, CLASSES)}
    assert len(found) == len(about) == 18
    thick = [row for row in about if float(row["spacing_z_mm"]) == 10]
    assert len(thick) >= 12
    for row in thick:
        heart = found[names.subject(row["subject"])]
        assert heart["edv"] == heart["edv_true"] == pytest.approx(float(row["lv_edv_ml"]), abs=1)
        assert heart["esv"] == heart["esv_true"] == pytest.approx(float(row["lv_esv_ml"]), abs=1)
        assert heart["ef"] == pytest.approx(float(row["lv_ef_pct"]), abs=0.5)
