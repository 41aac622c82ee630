"""Synthetic studies, and called so everywhere: data that come with the package and whose truth is known exactly."""

from jaxssl.data.phantom.cine import CineOptions, analytic_volumes, cine_phantom, cine_subject

__all__ = ["CineOptions", "analytic_volumes", "cine_phantom", "cine_subject"]
