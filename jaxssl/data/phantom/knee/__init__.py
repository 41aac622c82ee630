"""Synthetic knee studies: a sagittal and a coronal stack of one knee whose truth is known exactly."""

from jaxssl.data.phantom.knee.study import KNEE_CLASSES, KneeOptions, knee_phantom, knee_subject

__all__ = ["KNEE_CLASSES", "KneeOptions", "knee_phantom", "knee_subject"]
