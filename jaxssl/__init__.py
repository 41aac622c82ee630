"""Pretraining of image encoders without labels on cardiac MR and ultrasound."""

from jaxssl.version import __version__ as __version__
