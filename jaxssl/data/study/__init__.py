"""The images of one subject sorted: which views they show, which slices and phases of it.

Pure functions on images that are already decoded. Geometry comes first; what the scanner calls a series decides where
geometry does not tell.
"""

from jaxssl.data.study.arrange import Placed, acquisitions
from jaxssl.data.study.loaded import Loaded

__all__ = ["Loaded", "Placed", "acquisitions"]
