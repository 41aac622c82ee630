"""The images of an acquisition as one array [x, y, slice, frame] in the patient, which is what NIfTI holds."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float, UInt8
from nibabel.nifti1 import Nifti1Header

from jaxssl.data.formats.nifti import MILLIMETRES
from jaxssl.data.study.arrange import Placed
from jaxssl.files import beside
from jaxssl.geometry import Plane, normal

NIFTI = (".nii", ".nii.gz")
TO_RAS = np.diag([-1.0, -1.0, 1.0])
"""The axes of a patient in NIfTI run to the right, to the front and up."""
SCANNER, NOWHERE = 1, 0
"""What NIfTI calls the place that a scanner has told, and none."""
EVEN = 0.01
"""Steps between slices that differ relatively by less are even: places in DICOM may be rounded to .01 mm."""
GEOMETRY = (
    *("dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
)
"""The fields of a NIfTI header that say where its voxels lie."""


@dataclass(frozen=True, eq=False)
class Volume:
    """Images of one acquisition and their places (slice, frame) in its array; `header` says where that lies."""

    name: PurePath
    """By what is in the source, without an ending."""
    images: tuple[Placed, ...]
    places: tuple[tuple[int, int], ...]
    header: Nifti1Header

    @property
    def view(self) -> str:
        return self.images[0].view

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the array."""
        x, y, *more = map(int, self.header.get_data_shape())
        slices, frames = [*more, 1, 1][:2]
        return x, y, slices, frames

    @property
    def spacing(self) -> tuple[float, float] | None:
        """(dy, dx) of the pixels in mm; none where nobody knows it."""
        return _spacing(self.images[0])

    @property
    def step(self) -> float | None:
        """From slice to slice across their planes, in mm; none of a single slice, or where nobody knows it."""
        if self.shape[2] == 1 or self.spacing is None:
            return None
        image = self.images[0].loaded.image
        if image.plane is None:
            return image.thickness
        unit = MILLIMETRES.get(str(self.header.get_xyzt_units()[0]), 1.0)
        x, y, z = np.asarray(self.header.get_best_affine())[:3, :3].T
        across = np.cross(x, y)
        return unit * abs(float(z @ across)) / float(np.linalg.norm(across))

    def write(self, masks: Sequence[UInt8[np.ndarray, "y x"]], path: Path) -> UInt8[np.ndarray, "x y slices frames"]:
        """Write the masks of the images, in their order, as NIfTI; where there is no image, background. The array."""
        array = np.zeros(self.shape, np.uint8)
        for (number, frame), mask in zip(self.places, masks, strict=True):
            array[:, :, number, frame] = mask.T
        with beside(path) as unfinished:
            nib.save(nib.Nifti1Image(array.reshape(self.header.get_data_shape()), None, self.header), unfinished)
        return array


def volumes(placed: Sequence[Placed], source: Path) -> list[Volume]:
    """A subject's images in the arrays of their NIfTI files; others by study and view, as far as they are a stack."""
    groups = defaultdict(list)
    for each in placed:
        file = each.loaded.series.files[each.loaded.file]
        groups[(file,) if _is_nifti(file) else (each.study, each.view)].append(each)
    return [volume for images in groups.values() for volume in _volumes(images, source)]


def _volumes(images: Sequence[Placed], source: Path) -> list[Volume]:
    first = images[0].loaded
    file = first.series.files[first.file]
    inside = file.relative_to(source) if source.is_dir() else PurePath(file.name)
    if _is_nifti(file):
        places = tuple((each.loaded.image.slice, each.loaded.image.frame) for each in images)
        return [Volume(_stem(inside), tuple(images), places, _header_of(file))]
    alone = len({each.loaded.series.files[each.loaded.file] for each in images}) == 1
    name = _stem(inside) if alone else inside.parent / images[0].view
    if (affine := _stack(images)) is not None:
        places = tuple((each.slice, each.phase) for each in images)
        frames = 1 + max(each.phase for each in images)
        return [Volume(name, tuple(images), places, _header(images[0], affine, images[0].slices, frames))]
    # Planes that are turned against each other, or of several sizes, are no array: one for each slice.
    slices = defaultdict(list)
    for each in images:
        slices[each.slice].append(each)
    return [
        Volume(
            name.with_name(f"{name.name}-{number + 1}"),
            tuple(own),
            tuple((0, each.phase) for each in own),
            _header(own[0], _affine(own[0], None), 1, 1 + max(each.phase for each in own)),
        )
        for number, own in slices.items()
    ]


def _stack(images: Sequence[Placed]) -> Float[np.ndarray, "4 4"] | None:
    """From voxels to RAS of parallel slices of one size at even steps; none of others."""
    slices = {each.slice: each for each in reversed(images)}
    first = slices[min(slices)]
    if len({each.loaded.image.pixels.shape[:2] for each in images}) > 1:
        return None
    planes = [each.loaded.image.plane for _, each in sorted(slices.items())]
    if len(planes) == 1 or any(plane is None for plane in planes):
        return _affine(first, None)
    origins = np.stack([plane.origin for plane in planes])  # type: ignore[union-attr]
    axes = np.stack([np.stack([plane.x_axis, plane.y_axis]) for plane in planes])  # type: ignore[union-attr]
    steps = np.diff(origins, axis=0)
    even = np.abs(steps - steps.mean(0)).max() <= EVEN * np.linalg.norm(steps.mean(0))
    return _affine(first, steps.mean(0)) if even and np.allclose(axes, axes[0], rtol=0, atol=EVEN) else None


def _affine(first: Placed, step: Float[np.ndarray, "3"] | None) -> Float[np.ndarray, "4 4"]:
    """From voxels to RAS, from the first slice and the step to the next; without a step that of its thickness."""
    image = first.loaded.image
    dy, dx = _spacing(first) or (1.0, 1.0)
    thickness = image.thickness or 1.0
    if image.plane is None:
        return np.diag([dx, dy, thickness, 1.0])
    plane: Plane = image.plane
    step = thickness * np.asarray(normal(plane)) if step is None else step
    affine = np.eye(4)
    affine[:3] = TO_RAS @ np.stack([plane.x_axis * dx, plane.y_axis * dy, step, plane.origin], axis=1)
    return affine


def _header(first: Placed, affine: Float[np.ndarray, "4 4"], slices: int, frames: int) -> Nifti1Header:
    image, header = first.loaded.image, _empty()
    y, x = image.pixels.shape[:2]
    header.set_data_shape((x, y, slices, frames) if frames > 1 else (x, y, slices))
    header.set_xyzt_units("mm" if _spacing(first) else "unknown")
    code = NOWHERE if image.plane is None else SCANNER
    header.set_sform(affine, code)
    header.set_qform(affine, code)
    return header


def _header_of(file: Path) -> Nifti1Header:
    """The geometry of a NIfTI file, and nothing else that it says: who was examined may stand there."""
    own: Any = nib.load(file).header  # type: ignore[attr-defined]
    header = _empty()
    # Field by field, not as matrices: a quaternion that is none does no harm where nobody goes by it.
    for name in GEOMETRY:
        header[name] = own[name]
    return header


def _empty() -> Nifti1Header:
    header = Nifti1Header()
    header.set_data_dtype(np.uint8)
    return header


def _spacing(placed: Placed) -> tuple[float, float] | None:
    return placed.loaded.series.spacing or placed.loaded.image.spacing


def _is_nifti(file: Path) -> bool:
    return file.name.lower().endswith(NIFTI)


def _stem(path: PurePath) -> PurePath:
    return path.with_name(path.name.removesuffix(".gz").rpartition(".")[0] or path.name)
