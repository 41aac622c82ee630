"""What becomes of one subject's files, in this process."""

from dataclasses import replace

import numpy as np
import pytest
import samples
import scanner
from fakeset import volume
from taken import NAMES, Fixed, picture, random, sax, taken

from jaxssl.data.subject import Series


def test_a_dicom_series_comes_back_as_the_records_it_was_written_from(tmp_path):
    given = [each for each in samples.records(1, slices=3, dtype="uint16") if each.view == "sax"]
    files = scanner.write_dicom_series(given, tmp_path)
    moments = {number: each.moment for number, each in enumerate(given) if each.moment}
    records, rejects = taken(Series(tuple(files), study="2019", labels={"group": "x"}, moments=moments))
    assert rejects == []
    assert len(records) == len(given)
    # The samples are numbered from the apex; a stack of a patient runs from the base.
    for record, expected in zip(records, sorted(given, key=lambda each: (-each.slice, each.phase)), strict=True):
        np.testing.assert_array_equal(record.image, expected.image)
        np.testing.assert_allclose(record.plane.origin, expected.plane.origin, atol=1e-4)
        place = (2 - expected.slice, expected.phase, expected.moment, expected.thickness)
        assert (record.slice, record.phase, record.moment, record.thickness) == place
        assert (record.subject, record.study) == (NAMES.subject("Ada"), NAMES.study("Ada", "2019"))
        assert record.labels == {"group": "x"}


def test_what_the_set_knows_of_a_place_comes_before_what_the_file_says(tmp_path):
    file = volume(tmp_path / "a.nii", random(2, 5, 6))
    (inside, _), _ = taken(Series((file,)))
    assert np.isfinite(inside.plane.origin).all()
    (corrected, _), _ = taken(Series((file,), spacing=(0.5, 0.25)))
    assert corrected.plane.spacing.tolist() == [0.5, 0.25]
    np.testing.assert_array_equal(corrected.plane.origin, inside.plane.origin)
    (nowhere, _), _ = taken(Series((file,), placed=False))
    assert np.isnan(nowhere.plane.origin).all()
    np.testing.assert_allclose(nowhere.plane.spacing, 1.5)


def test_colours_become_grey_and_a_subject_has_one_depth(tmp_path):
    colours = picture(tmp_path / "a.png", np.full((4, 5, 3), (255, 0, 0), np.uint8))
    deep = picture(tmp_path / "b.png", random(4, 5, top=60000))
    records, _ = taken(Series((colours,), view="a"), Series((deep,), view="b"))
    assert [record.image.shape for record in records] == [(4, 5, 1)] * 2
    assert {record.image.dtype.name for record in records} == {"uint16"}
    assert (records[0].image == 76).all()


@pytest.mark.parametrize("tags", [{"PixelSpacing": None}, {"PixelSpacing": [0, 0], "TriggerTime": None}])
def test_slices_are_told_apart_where_nobody_knows_how_large_a_pixel_is(tags, tmp_path):
    given = sax(slices=3)
    records, rejects = taken(Series(tuple(scanner.write_dicom_series(given, tmp_path, **tags))))
    assert rejects == []
    # The samples are numbered from the apex; a stack of a patient runs from the base.
    from_base = {each.image[0, 0, 0]: (2 - each.slice, each.phase) for each in given}
    assert {r.image[0, 0, 0]: (r.slice, r.phase) for r in records} == from_base
    assert all(r.ordered and r.slices == 3 and r.phases == 4 for r in records)
    assert all(np.isnan([*r.plane.origin, *r.plane.spacing]).all() for r in records)


def test_a_depth_alone_tells_slices_apart(tmp_path):
    given, series = sax(slices=3), []
    for number, record in enumerate(given):
        tags = {"ImagePositionPatient": None, "PixelSpacing": None, "SliceLocation": 8.0 * record.slice - 8}
        series += scanner.write_dicom_series([record], tmp_path / str(number), **tags)
    records, rejects = taken(Series(tuple(series)))
    assert rejects == []
    assert [(r.slice, r.phase) for r in records] == [(slice, phase) for slice in range(3) for phase in range(4)]
    assert all((r.slices, r.phases) == (3, 4) for r in records)
    assert [r.image[0, 0, 0] for r in records] == [*range(12)]
    assert not any(r.ordered for r in records)


def test_each_image_of_a_file_has_its_time(tmp_path):
    """Whoever watches hears that the next one is begun."""
    clip = scanner.write_video(tmp_path / "a.avi", random(4, 20, 24), "rawvideo", "gray")
    heard = []
    records, _ = taken(Series((clip,), view="lung"), reading=heard.append)
    assert len(records) == 4
    assert heard == [clip] * 5 + [None]


def test_masks_go_with_their_images(tmp_path):
    files = tuple(volume(tmp_path / f"{n}.nii", random(1, 5, 6, seed=n), depth=8.0 * n) for n in range(2))
    mask = np.eye(5, 6, dtype=np.uint8)
    records, rejects = taken(Series(files, masks=Fixed(mask)), classes=("background", "heart"))
    assert rejects == []
    (masked,) = [record for record in records if record.mask is not None]
    np.testing.assert_array_equal(masked.mask, mask)
    pixels = random(1, 5, 6, seed=0)[0]
    np.testing.assert_array_equal(masked.image[..., 0], pixels)


def test_ultrasound_is_blackened_beside_its_fan(tmp_path):
    pixels = np.zeros((60, 80), np.uint8)
    pixels[10:50, 20:60] = random(40, 40) // 2 + 100
    pixels[2:5, 2:8] = 255
    file = picture(tmp_path / "a.png", pixels)
    (plain,), _ = taken(Series((file,)))
    (fanned,), _ = taken(Series((file,)), fan=True)
    assert plain.image[3, 3, 0] == 255
    assert not fanned.image[:8].any()
    np.testing.assert_array_equal(fanned.image[15:45, 25:55], plain.image[15:45, 25:55])


def test_the_order_of_files_and_series_changes_nothing(tmp_path):
    given = list(samples.records(1, slices=3))
    files = scanner.write_dicom_series(given, tmp_path)
    stack = Series(tuple(file for file, each in zip(files, given, strict=True) if each.view == "sax"))
    four = Series(tuple(file for file, each in zip(files, given, strict=True) if each.view == "4ch"))
    one, _ = taken(stack, four)
    other, _ = taken(four, replace(stack, files=stack.files[::-1]))
    assert len(one) == len(other) == len(given)
    for a, b in zip(one, other, strict=True):
        assert (a.study, a.view, a.slice, a.phase) == (b.study, b.view, b.slice, b.phase)
        np.testing.assert_array_equal(a.image, b.image)
