"""Where files say that their images lie, in the patient and in time, and where they say it badly or not at all."""

import tempfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from scans import dicom, nifti

from jaxssl.data.formats import read
from jaxssl.geometry import normal, patient_point

FRAMES = np.arange(3 * 5 * 7, dtype=np.uint16).reshape(3, 5, 7)
PLACED = {
    "ImagePositionPatient": [-10.5, 20.25, 30],
    "ImageOrientationPatient": [0, 1, 0, 0, 0, -1],
    "PixelSpacing": [0.75, 0.5],
}


def item(**tags) -> list[Dataset]:
    data = Dataset()
    data.update(tags)
    return [data]


def only(path):
    (image,) = read(path)
    return image


def test_rows_come_first_in_the_spacing_and_columns_first_in_the_orientation(tmp_path):
    plane = only(dicom(tmp_path / "a.dcm", FRAMES[0], **PLACED, SliceThickness=8)).plane
    # From one column to the next it goes 0.5 mm along +y, from one row to the next 0.75 mm along -z.
    np.testing.assert_allclose(
        patient_point(plane, np.array(2.0), np.array(4.0)), [-10.5, 20.25 + 4 * 0.5, 30 - 2 * 0.75]
    )
    np.testing.assert_allclose(plane.shape, (5, 7))
    np.testing.assert_allclose(normal(plane), [-1, 0, 0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"ImageOrientationPatient": [0, 1, 0, 0, 1, 0]},
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"ImageOrientationPatient": [0, 2, 0, 0, 0, 1]},
        {"ImageOrientationPatient": None},
        {"ImagePositionPatient": None},
    ],
)
def test_what_is_no_place_is_none(wrong, tmp_path):
    image = only(dicom(tmp_path / "a.dcm", FRAMES[0], **PLACED | wrong))
    assert image.plane is None
    assert image.spacing == (0.75, 0.5)


@pytest.mark.parametrize("wrong", [None, [0, 0.5], [-1, -1]])
def test_without_a_spacing_an_image_begins_and_lies_somewhere_all_the_same(wrong, tmp_path):
    image = only(dicom(tmp_path / "a.dcm", FRAMES[0], **PLACED | {"PixelSpacing": wrong}))
    assert image.spacing is None
    assert image.plane.origin.tolist() == PLACED["ImagePositionPatient"]
    assert np.isnan(image.plane.spacing).all()
    np.testing.assert_allclose(normal(image.plane), [-1, 0, 0])


@pytest.mark.parametrize(("said", "depth"), [(12.5, 12.5), (None, None), ("-0.25", -0.25)])
def test_a_depth_is_known_where_the_file_says_it(said, depth, tmp_path):
    tags = {} if said is None else {"SliceLocation": said}
    assert only(dicom(tmp_path / "a.dcm", FRAMES[0], **tags)).depth == depth


def test_a_detectors_spacing_stands_in(tmp_path):
    assert only(dicom(tmp_path / "a.dcm", FRAMES[0], ImagerPixelSpacing=[0.2, 0.1])).spacing == (0.2, 0.1)
    both = dicom(tmp_path / "b.dcm", FRAMES[0], ImagerPixelSpacing=[0.2, 0.1], PixelSpacing=[0.4, 0.3])
    assert only(both).spacing == (0.4, 0.3)


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ({}, [None, None, None]),
        ({"FrameTime": 33.3}, [0, 33.3, 66.6]),
        ({"FrameTimeVector": [0, 20, 30]}, [0, 20, 50]),
        ({"FrameTimeVector": [0, 20], "FrameTime": 10}, [0, 10, 20]),
        ({"FrameTime": 0}, [None, None, None]),
    ],
)
def test_times_of_a_clip(tags, wanted, tmp_path):
    found = list(read(dicom(tmp_path / "a.dcm", FRAMES, **tags)))
    assert [image.time for image in found] == [pytest.approx(time) for time in wanted]
    assert [(image.slice, image.frame) for image in found] == [(0, 0), (0, 1), (0, 2)]


def test_an_image_says_when_it_was_taken_or_at_least_its_turn(tmp_path):
    image = only(dicom(tmp_path / "a.dcm", FRAMES[0], TriggerTime=412.5, TemporalPositionIdentifier=4))
    assert (image.time, image.frame) == (412.5, 3)


@pytest.mark.parametrize("by", ["delay", "index", "plane"])
def test_frames_of_a_stack_are_told_apart_by_whatever_is_there(by, tmp_path):
    """Of two slices at two moments, in an order that is neither."""
    groups = []
    for depth, moment in ((1, 1), (0, 1), (1, 0), (0, 0)):
        group = item(PlanePositionSequence=item(ImagePositionPatient=[0, 0, -8 * depth]))[0]
        content = {"StackID": "1", "InStackPositionNumber": 2 - depth} if by != "plane" else {}
        if by == "index":
            content["TemporalPositionIndex"] = moment + 1
        else:
            group.CardiacSynchronizationSequence = item(NominalCardiacTriggerDelayTime=40.0 * moment)
        group.FrameContentSequence = item(**content)
        groups.append(group)
    shared = item(
        PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelMeasuresSequence=item(PixelSpacing=[2, 2], SliceThickness=6),
    )
    tags = {"PerFrameFunctionalGroupsSequence": groups, "SharedFunctionalGroupsSequence": shared}
    found = list(read(dicom(tmp_path / "a.dcm", np.repeat(FRAMES[:1], 4, 0), **tags)))
    # The normal is +z, so that the deeper slice comes first; the numbers in the stack say the same.
    assert [(image.slice, image.frame) for image in found] == [(0, 1), (1, 1), (0, 0), (1, 0)]
    assert [image.plane.origin[2] for image in found] == [-8, 0, -8, 0]
    assert {image.thickness for image in found} == {6.0}


