"""What is there twice is taken once; what only seems so is kept."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import scanner
from taken import Fixed, picture, random, sax, taken

from jaxssl.data.subject import Series


def test_a_copy_of_a_file_is_rejected_and_a_still_clip_is_not(tmp_path):
    files = scanner.write_dicom_series(sax(slices=1), tmp_path / "scan")
    copy = tmp_path / "scan" / "copy"
    copy.write_bytes(files[1].read_bytes())
    records, rejects = taken(Series((*files, copy)))
    assert len(records) == 4
    assert rejects == [("copy", f"it has the SOPInstanceUID of {files[1].name}")]
    records, rejects = taken(with_uids([*files, copy], [f"1.{n}" for n in range(5)]))
    assert len(records) == 4
    assert rejects == [("copy", f"it holds the same images as {files[1].name}")]

    still = random(4, 5)
    clip = Series(tuple(picture(tmp_path / "clip" / f"{n}.png", still) for n in range(3)), view="lung")
    again = Series(tuple(picture(tmp_path / "again" / f"{n}.png", still) for n in range(3)), view="lung")
    records, rejects = taken(clip, again)
    assert [record.phase for record in records] == [0, 1, 2]
    assert rejects == [(f"{n}.png", "it holds the same images as 0.png") for n in range(3)]


def with_uids(files: Sequence[Path], uids: Sequence[str]) -> Series:
    for file, uid in zip(files, uids, strict=True):
        data = pydicom.dcmread(file)
        data.SOPInstanceUID = uid
        data.save_as(file)
    return Series(tuple(files))


def test_of_files_with_one_instance_uid_the_first_that_can_be_read_is_kept(tmp_path):
    """Another, with pixels of its own, would become a phase that never was."""
    files = scanner.write_dicom_series(sax(slices=1, phases=6), tmp_path)
    series = with_uids(files, ["1.1", "1.2", "1.1", "1.3", "1.4", "1.2"])
    files[0].write_bytes(files[0].read_bytes()[:-100])
    records, rejects = taken(series)
    assert [(record.image[0, 0, 0], record.phase, record.phases) for record in records] == [
        (number, phase, 4) for phase, number in enumerate([1, 2, 3, 4])
    ]
    assert rejects[0][1].startswith("it is cut off")
    assert rejects[1:] == [(files[5].name, f"it has the SOPInstanceUID of {files[1].name}")]


def test_where_one_uid_was_written_over_many_nothing_is_lost(tmp_path):
    files = scanner.write_dicom_series(sax(slices=1), tmp_path)
    records, rejects = taken(with_uids(files, ["1.1"] * 4))
    assert [record.image[0, 0, 0] for record in records] == [0, 1, 2, 3]
    why = "its series has one SOPInstanceUID for many files, so that copies cannot be told: all kept"
    assert rejects == [(files[0].name, why)]


def test_series_share_no_instances(tmp_path):
    """Of two examinations each may count its files from 1."""
    series = []
    for name in ("a", "b"):
        files = scanner.write_dicom_series(sax(slices=2, seed=ord(name)), tmp_path / name)
        series.append(replace(with_uids(files, [f"1.{n}" for n in range(8)]), study=name))
    records, rejects = taken(*series)
    assert (len(records), rejects) == (16, [])


def test_of_two_copies_the_one_with_a_mask_is_kept(tmp_path):
    pixels, mask = random(5, 6), np.eye(5, 6, dtype=np.uint8)
    one, other = picture(tmp_path / "a.png", pixels), picture(tmp_path / "b.png", pixels)
    series = [Series((one,)), Series((other,), masks=Fixed(mask))]
    for order in (series, series[::-1]):
        (record,), rejects = taken(*order)
        np.testing.assert_array_equal(record.mask, mask)
        assert rejects == [("a.png", "it holds the same images as b.png")]
