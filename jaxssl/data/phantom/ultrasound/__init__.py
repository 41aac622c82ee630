"""Synthetic obstetric ultrasound: the planes of a fetus, cut from anatomy in 3D and seen through a probe."""

from jaxssl.data.phantom.ultrasound.labels import ULTRASOUND_CLASSES
from jaxssl.data.phantom.ultrasound.study import (
    UltrasoundOptions,
    head_circumference,
    ultrasound_phantom,
    ultrasound_subject,
)

__all__ = ["ULTRASOUND_CLASSES", "UltrasoundOptions", "head_circumference", "ultrasound_phantom", "ultrasound_subject"]
