"""Synthetic studies, and called so everywhere: data that come with the package and whose truth is known exactly."""

from jaxssl.data.phantom.cine import CineOptions, analytic_volumes, cine_phantom, cine_subject
from jaxssl.data.phantom.knee import KneeOptions, knee_phantom
from jaxssl.data.phantom.ultrasound import UltrasoundOptions, ultrasound_phantom

__all__ = [
    "CineOptions",
    "KneeOptions",
    "UltrasoundOptions",
    "analytic_volumes",
    "cine_phantom",
    "cine_subject",
    "knee_phantom",
    "ultrasound_phantom",
]
