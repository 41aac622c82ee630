"""Files as scanners write them, for tests of what reads them."""

from pathlib import Path

import nibabel
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid


def nifti(path: Path, array: np.ndarray, spacing=(0.5, 0.75, 8.0, 30.0), unit="mm") -> Path:
    image = nibabel.Nifti1Image(array, np.diag([-spacing[0], -spacing[1], 1.0, 1.0]))
    image.header.set_zooms(spacing[: array.ndim])
    image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def dicom(path: Path, pixels: np.ndarray, photometric="MONOCHROME2", bits: int | None = None, **tags) -> Path:
    """Frames [n, y, x] or [n, y, x, 3], or one without the first axis."""
    colours = 3 if photometric in ("RGB", "YBR_FULL") else 1
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, generate_uid(entropy_srcs=[str(path)])
    shape = pixels.shape[:-1] if colours == 3 else pixels.shape
    data.Rows, data.Columns, data.SamplesPerPixel = *shape[-2:], colours
    if len(shape) == 3:
        data.NumberOfFrames = shape[0]
    if colours == 3:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = photometric
    data.BitsAllocated = 8 * pixels.dtype.itemsize
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path
