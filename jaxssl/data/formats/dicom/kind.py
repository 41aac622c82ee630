"""What a DICOM file is an image of, as far as names may stand in its pixels."""

from pydicom import Dataset

ULTRASOUND, IMAGES = ("US", "IVUS"), "1.2.840.10008.5.1.4.1.1."
OF_PROBES = tuple(IMAGES + kind for kind in ("3", "3.1", "6", "6.1", "6.2"))
"""Ultrasound in the classes of today, and in those that old machines write."""
SAVED = IMAGES + "7"
"""Secondary capture: what was on a screen, such as a sheet with the patient's data, or came off a scanned film."""


def is_ultrasound(header: Dataset) -> bool:
    """Whether any of its words say so: those who take names out of files may take one of them too many."""
    kind = header.get("SOPClassUID")
    return header.get("Modality") in ULTRASOUND or kind in OF_PROBES or "SequenceOfUltrasoundRegions" in header


def may_be_written(header: Dataset) -> bool:
    """Whether the file says that its pixels name somebody, or is of a kind that does and does not say no."""
    said = str(header.get("BurnedInAnnotation") or "").upper()
    kind = str(header.get("SOPClassUID") or "")
    return said == "YES" or (said != "NO" and (kind == SAVED or kind.startswith(SAVED + ".")))
