"""DICOM of one or many frames, in whatever compression the installed decoders of pydicom know.

Pixels come out as values: rescaled where the file says how, MONOCHROME1 turned so that bright is high, palettes and YBR
as RGB. Frames keep the order of the file; an image says which slice and which frame of it each is.
"""

from jaxssl.data.formats.dicom.header import Header, header
from jaxssl.data.formats.dicom.read import read

__all__ = ["Header", "header", "read"]
