"""What is left out of a subject's files, and that it costs nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import samples
import scanner
from fakeset import volume
from pydicom.uid import SegmentationStorage
from taken import Fixed, random, sax, taken

from jaxssl.data.ingest import loading
from jaxssl.data.subject import Series

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.parametrize(
    ("tags", "kept"),
    [
        ({"SOPClassUID": CAPTURE}, False),
        ({"SOPClassUID": f"{CAPTURE}.4", "BurnedInAnnotation": ""}, False),
        ({"SOPClassUID": CAPTURE, "BurnedInAnnotation": "NO"}, True),
        ({"BurnedInAnnotation": "YES"}, False),
        ({"BurnedInAnnotation": "NO"}, True),
        ({"SOPClassUID": f"{CAPTURE}7.1"}, True),
    ],
)
def test_screens_that_were_saved_may_name_somebody(tags, kept, tmp_path):
    files = scanner.write_dicom_series(sax(slices=1, phases=1), tmp_path, **tags)
    records, rejects = taken(Series(tuple(files)))
    assert len(records) == kept
    assert [why.startswith("its pixels may name somebody") for _, why in rejects] == [True] * (not kept)


@pytest.mark.parametrize("modality", [None, "OT", "IVUS"])
def test_ultrasound_that_is_not_called_so_is_treated_as_such(modality, tmp_path):
    file = scanner.write_clip(sax(slices=1), tmp_path / "a.dcm", Modality=modality)
    assert taken(Series((file,))) == ([], [("a.dcm", "its fan was not found, so that text in it would stay")])


def test_a_saved_screen_of_ultrasound_keeps_its_fan_and_nothing_else(tmp_path):
    pixels = np.zeros((60, 80, 1), np.uint8)
    pixels[10:50, 20:60, 0] = random(40, 40) // 2 + 100
    pixels[2:5, 2:8] = 255
    given = replace(sax()[0], image=pixels, mask=None, plane=samples.plane(60, 80))
    tags = {"modality": "US", "SOPClassUID": CAPTURE, "BurnedInAnnotation": "YES"}
    (record,), rejects = taken(Series(tuple(scanner.write_dicom_series([given], tmp_path, **tags))))
    assert rejects == []
    assert not record.image[:8].any()
    np.testing.assert_array_equal(record.image[15:45, 25:55], pixels[15:45, 25:55])


def test_what_was_drawn_is_no_image(tmp_path):
    files = scanner.write_dicom_series(sax(slices=1, phases=1), tmp_path, SOPClassUID=SegmentationStorage)
    assert taken(Series(tuple(files))) == (
        [],
        [(files[0].name, "it is a segmentation, which was drawn and is no image")],
    )


def test_ultrasound_without_a_fan_is_rejected_if_its_scanner_says_so(tmp_path):
    given = [each for each in samples.records(1, slices=1) if each.view == "sax"]
    file = scanner.write_clip(given, tmp_path / "a.dcm")
    records, rejects = taken(Series((file,)), fan=True)
    assert records == []
    assert rejects == [("a.dcm", "its fan was not found, so that text in it would stay")]


def test_a_file_that_unpacks_to_too_much_is_left_while_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "LARGEST", 5 * 20 * 24)
    clips = [scanner.write_video(tmp_path / f"{n}.avi", random(n, 20, 24), "rawvideo", "gray") for n in (5, 9)]
    heard = []
    records, rejects = taken(*(Series((clip,), view=clip.stem) for clip in clips), reading=heard.append)
    assert len(records) == 5
    assert rejects == [("9.avi", "it has more than 0 GiB of pixels")]
    assert heard.count(clips[1]) == 6, "what follows is not read"


@pytest.mark.parametrize(
    ("masks", "reason"),
    [
        (Fixed(np.zeros((6, 5), np.uint8)), "(6, 5), not uint8 of (5, 6); kept without it"),
        (Fixed(np.full((5, 6), 2, np.uint8)), "code 2, beyond heart, the last of the classes; kept without it"),
        (Fixed(reason="its mask m.nii is truncated"), "its mask m.nii is truncated; kept without it"),
    ],
)
def test_a_mask_that_is_no_good_costs_no_image(tmp_path, masks, reason):
    file = volume(tmp_path / "a.nii", random(1, 5, 6))
    (record,), ((name, said),) = taken(Series((file,), masks=masks), classes=("background", "heart"))
    assert record.mask is None
    assert name == "a.nii"
    assert said.endswith(reason)


def test_damaged_files_are_rejected_and_the_others_kept(tmp_path):
    good = volume(tmp_path / "good.nii", random(2, 5, 6))
    truncated, empty, text = tmp_path / "truncated.nii", tmp_path / "empty.nii", tmp_path / "text.dcm"
    truncated.write_bytes(good.read_bytes()[:-7])
    empty.touch()
    text.write_text("Hello")
    files = (good, truncated, empty, text, tmp_path / "missing.png")
    records, rejects = taken(Series(files), refused={truncated: "it takes too long"})
    assert len(records) == 2
    assert [name for name, _ in rejects] == ["truncated.nii", "empty.nii", "text.dcm", "missing.png"]
    assert dict(rejects)["truncated.nii"] == "it takes too long"
    assert dict(rejects)["empty.nii"] == "it is empty"
    assert taken(Series(files[1:]))[0] == []
