"""What becomes of one subject's files, in this process."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import samples
import scanner
from fakeset import volume
from PIL import Image as Picture

from jaxssl.data.formats.image import Unreadable
from jaxssl.data.ingest.pseudonym import Pseudonyms
from jaxssl.data.ingest.records import records_of
from jaxssl.data.subject import Series, Subject

NAMES = Pseudonyms(bytes(32), "fakeset")


def taken(*series: Series, name: str = "Ada", **options):
    """The records, and the reasons by name of file."""
    rejects: list[tuple[str, str]] = []
    subject = Subject(name, series)
    return records_of(subject, NAMES, lambda file, why: rejects.append((file.name, why)), **options), rejects


def picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(pixels).save(path)
    return path


def random(*shape: int, seed: int = 0, top: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, shape).astype(np.uint8 if top == 256 else np.uint16)


@dataclass(frozen=True)
class Fixed:
    """The same mask for the images of the first file."""

    mask: np.ndarray | None = None
    reason: str = ""

    def __call__(self, file, slice, frame, shape):
        if self.reason:
            raise Unreadable(self.reason)
        return self.mask if file == 0 else None


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


def test_a_copy_of_a_file_is_rejected_and_a_still_clip_is_not(tmp_path):
    given = [each for each in samples.records(1, slices=1) if each.view == "sax"]
    files = scanner.write_dicom_series(given, tmp_path / "scan")
    copy = tmp_path / "scan" / "copy"
    copy.write_bytes(files[1].read_bytes())
    records, rejects = taken(Series((*files, copy)))
    assert len(records) == 4
    assert rejects == [("copy", f"it holds the same images as {files[1].name}")]

    still = random(4, 5)
    clip = Series(tuple(picture(tmp_path / "clip" / f"{n}.png", still) for n in range(3)), view="lung")
    again = Series(tuple(picture(tmp_path / "again" / f"{n}.png", still) for n in range(3)), view="lung")
    records, rejects = taken(clip, again)
    assert [record.phase for record in records] == [0, 1, 2]
    assert rejects == [(f"{n}.png", "it holds the same images as 0.png") for n in range(3)]


def test_of_two_copies_the_one_with_a_mask_is_kept(tmp_path):
    pixels, mask = random(5, 6), np.eye(5, 6, dtype=np.uint8)
    one, other = picture(tmp_path / "a.png", pixels), picture(tmp_path / "b.png", pixels)
    series = [Series((one,)), Series((other,), masks=Fixed(mask))]
    for order in (series, series[::-1]):
        (record,), rejects = taken(*order)
        np.testing.assert_array_equal(record.mask, mask)
        assert rejects == [("a.png", "it holds the same images as b.png")]


def test_each_image_of_a_file_has_its_time(tmp_path):
    """Whoever watches hears that the next one is begun."""
    clip = scanner.write_video(tmp_path / "a.avi", random(4, 20, 24), "rawvideo", "gray")
    heard = []
    records, _ = taken(Series((clip,), view="lung"), reading=heard.append)
    assert len(records) == 4
    assert heard == [clip] * 5 + [None]


def test_ultrasound_without_a_fan_is_rejected_if_its_scanner_says_so(tmp_path):
    given = [each for each in samples.records(1, slices=1) if each.view == "sax"]
    file = scanner.write_clip(given, tmp_path / "a.dcm")
    records, rejects = taken(Series((file,)), fan=True)
    assert records == []
    assert rejects == [("a.dcm", "its fan was not found, so that text in it would stay")]


def test_masks_go_with_their_images(tmp_path):
    files = tuple(volume(tmp_path / f"{n}.nii", random(1, 5, 6, seed=n), depth=8.0 * n) for n in range(2))
    mask = np.eye(5, 6, dtype=np.uint8)
    records, rejects = taken(Series(files, masks=Fixed(mask)), classes=("background", "heart"))
    assert rejects == []
    (masked,) = [record for record in records if record.mask is not None]
    np.testing.assert_array_equal(masked.mask, mask)
    pixels = random(1, 5, 6, seed=0)[0]
    np.testing.assert_array_equal(masked.image[..., 0], pixels)


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