def test_names_of_a_series_and_its_view_are_told(tmp_path):
    tags = {"SeriesDescription": "CINE 4CH ", "ProtocolName": "tfi", "ViewCodeSequence": item(CodeMeaning="Apical")}
    assert only(dicom(tmp_path / "a.dcm", FRAMES[0], **tags)).about == "CINE 4CH; tfi; Apical"


def test_regions_of_echoes_are_boxes_within_the_image(tmp_path):
    corners = ("MinY0", "MinX0", "MaxY1", "MaxX1")
    regions = [
        item(
            RegionSpatialFormat=kind, **{f"RegionLocation{name}": at for name, at in zip(corners, place, strict=True)}
        )[0]
        for kind, place in ((1, (1, 2, 3, 6)), (3, (0, 0, 2, 2)), (1, (0, 0, 5, 6)))
    ]
    image = only(dicom(tmp_path / "a.dcm", FRAMES[0], Modality="US", SequenceOfUltrasoundRegions=regions))
    assert image.ultrasound
    assert image.echoes == ((1, 2, 4, 7),)


def affine_of(rotation, spacing, origin) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation * spacing
    affine[:3, 3] = origin
    return affine


def saved(path, affine, sform=1, qform=0, units=("mm", "unknown"), shape=(4, 5, 3, 2), step=0.0):
    image = nibabel.Nifti1Image(np.zeros(shape, np.uint8), affine)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    image.header.set_xyzt_units(*units)
    image.header["pixdim"][4] = step
    nibabel.save(image, path)
    return path


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=9, max_size=9),
    st.tuples(*[st.floats(0.3, 10)] * 3),
    st.tuples(*[st.floats(-300, 300)] * 3),
)
def test_voxels_of_a_nifti_lie_where_its_affine_says(numbers, spacing, origin):
    """Against the affine itself, whatever its rotation and handedness."""
    rotation, _ = np.linalg.qr(np.reshape(numbers, (3, 3)) + 2 * np.eye(3))
    affine = affine_of(rotation, spacing, origin)
    with tempfile.TemporaryDirectory() as folder:
        for image in read(saved(Path(folder) / "a.nii", affine)):
            for i, j in ((0, 0), (3, 0), (0, 4), (3, 4)):
                in_ras = affine @ (i, j, image.slice, 1)
                found = patient_point(image.plane, np.array(float(j)), np.array(float(i)))
                np.testing.assert_allclose(found, in_ras[:3] * (-1, -1, 1), atol=1e-3)
            assert image.thickness == pytest.approx(spacing[2], rel=1e-5)


def test_a_nifti_without_a_code_or_with_slanting_axes_has_no_plane(tmp_path):
    square = affine_of(np.eye(3), (1, 2, 3), (5, 6, 7))
    assert all(image.plane is None for image in read(saved(tmp_path / "a.nii", square, sform=0)))
    slanting = square.copy()
    slanting[0, 1] = 0.5
    for image in read(saved(tmp_path / "b.nii", slanting)):
        assert image.plane is None
        assert image.spacing == pytest.approx((np.hypot(2, 0.5), 1))


def test_sform_goes_before_qform_and_units_hold_for_places(tmp_path):
    near, far = (affine_of(np.eye(3), (1, 1, 1), (start, 0, 0)) for start in (1, 2))
    image = nibabel.Nifti1Image(np.zeros((4, 5, 3), np.uint8), near)
    image.set_sform(near, 1)
    image.set_qform(far, 1)
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "a.nii")
    assert next(read(tmp_path / "a.nii")).plane.origin.tolist() == [-1000, 0, 0]


@pytest.mark.parametrize(
    ("unit", "step", "wanted"),
    [("sec", 0.03, 30), ("msec", 30, 30), ("usec", 30000, 30), ("unknown", 30, None), ("msec", 0, None)],
)
def test_time_in_a_nifti_is_in_its_unit(unit, step, wanted, tmp_path):
    found = list(read(saved(tmp_path / "a.nii", np.eye(4), units=("mm", unit), step=step)))
    for image in found:
        assert image.time == (None if wanted is None else pytest.approx(wanted * image.frame, rel=1e-5))


def test_slopes_of_a_nifti_are_exact(tmp_path):
    """Against float64 arithmetic with the slope and intercept that the header holds as float32."""
    stored = np.arange(-60, 60, dtype=np.int16).reshape(4, 5, 6)
    header = nibabel.load(nifti(tmp_path / "a.nii", stored)).header.copy()
    header["scl_slope"], header["scl_inter"], header["vox_offset"] = 0.1, -3.3, 352
    (tmp_path / "a.nii").write_bytes(header.binaryblock + b"\0\0\0\0" + stored.tobytes(order="F"))
    slope, start = float(np.float32(0.1)), float(np.float32(-3.3))
    for image in read(tmp_path / "a.nii"):
        np.testing.assert_array_equal(image.pixels[..., 0], stored[:, :, image.slice].T * slope + start)
